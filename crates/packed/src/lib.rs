//! Compressed weight layouts: how numbers lie in memory and how to multiply by them.
//!
//! A weight matrix is `[inputs, outputs]`, one row for each input, so that a sparse feature row touches only
//! the weight rows of its non-zeros. A layout is a [`Scheme`]: what each value is, times which values are kept.

pub mod scheme;

pub use scheme::{Index, Per, Scheme, Values};
