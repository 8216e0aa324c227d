#![doc = include_str!("../README.md")]
//!
//! # Types
//!
//! - [`Model`]: a network's numbers at rest, in plain memory: what techniques rewrite, checkpoints hold and
//!   threads share.
//! - [`Network`]: a model bound to a burn device, where it computes: [`Network::logits`] and
//!   [`Network::gradients`].
//! - [`Dataset`]: encoded rows with their labels.

pub mod dataset;
pub mod dropout;
pub mod kernel;
pub mod model;
pub mod network;
pub mod summary;

pub use burn::tensor::Device;
pub use dataset::Dataset;
pub use dropout::Dropout;
pub use model::{Layer, Model, ModelError, Weight};
pub use network::{Gradients, Network};
pub use nlpress_graph as graph;
pub use nlpress_graph::{
    AttentionSpec, BlockSpec, Form, Graph, Group, MlpSpec, Outline, Ranks, Shape, Site, SiteId, Units,
};
