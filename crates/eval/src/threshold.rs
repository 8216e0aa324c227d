//! Where a binary model decides: the threshold on the score of its second class that suits what one aims for.
//!
//! A model trained on 98 % of one class rarely gives the other more than half, yet its scores may rank documents
//! well. So the threshold is chosen on documents that the model was not trained on; its score stays the probability.

use crate::error::{EvalError, check_length};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Logits beyond this are as good as certain; no threshold is put there.
const CERTAIN: f64 = 30.0;

/// What a threshold is chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aim {
    /// The F1 of the second class.
    F1,
    /// The mean of the two classes' F1.
    MacroF1,
    /// The mean of the two classes' recall.
    BalancedAccuracy,
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F1 => "f1",
            Self::MacroF1 => "macro-f1",
            Self::BalancedAccuracy => "balanced-accuracy",
        })
    }
}

/// A threshold and what it reaches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// The second class is predicted where its probability is greater than this; above 0 and below 1.
    pub value: f64,
    /// The aim's value at that threshold.
    pub reached: f64,
    /// The aim's value at 0.5.
    pub before: f64,
}

impl Aim {
    /// The threshold that reaches the most on rows of one logit and their labels, 0 or 1.
    ///
    /// Thresholds lie halfway, by their logits, between neighbouring scores; of those that reach as much, the one
    /// nearest to 0.5 is taken, so that nothing moves where nothing is gained.
    ///
    /// # Errors
    /// No rows, lengths that differ, a label above 1, a logit that is not finite, or rows of one class only.
    pub fn choose(self, logits: &[f32], labels: &[u32]) -> Result<Threshold, EvalError> {
        check_length("logits", labels.len(), logits.len())?;
        if let Some((row, &label)) = labels.iter().enumerate().find(|(_, label)| **label > 1) {
            return Err(EvalError::Label { row, label, classes: 2 });
        }
        if let Some(row) = logits.iter().position(|x| !x.is_finite()) {
            return Err(EvalError::NotFinite { row, value: f64::from(logits[row]) });
        }
        let positives = labels.iter().filter(|label| **label == 1).count();
        if positives == 0 || positives == labels.len() {
            return Err(EvalError::Empty("documents of both classes"));
        }
        let mut rows: Vec<(f32, u32)> = logits.iter().copied().zip(labels.iter().copied()).collect();
        rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let all = Counts { positives, negatives: labels.len() - positives, ..Counts::default() };
        // Everything above the cut is predicted as the second class.
        let at_half = rows.iter().filter(|(logit, _)| *logit > 0.0).fold(all, |c, row| c.above(row.1));
        let before = self.reached(&at_half);
        let mut best = (before, 0.0_f64);
        let mut counts = all;
        for (i, row) in rows.iter().enumerate() {
            counts = counts.above(row.1);
            let next = rows.get(i + 1).map_or(f64::from(row.0) - 2.0, |next| f64::from(next.0));
            let cut = f64::midpoint(f64::from(row.0), next);
            if next == f64::from(row.0) || cut.abs() > CERTAIN {
                continue;
            }
            let reached = self.reached(&counts);
            if reached > best.0 || (reached == best.0 && cut.abs() < best.1.abs()) {
                best = (reached, cut);
            }
        }
        Ok(Threshold { value: 1.0 / (1.0 + (-best.1).exp()), reached: best.0, before })
    }

    fn reached(self, c: &Counts) -> f64 {
        let (right, wrong) = (c.right as f64, c.wrong as f64);
        let (positives, negatives) = (c.positives as f64, c.negatives as f64);
        let f1 = 2.0 * right / (right + wrong + positives);
        match self {
            Self::F1 => f1,
            Self::MacroF1 => {
                let rejected = negatives - wrong;
                f64::midpoint(f1, 2.0 * rejected / (rejected + (positives - right) + negatives))
            }
            Self::BalancedAccuracy => f64::midpoint(right / positives, (negatives - wrong) / negatives),
        }
    }
}

/// Rows predicted as the second class that are (`right`) and are not (`wrong`), of how many of each.
#[derive(Clone, Copy, Default)]
struct Counts {
    positives: usize,
    negatives: usize,
    right: usize,
    wrong: usize,
}

impl Counts {
    fn above(mut self, label: u32) -> Self {
        self.right += usize::from(label == 1);
        self.wrong += usize::from(label == 0);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::macro_f1;

    fn apply(threshold: f64, logits: &[f32]) -> Vec<u32> {
        let cut = (threshold / (1.0 - threshold)).ln();
        logits.iter().map(|x| u32::from(f64::from(*x) > cut)).collect()
    }

    #[test]
    fn finds_the_cut_that_separates() {
        // All scores are below one half, and rank perfectly.
        let (logits, labels) = ([-3.0, -2.5, -1.0, -4.0], [0, 0, 1, 0]);
        for aim in [Aim::F1, Aim::MacroF1, Aim::BalancedAccuracy] {
            let t = aim.choose(&logits, &labels).unwrap();
            assert_eq!((apply(t.value, &logits), t.reached), (labels.to_vec(), 1.0), "{aim}");
            assert!(t.before < 1.0 && t.value < 0.5, "{t:?}");
        }
    }

    #[test]
    fn reaches_what_trying_every_cut_reaches() {
        let logits: Vec<f32> = (0..40).map(|i| ((i * 37) % 41) as f32 / 10.0 - 2.0).collect();
        let labels: Vec<u32> = (0..40).map(|i| u32::from((i * 37) % 41 + (i % 7) * 3 > 30)).collect();
        let t = Aim::MacroF1.choose(&logits, &labels).unwrap();
        let tried = |cut: f32| {
            let predictions: Vec<u32> = logits.iter().map(|x| u32::from(*x > cut)).collect();
            macro_f1(&predictions, &labels).unwrap()
        };
        let best = (-30..30).map(|c| tried(c as f32 / 10.0 + 0.05)).fold(0.0, f64::max);
        assert!((t.reached - best).abs() < 1e-12, "{t:?} {best}");
        assert_eq!(macro_f1(&apply(t.value, &logits), &labels).unwrap(), t.reached);
    }

    #[test]
    fn nothing_moves_where_nothing_is_gained() {
        let t = Aim::F1.choose(&[-1.0, 2.0], &[0, 1]).unwrap();
        assert_eq!((t.value, t.reached, t.before), (0.5, 1.0, 1.0));
        // Equal scores cannot be told apart: everything is the second class, or nothing.
        let t = Aim::F1.choose(&[-1.0, -1.0, -1.0], &[0, 1, 1]).unwrap();
        assert!(t.value < 0.27 && (t.reached - 0.8).abs() < 1e-12, "{t:?}");
    }

    #[test]
    fn extreme_logits_leave_a_threshold_that_is_one() {
        let t = Aim::F1.choose(&[3e38, -3e38, 900.0, -900.0], &[1, 0, 0, 1]).unwrap();
        assert!(t.value > 0.0 && t.value < 1.0, "{t:?}");
    }

    #[test]
    fn refuses_rows_that_say_nothing() {
        assert!(Aim::F1.choose(&[1.0, 2.0], &[1, 1]).is_err());
        assert!(Aim::F1.choose(&[], &[]).is_err());
        assert!(Aim::F1.choose(&[1.0], &[0, 1]).is_err());
        assert!(Aim::F1.choose(&[1.0, f32::NAN], &[0, 1]).is_err());
        assert!(Aim::F1.choose(&[1.0, 2.0], &[0, 2]).is_err());
    }
}
