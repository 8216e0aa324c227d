//! The shipped form of a model: one file that holds the network, its labels, its encoder and where it came from.
//!
//! The file is a safetensors file. Its metadata has one key, `nlpress`: the [`manifest`] in JSON. The numbers are
//! tensors named after their place: `hidden.0.weight.values` (and `.scales`, `.mask`, `.counts`, `.columns`, see
//! [`nlpress_packed`]), `hidden.0.bias`, `encoder.vocabulary`. The same model is always the same bytes: nothing
//! in the file depends on the time or the machine.
//!
//! Whoever opens an artifact believes nothing in it: sizes are compared with the bytes that are there before
//! anything is allocated, and every count, index, number and label is checked. This crate refuses to know how a
//! model is trained, or how it is served.

mod artifact;
mod error;
pub mod manifest;
mod read;
mod sizes;
mod write;

pub use artifact::{Artifact, EncoderParts, Layer};
pub use error::ArtifactError;
pub use manifest::Provenance;
pub use read::{LARGEST_FILE, LARGEST_MANIFEST};
pub use sizes::{Sizes, Unshrunk};
