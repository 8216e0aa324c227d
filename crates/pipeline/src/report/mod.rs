//! What a run measured, as data, as Markdown and as one HTML page.
//!
//! The structs here are `report.json`: people's scripts read its field names, so they change only together with
//! [`SCHEMA`]. [`markdown()`] and [`html()`] write the same numbers for people, and [`verdict()`] says in words
//! what a number alone lets a reader overlook: that a row is not smaller, not faster, or worse. This module
//! refuses to measure anything.

mod advice;
mod causes;
mod curves;
mod escape;
pub mod html;
mod labels;
pub mod markdown;
pub mod plot;
pub mod speedups;
pub mod verdict;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
mod words;

pub use advice::advice;
pub use escape::escape;
pub use html::html;
pub use markdown::markdown;
pub use verdict::{below_crossover, brief, verdict};

pub use nlpress_artifact::Unshrunk;
pub use nlpress_eval::{Estimate, Floor, Machine, Percentiles, Quality, Ratio};

use nlpress_core::Measurement;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The version of `report.json` that this code writes and reads.
pub const SCHEMA: u32 = 1;

/// Everything that one run has to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Always [`SCHEMA`]; another number is refused when a report is read.
    #[serde(deserialize_with = "known_schema")]
    pub schema: u32,
    /// Where it was measured.
    pub machine: Machine,
    /// What it was measured on.
    pub corpus: CorpusInfo,
    /// What was asked for.
    pub recipe: RecipeInfo,
    /// The backend that trained.
    pub backend: String,
    /// Threads that trained.
    pub threads: usize,
    /// One row a variant, in the order in which they were made.
    pub rows: Vec<Row>,
    /// Points of accuracy within which two rows are alike: the whole interval of their difference lies within.
    #[serde(default = "one_point")]
    pub alike_points: f64,
    /// How far an artifact, opened again, differed from itself: `text1`, `batch1`, `batch32`, and `rows_per_s.N` for
    /// `N` threads.
    #[serde(default)]
    pub floors: BTreeMap<String, Floor>,
    /// Which row to ship, and why ([`advice()`]).
    #[serde(default)]
    pub advice: String,
    /// The rows that could not be made or measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedRow>,
    /// What a reader of the numbers must know.
    pub notes: Vec<String>,
}

fn one_point() -> f64 {
    ALIKE_POINTS
}

/// Points of accuracy within which two rows are alike, where a recipe does not say otherwise.
pub const ALIKE_POINTS: f64 = 1.0;
/// A row that could not be made or measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRow {
    /// Its name.
    pub id: String,
    /// What went wrong.
    pub why: String,
}

impl fmt::Display for FailedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the row {} failed: {}", self.id, self.why)
    }
}

/// The corpus of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CorpusInfo {
    /// Its name.
    pub name: String,
    /// The hash of its content.
    pub sha256: String,
    /// How many classes it has.
    pub classes: usize,
    /// Documents by split: `train`, `validation`, `test`.
    pub documents: BTreeMap<String, usize>,
    /// Features of a row.
    pub features: usize,
    /// Where the texts come from.
    pub source: String,
    /// How well the answer that is most frequent in training does on the test documents, given always.
    pub majority: Option<Majority>,
    /// How much of the test documents is known.
    pub known: Option<Known>,
}

/// How much of the test documents the encoder of the first model knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Documents.
    pub documents: u64,
    /// Documents without any known feature: all of them get the same answer.
    pub documents_without: u64,
    /// Tokens.
    pub tokens: u64,
    /// Tokens that are no features.
    pub tokens_unknown: u64,
}

/// The model that always gives the same answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Majority {
    /// The class that is most frequent in training.
    pub label: String,
    /// Share of the test documents that are in it.
    pub accuracy: f64,
    /// Unweighted mean of the classes' F1.
    pub macro_f1: f64,
}

