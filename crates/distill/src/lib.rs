#![doc = include_str!("../README.md")]
//!
//! # Techniques
//!
//! - [`student`]: a small student learns from softened outputs and labels (`distill.student`).
//! - [`validation`]: the difference on the validation rows steers the loss (`distill.validation`).
//! - [`outputs`]: the student matches the teacher's outputs alone (`distill.outputs`).
//! - [`layers`]: the model at hand matches the teacher's hidden states and attention maps too (`distill.layers`).
//! - [`static_embedding`]: an encoder becomes a table of token embeddings, without training (`distill.static`).
//!
//! The others are one [`Distill`] with a student, a loss and a training: `outputs` is the loss without labels, `student` the
//! one with them, `validation` a search over the teacher's share, `layers` a loss with terms of what is between. The losses are in [`nlpress_train::imitation`].

pub mod error;
mod frame;
pub mod layers;
pub mod outputs;
pub mod static_embedding;
pub mod student;
pub mod validation;

pub use error::DistillError;
pub use frame::distill::Distill;
pub use frame::start::Start;
pub use frame::{compare, start};
pub use nlpress_train::{Distance, Imitation, KdConfig};

use nlpress_technique::Kind;

/// Every technique of this crate.
pub const KINDS: &[Kind] =
    &[student::KIND, validation::KIND, outputs::KIND, layers::KIND, static_embedding::KIND];
