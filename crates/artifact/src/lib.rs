//! The shipped form of a model: one file that holds the network, its labels, its encoder and where it came from.
//!
//! The file is a safetensors file. Its metadata has two keys, `nlpress`: the [`manifest`] in JSON, and `nlpress.blake3`:
//! a checksum of the header and of every tensor. The numbers are tensors named after their place:
//! `hidden.0.weight.values` (and `.scales`, `.mask`, `.counts`, `.gaps` and more, see [`nlpress_packed::Part`]),
//! `hidden.0.bias`, `encoder.vocabulary`. The same model is always the same bytes: nothing in the file depends on the
//! time or the machine.
//!
//! Whoever opens an artifact believes nothing in it: checksums are compared before anything but the header is read,
//! sizes with the bytes that are there before anything is allocated, what the weights will take in memory with a
//! [limit](OpenOptions) before they are unpacked, and every count, index, number and label is checked. This crate
//! refuses to know how a model is trained, or how it is served.

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

pub use artifact::{Artifact, EncoderParts, Layer};
pub use error::ArtifactError;
pub use inspection::Inspection;
pub use manifest::{LARGEST_MANIFEST, Provenance};
pub use options::{LARGEST_FILE, OpenOptions};
pub use sizes::{Sizes, Unshrunk};
