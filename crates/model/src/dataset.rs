//! Encoded texts with what is to be learnt of them: what a model is calibrated, trained and measured on.

use nlpress_core::shown::counted;
use nlpress_text::{Examples, ExamplesRef, Rows};
use std::borrow::Cow;

use crate::ModelError;

/// What is known of the examples of a [`Dataset`], beside themselves.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// A class for each example: classification.
    Classes {
        /// The class of every example.
        labels: Vec<u32>,
        /// Number of classes.
        classes: usize,
        /// How much an example of each class counts in a loss; empty where all weigh 1.
        weights: Vec<f64>,
    },
    /// A vector for each example: regression, for instance on the embeddings of a teacher.
    Vectors {
        /// `[examples, width]`.
        values: Vec<f32>,
        /// Numbers of a vector.
        width: usize,
    },
    /// Nothing: texts to calibrate by, or that a teacher is asked about.
    None,
}

/// Feature rows or tokens of texts, and their targets, in step.
#[derive(Clone, Debug)]
pub struct Dataset {
    examples: Examples,
    targets: Targets,
}

impl Dataset {
    /// Joins examples and their labels.
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
        Ok(Self { examples, targets: Targets::Classes { labels, classes, weights: Vec::new() } })
    }

    /// Examples without targets.
    ///
    /// # Errors
    /// [`ModelError::Data`] when there is none.
    pub fn unlabelled(examples: impl Into<Examples>) -> Result<Self, ModelError> {
        let examples = examples.into();
        if examples.is_empty() {
            return Err(ModelError::Data("there is no row".into()));
        }
        Ok(Self { examples, targets: Targets::None })
    }

    /// Joins examples and a vector for each, `[examples, width]`.
    ///
    /// # Errors
    /// [`ModelError::Data`] when there is no row, a vector has no number, their counts differ, or a number is not finite.
    pub fn with_vectors(
        examples: impl Into<Examples>,
        values: Vec<f32>,
        width: usize,
    ) -> Result<Self, ModelError> {
        let Self { examples, .. } = Self::unlabelled(examples)?;
        if width == 0 || examples.len().checked_mul(width) != Some(values.len()) {
            let (numbers, rows) = (counted(values.len(), "number"), counted(examples.len(), "row"));
            return Err(ModelError::Data(format!("there are {numbers} for {rows} of vectors of {width}")));
        }
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            let (row, value) = (at / width, values[at]);
            return Err(ModelError::Data(format!("the vector of row {row} has the number {value}")));
        }
        Ok(Self { examples, targets: Targets::Vectors { values, width } })
    }

    /// The same examples, each of which counts in a loss by the weight of its class. None at all: every class weighs 1.
    ///
    /// # Errors
    /// [`ModelError::Data`] when there is not one positive number a class.
    pub fn with_class_weights(mut self, given: Vec<f64>) -> Result<Self, ModelError> {
        let positive = |w: &f64| w.is_finite() && *w > 0.0;
        let there_are = self.classes();
        if !given.is_empty() && (given.len() != there_are || !given.iter().all(positive)) {
            let why = format!("the class weights are {given:?}, but {there_are} positive ones are needed");
            return Err(ModelError::Data(why));
        }
        if let Targets::Classes { weights, .. } = &mut self.targets {
            *weights = given;
        }
        Ok(self)
    }

    /// What is known of the examples.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// The same data, where every example has a class: what all that reads labels asks first.
    ///
    /// # Errors
    /// [`ModelError::Data`] where the targets are no classes.
    pub fn labelled(&self) -> Result<&Self, ModelError> {
        match self.targets {
            Targets::Classes { .. } => Ok(self),
            Targets::Vectors { .. } => Err(ModelError::Data("the rows have vectors, but no labels".into())),
            Targets::None => Err(ModelError::Data("the rows have no labels".into())),
        }
    }

    /// The weight of each class; empty where all are 1, and where the targets are no classes.
    pub fn class_weights(&self) -> &[f64] {
        match &self.targets {
            Targets::Classes { weights, .. } => weights,
            _ => &[],
        }
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

    /// The same examples with labels of `classes` classes, and no class weights.
    ///
    /// # Errors
    /// As [`new`](Dataset::new).
    pub fn relabelled(&self, labels: Vec<u32>, classes: usize) -> Result<Self, ModelError> {
        Self::new(self.examples.clone(), labels, classes)
    }

    /// Other examples of the same texts, with the same targets.
    ///
    /// # Errors
    /// [`ModelError::Data`] when there are not as many.
    pub fn with_examples(&self, examples: impl Into<Examples>) -> Result<Self, ModelError> {
        let examples = examples.into();
        if examples.len() != self.len() {
            let (found, wanted) = (counted(examples.len(), "row"), counted(self.len(), "target"));
            return Err(ModelError::Data(format!("there are {found} for {wanted}")));
        }
        Ok(Self { examples, targets: self.targets.clone() })
    }

    /// The label of every example; empty where the targets are no classes (see [`labelled`](Dataset::labelled)).
    pub fn labels(&self) -> &[u32] {
        match &self.targets {
            Targets::Classes { labels, .. } => labels,
            _ => &[],
        }
    }

    /// Number of classes; 0 where the targets are none.
    pub fn classes(&self) -> usize {
        match self.targets {
            Targets::Classes { classes, .. } => classes,
            _ => 0,
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether there is no example; never true.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// Numbers that a network for these targets gives: a logit for two classes, else one each, or the width of the vectors;
    /// nothing where it may give as many as it likes.
    pub fn outputs(&self) -> Option<usize> {
        match self.targets {
            Targets::Classes { classes, .. } => Some(if classes == 2 { 1 } else { classes }),
            Targets::Vectors { width, .. } => Some(width),
            Targets::None => None,
        }
    }

    /// The examples of the given numbers, in that order.
    ///
    /// # Errors
    /// [`ModelError::Data`] when `indices` is empty or out of range.
    pub fn select(&self, indices: &[usize]) -> Result<Self, ModelError> {
        if let Some(i) = indices.iter().find(|i| **i >= self.len()) {
            return Err(ModelError::Data(format!("row {i} does not exist: there are {} rows", self.len())));
        }
        let Self { examples, .. } = Self::unlabelled(self.examples.select(indices))?;
        let targets = match &self.targets {
            Targets::Classes { labels, classes, weights } => Targets::Classes {
                labels: indices.iter().map(|&i| labels[i]).collect(),
                classes: *classes,
                weights: weights.clone(),
            },
            Targets::Vectors { values, width } => Targets::Vectors {
                values: indices.iter().flat_map(|&i| &values[i * width..(i + 1) * width]).copied().collect(),
                width: *width,
            },
            Targets::None => Targets::None,
        };
        Ok(Self { examples, targets })
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
        assert_eq!(data.outputs(), Some(3));
        assert_eq!(data.select(&[2, 0]).unwrap().labels(), [2, 0]);
        assert!(data.select(&[3]).is_err());
        assert!(data.select(&[]).is_err());
        assert_eq!(Dataset::new(rows(1), vec![1], 2).unwrap().outputs(), Some(1));
    }

    #[test]
    fn texts_of_tokens_have_bags_but_no_features() {
        let rows = TokenRows::new(4, vec![0, 3, 4], vec![3, 0, 3, 1], Vec::new()).unwrap();
        let data = Dataset::new(rows, vec![0, 1], 2).unwrap();
        assert_eq!(*data.bags(), Rows::from_dense(2, 4, &[1.0, 0.0, 0.0, 2.0, 0.0, 1.0, 0.0, 0.0]).unwrap());
        assert!(data.features().unwrap_err().to_string().contains("are tokens"));
        let turned = data.select(&[1, 0]).unwrap().relabelled(vec![0, 0], 2).unwrap();
        assert_eq!((turned.labels(), turned.bags().row(1).columns), (&[0, 0][..], &[0, 3][..]));
        assert!(data.relabelled(vec![1], 2).is_err());
    }

    #[test]
    fn rows_may_have_vectors_or_nothing() {
        let plain = Dataset::unlabelled(rows(3)).unwrap();
        assert_eq!((plain.len(), plain.classes(), plain.outputs()), (3, 0, None));
        assert!(plain.labels().is_empty() && plain.labelled().unwrap_err().to_string().contains("no labels"));
        assert_eq!(*plain.select(&[2]).unwrap().targets(), Targets::None);
        assert!(
            Dataset::unlabelled(rows(0)).is_err() && plain.clone().with_class_weights(vec![1.0]).is_err()
        );

        let values: Vec<f32> = (0..6).map(|x| x as f32).collect();
        let data = Dataset::with_vectors(rows(3), values.clone(), 2).unwrap();
        assert_eq!((data.outputs(), data.labelled().is_err()), (Some(2), true));
        let turned = data.select(&[2, 0]).unwrap();
        assert_eq!(*turned.targets(), Targets::Vectors { values: vec![4.0, 5.0, 0.0, 1.0], width: 2 });
        assert_eq!(turned.with_examples(rows(2)).unwrap().targets(), turned.targets());
        assert!(turned.with_examples(rows(3)).is_err());
        for (count, values, width) in [(3, values.clone(), 0), (3, values, 3), (1, vec![f32::NAN], 1)] {
            assert!(matches!(Dataset::with_vectors(rows(count), values, width), Err(ModelError::Data(_))));
        }
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
