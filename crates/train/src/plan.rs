//! Everything that a training needs besides the model.

use nlpress_core::event::Sink;
use nlpress_core::{Backend, Seed};
use nlpress_model::Dataset;
use std::path::Path;

use crate::config::FitConfig;
use crate::gradients::{GradientSource, Wire};
use crate::objective::Objective;
use crate::reparameterization::{Penalty, Reparameterization};
use crate::word_dropout::WordDropout;

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
    /// What to reduce. When there is none: the true labels' cross-entropy, or the mean squared difference from the vectors
    /// where the rows have those in place of labels. With one, the rows need neither.
    pub objective: Option<&'a dyn Objective>,
    /// Root of data order and dropout.
    pub seed: Seed,
    /// Who listens.
    pub sink: &'a dyn Sink,
    /// What else is done, in every step.
    pub with: With<'a>,
    /// File to write after each epoch. Trainings with different objectives need different files.
    pub checkpoint: Option<&'a Path>,
    /// Whether to go on from that file when it is there.
    pub resume: bool,
}

/// What is done in every step of a training besides computing a gradient and following it. All of it goes together.
#[derive(Default)]
pub struct With<'a> {
    /// What the parameters are before the network computes with them, each made of what those before it made.
    pub reparameterizations: Vec<&'a mut dyn Reparameterization>,
    /// Terms of the loss that depend on the parameters alone, besides those of the configuration.
    pub penalties: Vec<&'a dyn Penalty>,
    /// Where gradients come from; one network on the calling thread when there is none.
    pub source: Option<&'a mut dyn GradientSource>,
    /// What happens to gradients on their way from there.
    pub wire: Option<&'a mut dyn Wire>,
    /// Words that each step leaves out, and the root of the choice.
    pub words: Option<(WordDropout, Seed)>,
}

impl<'a> Fit<'a> {
    /// A plain training on what the rows have: labels, or vectors.
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
            with: With::default(),
            checkpoint: None,
            resume: false,
        }
    }
}

impl With<'_> {
    /// Whether nothing is done besides.
    pub fn is_plain(&self) -> bool {
        let Self { reparameterizations, penalties, source, wire, words } = self;
        reparameterizations.is_empty()
            && penalties.is_empty()
            && source.is_none()
            && wire.is_none()
            && words.is_none()
    }
}

impl std::fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fit {{ {:?}, {:?}, {} rows }}", self.config, self.seed, self.train.len())
    }
}

impl std::fmt::Debug for With<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let identities = self.reparameterizations.iter().map(|r| r.identity());
        f.debug_list().entries(identities).finish()
    }
}
