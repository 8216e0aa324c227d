#![doc = include_str!("../README.md")]
//!
//! # Types
//!
//! - [`Model`]: a network's numbers at rest, in plain memory: what techniques rewrite, checkpoints hold and
//!   threads share.
//! - [`Network`]: a model bound to a burn device, where it computes: [`Network::logits`] and
//!   [`Network::gradients`].
//! - [`Dataset`]: encoded texts with their labels.

pub mod dataset;
pub mod dropout;
mod error;
pub mod kernel;
pub mod layers;
pub mod model;
pub mod network;
mod operations;
pub mod summary;

pub use burn::tensor::Device;
pub use dataset::{Dataset, Targets};
pub use dropout::Dropout;
pub use error::ModelError;
pub use layers::{Layer, Layers, Vector, Weight};
pub use model::Model;
pub use network::{Gradients, Network};
pub use nlpress_graph as graph;
pub use nlpress_graph::{
    AttentionSpec, BlockSpec, EncoderSpec, Form, Graph, Group, Head, MlpSpec, Outline, Ranks, Shape, Site,
    SiteId, StaticSpec, Units,
};
