#![doc = include_str!("../README.md")]
//!
//! # Techniques
//!
//! - [`DataParallel`]: every worker holds the whole network and takes a share of each batch; gradients are added in
//!   rank order, as floats or compressed (`parallel.data`).
//! - [`ModelParallel`]: every worker holds a range of sites; micro-batches flow through them as a pipeline
//!   (Huang et al. 2019, GPipe; `parallel.model`).
//! - [`tasks`]: independent trainings side by side, of which the best on the validation rows is kept
//!   (`parallel.tasks`).
//!
//! The first two are [`GradientSource`](nlpress_train::GradientSource)s of the ordinary training loop. Each technique here can
//! train serially as well and then reports the speed-up and the largest difference of the two models' logits.

pub mod data;
pub mod pipeline;
pub mod retrain;
pub mod tasks;

pub use data::DataParallel;
pub use nlpress_quant::Coding;
pub use pipeline::ModelParallel;

use nlpress_technique::Kind;

/// The techniques of this crate.
pub const KINDS: &[Kind] = &[data::KIND, pipeline::KIND, tasks::KIND];
