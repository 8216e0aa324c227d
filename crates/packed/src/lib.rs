//! Compressed weight layouts: how numbers lie in memory and how to multiply by them.
//!
//! A weight matrix is `[inputs, outputs]`, one row for each input, so that a sparse feature row touches only
//! the weight rows of its non-zeros. A layout is a [`Scheme`]: what each value is, times which values are kept.
//! A [`Matrix`] is numbers in one layout: made from slices, written as [`Part`]s,
//! read back with every count checked, and multiplied by one [`Input`] row or a [`Batch`] of them.
//!
//! This crate refuses to know what a network, a file or a thread is. It is the only crate with `unsafe` code,
//! and that only to call kernels compiled for instructions which were found on this processor first, for the loads of
//! their vectors from arrays of that size, for one instruction that the standard library does not name yet, to say that
//! a cache line is bytes ([`Aligned`]), and for a [`heap`] that begins allocations at one.

mod accumulate;
mod aligned;
mod batch;
mod body;
mod check;
mod codebook;
mod codes;
mod error;
mod expand;
mod finish;
mod grid;
pub mod heap;
mod index;
mod kernels;
mod matrix;
mod multiply;
mod numbers;
mod outliers;
mod parts;
mod predict;
mod quantize;
mod quantized;
pub mod scheme;

pub use accumulate::Levels;
pub use aligned::Aligned;
pub use batch::Batch;
pub use body::Held;
pub use codebook::Codebook;
pub use error::PackError;
pub use grid::Grid;
pub use kernels::instruction_sets;
pub use matrix::{MOST_ENTRIES, MOST_QUANTIZED_INPUTS, Matrix};
pub use multiply::{Input, Scratch};
pub use outliers::Outliers;
pub use parts::{Dtype, Part};
pub use quantize::{INT8_LEVELS, INT16_LEVELS, quantize_row, quantize_row_at};
pub use quantized::Scales;
pub use scheme::{Activations, Index, Int, Per, Scheme, Values};
