//! Widths that the forms of weights in memory and the loops over them agree on.

/// Floats in a vector: the columns of a row in memory are a multiple of this.
pub(crate) const LANES: usize = 8;
/// Rows of bytes are padded to a multiple of this, a group of panels of any element type.
pub(crate) const GROUP: usize = 32;
/// The largest magnitude of narrow integers: 32 products with activations fit into 16 bits.
pub(crate) const NARROW: i32 = 8;
/// Entries of a chunk.
pub(crate) const CHUNK: usize = 4;
/// Padding columns of chunks: enough that consecutive additions do not wait for the same sum.
pub(crate) const SPARE: usize = 32;
/// Inputs of a tile, side by side.
pub(crate) const QUAD: usize = 4;
/// Values of a tile: four inputs and eight outputs.
pub(crate) const TILE: usize = QUAD * LANES;
/// The number of steps of a panel is a multiple of this, so that loops over them have no remainder.
pub(crate) const UNROLL: usize = 4;
