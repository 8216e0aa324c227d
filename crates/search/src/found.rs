//! What a search found.

use nlpress_core::shown::counted;
use nlpress_eval::Estimate;
use nlpress_pipeline::Taught;
use serde::Serialize;
use std::fmt;

use crate::candidate::Base;
use crate::choose::Choice;
use crate::trial::Trial;

/// A candidate's scores on the test documents, which nothing was chosen by.
#[derive(Clone, Debug, Serialize)]
pub struct Tested {
    /// Its place among the trials.
    pub trial: usize,
    /// The metric on the test documents.
    pub score: f64,
    /// Accuracy with a 95 % interval.
    pub accuracy: Estimate,
    /// Macro-F1 with a 95 % interval.
    pub macro_f1: Estimate,
    /// Microseconds from a text to its answer, measured alone.
    pub latency_us: f64,
}

/// What taught.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfTeacher {
    /// Share of the validation documents that it is right about.
    pub right: f64,
    /// Where it makes embeddings, the numbers of one: it teaches by a linear probe of them.
    pub probed: Option<usize>,
}

impl From<&Taught> for OfTeacher {
    fn from(taught: &Taught) -> Self {
        Self { right: taught.right, probed: taught.probed.map(|probe| probe.numbers) }
    }
}

impl fmt::Display for OfTeacher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.probed {
            None => f.write_str("teacher")?,
            Some(numbers) => write!(
                f,
                "teacher: it makes embeddings of {}, so a linear probe of them teaches, while it stays as it is",
                counted(numbers, "number")
            )?,
        }
        write!(f, ": accuracy {:.2} % on validation", 100.0 * self.right)
    }
}

/// What a search found.
///
/// Files of candidates lie in the folder of the search until [`clean`](crate::clean) removes them.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// Bases that candidates were made from, with their validation scores.
    pub bases: Vec<(Base, f64)>,
    /// What taught, where something was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<OfTeacher>,
    /// All candidates that were made, in order.
    pub trials: Vec<Trial>,
    /// What is to be known of the data: rows left out, documents in two splits, texts without labels.
    pub notes: Vec<String>,
    /// Candidates that could not be made, with the reason.
    pub failed: Vec<String>,
    /// Candidates that were not made, because their files were foreseen to miss the limits.
    pub spared: usize,
    /// Places of the candidates that no other beats in size and quality, smallest first.
    pub frontier: Vec<usize>,
    /// The one to ship.
    pub choice: Choice,
    /// The frontier and the choice on test.
    pub tested: Vec<Tested>,
    /// The recipe that makes the choice again.
    #[serde(skip)]
    pub recipe: serde_json::Value,
    /// Seconds that it took.
    pub seconds: f64,
    /// Whether it was asked to stop before it was done.
    pub stopped: bool,
}

impl Found {
    /// The candidate to ship.
    pub fn chosen(&self) -> &Trial {
        &self.trials[self.choice.trial]
    }

    /// What a candidate scored on test, where it was looked at.
    pub fn on_test(&self, trial: usize) -> Option<&Tested> {
        self.tested.iter().find(|tested| tested.trial == trial)
    }
}
