//! Encoded texts with their labels: what a model is trained and measured on.

use nlpress_core::shown::counted;
use nlpress_text::{Examples, ExamplesRef, Rows};
use std::borrow::Cow;

use crate::ModelError;

/// Feature rows or tokens of texts, and their labels, in step.
#[derive(Clone, Debug)]
pub struct Dataset {
    examples: Examples,
    labels: Vec<u32>,
    classes: usize,
    class_weights: Vec<f64>,
}

impl Dataset {
    /// Joins examples and labels.
    ///
    /// # Errors
    /// [`ModelError::Data`] when their counts differ, there is no row, there are fewer than two classes, or a
    /// label is not below `classes`.
    pub fn new(examples: impl Into<Examples>, labels: Vec<u32>, classes: usize) -> Result<Self, ModelError> {
        let examples = examples.into();
        let bad = |why: String| Err(ModelError::Data(why));
        if examples.len() != labels.len() {
            return bad(format!(
                "there are {} for {}",
                counted(labels.len(), "label"),
                counted(examples.len(), "row")
            ));
        }
        if labels.is_empty() {
            return bad("there is no row".into());
        }
        if classes < 2 {
            return bad(format!("there must be 2 classes at least to tell apart, but there are {classes}"));
        }
        if let Some((row, label)) = labels.iter().enumerate().find(|(_, l)| **l as usize >= classes) {
            return bad(format!("row {row} has label {label}, but there are {classes} classes"));
        }
        Ok(Self { examples, labels, classes, class_weights: Vec::new() })
    }

    /// The same examples, each of which counts in a loss by the weight of its class. None at all: every class weighs 1.
    ///
    /// # Errors
    /// [`ModelError::Data`] when there is not one positive number a class.
    pub fn with_class_weights(mut self, weights: Vec<f64>) -> Result<Self, ModelError> {
        let positive = |w: &f64| w.is_finite() && *w > 0.0;
        if !weights.is_empty() && (weights.len() != self.classes || !weights.iter().all(positive)) {
            let why =
                format!("the class weights are {weights:?}, but {} positive ones are needed", self.classes);
            return Err(ModelError::Data(why));
        }
        self.class_weights = weights;
        Ok(self)
    }

    /// The weight of each class; empty where all are 1.
    pub fn class_weights(&self) -> &[f64] {
        &self.class_weights
    }

    /// What a network is given.
    pub fn examples(&self) -> ExamplesRef<'_> {
        self.examples.view()
    }

    /// The feature rows, for what looks at single features.
    ///
    /// # Errors
    /// [`ModelError::Data`] when the examples are tokens.
    pub fn features(&self) -> Result<&Rows, ModelError> {
        let tokens = || ModelError::Data("the examples are tokens, which have no feature rows".into());
        self.examples.features().ok_or_else(tokens)
    }

    /// The feature rows, or how often each text has each token: what looks at words, not at their order, reads.
    pub fn bags(&self) -> Cow<'_, Rows> {
        match &self.examples {
            Examples::Features(rows) => Cow::Borrowed(rows),
            Examples::Tokens(rows) => Cow::Owned(rows.bags()),
        }
    }

    /// The same examples with other labels, and no class weights.
    ///
    /// # Errors
    /// As [`new`](Dataset::new).
    pub fn relabelled(&self, labels: Vec<u32>) -> Result<Self, ModelError> {
        Self::new(self.examples.clone(), labels, self.classes)
    }

    /// The label of every example.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no example; never true.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Logits that a network for these classes has: one for two classes, else one each.
    pub fn outputs(&self) -> usize {
        if self.classes == 2 { 1 } else { self.classes }
    }

    /// The examples of the given numbers, in that order.
    ///
    /// # Errors
    /// [`ModelError::Data`] when `indices` is empty or out of range.
    pub fn select(&self, indices: &[usize]) -> Result<Self, ModelError> {
        if let Some(i) = indices.iter().find(|i| **i >= self.len()) {
            return Err(ModelError::Data(format!("row {i} does not exist: there are {} rows", self.len())));
        }
        let labels = indices.iter().map(|&i| self.labels[i]).collect();
        let data = Self::new(self.examples.select(indices), labels, self.classes)?;
        data.with_class_weights(self.class_weights.clone())
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

/// Share of examples whose logits decide for the right label.
pub fn accuracy(logits: &[f32], outputs: usize, labels: &[u32]) -> f64 {
    let right =
        logits.chunks_exact(outputs).zip(labels).filter(|(row, label)| decide(row) == **label).count();
    right as f64 / labels.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_text::TokenRows;

    fn rows(n: usize) -> Rows {
        Rows::from_dense(n, 1, &vec![1.0; n]).unwrap()
    }

    #[test]
    fn refuses_rows_and_labels_out_of_step() {
        assert!(Dataset::new(rows(2), vec![0, 1], 2).is_ok());
        for (n, labels, classes) in
            [(2, vec![0], 2), (0, vec![], 2), (2, vec![0, 0], 1), (2, vec![0, 2], 2), (2, vec![0, 0], 0)]
        {
            assert!(matches!(Dataset::new(rows(n), labels, classes), Err(ModelError::Data(_))));
        }
    }

    #[test]
    fn selects_and_counts_outputs() {
        let data = Dataset::new(rows(3), vec![0, 1, 2], 3).unwrap();
        assert_eq!(data.outputs(), 3);
        assert_eq!(data.select(&[2, 0]).unwrap().labels(), [2, 0]);
        assert!(data.select(&[3]).is_err());
        assert!(data.select(&[]).is_err());
        assert_eq!(Dataset::new(rows(1), vec![1], 2).unwrap().outputs(), 1);
    }

    #[test]
    fn texts_of_tokens_have_bags_but_no_features() {
        let rows = TokenRows::new(4, vec![0, 3, 4], vec![3, 0, 3, 1], Vec::new()).unwrap();
        let data = Dataset::new(rows, vec![0, 1], 2).unwrap();
        assert_eq!(*data.bags(), Rows::from_dense(2, 4, &[1.0, 0.0, 0.0, 2.0, 0.0, 1.0, 0.0, 0.0]).unwrap());
        assert!(data.features().unwrap_err().to_string().contains("are tokens"));
        let turned = data.select(&[1, 0]).unwrap().relabelled(vec![0, 0]).unwrap();
        assert_eq!((turned.labels(), turned.bags().row(1).columns), (&[0, 0][..], &[0, 3][..]));
        assert!(data.relabelled(vec![1]).is_err());
    }

    #[test]
    fn class_weights_are_one_a_class_and_go_with_the_rows() {
        let data = Dataset::new(rows(3), vec![0, 1, 1], 2).unwrap();
        assert!(data.class_weights().is_empty());
        for bad in [vec![1.0], vec![1.0, 0.0], vec![1.0, f64::NAN], vec![1.0; 3]] {
            assert!(data.clone().with_class_weights(bad).is_err());
        }
        let data = data.with_class_weights(vec![2.0, 0.5]).unwrap();
        assert_eq!(data.select(&[1]).unwrap().class_weights(), [2.0, 0.5]);
    }

    #[test]
    fn decides_for_the_first_of_the_largest() {
        assert_eq!([decide(&[0.1]), decide(&[0.0]), decide(&[-0.1])], [1, 0, 0]);
        assert_eq!(decide(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(accuracy(&[1.0, -1.0, 1.0, -1.0], 1, &[1, 1, 0, 0]), 0.5);
        assert_eq!(accuracy(&[1.0, 2.0, 2.0, 1.0], 2, &[1, 1]), 0.5);
    }
}
