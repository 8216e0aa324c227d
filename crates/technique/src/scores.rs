//! How good a model is on the validation rows of a step, and how much two of them agree: the one place for it.

use nlpress_model::dataset::{accuracy, decide};
use nlpress_model::{Model, Network};
use nlpress_train::{Labels, mean_loss};

use crate::{Cx, StepError};

/// How good a model is on rows with labels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Mean cross-entropy, in nats; each row times the weight of its class.
    pub loss: f64,
    /// Share of rows that it decides rightly.
    pub accuracy: f64,
}

/// Share of rows for which two sets of logits `[rows, outputs]` decide for the same class.
pub fn agreement(a: &[f32], b: &[f32], outputs: usize) -> f64 {
    let decisions: Vec<u32> = b.chunks_exact(outputs).map(decide).collect();
    accuracy(a, outputs, &decisions)
}

impl Cx<'_> {
    /// A model's logits over the validation rows, `[rows, outputs]`.
    ///
    /// # Errors
    /// [`StepError::Model`] when the rows are not as wide as the network, or the device fails; here and below.
    pub fn valid_logits(&self, model: &Model) -> Result<Vec<f32>, StepError> {
        Ok(Network::bind(model, self.backend).logits_of(self.valid)?)
    }

    /// Scores of logits over the validation rows.
    pub fn scores_of(&self, logits: &[f32]) -> Scores {
        let loss = mean_loss(&Labels::of(self.valid), logits, self.valid.len());
        Scores { loss, accuracy: accuracy(logits, self.valid.outputs(), self.valid.labels()) }
    }

    /// Scores of a model on the validation rows.
    ///
    /// # Errors
    /// As [`valid_logits`](Cx::valid_logits).
    pub fn scores(&self, model: &Model) -> Result<Scores, StepError> {
        Ok(self.scores_of(&self.valid_logits(model)?))
    }

    /// Accuracy of a model on the validation rows.
    ///
    /// # Errors
    /// As [`valid_logits`](Cx::valid_logits).
    pub fn accuracy(&self, model: &Model) -> Result<f64, StepError> {
        Ok(self.scores(model)?.accuracy)
    }

    /// Cross-entropy of a model on the validation rows.
    ///
    /// # Errors
    /// As [`valid_logits`](Cx::valid_logits).
    pub fn loss(&self, model: &Model) -> Result<f64, StepError> {
        Ok(self.scores(model)?.loss)
    }
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
