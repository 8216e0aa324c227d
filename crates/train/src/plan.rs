//! Everything that a training needs besides the model.

use nlpress_core::event::Sink;
use nlpress_core::{Backend, Seed};
use nlpress_model::Dataset;
use std::path::Path;

use crate::config::FitConfig;
use crate::engine::{Engine, Wire};
use crate::objective::Objective;

/// Everything a training needs besides the model.
pub struct Fit<'a> {
    /// How.
    pub config: &'a FitConfig,
    /// Where.
    pub backend: &'a Backend,
    /// On what.
    pub train: &'a Dataset,
    /// What early stopping and the progress report look at.
    pub valid: Option<&'a Dataset>,
    /// What to reduce; the true labels' cross-entropy when there is none.
    pub objective: Option<&'a dyn Objective>,
    /// Root of data order and dropout.
    pub seed: Seed,
    /// Who listens.
    pub sink: &'a dyn Sink,
    /// How gradients are computed; serially when there is none.
    pub engine: Option<&'a mut dyn Engine>,
    /// What happens to gradients on their way.
    pub wire: Option<&'a mut dyn Wire>,
    /// File to write after each epoch. An engine or a wire that keeps something from step to step is refused
    /// with it, because the file does not hold that; trainings with different objectives need different files.
    pub checkpoint: Option<&'a Path>,
    /// Whether to go on from that file when it is there.
    pub resume: bool,
}

impl<'a> Fit<'a> {
    /// A plain training on labels.
    pub fn new(
        config: &'a FitConfig,
        backend: &'a Backend,
        train: &'a Dataset,
        seed: Seed,
        sink: &'a dyn Sink,
    ) -> Self {
        Self {
            config,
            backend,
            train,
            valid: None,
            objective: None,
            seed,
            sink,
            engine: None,
            wire: None,
            checkpoint: None,
            resume: false,
        }
    }
}

impl std::fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fit {{ {:?}, {:?}, {} rows }}", self.config, self.seed, self.train.len())
    }
}
