//! Accuracy, macro-F1, negative log-likelihood and agreement.
//!
//! Logits are `[rows, outputs]`, row after row. One output is a binary classifier: class 1 when its logit is
//! greater than 0. More outputs are one class each: the greatest wins, the first among equals.

use crate::calibration::probabilities;
use crate::error::{EvalError, check_length};

/// How well logits match labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Share of rows whose prediction is the label.
    pub accuracy: f64,
    /// Unweighted mean of the F1 of every class that occurs in the labels or in the predictions.
    pub macro_f1: f64,
    /// Mean negative log-likelihood of the label, in nats.
    pub nll: f64,
    /// The predicted class of every row.
    pub predictions: Vec<u32>,
    /// 1 for every row whose prediction is the label, 0 for the others.
    pub correct: Vec<f64>,
    /// Negative log-likelihood of every row's label, in nats; rows whose label is no class are left out.
    pub row_nll: Vec<f64>,
}

impl Scores {
    /// Scores logits `[rows, outputs]` against one label a row.
    ///
    /// # Errors
    /// Nothing to score, lengths that do not match, a label outside the classes, a logit that is not finite.
    pub fn of(logits: &[f32], outputs: usize, labels: &[u32]) -> Result<Self, EvalError> {
        Self::decided(predict(logits, outputs)?, logits, outputs, labels)
    }

    /// The same for a model that decides in a way of its own, such as by a threshold: `predictions` has the class
    /// of every row.
    ///
    /// # Errors
    /// As [`Scores::of`].
    pub fn decided(
        predictions: Vec<u32>,
        logits: &[f32],
        outputs: usize,
        labels: &[u32],
    ) -> Result<Self, EvalError> {
        let classes = outputs.max(2);
        let bad = |&(_, &label): &(usize, &u32)| label as usize >= classes;
        if let Some((row, &label)) = labels.iter().enumerate().find(bad) {
            return Err(EvalError::Label { row, label, classes });
        }
        Self::with_unknown(predictions, logits, outputs, labels)
    }

    /// The same where labels may lie outside the classes: a document of such a label is wrong, whatever was
    /// predicted. No probability was given to its label, so [`row_nll`](Self::row_nll) has the other rows only.
    ///
    /// # Errors
    /// Nothing to score, no label that is a class, lengths that do not match, a logit that is not finite.
    pub fn with_unknown(
        predictions: Vec<u32>,
        logits: &[f32],
        outputs: usize,
        labels: &[u32],
    ) -> Result<Self, EvalError> {
        check_logits(logits, outputs)?;
        check_length("labels", logits.len() / outputs, labels.len())?;
        let classes = outputs.max(2);
        let row_nll: Vec<f64> = logits
            .chunks_exact(outputs)
            .zip(labels)
            .filter(|(_, label)| (**label as usize) < classes)
            .map(|(row, &label)| negative_log(row, label))
            .collect();
        if row_nll.is_empty() {
            return Err(EvalError::Empty("documents whose label is a class"));
        }
        let correct = matches(&predictions, labels)?;
        Ok(Self {
            accuracy: mean(&correct),
            macro_f1: macro_f1(&predictions, labels)?,
            nll: mean(&row_nll),
            predictions,
            correct,
            row_nll,
        })
    }
}

/// The predicted class of every row of logits `[rows, outputs]`.
///
/// # Errors
/// No logits or no outputs, a broken last row, a logit that is not finite.
pub fn predict(logits: &[f32], outputs: usize) -> Result<Vec<u32>, EvalError> {
    check_logits(logits, outputs)?;
    Ok(logits.chunks_exact(outputs).map(choose).collect())
}

/// Proves that there are whole rows of logits, all finite.
fn check_logits(logits: &[f32], outputs: usize) -> Result<(), EvalError> {
    if outputs == 0 || logits.is_empty() {
        return Err(EvalError::Empty(if outputs == 0 { "outputs" } else { "logits" }));
    }
    check_length("logits", logits.len().next_multiple_of(outputs), logits.len())?;
    match logits.iter().position(|x| !x.is_finite()) {
        Some(at) => Err(EvalError::NotFinite { row: at / outputs, value: f64::from(logits[at]) }),
        None => Ok(()),
    }
}

/// The probability that one row of logits gives a class; 0 for one that it does not have.
pub fn probability(logits: &[f32], class: u32) -> f64 {
    let mut all = Vec::new();
    probabilities(logits, &mut all);
    all.get(class as usize).copied().unwrap_or(0.0)
}

