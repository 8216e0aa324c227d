//! The rows of a run as they were made.

use nlpress_core::Measurement;
use nlpress_model::Model;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use crate::features::Features;
use crate::report::{Curve, FailedRow, Family};

/// A row, made once for every repetition.
#[derive(Debug)]
pub struct Made {
    /// Its name.
    pub id: String,
    /// Its family.
    pub family: Family,
    /// The row it started from.
    pub parent: Option<String>,
    /// Its steps, as text.
    pub technique: String,
    /// One for each repetition.
    pub copies: Vec<Copy>,
}

/// The rows of a run: those that were made, and those that were not.
#[derive(Debug, Default)]
pub struct Rows {
    /// In the order of the plan; the teacher is always there.
    pub made: Vec<Made>,
    /// With the reason.
    pub failed: Vec<FailedRow>,
}

/// A row of one repetition.
#[derive(Debug)]
pub struct Copy {
    /// Seed of the repetition.
    pub seed: u64,
    /// The model in memory.
    pub model: Model,
    /// The features it reads.
    pub features: Features,
    /// Where it was written.
    pub path: PathBuf,
    /// Hash of the file.
    pub sha256: String,
    /// Seconds, sentences and numbers from making it.
    pub journal: Journal,
}

/// What making a row left to say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// Which row of which recipe, data, seed and version this is.
    pub identity: String,
    /// Hash of the artifact.
    pub sha256: String,
    /// Seconds it took.
    pub seconds: f64,
    /// Sentences for the report.
    pub notes: Vec<String>,
    /// Numbers for the report.
    pub measured: Vec<Measurement>,
    /// Techniques that their gates rolled back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rolled_back: Vec<String>,
    /// How its trainings went.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<Curve>,
    /// The features that the row reads, where they are not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Features,
}

/// A model on its way through the steps, with the features it reads.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) model: Model,
    pub(crate) features: Features,
}

impl Copy {
    pub(crate) fn work(&self) -> Work {
        Work { model: self.model.clone(), features: self.features.clone() }
    }
}
