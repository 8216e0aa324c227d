#![doc = include_str!("../README.md")]

mod attention;
mod decision;
mod error;
mod explain;
mod functions;
pub mod integer;
mod network;
mod positions;
mod program;
mod scores;
mod session;
mod takes;
mod tokens;

pub use error::RuntimeError;
pub use explain::{Contribution, Explainer};
pub use integer::{IntegerScratch, IntegerSession, NotIntegers};
pub use nlpress_artifact::OpenOptions;
pub use session::{Answer, Prediction, Scratch, Session};