/// 1 where `a` and `b` name the same class, 0 elsewhere: correctness when one of them is the labels.
///
/// # Errors
/// Nothing to compare, or lengths that differ.
pub fn matches(a: &[u32], b: &[u32]) -> Result<Vec<f64>, EvalError> {
    if a.is_empty() {
        return Err(EvalError::Empty("predictions"));
    }
    check_length("predictions", a.len(), b.len())?;
    Ok(a.iter().zip(b).map(|(x, y)| f64::from(u8::from(x == y))).collect())
}

/// Share of rows for which two models predict the same class.
///
/// # Errors
/// Nothing to compare, or lengths that differ.
pub fn agreement(a: &[u32], b: &[u32]) -> Result<f64, EvalError> {
    Ok(mean(&matches(a, b)?))
}

/// Unweighted mean of the F1 of every class that occurs in the labels or in the predictions.
///
/// # Errors
/// Nothing to score, or lengths that differ.
pub fn macro_f1(predictions: &[u32], labels: &[u32]) -> Result<f64, EvalError> {
    if labels.is_empty() {
        return Err(EvalError::Empty("labels"));
    }
    check_length("predictions", labels.len(), predictions.len())?;
    let mut classes = Classes::of([predictions, labels]);
    for (&p, &l) in predictions.iter().zip(labels) {
        classes.count(classes.index(p), classes.index(l));
    }
    Ok(classes.macro_f1())
}

/// The classes that occur, renumbered without gaps, and how often each was right, predicted and true. So a
/// stray class number costs no memory, and counting again for a resample costs no allocation.
pub(crate) struct Classes {
    names: Vec<u32>,
    /// Per class: predicted and true; predicted; true.
    counts: Vec<[u32; 3]>,
}

impl Classes {
    pub(crate) fn of<'a>(lists: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut names = Vec::new();
        for list in lists {
            names.extend_from_slice(list);
            names.sort_unstable();
            names.dedup();
        }
        let counts = vec![[0; 3]; names.len()];
        Self { names, counts }
    }

    /// The new number of a class that occurs.
    pub(crate) fn index(&self, class: u32) -> usize {
        self.names.binary_search(&class).expect("every class of the lists was collected")
    }

    pub(crate) fn clear(&mut self) {
        self.counts.fill([0; 3]);
    }

    /// Counts one row by the new numbers.
    pub(crate) fn count(&mut self, predicted: usize, label: usize) {
        self.counts[predicted][0] += u32::from(predicted == label);
        self.counts[predicted][1] += 1;
        self.counts[label][2] += 1;
    }

    /// F1 is `2 tp / (predicted + true)`; classes that were counted nowhere do not take part.
    pub(crate) fn macro_f1(&self) -> f64 {
        let (mut sum, mut occurring) = (0.0, 0.0);
        for [right, predicted, label] in &self.counts {
            let either = f64::from(*predicted) + f64::from(*label);
            if either > 0.0 {
                sum += 2.0 * f64::from(*right) / either;
                occurring += 1.0;
            }
        }
        sum / occurring
    }
}

pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn choose(row: &[f32]) -> u32 {
    if let [logit] = row {
        return u32::from(*logit > 0.0);
    }
    let mut best = 0;
    for (i, x) in row.iter().enumerate() {
        if *x > row[best] {
            best = i;
        }
    }
    best as u32
}

