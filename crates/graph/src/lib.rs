#![doc = include_str!("../README.md")]
//!
//! # Types
//!
//! A [`Graph`] is the network as a value: its operations in order. An [`Outline`] is a graph with the form of every
//! [`Site`]. Units of a [`Group`] belong together: removing some from one site removes them from every site of the group.

mod attention;
mod bad;
mod dataflow;
mod encoder;
mod feed_forward;
mod group;
mod legacy;
mod mlp;
mod outline;
mod ranks;
mod site;
mod static_embedding;

pub use attention::{AttentionSpec, BlockSpec};
pub use bad::{BadSpec, WIDEST};
pub use dataflow::{
    Activation, Builder, Graph, Key, NORM_EPSILON, Node, Op, Output, Param, Per, Pooling, PositionScheme,
    RelativeBias, Residual, Rotary, Source, Value, Vector,
};
pub use encoder::{EncoderSpec, Head, ModernLayers, RelativeSizes};
pub use group::{Group, Units};
pub use mlp::MlpSpec;
pub use outline::Outline;
pub use ranks::Ranks;
pub use site::{Form, Shape, Site, SiteId};
pub use static_embedding::StaticSpec;
