//! A network as a value: operations in the order in which they run.
//!
//! Shapes are written once: an operation says how many numbers it makes, and what it reads follows from the nodes that
//! it reads from. Everything else that one asks of a network (its sites, the units that can be removed together, its
//! blocks, its multiply-accumulates) is derived from this dataflow, so that no other code asks which family of networks
//! it has before it.

mod build;
mod check;
mod edit;
mod flow;
mod groups;
mod node;
mod params;
mod positions;
mod residuals;
mod sites;
#[cfg(test)]
mod tests;

pub use build::Builder;
pub(crate) use check::MOST_TYPES;
pub use flow::{Per, Value};
pub use node::{Activation, Graph, Key, NORM_EPSILON, Node, Op, Output, Pooling, Source};
pub use params::{Param, Vector};
pub use positions::{PositionScheme, RelativeBias, Rotary};
pub use residuals::Residual;