/// `-log p(label)`: softplus of the signed logit for one output, log-sum-exp for more; both without overflow.
fn negative_log(row: &[f32], label: u32) -> f64 {
    if let [logit] = row {
        let z = if label == 1 { -f64::from(*logit) } else { f64::from(*logit) };
        return z.max(0.0) + (-z.abs()).exp().ln_1p();
    }
    let greatest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|x| (f64::from(*x) - greatest).exp()).sum();
    sum.ln() + greatest - f64::from(row[label as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn one_output_is_binary_and_zero_is_class_zero() {
        let s = Scores::of(&[0.0, 2.0, -1.0, 0.5], 1, &[0, 1, 1, 1]).unwrap();
        assert_eq!(s.predictions, [0, 1, 0, 1]);
        assert_eq!(s.correct, [1.0, 1.0, 0.0, 1.0]);
        assert!(near(s.accuracy, 0.75));
        // Class 0: 2·1/(2+1); class 1: 2·2/(2+3).
        assert!(near(s.macro_f1, (2.0 / 3.0 + 0.8) / 2.0));
        assert!(near(s.row_nll[0], 2_f64.ln()));
        assert!(near(s.row_nll[2], 1.0 + (-1_f64).exp().ln_1p()));
    }

    #[test]
    fn more_outputs_take_the_first_greatest() {
        let s = Scores::of(&[1.0, 1.0, 0.0, 0.0, 3.0, 3.0], 3, &[0, 2]).unwrap();
        assert_eq!(s.predictions, [0, 1]);
        let z = (2.0 * 1_f64.exp() + 1.0).ln() - 1.0;
        assert!(near(s.row_nll[0], z), "{}", s.row_nll[0]);
        // Class 0 is right, classes 1 and 2 occur and are wrong.
        assert!(near(s.macro_f1, 1.0 / 3.0));
    }

    #[test]
    fn a_binary_and_a_two_class_model_with_the_same_probabilities_score_alike() {
        let binary = Scores::of(&[0.3, -2.0, 5.0], 1, &[1, 1, 0]).unwrap();
        let two = Scores::of(&[0.0, 0.3, 0.0, -2.0, 0.0, 5.0], 2, &[1, 1, 0]).unwrap();
        assert_eq!(binary.predictions, two.predictions);
        assert!(near(binary.nll, two.nll));
    }

    #[test]
    fn extreme_logits_neither_overflow_nor_vanish() {
        let one = Scores::of(&[3e38, -3e38], 1, &[0, 1]).unwrap();
        assert!(one.nll.is_finite() && one.nll > 1e38);
        let two = Scores::of(&[-3e38, 3e38], 2, &[1]).unwrap();
        assert_eq!(two.nll, 0.0);
    }

    #[test]
    fn labels_that_are_no_class_are_wrong_and_have_no_likelihood() {
        let (logits, labels) = ([2.0, -1.0, 0.5], [1, 7, 0]);
        let s = Scores::with_unknown(vec![1, 0, 1], &logits, 1, &labels).unwrap();
        assert_eq!((s.correct, s.row_nll.len()), (vec![1.0, 0.0, 0.0], 2));
        // Class 1: 2·1/(2+1); classes 0 and 7 are never right.
        assert!(near(s.macro_f1, (2.0 / 3.0) / 3.0), "{}", s.macro_f1);
        assert!(Scores::decided(vec![1, 0, 1], &logits, 1, &labels).is_err());
        let none = Scores::with_unknown(vec![1], &[2.0], 1, &[5]).unwrap_err().to_string();
        assert_eq!(none, "no documents whose label is a class to score");
    }

    #[test]
    fn a_threshold_changes_what_is_right_and_not_how_likely_it_is() {
        let by_half = Scores::of(&[-0.5, -2.0], 1, &[1, 0]).unwrap();
        let lower = Scores::decided(vec![1, 0], &[-0.5, -2.0], 1, &[1, 0]).unwrap();
        assert_eq!((by_half.accuracy, lower.accuracy, by_half.nll), (0.5, 1.0, lower.nll));
    }

    #[test]
    fn classes_that_occur_nowhere_do_not_count() {
        assert!(near(macro_f1(&[0, 4_000_000_000], &[0, 4_000_000_000]).unwrap(), 1.0));
        assert!(near(agreement(&[1, 2, 3, 4], &[1, 2, 0, 0]).unwrap(), 0.5));
    }

    #[test]
    fn refuses_what_cannot_be_scored() {
        let text = |r: Result<Scores, EvalError>| r.unwrap_err().to_string();
        assert_eq!(text(Scores::of(&[], 2, &[])), "no logits to score");
        assert_eq!(text(Scores::of(&[1.0], 0, &[0])), "no outputs to score");
        assert_eq!(text(Scores::of(&[1.0; 5], 2, &[0, 0])), "5 logits, expected 6");
        assert_eq!(text(Scores::of(&[1.0; 4], 2, &[0])), "1 labels, expected 2");
        assert_eq!(
            text(Scores::of(&[1.0; 4], 2, &[0, 2])),
            "row 1: label 2 is outside the 2 classes of the logits"
        );
        assert_eq!(text(Scores::of(&[1.0, f32::NAN], 1, &[0, 1])), "row 1: NaN is not a finite number");
        assert!(agreement(&[], &[]).is_err() && agreement(&[1], &[]).is_err());
        assert!(macro_f1(&[], &[]).is_err() && macro_f1(&[1], &[1, 2]).is_err());
    }
}
