//! The inner loops, for each set of instructions.

pub(crate) mod portable;

/// Floats in a vector: the columns of a row in memory are a multiple of this.
pub(crate) const LANES: usize = 8;
