#![doc = include_str!("../README.md")]

mod attention;
mod batches;
mod decision;
mod error;
mod explain;
mod functions;
pub mod integer;
mod layers;
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
pub use nlpress_kernels::{encoder_instruction_sets as encoder_instructions, limit_instructions};
pub use session::{Answer, Prediction, Scratch, Session};
