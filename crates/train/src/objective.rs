//! Losses as plain functions of logits that return their own derivative, and terms that burn differentiates.
//!
//! They are computed from logits, never from probabilities, so that neither the value nor the derivative is
//! ever infinite or undefined.

use burn::tensor::Tensor;
use nlpress_model::network::{Seen, Taps};
use nlpress_model::{Dataset, ModelError};

use crate::Loss;

/// A loss over rows of logits, and perhaps of what the network makes before them.
pub trait Objective: Sync {
    /// The loss summed over `rows` (numbers of rows in the training set), divided by `batch`; its derivative by
    /// each logit goes into `gradient`. `logits` and `gradient` are `[rows, outputs]`.
    ///
    /// `batch` is the size of the whole batch, of which `rows` may be one worker's share.
    fn loss(&self, rows: &[usize], batch: usize, logits: &[f32], gradient: &mut [f32]) -> f64;

    /// What it looks at besides logits on the host: nothing by default.
    fn taps(&self) -> Taps {
        Taps::default()
    }

    /// A term that is added to [`loss`](Objective::loss), as a tensor of one number with its graph: of the logits as a tensor,
    /// hidden states and attention maps. It is summed over `rows` and divided by `batch` too, and called where there are
    /// [`taps`](Objective::taps).
    ///
    /// # Errors
    /// [`ModelError`] when what is seen is not what it can be compared with, or a device fails.
    fn term(&self, rows: &[usize], batch: usize, seen: &Seen) -> Result<Option<Tensor<1>>, ModelError> {
        let _ = (rows, batch, seen);
        Ok(None)
    }
}

/// A loss against the true labels: binary for a single output, over classes otherwise; each row times the weight of its
/// class, where the data set has weights. Rows after the last that has a label add nothing, and so do all rows of a data set
/// without labels: ask [`Dataset::labelled`] first.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    labels: &'a [u32],
    /// One for each class; none where all are 1.
    weights: &'a [f64],
    loss: Loss,
}

impl<'a> Labels<'a> {
    /// Cross-entropy against the labels of a data set.
    pub fn of(data: &'a Dataset) -> Self {
        Self { labels: data.labels(), weights: data.class_weights(), loss: Loss::CrossEntropy }
    }

    /// Another loss against the same labels.
    #[must_use]
    pub fn with_loss(self, loss: Loss) -> Self {
        Self { loss, ..self }
    }
}

impl Objective for Labels<'_> {
    fn loss(&self, rows: &[usize], batch: usize, logits: &[f32], gradient: &mut [f32]) -> f64 {
        let outputs = logits.len() / rows.len().max(1);
        let plain = 1.0 / batch as f32;
        let of_row = match self.loss {
            Loss::CrossEntropy => cross_entropy,
            Loss::SquaredHinge => squared_hinge,
        };
        let mut total = 0.0;
        for ((&row, logits), gradient) in
            rows.iter().zip(logits.chunks_exact(outputs)).zip(gradient.chunks_exact_mut(outputs))
        {
            let Some(&label) = self.labels.get(row) else {
                gradient.fill(0.0);
                continue;
            };
            let loss = of_row(logits, label, gradient);
            let (loss, scale) = match self.weights.get(label as usize) {
                Some(weight) => (weight * loss, (weight / batch as f64) as f32),
                None => (loss, plain),
            };
            total += loss;
            gradient.iter_mut().for_each(|g| *g *= scale);
        }
        total / batch as f64
    }
}

/// Cross-entropy of one row against a label; the derivative goes into `gradient`.
fn cross_entropy(logits: &[f32], label: u32, gradient: &mut [f32]) -> f64 {
    if let [x] = *logits {
        let y = if label == 1 { 1.0 } else { 0.0 };
        gradient[0] = sigmoid(x) - y;
        return f64::from(x.max(0.0) - x * y + (-x.abs()).exp().ln_1p());
    }
    softmax(logits, gradient);
    let label = label as usize;
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|x| f64::from(x - top).exp()).sum();
    gradient[label] -= 1.0;
    sum.ln() + f64::from(top - logits[label])
}

/// The squared hinge losses of one row, each class against the rest; the derivative goes into `gradient`. A single logit
/// is the second class against the first.
fn squared_hinge(logits: &[f32], label: u32, gradient: &mut [f32]) -> f64 {
    let right = if logits.len() == 1 { label.wrapping_sub(1) } else { label };
    let mut total = 0.0;
    for ((class, x), gradient) in (0..).zip(logits).zip(gradient) {
        let side = if class == right { 1.0 } else { -1.0 };
        let short = (1.0 - side * x).max(0.0);
        total += f64::from(short).powi(2);
        *gradient = -2.0 * side * short;
    }
    total
}

