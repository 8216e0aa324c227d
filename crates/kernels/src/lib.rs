#![doc = include_str!("../README.md")]
//!
//! # Types
//!
//! A [`Matrix`](nlpress_packed::Matrix) says what the numbers are; a [`Linear`] is the same numbers laid out for
//! multiplying: [`Linear::for_sparse_rows`], [`Linear::for_dense_rows`]. It is multiplied by one [`Input`] row or a
//! [`Batch`] of them, or, in integers alone, by [`Levels`].
//!
//! # Unsafe code
//!
//! `unsafe` is used to call loops compiled for instructions which were found on this processor first, for the loads of
//! their vectors from arrays of that size, for one instruction that the standard library does not name yet, and
//! to call the `gemm` crate, whose products take pointers, and to let threads work on what their caller owns.

mod accumulate;
mod aligned;
#[cfg(target_arch = "x86_64")]
mod amx;
mod batch;
mod crew;
#[cfg(feature = "dense")]
pub mod dense;
mod encoder;
mod floats;
mod form;
mod input;
mod int8;
mod integers;
mod isa;
mod lanes;
mod linear;
mod multiply;
mod outliers;
mod product;
mod quantize;
mod scratch;
mod wide;

pub use aligned::Aligned;
pub use crew::Crew;
pub use encoder::{Activation, EncoderLayer, Norm, Room, Weighted};
pub use form::Held;
pub use input::{Batch, Input, Levels};
pub use int8::instruction_sets as encoder_instruction_sets;
pub use isa::{instruction_sets, limit_instructions};
pub use linear::{EncoderNumbers, Linear};
pub use quantize::{INT8_LEVELS, INT16_LEVELS, quantize_row, quantize_row_at};
pub use scratch::Scratch;
