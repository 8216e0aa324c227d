//! Quantization: integers in place of floats, one file per technique.
//!
//! - [`integers`]: weights as integers of 32 to 2 bits, rounded to the nearest (`quant.int8` and its like).
//! - [`floats`]: weights as 16-bit floats (`quant.f16`, `quant.bf16`).
//! - [`gptq`]: integers of a few bits, where later inputs make up for the rounding of earlier ones (`quant.gptq`).
//! - [`awq`]: the same, finer for large inputs, in the ranges that outputs feel least (`quant.awq`).
//! - [`adaround`]: the same, with learned rounding (`quant.adaround`).
//! - [`correct`]: what these put right afterwards: the mean of each output, the length of its weights.
//! - [`smooth`]: large activations evened out before anything is rounded (`quant.smooth`).
//! - [`codebook`]: weights as entries of a list (`quant.kmeans`, `quant.product`).
//! - [`qat`], [`ternary`], [`binary`]: networks that are trained while their weights are rounded (`quant.qat`,
//!   `quant.ternary`, `quant.binary`); their arithmetic is [`ladder`].
//! - [`mixed`]: to each site the precision that a budget allows (`quant.mixed`).
//! - [`gradients`]: training whose gradients travel as few bytes (`quant.gradients`); the codecs are in
//!   [`gradient`].
//! - [`module`]: the same arithmetic on a burn module of your own.
//!
//! How integers lie in memory is `nlpress-packed`'s, how they are multiplied `nlpress-kernels`'; this crate decides which
//! integers and scales stand for which floats, and refuses to know what a file or a pipeline is.

pub mod adaround;
pub mod awq;
pub mod binary;
pub mod calibration;
mod candidates;
pub mod codebook;
pub mod correct;
pub mod error;
pub mod floats;
mod fold;
pub mod gptq;
pub mod gradient;
pub mod gradients;
pub mod integers;
pub mod ladder;
pub mod lattice;
mod lesson;
pub mod mixed;
pub mod module;
pub mod moments;
pub mod noise;
mod outliers;
pub mod qat;
pub mod rounding;
mod ruled;
mod samples;
mod settings;
mod shadow;
mod sites;
pub mod smooth;
pub mod ternary;
mod words;

pub use calibration::{Calibration, Calibrator};
pub use error::{BadBytes, QuantError};
pub use gradient::{Coding, GradientWire};
pub use nlpress_core::Selectors;
pub use nlpress_packed::{Grid, Matrix, Per, Scales};
pub use noise::Noise;
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
