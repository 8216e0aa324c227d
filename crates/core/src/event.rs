//! What a run says about itself: one closed list of events, and the sinks that listen.
//!
//! A progress bar, a JSONL log and the report are sinks. A sink answers every event with a [`Flow`]; the first
//! [`Flow::Stop`] ends the run cleanly at its next safe point, which is how Ctrl-C works.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::measure::Measurement;

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A run began; `total` counts its units of work (steps times seeds).
    RunStarted {
        /// Name of the recipe.
        name: String,
        /// Units of work to come.
        total: u64,
    },
    /// A step of a variant began.
    StepStarted {
        /// Row of the report that this step belongs to.
        variant: String,
        /// The technique, for example `prune.magnitude`.
        step: String,
        /// Seed of this repetition.
        seed: u64,
    },
    /// Some of a step's work is done. Pushed often: it is also where a run can be stopped.
    Progress {
        /// What is being worked on.
        what: String,
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
    },
    /// A training epoch ended.
    EpochFinished {
        /// Epoch, from 1.
        epoch: u32,
        /// Epochs in all.
        epochs: u32,
        /// Mean training loss over the epoch.
        loss: f64,
        /// Accuracy on the validation split, where there is one.
        valid_accuracy: Option<f64>,
    },
    /// A number was measured.
    Measured {
        /// Row of the report.
        variant: String,
        /// The number.
        measurement: Measurement,
    },
    /// A step ended.
    StepFinished {
        /// Row of the report.
        variant: String,
        /// The technique.
        step: String,
        /// Seed of this repetition.
        seed: u64,
        /// Wall-clock seconds it took.
        seconds: f64,
        /// Whether what an earlier run wrote was taken, and nothing made.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        kept: bool,
    },
    /// Something the user should know and that belongs in the report.
    Note {
        /// One sentence.
        text: String,
    },
    /// The run ended.
    RunFinished {
        /// Wall-clock seconds it took.
        seconds: f64,
    },
}

/// A sink's answer to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End the run at the next safe point.
    Stop,
}

/// A run was asked to stop and did, leaving nothing half-written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped on request")]
pub struct Stopped;

/// Something that listens to a run.
pub trait Sink: Send + Sync {
    /// Takes one event; the answer may end the run.
    fn push(&self, event: &Event) -> Flow;

    /// [`push`](Sink::push) as a `Result`, for use with `?`.
    ///
    /// # Errors
    /// [`Stopped`] when the sink asks to stop.
    fn say(&self, event: &Event) -> Result<(), Stopped> {
        match self.push(event) {
            Flow::Continue => Ok(()),
            Flow::Stop => Err(Stopped),
        }
    }
}

impl<S: Sink + ?Sized> Sink for &S {
    fn push(&self, event: &Event) -> Flow {
        (**self).push(event)
    }
}

/// A sink that hears nothing and never stops a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Sink for Quiet {
    fn push(&self, _event: &Event) -> Flow {
        Flow::Continue
    }
}

/// A sink that stops the run once its flag is set, and passes every event on until then.
#[derive(Debug)]
pub struct StopFlag<'a, S: Sink> {
    flag: &'a AtomicBool,
    inner: S,
}

impl<'a, S: Sink> StopFlag<'a, S> {
    /// Listens to `flag` on behalf of `inner`.
    pub fn new(flag: &'a AtomicBool, inner: S) -> Self {
        Self { flag, inner }
    }
}

impl<S: Sink> Sink for StopFlag<'_, S> {
    fn push(&self, event: &Event) -> Flow {
        let inner = self.inner.push(event);
        if self.flag.load(Ordering::Relaxed) { Flow::Stop } else { inner }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_flag_stops_the_run() {
        let flag = AtomicBool::new(false);
        let sink = StopFlag::new(&flag, Quiet);
        let note = Event::Note { text: "x".into() };
        assert_eq!(sink.say(&note), Ok(()));
        flag.store(true, Ordering::Relaxed);
        assert_eq!(sink.say(&note), Err(Stopped));
    }

    #[test]
    fn events_are_tagged_json_lines() {
        let line = serde_json::to_string(&Event::Note { text: "x".into() }).unwrap();
        assert_eq!(line, r#"{"event":"note","text":"x"}"#);
    }
}
