//! How the gradient of a batch is computed, and what happens to it on its way to the optimiser.

use nlpress_core::Backend;
use nlpress_model::{Dropout, Gradients, Model, Network};
use nlpress_text::Rows;
use std::borrow::Cow;

use crate::{Objective, TrainError};

/// One batch of training rows.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// All training rows.
    pub rows: &'a Rows,
    /// The rows of this batch.
    pub indices: &'a [usize],
    /// What to switch off in this step.
    pub dropout: &'a Dropout,
    /// What to reduce.
    pub objective: &'a dyn Objective,
}

impl std::fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch of {} rows", self.indices.len())
    }
}

/// Computes gradients, on one thread or many.
pub trait Engine: Send {
    /// Prepares for training this model.
    ///
    /// # Errors
    /// [`TrainError`] when the model or the configuration cannot be run.
    fn begin(&mut self, model: &Model, backend: &Backend) -> Result<(), TrainError>;

    /// Loss and gradient at the parameters `flat` (see [`Model::flat`]).
    ///
    /// # Errors
    /// [`TrainError`] when the device or a worker fails.
    fn gradients(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Gradients, TrainError>;

    /// Makes a network of the model compute as it would when it is used, where its numbers alone do not say so: called
    /// for the one that validation looks at.
    ///
    /// # Errors
    /// [`TrainError`] when it is not of this model.
    fn prepare(&self, network: &mut Network) -> Result<(), TrainError> {
        let _ = network;
        Ok(())
    }

    /// The numbers that the model would be used with, where they are not the parameters themselves: what validation
    /// looks at.
    fn used<'f>(&self, flat: &'f [f32]) -> Cow<'f, [f32]> {
        Cow::Borrowed(flat)
    }

    /// Told after each epoch whose parameters are to be kept, unless a later one's are: with
    /// [`FitConfig::patience`](crate::FitConfig::patience) the best so far, without it every epoch's.
    fn keep(&mut self, flat: &[f32]) {
        let _ = flat;
    }

    /// Whether a step depends on more than its parameters and its batch; a checkpoint would not hold that.
    fn keeps_state(&self) -> bool {
        false
    }
}

/// Everything on the calling thread.
#[derive(Debug, Default)]
pub struct Serial {
    network: Option<Network>,
    /// Sites whose input is rounded, and to how many levels.
    rounded: Vec<(usize, i32)>,
}

impl Serial {
    /// With fake-quantized inputs of some sites: pairs of site and levels; see [`Network::round_input`].
    pub fn rounding(rounded: Vec<(usize, i32)>) -> Self {
        Self { network: None, rounded }
    }
}

impl Engine for Serial {
    fn begin(&mut self, model: &Model, backend: &Backend) -> Result<(), TrainError> {
        let mut network = Network::bind(model, backend);
        self.prepare(&mut network)?;
        self.network = Some(network);
        Ok(())
    }

    fn prepare(&self, network: &mut Network) -> Result<(), TrainError> {
        Ok(self.rounded.iter().try_for_each(|(site, levels)| network.round_input(*site, *levels))?)
    }

    fn gradients(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Gradients, TrainError> {
        let network = self.network.as_mut().ok_or(TrainError::Engine("it was not begun".into()))?;
        network.update(0..network.sites(), flat);
        let n = batch.indices.len();
        let mut loss =
            |logits: &[f32], gradient: &mut [f32]| batch.objective.loss(batch.indices, n, logits, gradient);
        Ok(network.gradients((batch.rows, batch.indices), Some(batch.dropout), 0, &mut loss)?)
    }
}

/// What happens to a gradient between the workers and the optimiser.
pub trait Wire: Send {
    /// Sends a gradient and puts what arrives in its place.
    fn send(&mut self, gradient: &mut [f32]);

    /// Bytes sent so far.
    fn bytes(&self) -> u64;

    /// As [`Engine::keeps_state`]; true unless a wire says otherwise.
    fn keeps_state(&self) -> bool {
        true
    }
}
