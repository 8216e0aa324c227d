//! Encoded rows with their labels: what a model is trained and measured on.

use nlpress_text::Rows;

use crate::ModelError;

/// Feature rows and their labels, in step.
#[derive(Clone, Debug)]
pub struct Dataset {
    rows: Rows,
    labels: Vec<u32>,
    classes: usize,
}

impl Dataset {
    /// Joins rows and labels.
    ///
    /// # Errors
    /// [`ModelError::Data`] when their counts differ, there is no row, there are fewer than two classes, or a
    /// label is not below `classes`.
    pub fn new(rows: Rows, labels: Vec<u32>, classes: usize) -> Result<Self, ModelError> {
        let bad = |why: String| Err(ModelError::Data(why));
        if rows.len() != labels.len() {
            return bad(format!("{} rows have {} labels", rows.len(), labels.len()));
        }
        if labels.is_empty() {
            return bad("there is no row".into());
        }
        if classes < 2 {
            return bad(format!("{classes} classes cannot be told apart: at least 2 are needed"));
        }
        if let Some((row, label)) = labels.iter().enumerate().find(|(_, l)| **l as usize >= classes) {
            return bad(format!("row {row} has label {label}, but there are {classes} classes"));
        }
        Ok(Self { rows, labels, classes })
    }

    /// The feature rows.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The label of every row.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no row; never true.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Logits that a network for these classes has: one for two classes, else one each.
    pub fn outputs(&self) -> usize {
        if self.classes == 2 { 1 } else { self.classes }
    }

    /// The rows of the given numbers, in that order.
    ///
    /// # Errors
    /// [`ModelError::Data`] when `indices` is empty or out of range.
    pub fn select(&self, indices: &[usize]) -> Result<Self, ModelError> {
        if let Some(i) = indices.iter().find(|i| **i >= self.len()) {
            return Err(ModelError::Data(format!("row {i} does not exist: there are {} rows", self.len())));
        }
        let labels = indices.iter().map(|&i| self.labels[i]).collect();
        Self::new(self.rows.select(indices), labels, self.classes)
    }
}

/// The class that logits decide for: the sign of a single one, else the largest (the first among equals).
pub fn decide(logits: &[f32]) -> u32 {
    match logits {
        [one] => u32::from(*one > 0.0),
        many => {
            let mut best = 0;
            for (i, x) in many.iter().enumerate() {
                if *x > many[best] {
                    best = i;
                }
            }
            best as u32
        }
    }
}

/// Share of rows whose logits decide for the right label.
pub fn accuracy(logits: &[f32], outputs: usize, labels: &[u32]) -> f64 {
    let right =
        logits.chunks_exact(outputs).zip(labels).filter(|(row, label)| decide(row) == **label).count();
    right as f64 / labels.len().max(1) as f64
}
