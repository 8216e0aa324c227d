#![doc = include_str!("../README.md")]
//!
//! # Types
//!
//! A layout is a [`Scheme`]: what each value is, times which values are kept. A [`Matrix`] is numbers in one layout: made
//! from slices, written as [`Part`]s, and read back with every count checked; `nlpress-kernels` takes it
//! [apart](Matrix::into_numbers) and lays it out for the processor at hand.

#![forbid(unsafe_code)]

mod book;
mod bytes;
mod check;
mod codebook;
mod codes;
mod dtype;
mod entries;
mod error;
mod expand;
mod grid;
mod index;
mod lists;
mod matrix;
mod numbers;
mod outliers;
mod part;
mod predict;
mod quantized;
pub mod scheme;
mod shape;

pub use codebook::Codebook;
pub use dtype::Dtype;
pub use entries::{Entries, Sparse};
pub use error::PackError;
pub use grid::Grid;
pub use lists::Lists;
pub use matrix::{Matrix, Numbers};
pub use numbers::Number;
pub use outliers::Outliers;
pub use part::Part;
pub use quantized::{Quantized, Scales};
pub use scheme::{Activations, Index, Int, Per, Scheme, Values};
pub use shape::{MOST_ENTRIES, MOST_QUANTIZED_INPUTS};
