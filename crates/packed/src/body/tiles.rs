//! The whole matrix, zeros included, in the order in which one long loop over all inputs reads it.
//!
//! For every eight outputs, one after the other, four inputs at a time: the four values of the first output, of
//! the second, and so on. That is what the widest products of 8-bit integers take, with no shuffle in the loop and
//! no jump in memory.

use super::{Element, Mask};
use crate::Aligned;
use crate::kernels::LANES;

/// Inputs side by side.
pub(crate) const QUAD: usize = 4;
/// Values of four inputs and eight outputs.
pub(crate) const TILE: usize = QUAD * LANES;

/// Invariants: there are [`TILE`] values for every four inputs (rounded up) and eight outputs (rounded up); those
/// beyond the matrix, and those outside the mask, are zero.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tiles<T: Element> {
    pub(crate) values: Aligned<T>,
    pub(crate) mask: Option<Mask>,
    inputs: usize,
    outputs: usize,
}

impl<T: Element> Tiles<T> {
    /// From rows of `stride` values, those beyond the outputs zeros.
    pub(crate) fn new(rows: &[T], stride: usize, mask: Option<Mask>, inputs: usize, outputs: usize) -> Self {
        let tiles = inputs.div_ceil(QUAD) * outputs.div_ceil(LANES);
        let mut all = Self { values: Aligned::zeroed(tiles * TILE), mask, inputs, outputs };
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

    pub(crate) fn kept(&self) -> usize {
        self.mask.as_ref().map_or(self.inputs * self.outputs, Mask::count)
    }

    pub(crate) fn visit(&self, mut see: impl FnMut(usize, usize, T)) {
        for row in 0..self.inputs {
            for column in 0..self.outputs {
                if self.mask.as_ref().is_none_or(|m| m.get(row * self.outputs + column)) {
                    see(row, column, self.values[self.place(row, column)]);
                }
            }
        }
    }

    /// Rows again.
    pub(crate) fn to_rows(&self, stride: usize) -> Aligned<T> {
        let mut rows = Aligned::zeroed(self.inputs * stride);
        self.visit(|row, column, value| rows[row * stride + column] = value);
        rows
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
