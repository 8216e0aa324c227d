#![doc = include_str!("../README.md")]
//!
//! # Techniques
//!
//! - [`integers`]: post-training quantization to integers of 32 to 2 bits, rounded to the nearest (`quant.int8` and
//!   the other widths).
//! - [`floats`]: weights as 16-bit floats (`quant.f16`, `quant.bf16`).
//! - [`gptq`]: GPTQ, second-order error compensation (`quant.gptq`).
//! - [`awq`]: AWQ, activation-aware scaling and clipping (`quant.awq`).
//! - [`adaround`]: AdaRound, learned rounding (`quant.adaround`).
//! - [`correct`]: bias correction, and restoring the norm of each output's weights.
//! - [`smooth`]: SmoothQuant, large activations migrated into the weights (`quant.smooth`).
//! - [`codebook`]: k-means and product quantization (`quant.kmeans`, `quant.product`).
//! - [`qat`], [`ternary`], [`binary`]: quantization-aware training (`quant.qat`, `quant.ternary`, `quant.binary`); the
//!   arithmetic of fake quantization is [`ladder`].
//! - [`mixed`]: mixed precision within a budget (`quant.mixed`).
//! - [`gradients`]: training with compressed gradients (`quant.gradients`); the codecs are in [`gradient`].
//! - [`module`]: the same arithmetic on a burn module of your own.

pub mod error;
mod frame;
pub mod gradient;
pub mod gradients;
pub mod module;
mod ptq;
pub mod qat;

pub use calibration::{Calibration, Calibrator};
pub use error::{BadBytes, QuantError};
pub use fake::FakeQuantizer;
pub use frame::{calibration, correct, ladder, lattice, moments, noise, rounding};
pub(crate) use frame::{candidates, course, fake, fold, outliers, range, ruled, samples, settings, sites};
pub use gradient::{Coding, GradientWire};
pub use nlpress_core::Selectors;
pub use nlpress_packed::{Grid, Matrix, Per, Scales};
pub use noise::Noise;
pub use ptq::{adaround, awq, codebook, floats, gptq, integers, mixed, smooth};
pub use qat::scales::QuantizerConfig;
pub use qat::{binary, ternary};
pub use rounding::{Clip, Rounding};

use nlpress_technique::Kind;

/// Every technique of this crate.
pub const KINDS: &[Kind] = &[
    integers::INT8,
    integers::INT4,
    integers::INT3,
    integers::INT2,
    integers::INT16,
    integers::INT32,
    floats::F16,
    floats::BF16,
    gptq::KIND,
    awq::KIND,
    adaround::KIND,
    smooth::KIND,
    codebook::KMEANS,
    codebook::PRODUCT,
    mixed::KIND,
    gradients::KIND,
    qat::KIND,
    ternary::KIND,
    binary::KIND,
];
