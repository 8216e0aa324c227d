//! A model without its numbers: its specification and the form of every site.
//!
//! A recipe is first executed on outlines, so that a wrong order, an empty selector, a bad shape and the
//! predicted size are known before anything is trained; "the result has exactly the planned outline" is then a
//! check that every technique gets for free. The crate knows no burn, so that the runtime, which serves
//! artifacts, can share these words.
//!
//! A [`Graph`] is the network itself, as a value: its operations in order. What sites it has, and which of their units
//! belong together ([`Group`]: taking units away from one site means taking them from every site of the group), is read
//! off its dataflow.

mod attention;
mod bad;
pub mod graph;
mod group;
mod legacy;
mod mlp;
mod outline;
mod ranks;
mod site;

pub use attention::{AttentionSpec, BlockSpec};
pub use bad::{BadSpec, WIDEST};
pub use graph::Graph;
pub use group::{Group, Units};
pub use mlp::MlpSpec;
pub use outline::Outline;
pub use ranks::Ranks;
pub use site::{Form, Shape, Site, SiteId};
