//! Quantization: integers in place of floats, one file per technique.
//!
//! - [`int8`]: weights as 8-bit integers with scales (`quant.int8`).
//! - [`int4`]: weights as 4-bit integers (`quant.int4`).
//! - [`mod@f16`]: weights as 16-bit floats (`quant.f16`).
//! - [`int32`]: weights as 32-bit integers with scales (`quant.int32`).
//! - [`gradients`]: training whose gradients travel as few bytes (`quant.gradients`); the codecs are in
//!   [`gradient`].
//! - [`module`]: the same arithmetic on a burn module of your own.
//!
//! How integers lie in memory and how they are multiplied is `nlpress-packed`'s; this crate decides which
//! integers and scales stand for which floats, and refuses to know what a file or a pipeline is.

pub mod binary;
pub mod error;
pub mod f16;
pub mod gradient;
pub mod gradients;
pub mod grid;
pub mod int32;
pub mod int4;
pub mod int8;
pub mod lattice;
mod lesson;
pub mod module;
pub mod qat;
mod shadow;
mod sites;
pub mod ternary;

pub use error::{BadBytes, QuantError};
pub use gradient::{Coding, GradientWire};
pub use int8::Clip;
pub use nlpress_core::Selectors;
pub use nlpress_packed::{Matrix, Per, Scales};

use nlpress_technique::Kind;

/// Every technique of this crate.
pub const KINDS: &[Kind] = &[
    int8::KIND,
    int4::KIND,
    f16::KIND,
    int32::KIND,
    gradients::KIND,
    qat::KIND,
    ternary::KIND,
    binary::KIND,
];
