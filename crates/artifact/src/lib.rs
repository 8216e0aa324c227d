#![doc = include_str!("../README.md")]
//!
//! # The file
//!
//! The metadata of the safetensors file has two keys, `nlpress`: the [`manifest`] in JSON, and `nlpress.blake3`:
//! a checksum of the header and of every tensor. The numbers are tensors named after their place:
//! `hidden.0.weight.values` (and `.scales`, `.mask`, `.counts`, `.gaps` and more, see [`nlpress_packed::Part`]),
//! `hidden.0.bias`, `embeddings.LayerNorm.weight` (a vector), `encoder.vocabulary`. Limits on what is opened are [`OpenOptions`].

mod artifact;
mod checksum;
mod error;
mod header;
mod inspection;
mod label;
pub mod manifest;
mod options;
mod read;
mod sizes;
mod strict;
mod write;

pub use artifact::{Artifact, EncoderParts, Layer, Vector};
pub use error::ArtifactError;
pub use inspection::Inspection;
pub use manifest::{LARGEST_MANIFEST, Provenance};
pub use options::{LARGEST_FILE, OpenOptions};
pub use sizes::{Sizes, Unshrunk};
