//! Whether a score of 0.9 is right nine times of ten.

use crate::error::{EvalError, check_length};
use serde::Serialize;

/// Bins of the expected calibration error, as in Guo et al. 2017.
pub const BINS: usize = 15;

/// How far scores are from being probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Expected calibration error (Naeini et al. 2015; Guo et al. 2017, "On Calibration of Modern Neural
    /// Networks"): documents fall into [`BINS`] bins of equal width by the score of the predicted class; the mean over
    /// documents of their bin's |accuracy − mean score|. From 0, which is best, to 1.
    pub ece: f64,
    /// Brier score (Brier 1950): mean over documents of the squared distance between the scores of all classes and 1
    /// for the label, 0 for the others. From 0, which is best, to 2; scikit-learn's binary score is half of it.
    pub brier: f64,
}

impl Calibration {
    /// Of logits `[rows, outputs]` (see [`crate::quality`]), the class predicted for each row and its label.
    ///
    /// # Errors
    /// Nothing to score, lengths that differ, a prediction or label outside the classes.
    pub fn of(
        logits: &[f32],
        outputs: usize,
        predictions: &[u32],
        labels: &[u32],
    ) -> Result<Self, EvalError> {
        if outputs == 0 || labels.is_empty() {
            return Err(EvalError::Empty(if outputs == 0 { "outputs" } else { "labels" }));
        }
        check_length("logits", labels.len() * outputs, logits.len())?;
        check_length("predictions", labels.len(), predictions.len())?;
        let classes = outputs.max(2);
        let mut bins = [(0_u64, 0.0, 0.0); BINS];
        let (mut brier, mut scores) = (0.0, Vec::with_capacity(classes));
        for (row, logits) in logits.chunks_exact(outputs).enumerate() {
            let (predicted, label) = (predictions[row], labels[row]);
            if let Some(label) = [predicted, label].into_iter().find(|c| *c as usize >= classes) {
                return Err(EvalError::Label { row, label, classes });
            }
            probabilities(logits, &mut scores);
            let score = scores[predicted as usize];
            // Bin `b` holds the scores above `b / BINS`, up to `(b + 1) / BINS`.
            let bin = ((score * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            let (documents, right, sum) = &mut bins[bin];
            *documents += 1;
            *right += f64::from(u8::from(predicted == label));
            *sum += score;
            let distance =
                |(class, p): (usize, &f64)| (p - f64::from(u8::from(class == label as usize))).powi(2);
            brier += scores.iter().enumerate().map(distance).sum::<f64>();
        }
        let n = labels.len() as f64;
        let ece = bins.iter().map(|(_, right, sum): &(u64, f64, f64)| (right - sum).abs()).sum::<f64>() / n;
        Ok(Self { ece, brier: brier / n })
    }
}

/// The probabilities of all classes: of one logit `[1 - p, p]` with its sigmoid `p`, else the softmax.
pub(crate) fn probabilities(logits: &[f32], out: &mut Vec<f64>) {
    out.clear();
    if let [logit] = *logits {
        let logit = f64::from(logit);
        out.extend([1.0 / (1.0 + logit.exp()), 1.0 / (1.0 + (-logit).exp())]);
        return;
    }
    let greatest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    out.extend(logits.iter().map(|x| (f64::from(*x) - greatest).exp()));
    let sum: f64 = out.iter().sum();
    out.iter_mut().for_each(|p| *p /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The logit of a probability.
    fn logit(p: f64) -> f32 {
        (p / (1.0 - p)).ln() as f32
    }

    #[test]
    fn scores_that_come_true_are_calibrated() {
        // Ten documents at 0.7, seven of them right; ten at 0.8, eight right.
        let logits: Vec<f32> = (0..20).map(|i| logit(if i < 10 { 0.7 } else { 0.8 })).collect();
        let labels: Vec<u32> = (0..20).map(|i| u32::from(if i < 10 { i < 7 } else { i < 18 })).collect();
        let c = Calibration::of(&logits, 1, &[1; 20], &labels).unwrap();
        assert!(c.ece < 1e-6, "{c:?}");
        // 7 · 2 · 0.3² + 3 · 2 · 0.7² + 8 · 2 · 0.2² + 2 · 2 · 0.8²
        assert!((c.brier - (1.26 + 2.94 + 0.64 + 2.56) / 20.0).abs() < 1e-6, "{c:?}");
    }

    #[test]
    fn bins_are_apart_and_their_errors_do_not_cancel() {
        // 0.9 that is right half the time, 0.6 that is always right: |0.5 − 0.9| and |1 − 0.6|.
        let logits = [logit(0.9), logit(0.9), logit(0.6), logit(0.6)];
        let c = Calibration::of(&logits, 1, &[1; 4], &[1, 0, 1, 1]).unwrap();
        assert!((c.ece - 0.4).abs() < 1e-6, "{c:?}");
    }

    #[test]
    fn the_score_is_that_of_the_predicted_class_even_when_another_is_greater() {
        // A threshold below 0.3 predicts class 1 at 0.3.
        let c = Calibration::of(&[logit(0.3)], 1, &[1], &[1]).unwrap();
        assert!((c.ece - 0.7).abs() < 1e-6 && (c.brier - 0.98).abs() < 1e-6, "{c:?}");
    }

    #[test]
    fn several_classes_and_extreme_logits() {
        let c = Calibration::of(&[3e38, -3e38, 0.0, 0.0, 0.0, 0.0], 3, &[0, 0], &[0, 2]).unwrap();
        assert!((c.ece - (1.0 / 3.0) / 2.0).abs() < 1e-9, "{c:?}");
        assert!((c.brier - (1.0 / 9.0 + 1.0 / 9.0 + 4.0 / 9.0) / 2.0).abs() < 1e-9, "{c:?}");
        let one = Calibration::of(&[-3e38], 1, &[0], &[0]).unwrap();
        assert_eq!((one.ece, one.brier), (0.0, 0.0));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert!(Calibration::of(&[], 1, &[], &[]).is_err());
        assert!(Calibration::of(&[1.0], 1, &[0], &[0, 1]).is_err());
        assert!(Calibration::of(&[1.0], 1, &[0], &[2]).is_err());
        assert!(Calibration::of(&[1.0], 0, &[0], &[1]).is_err());
    }
}
