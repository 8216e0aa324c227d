//! A training on labels alone, by whichever solver its settings name.

use nlpress_core::event::Sink;
use nlpress_core::{Backend, Seed};
use nlpress_model::Dataset;
use std::path::Path;

use crate::train_config::TrainConfig;

/// Everything that a training on labels needs besides the model.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)] // sinks have none
pub struct LabelTraining<'a> {
    /// How.
    pub config: &'a TrainConfig,
    /// Where gradients are computed.
    pub backend: &'a Backend,
    /// On what.
    pub train: &'a Dataset,
    /// What early stopping and the progress report look at.
    pub valid: Option<&'a Dataset>,
    /// Root of the order of the rows and of dropout.
    pub seed: Seed,
    /// Who listens.
    pub sink: &'a dyn Sink,
    /// File to write on the way: after each epoch, or after every few classes.
    pub checkpoint: Option<&'a Path>,
    /// Whether to go on from that file when it is there.
    pub resume: bool,
}

impl<'a> LabelTraining<'a> {
    /// A training without a checkpoint.
    pub fn new(
        config: &'a TrainConfig,
        backend: &'a Backend,
        (train, valid): (&'a Dataset, &'a Dataset),
        seed: Seed,
        sink: &'a dyn Sink,
    ) -> Self {
        Self { config, backend, train, valid: Some(valid), seed, sink, checkpoint: None, resume: false }
    }
}
