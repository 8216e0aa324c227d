#![doc = include_str!("../README.md")]
//!
//! # Techniques
//!
//! - [`DataParallel`]: every worker holds the whole network and takes shares of each batch; gradients are added in
//!   the order of the shares, as floats or compressed (`parallel.data`).
//! - [`ModelParallel`]: every worker holds a range of sites; micro-batches flow through them as a pipeline, one forward and one
//!   backward in turns (Huang et al. 2019; Narayanan et al. 2019; `parallel.model`).
//! - [`TensorParallel`]: every worker holds some columns of one site and those rows of the next that read them
//!   (Shoeybi et al. 2019; `parallel.tensor`).
//! - [`tasks`]: independent trainings side by side, of which the best on the validation rows is kept
//!   (`parallel.tasks`).
//!
//! All but the last are [`GradientSource`](nlpress_train::GradientSource)s of the ordinary training loop. Each technique here can
//! train serially as well and then reports the speed-up and the largest difference of the two models' logits.

pub mod data;
mod exchange;
#[cfg(feature = "mpi")]
mod mpi;
pub mod pipeline;
mod replicas;
pub mod retrain;
pub mod tasks;
pub mod tensor;

pub use exchange::{framed, unframed};
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub use nlpress_quant::Coding;
pub use pipeline::ModelParallel;
pub use replicas::DataParallel;
pub use tensor::TensorParallel;

use nlpress_technique::Kind;

/// The techniques of this crate.
pub const KINDS: &[Kind] = &[data::KIND, pipeline::KIND, tensor::KIND, tasks::KIND];
