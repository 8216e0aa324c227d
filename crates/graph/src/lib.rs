//! A network as a value: its operations in order, without a number in it; and what a model of it is made of.
//!
//! A [`Graph`] is the network itself. What sites it has (a [`Site`] is a weight that may be rewritten), which of their units
//! belong together ([`Group`]: taking units away from one site means taking them from every site of the group), what can
//! be folded where and what its blocks are is read off its dataflow. An [`Outline`] adds the form of every site's weight.
//!
//! A recipe is first executed on outlines, so that a wrong order, an empty selector, a bad shape and the predicted size are
//! known before anything is trained; "the result has exactly the planned outline" is then a check that every technique
//! gets for free. The crate knows no burn, so that the runtime, which serves artifacts, can share these words.

mod attention;
mod bad;
mod dataflow;
mod group;
mod legacy;
mod mlp;
mod outline;
mod ranks;
mod site;

pub use attention::{AttentionSpec, BlockSpec};
pub use bad::{BadSpec, WIDEST};
pub use dataflow::{Activation, Builder, Graph, NORM_EPSILON, Node, Op, Per, Pooling, Source, Value};
pub use group::{Group, Units};
pub use mlp::MlpSpec;
pub use outline::Outline;
pub use ranks::Ranks;
pub use site::{Form, Shape, Site, SiteId};
