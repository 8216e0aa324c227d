#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! - [`backend`]: which engine computes, chosen by cargo feature and opened at run time as one burn device; and
//!   operations of ours in burn's graph.
//! - [`event`]: everything a run says about itself, pushed into a [`Sink`] whose answer can stop the run.
//! - [`measure`]: a number with its name, its unit and the direction that is better.
//! - [`select`]: glob selectors over site names.
//! - [`peers`]: other processes that work on the same run.
//! - [`seed`]: named, independent streams of random numbers, so that results do not depend on scheduling.
//! - [`fraction`]: a number proven to lie in `[0, 1]`.
//! - [`beside()`]: two pieces of work at once.
//! - [`bounded`]: lists and maps from files that are refused when they are too long.
//! - [`files`]: atomic writes, reads within a limit, checks of output files before a command starts, hashes.
//! - [`shown`]: text from files, escaped for display.

pub mod backend;
mod beside;
pub mod bounded;
pub mod event;
pub mod files;
pub mod fraction;
pub mod measure;
pub mod peers;
pub mod seed;
pub mod select;
pub mod shown;

#[cfg(any(feature = "ndarray", feature = "flex", feature = "wgpu"))]
pub use backend::Backend;
pub use backend::BackendKind;
pub use beside::beside;
pub use event::{Event, Flow, Sink, Stopped};
pub use fraction::Fraction;
pub use measure::{Better, Measurement};
pub use peers::{Peers, PeersError};
pub use seed::{Rng, Seed};
pub use select::Selectors;
