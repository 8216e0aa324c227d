//! How good logits are against labels: the one place for it.

use nlpress_model::dataset::{accuracy, decide};
use nlpress_model::{Dataset, ModelError};

use crate::{Labels, Loss, mean_loss};

/// How good a model is on rows with labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Mean loss; each row times the weight of its class.
    pub loss: f64,
    /// Share of rows that it decides rightly.
    pub accuracy: f64,
}

impl Scores {
    /// Scores of logits `[rows, outputs]` over the rows of a data set.
    ///
    /// # Errors
    /// [`ModelError::Data`] when the rows have no labels.
    pub fn of(logits: &[f32], data: &Dataset, loss: Loss) -> Result<Self, ModelError> {
        let data = data.labelled()?;
        let outputs = logits.len() / data.len();
        let mean = mean_loss(&Labels::of(data).with_loss(loss), logits, data.len());
        Ok(Self { loss: mean, accuracy: accuracy(logits, outputs, data.labels()) })
    }
}

/// Share of rows for which two sets of logits `[rows, outputs]` decide for the same class.
pub fn agreement(a: &[f32], b: &[f32], outputs: usize) -> f64 {
    let decisions: Vec<u32> = b.chunks_exact(outputs).map(decide).collect();
    accuracy(a, outputs, &decisions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_counts_decisions() {
        assert_eq!(agreement(&[1.0, -1.0, 2.0, 3.0], &[0.1, 1.0, 5.0, -3.0], 1), 0.5);
        assert_eq!(agreement(&[1.0, 2.0, 0.0, 5.0, 1.0, 1.0], &[0.0, 9.0, 8.0, 5.0, 1.0, 8.0], 3), 0.5);
    }
}
