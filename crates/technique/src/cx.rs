//! A step's whole world: what a technique may look at and listen to while it runs. There are no globals.

use nlpress_core::event::{Event, Sink};
use nlpress_core::{Backend, Measurement, Seed};
use nlpress_model::{Dataset, Model};

use crate::StepError;

/// What a technique needs to run, beyond the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// It trains, or looks at training rows.
    pub training: bool,
    /// It looks at validation rows.
    pub validation: bool,
    /// It learns from another model.
    pub teacher: bool,
}

/// A step's whole world.
pub struct Cx<'a> {
    /// Root of all its random choices.
    pub seed: Seed,
    /// Where tensors live.
    pub backend: &'a Backend,
    /// Threads it may use; the result must not depend on them.
    pub threads: usize,
    /// Who listens, and may ask to stop.
    pub sink: &'a dyn Sink,
    /// Training rows.
    pub train: &'a Dataset,
    /// Validation rows.
    pub valid: &'a Dataset,
    /// The model to learn from.
    pub teacher: Option<&'a Model>,
    /// Sentences for the report.
    pub notes: Vec<String>,
    /// Numbers for the report.
    pub measured: Vec<Measurement>,
}

impl Cx<'_> {
    /// Puts a sentence into the report.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Puts a number into the report.
    pub fn measure(&mut self, measurement: Measurement) {
        self.measured.push(measurement);
    }

    /// Says how far the work is, and learns whether to stop.
    ///
    /// # Errors
    /// [`StepError::Stopped`].
    pub fn progress(&self, what: &str, done: usize, total: usize) -> Result<(), StepError> {
        let event = Event::Progress { what: what.into(), done: done as u64, total: total as u64 };
        Ok(self.sink.say(&event)?)
    }

    /// The model to learn from.
    ///
    /// # Errors
    /// [`StepError::Missing`] when the recipe gave none.
    pub fn teacher(&self) -> Result<&Model, StepError> {
        self.teacher.ok_or(StepError::Missing("a teacher"))
    }
}

impl std::fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cx {{ {:?}, {:?}, {} threads }}", self.seed, self.backend, self.threads)
    }
}
