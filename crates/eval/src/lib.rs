#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! - [`quality`]: accuracy, macro-F1, negative log-likelihood and agreement from logits and labels.
//! - [`classes`]: precision, recall and F1 by class, the confusion matrix, the majority class.
//! - [`calibration`]: whether scores are probabilities.
//! - [`embeddings`]: retrieval of documents of the same class, and nearness to other embeddings.
//! - [`regression`]: how near predicted numbers are to true ones.
//! - [`threshold`]: where a binary model should decide.
//! - [`interval`]: 95 % intervals of those numbers, and of the difference between two variants.
//! - [`turns`], [`speedup`], [`speed`]: latencies and throughput of several artifacts side by side, each opened
//!   several times, and ratios with intervals.
//! - [`machine`]: the machine that the numbers were measured on.

pub mod calibration;
pub mod classes;
pub mod embeddings;
pub mod error;
pub mod interval;
pub mod machine;
pub mod quality;
pub mod regression;
#[cfg(test)]
mod simulated;
pub mod speed;
pub mod speedup;
pub mod threshold;
pub mod turns;

pub use calibration::Calibration;
pub use classes::{ClassScore, Confusion, Mistake};
pub use embeddings::{Cosine, Fidelity, Retrieval, spearman};
pub use error::EvalError;
pub use interval::{Bootstrap, Estimate, Quality};
pub use machine::{Machine, peak_rss};
pub use quality::Scores;
pub use regression::Regression;
pub use speed::{Call, Speeds, Subject};
pub use speedup::{Floor, Race, Ratio};
pub use threshold::{Aim, Threshold};
pub use turns::{Clock, Contender, Outcome, Pace, Percentiles, SystemClock, Times};
