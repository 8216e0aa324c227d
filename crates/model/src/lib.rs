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
pub use model::{Layer, Layers, Model, ModelError, Vector, Weight};
pub use network::{Examples, Gradients, Network};
pub use nlpress_graph as graph;
pub use nlpress_graph::{
    AttentionSpec, BlockSpec, EncoderSpec, Form, Graph, Group, Head, MlpSpec, Outline, Ranks, Shape, Site,
    SiteId, StaticSpec, Units,
};