/// The logistic function, exact at both ends.
pub fn sigmoid(x: f32) -> f32 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}

/// Softmax of one row, shifted by its largest so that nothing overflows.
pub fn softmax(logits: &[f32], out: &mut [f32]) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (out, x) in out.iter_mut().zip(logits) {
        *out = (x - top).exp();
        sum += *out;
    }
    out.iter_mut().for_each(|p| *p /= sum);
}

/// Mean loss of logits against an objective over all rows of a data set.
pub fn mean_loss(objective: &dyn Objective, logits: &[f32], rows: usize) -> f64 {
    let all: Vec<usize> = (0..rows).collect();
    objective.loss(&all, rows, logits, &mut vec![0.0; logits.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSES: [Loss; 2] = [Loss::CrossEntropy, Loss::SquaredHinge];

    fn difference(labels: &[u32], logits: &[f32], rows: &[usize]) {
        for loss in LOSSES {
            for weights in [&[][..], &[0.25, 3.0, 1.5]] {
                compare(Labels { labels, weights, loss }, logits, rows);
            }
        }
    }

    fn compare(objective: Labels<'_>, logits: &[f32], rows: &[usize]) {
        let mut gradient = vec![0.0; logits.len()];
        objective.loss(rows, rows.len(), logits, &mut gradient);
        for i in 0..logits.len() {
            let at = |d: f32| {
                let mut moved = logits.to_vec();
                moved[i] += d;
                objective.loss(rows, rows.len(), &moved, &mut vec![0.0; logits.len()])
            };
            let numeric = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!(
                (numeric - f64::from(gradient[i])).abs() < 2e-4,
                "{objective:?} {i}: {numeric} {}",
                gradient[i]
            );
        }
    }

    #[test]
    fn derivatives_agree_with_finite_differences() {
        difference(&[1, 0, 1], &[0.3, -2.0, 1.5], &[0, 1, 2]);
        difference(&[2, 0], &[0.3, -2.0, 1.5, 0.0, 0.1, 0.2], &[0, 1]);
    }

    #[test]
    fn the_squared_hinge_is_that_of_one_class_against_the_rest() {
        let of = |label, logits: &[f32]| squared_hinge(logits, label, &mut vec![0.0; logits.len()]);
        assert_eq!(of(1, &[1.5]), 0.0);
        assert_eq!(of(0, &[1.5]), 6.25);
        assert_eq!(of(1, &[-2.0, 3.0, -1.0]), 0.0);
        assert_eq!(of(0, &[-2.0, 3.0, -0.5]), 9.0 + 16.0 + 0.25);
    }

    #[test]
    fn a_weight_counts_a_row_as_so_many() {
        let (logits, mut once, mut twice) = ([0.3, -1.0], [0.0; 2], [0.0; 2]);
        let of = |weights| Labels { labels: &[1, 0], weights, loss: Loss::CrossEntropy };
        let plain = of(&[]).loss(&[0, 1], 2, &logits, &mut once);
        let only = of(&[]).loss(&[0], 2, &logits[..1], &mut [0.0]);
        let weighted = of(&[1.0, 2.0]).loss(&[0, 1], 2, &logits, &mut twice);
        assert!((weighted - plain - only).abs() < 1e-12);
        assert_eq!(twice, [2.0 * once[0], once[1]]);
    }

    #[test]
    fn rows_without_a_label_add_nothing() {
        let (logits, mut gradient) = ([0.3, -1.0], [7.0; 2]);
        let objective = Labels { labels: &[1], weights: &[], loss: Loss::CrossEntropy };
        let both = objective.loss(&[0, 1], 2, &logits, &mut gradient);
        let one = objective.loss(&[0], 2, &logits[..1], &mut [0.0]);
        assert!(both == one && gradient[0] != 0.0 && gradient[1] == 0.0);
    }

    #[test]
    fn extreme_logits_stay_finite() {
        for loss in LOSSES {
            let mut gradient = [0.0; 2];
            let objective = Labels { labels: &[1, 0], weights: &[], loss };
            let loss = objective.loss(&[0, 1], 2, &[-1e4, 1e4], &mut gradient);
            assert!(loss.is_finite() && gradient.iter().all(|g| g.is_finite()));
            assert!(gradient[0] <= -0.5 && gradient[1] >= 0.5, "{gradient:?}");
        }
    }
}
