//! What a single number hides: precision, recall and F1 of every class, which classes are taken for which, and
//! whether the model does better than one that always says the same.
//!
//! Classes are numbers; the caller has their names. A label may lie beyond the classes of the model: it is then a
//! class that was never predicted, and every document of it is wrong.

use crate::error::{EvalError, check_length};
use serde::Serialize;
use std::collections::BTreeMap;

/// How well one class is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    /// Share of the documents predicted as this class that have its label; none when nothing was predicted as it.
    pub precision: Option<f64>,
    /// Share of the documents with its label that were predicted as it; none when no document has the label.
    pub recall: Option<f64>,
    /// `2 · right / (predicted + support)`: the harmonic mean of the two; none when both counts are 0.
    pub f1: Option<f64>,
    /// Documents with its label.
    pub support: u64,
    /// Documents predicted as it.
    pub predicted: u64,
}

/// How often documents of one class were predicted as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The class of the label.
    pub label: u32,
    /// The class that was predicted.
    pub predicted: u32,
    /// Documents.
    pub documents: u64,
}

/// Counts of documents by label and prediction. It takes memory for the pairs that occur, not for all that could.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// `(label, predicted)` → documents.
    pairs: BTreeMap<(u32, u32), u64>,
    support: BTreeMap<u32, u64>,
    predicted: BTreeMap<u32, u64>,
}

impl Confusion {
    /// Counts predictions against labels.
    ///
    /// # Errors
    /// Nothing to count, or lengths that differ.
    pub fn of(predictions: &[u32], labels: &[u32]) -> Result<Self, EvalError> {
        if labels.is_empty() {
            return Err(EvalError::Empty("labels"));
        }
        check_length("predictions", labels.len(), predictions.len())?;
        let mut confusion = Self::default();
        for (&predicted, &label) in predictions.iter().zip(labels) {
            *confusion.pairs.entry((label, predicted)).or_default() += 1;
            *confusion.support.entry(label).or_default() += 1;
            *confusion.predicted.entry(predicted).or_default() += 1;
        }
        Ok(confusion)
    }

    /// Documents with label `label` that were predicted as `predicted`.
    pub fn count(&self, label: u32, predicted: u32) -> u64 {
        self.pairs.get(&(label, predicted)).copied().unwrap_or(0)
    }

    /// How well a class is found.
    pub fn class(&self, class: u32) -> ClassScore {
        let of = |counts: &BTreeMap<u32, u64>| counts.get(&class).copied().unwrap_or(0);
        let (right, support, predicted) = (self.count(class, class), of(&self.support), of(&self.predicted));
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        ClassScore {
            precision: share(right, predicted),
            recall: share(right, support),
            f1: share(2 * right, predicted + support),
            support,
            predicted,
        }
    }

    /// The most frequent mistakes, at most `most`; equally frequent ones by label, then by prediction.
    pub fn mistakes(&self, most: usize) -> Vec<Mistake> {
        let wrong = self.pairs.iter().filter(|((label, predicted), _)| label != predicted);
        let mut all: Vec<Mistake> =
            wrong.map(|(&(label, predicted), &documents)| Mistake { label, predicted, documents }).collect();
        all.sort_by_key(|m| (std::cmp::Reverse(m.documents), m.label, m.predicted));
        all.truncate(most);
        all
    }

    /// The label that the most documents have, the first of equals, and their share: the accuracy of a model that
    /// always predicts it.
    pub fn majority(&self) -> (u32, f64) {
        let all: u64 = self.support.values().sum();
        let most = self.support.iter().rev().max_by_key(|(_, documents)| **documents);
        most.map_or((0, 0.0), |(&class, &documents)| (class, documents as f64 / all as f64))
    }

    /// The class that was predicted for every document, where it is one and the labels are several.
    pub fn only_prediction(&self) -> Option<u32> {
        let mut predicted = self.predicted.keys();
        match (predicted.next(), predicted.next()) {
            (Some(&class), None) if self.support.len() > 1 => Some(class),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::macro_f1;

    #[test]
    fn every_class_has_its_own_numbers() {
        // Labels: 0 0 0 1 1 2; class 3 is predicted once and is no label.
        let (labels, predictions) = ([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 3, 0]);
        let c = Confusion::of(&predictions, &labels).unwrap();
        let zero = c.class(0);
        assert_eq!((zero.precision, zero.recall), (Some(2.0 / 3.0), Some(2.0 / 3.0)));
        assert_eq!((zero.support, zero.predicted), (3, 3));
        assert_eq!((c.class(1).precision, c.class(1).f1), (Some(0.5), Some(0.5)));
        assert_eq!((c.class(2).precision, c.class(2).recall, c.class(2).f1), (None, Some(0.0), Some(0.0)));
        assert_eq!((c.class(3).recall, c.class(3).f1), (None, Some(0.0)));
        assert_eq!(
            c.class(9),
            ClassScore { precision: None, recall: None, f1: None, support: 0, predicted: 0 }
        );
        let mean = (0..4).filter_map(|k| c.class(k).f1).sum::<f64>() / 4.0;
        assert!((mean - macro_f1(&predictions, &labels).unwrap()).abs() < 1e-12);
    }

    #[test]
    fn mistakes_come_by_their_number() {
        let c = Confusion::of(&[1, 1, 2, 0, 0], &[0, 0, 0, 2, 0]).unwrap();
        let mistake = |label, predicted, documents| Mistake { label, predicted, documents };
        assert_eq!(c.mistakes(9), [mistake(0, 1, 2), mistake(0, 2, 1), mistake(2, 0, 1)]);
        assert_eq!(c.mistakes(1), [mistake(0, 1, 2)]);
    }

    #[test]
    fn a_model_that_says_one_thing_is_named() {
        let one = Confusion::of(&[1, 1, 1], &[1, 1, 0]).unwrap();
        assert_eq!((one.only_prediction(), one.majority()), (Some(1), (1, 2.0 / 3.0)));
        assert_eq!(Confusion::of(&[1, 1], &[1, 1]).unwrap().only_prediction(), None);
        assert_eq!(Confusion::of(&[1, 0], &[1, 0]).unwrap().only_prediction(), None);
        assert_eq!(Confusion::of(&[5, 5], &[7, 3]).unwrap().majority(), (3, 0.5));
        assert!(Confusion::of(&[], &[]).is_err() && Confusion::of(&[1], &[1, 2]).is_err());
    }
}
