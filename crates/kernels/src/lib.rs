//! Products with compressed weight layouts, for the instructions of the processor at hand.
//!
//! A [`Matrix`](nlpress_packed::Matrix) says what the numbers are; a [`Linear`] is the same numbers laid out for
//! multiplying: [`Linear::for_sparse_rows`], [`Linear::for_dense_rows`]. It is multiplied by one [`Input`] row or a
//! [`Batch`] of them, or, in integers alone, by [`Levels`].
//!
//! ```
//! use nlpress_kernels::{Input, Linear, Scratch};
//! use nlpress_packed::Matrix;
//!
//! // Two inputs, three outputs.
//! let matrix = Matrix::dense(2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
//! let weight = Linear::for_sparse_rows(matrix);
//! let (bias, mut out, mut scratch) = ([0.5; 3], [0.0; 3], Scratch::default());
//! weight.multiply(Input::Sparse { columns: &[1], values: &[2.0] }, &bias, &mut out, &mut scratch);
//! assert_eq!(out, [8.5, 10.5, 12.5]);
//! # Ok::<(), nlpress_packed::PackError>(())
//! ```
//!
//! This crate refuses to know what a network, a file or a thread is. It is the only crate with `unsafe` code,
//! and that only to call loops compiled for instructions which were found on this processor first, for the loads of
//! their vectors from arrays of that size, for one instruction that the standard library does not name yet, and for a
//! [`heap`] that begins allocations at a cache line.

mod accumulate;
mod aligned;
mod batch;
mod form;
pub mod heap;
mod input;
mod integers;
mod isa;
mod lanes;
mod linear;
mod multiply;
mod outliers;
mod product;
mod quantize;
mod scratch;

pub use aligned::Aligned;
pub use form::Held;
pub use input::{Batch, Input, Levels};
pub use isa::instruction_sets;
pub use linear::Linear;
pub use quantize::{INT8_LEVELS, INT16_LEVELS, quantize_row, quantize_row_at};
pub use scratch::Scratch;