/// The recipe of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecipeInfo {
    /// The file.
    pub path: String,
    /// The hash of its bytes.
    pub sha256: String,
    /// Its name.
    pub name: String,
    /// The root of all random choices.
    pub seed: u64,
    /// How many seeds every variant was made with.
    pub seeds: usize,
    /// Whether it was run on few documents and short timings, only to see that everything runs.
    #[serde(default)]
    pub quick: bool,
}

/// What kind of variant a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// The uncompressed model that the others come from.
    Baseline,
    /// Something that keeps everyone honest.
    Control,
    /// Structure made simpler.
    Simplify,
    /// Weights removed.
    Clip,
    /// Numbers made coarser.
    Quantize,
    /// Taught by another model.
    Distill,
    /// Trained or served in parallel.
    Parallel,
    /// Several techniques, one after the other.
    Chain,
}

impl Family {
    /// All of them, in the order of a legend.
    pub const ALL: [Self; 8] = [
        Self::Baseline,
        Self::Control,
        Self::Simplify,
        Self::Clip,
        Self::Quantize,
        Self::Distill,
        Self::Parallel,
        Self::Chain,
    ];

    /// As it stands in `report.json`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Control => "control",
            Self::Simplify => "simplify",
            Self::Clip => "clip",
            Self::Quantize => "quantize",
            Self::Distill => "distill",
            Self::Parallel => "parallel",
            Self::Chain => "chain",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One variant: what it is, how good, how large, how fast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name, unique in the report.
    pub id: String,
    /// What kind of variant it is.
    pub family: Family,
    /// The row that it was made from.
    pub parent: Option<String>,
    /// The techniques that made it, in order, as text.
    pub technique: String,
    /// How many seeds the quality is a mean over.
    pub seeds: usize,
    /// How good.
    pub quality: Quality,
    /// How large.
    pub size: Size,
    /// How fast.
    pub speed: Speed,
    /// The comparison with the parent; none for a row without one.
    pub versus_parent: Option<Versus>,
    /// The comparison with the first row of the report; none for that row.
    pub versus_baseline: Option<Versus>,
    /// Of a row of the family `parallel`: what its training took.
    pub training: Option<Training>,
    /// Steps that their gates rolled back, with the number of seeds for which that happened: the file does not have
    /// them.
    #[serde(default)]
    pub rolled_back: BTreeMap<String, usize>,
    /// What the techniques said about themselves.
    pub measured: Vec<Measurement>,
    /// Seconds to make it, for one seed.
    pub cost_s: f64,
    /// The file that was measured, relative to the report.
    pub artifact: String,
    /// The hash of that file.
    pub sha256: String,
    /// The files of all seeds.
    pub artifacts: Vec<SeedArtifact>,
    /// How the trainings of the first seed went.
    #[serde(default)]
    pub curves: Vec<Curve>,
    /// What a reader of this row must know.
    pub notes: Vec<String>,
}

/// What a training in parallel took, beside the same training one after another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Seconds of it, for one seed.
    pub seconds: Option<f64>,
    /// Seconds of the serial training, for one seed.
    pub serial_seconds: Option<f64>,
    /// How many times faster it is, over the seeds; an interval where there are several.
    pub speedup: Option<Ratio>,
    /// Bytes that its workers or stages exchanged, for one seed.
    pub exchanged_bytes: Option<u64>,
}

/// One training, epoch by epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Its epochs, in order.
    pub epochs: Vec<Epoch>,
}

/// What is known at the end of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u32,
    /// Mean training loss.
    pub loss: f64,
    /// Accuracy on the validation split, where it was scored.
    pub valid_accuracy: Option<f64>,
}

/// The file of one seed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedArtifact {
    /// The seed.
    pub seed: u64,
    /// The file, relative to the report.
    pub path: String,
    /// The hash of its bytes.
    pub sha256: String,
}

/// How large a variant is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Size {
    /// The whole artifact.
    pub file_bytes: u64,
    /// Its weights.
    pub weight_bytes: u64,
    /// Its vocabulary.
    pub vocabulary_bytes: u64,
    /// What did not shrink, and why.
    pub unshrunk: Vec<Unshrunk>,
    /// Numbers in the model's shapes.
    pub parameters: u64,
    /// Those of them that are not zero.
    pub nonzeros: u64,
    /// Multiply-accumulates for one row; of a network that reads tokens, for the longest text that it takes.
    pub macs: u64,
    /// Of a network that reads tokens, those for a text of as many tokens as a test document has on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_macs: Option<u64>,
}

