//! The whole matrix, zeros included, in the order in which one long loop over all inputs reads it.
//!
//! For every eight outputs, one after the other, four inputs at a time: the four values of the first output, of
//! the second, and so on. That is what the widest products of 8-bit integers take, with no shuffle in the loop and
//! no jump in memory.

use super::element::Element;
use crate::aligned::Aligned;
use crate::lanes::{LANES, QUAD, TILE};

/// Invariants: there are [`TILE`] values for every four inputs (rounded up) and eight outputs (rounded up); those
/// beyond the matrix, and those that are not kept, are zero.
#[derive(Clone, Debug)]
pub(crate) struct Tiles<T: Element> {
    pub(crate) values: Aligned<T>,
    inputs: usize,
    outputs: usize,
}

impl<T: Element> Tiles<T> {
    /// From rows of `stride` values, those beyond the outputs zeros, where there are any.
    pub(crate) fn new(rows: &[T], stride: usize, inputs: usize, outputs: usize) -> Self {
        let tiles = inputs.div_ceil(QUAD) * outputs.div_ceil(LANES);
        let mut all = Self { values: Aligned::zeroed(tiles * TILE), inputs, outputs };
        let size = all.panel();
        lay_out(rows, stride, 0, &mut all.values, size);
        all
    }

    /// Tiles of eight outputs.
    pub(crate) fn panel(&self) -> usize {
        self.inputs.div_ceil(QUAD) * TILE
    }

    fn place(&self, row: usize, column: usize) -> usize {
        column / LANES * self.panel() + row / QUAD * TILE + column % LANES * QUAD + row % QUAD
    }

    pub(super) fn visit(&self, mut see: impl FnMut(usize, usize, T)) {
        for row in 0..self.inputs {
            for column in 0..self.outputs {
                see(row, column, self.values[self.place(row, column)]);
            }
        }
    }
}

/// Lays out the columns of rows of `stride` values as panels of `size`, of which there are as many as `tiles` has room
/// for, from panel `from` on.
pub(crate) fn lay_out<T: Element>(rows: &[T], stride: usize, from: usize, tiles: &mut [T], size: usize) {
    for (panel, tiles) in tiles.chunks_exact_mut(size).enumerate().skip(from) {
        tiles.fill(T::default());
        for (input, row) in rows.chunks(stride).enumerate() {
            let tile = &mut tiles[input / QUAD * TILE..][..TILE];
            for (column, &value) in row.iter().skip(panel * LANES).take(LANES).enumerate() {
                tile[column * QUAD + input % QUAD] = value;
            }
        }
    }
}
