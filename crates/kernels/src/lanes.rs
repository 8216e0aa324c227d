//! Widths that the forms of weights in memory and the loops over them agree on.

/// Floats in a vector: the columns of a row in memory are a multiple of this.
pub(crate) const LANES: usize = 8;
/// Rows of bytes are filled up to a multiple of so many: what all types of panels have for a group.
pub(crate) const GROUP: usize = 32;
/// The largest magnitude of narrow integers: 32 products with activations fit into 16 bits.
pub(crate) const NARROW: i32 = 8;
/// Entries of a chunk.
pub(crate) const CHUNK: usize = 4;
/// Columns beyond the last that fill chunks up: so many that a sum is not waited for when it is added to again.
pub(crate) const SPARE: usize = 32;
/// Inputs of a tile, side by side.
pub(crate) const QUAD: usize = 4;
/// Values of a tile: four inputs and eight outputs.
pub(crate) const TILE: usize = QUAD * LANES;
/// Panels have a multiple of so many steps, so that loops over them have no remainder to guess.
pub(crate) const UNROLL: usize = 4;