/// How fast a variant is, measured on sessions that were opened on the artifact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Of the network alone: microseconds for one row of features, one thread.
    pub batch1_us: Percentiles,
    /// Of the network alone: microseconds for 32 rows of features, one thread.
    pub batch32_us: Percentiles,
    /// Microseconds from one raw text to its class, one thread.
    pub text1_us: Option<Percentiles>,
    /// Texts a second, from characters to classes, by the number of threads.
    pub rows_per_s: BTreeMap<String, f64>,
    /// The most memory of a process that serves it, where the system tells.
    pub rss_bytes: Option<u64>,
}

/// A variant beside its parent, on the same documents and in the same rounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Versus {
    /// Accuracy of the variant minus accuracy of the parent, paired by document.
    pub accuracy: Estimate,
    /// What that says.
    #[serde(default)]
    pub accuracy_is: Likeness,
    /// Bytes of the variant by bytes of the parent.
    pub file_ratio: f64,
    /// How many times faster one text is, from characters to its class.
    pub text1_speedup: Option<Ratio>,
    /// How many times more texts a second there are, by the number of threads.
    #[serde(default)]
    pub rows_per_s_speedup: BTreeMap<String, Ratio>,
    /// How many times faster the network alone is on one row.
    pub batch1_speedup: Ratio,
    /// How many times faster the network alone is on 32 rows.
    pub batch32_speedup: Ratio,
    /// Whether the file is smaller by more than 2 %.
    pub smaller: bool,
    /// Whether it is faster from text, at 1 or at 32 rows, and slower at none of them ([`verdict::Pace`]). Never for
    /// a row of the family `parallel`, whose speed is that of its training.
    pub faster: bool,
    /// Whether it is slower from text, at 1 or at 32 rows.
    #[serde(default)]
    pub slower: bool,
}

/// What the interval of a difference of accuracy says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// It lies below zero.
    LessAccurate,
    /// It lies above zero.
    MoreAccurate,
    /// All of it lies within the tolerance.
    Alike,
    /// None of these: there are too few documents to tell.
    #[default]
    CannotBeTold,
}

impl Versus {
    /// Draws the conclusions from the measurements; `alike_points` is the tolerance for accuracy.
    #[must_use]
    pub fn judged(self, alike_points: f64) -> Self {
        use verdict::Pace;
        let paces = verdict::paces(&self);
        let slower = paces.contains(&Pace::Slower);
        Self {
            accuracy_is: verdict::likeness(&self.accuracy, alike_points),
            smaller: self.file_ratio <= verdict::SMALLER,
            faster: paces.contains(&Pace::Faster) && !slower,
            slower,
            ..self
        }
    }
}

impl Report {
    /// The text of `report.json`.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("numbers, texts and text keys are JSON");
        text.push('\n');
        text
    }

    /// Reads the text of a `report.json`. The last of a number's seventeen digits may differ from what was written.
    ///
    /// # Errors
    /// Not JSON, not a report, or a schema other than [`SCHEMA`].
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The row with this id.
    #[must_use]
    pub fn row(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.id == id)
    }

    /// The row that a row was made from.
    #[must_use]
    pub fn parent(&self, row: &Row) -> Option<&Row> {
        self.row(row.parent.as_deref()?)
    }

    /// The uncompressed model: the first row of the baseline family.
    #[must_use]
    pub fn baseline(&self) -> Option<&Row> {
        self.rows.iter().find(|row| row.family == Family::Baseline)
    }
}

fn known_schema<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    match u32::deserialize(from)? {
        SCHEMA => Ok(SCHEMA),
        other => {
            Err(serde::de::Error::custom(format!("report schema {other} is not known, expected {SCHEMA}")))
        }
    }
}
