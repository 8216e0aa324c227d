#![doc = include_str!("../README.md")]
//!
//! # Types
//!
//! A [`Graph`] is the network as a value: its operations in order. An [`Outline`] is a graph with the form of every
//! [`Site`]. Units of a [`Group`] belong together: removing some from one site removes them from every site of the group.

mod attention;
pub mod graph;
mod group;
mod mlp;
mod site;
mod spec;

pub use attention::{AttentionSpec, BlockSpec};
pub use graph::Graph;
pub use group::{Group, Units};
pub use mlp::MlpSpec;
pub use site::{Form, Outline, Shape, Site, SiteId};
pub use spec::{BadSpec, Ranks, WIDEST};
