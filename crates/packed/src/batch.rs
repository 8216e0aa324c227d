//! Several rows of activations at once times a matrix, plus a bias.
//!
//! Each row comes to what [`Matrix::multiply`] makes of it alone, bit for bit. Where rows have few zeros and weights are
//! bytes, or floats that are added up in one order whatever the form, weights are read once for several rows, as in Goto
//! and van de Geijn (2008): of a matrix of bytes that lies in rows, so many columns at a time are laid out as tiles that
//! stay in the nearest cache. Everywhere else rows are multiplied one by one.

use crate::body::{Body, QUAD, TILE};
use crate::finish::whole;
use crate::kernels::{Block, GROUP, Kernels, LANES, Set, with_kernels};
use crate::matrix::Store;
use crate::multiply::{add_bias, room, scatter};
use crate::quantized::Quantized;
use crate::{Aligned, Input, Matrix, Scales, Scratch};
use std::ops::Range;

/// Rows that are multiplied together at most.
const MOST_ROWS: usize = 32;
/// Fewest rows for which it pays to lay out rows of weights as tiles.
const FEWEST_ROWS: usize = 8;
/// Columns that are laid out as tiles at a time.
const COLUMNS: usize = 4 * LANES;
/// Share of activations that are not zero from which on the zeros of a row are not worth skipping: measured by
/// `benches/chain.rs`.
const DENSE_SHARE: f64 = 0.65;
/// The same for floats, and the fewest rows.
const DENSE_FLOAT_SHARE: f64 = 0.35;
const FEWEST_FLOAT_ROWS: usize = 4;

/// Rows of activations.
#[derive(Clone, Copy, Debug)]
pub enum Batch<'a> {
    /// The non-zeros of each: those of row `i` are at `offsets[i]..offsets[i + 1]`, no column twice.
    Sparse {
        /// One more than there are rows, ascending.
        offsets: &'a [usize],
        /// Positions in a row, each less than the matrix's inputs.
        columns: &'a [u32],
        /// As many values.
        values: &'a [f32],
    },
    /// All entries, `[rows, inputs]`, row-major.
    Dense(&'a [f32]),
}

impl Matrix {
    /// `out = rows · W + bias`, `[rows, outputs]`, by the rules of [`multiply`](Matrix::multiply) for each row.
    ///
    /// # Panics
    /// When `bias` does not have as many entries as the matrix has outputs, `out` or the batch not as many rows as the
    /// other, dense rows not as many entries as the matrix has inputs, or sparse ones a column beyond them: mistakes of
    /// the caller.
    pub fn multiply_rows(&self, batch: Batch<'_>, bias: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        let rows = batch.rows(self.inputs);
        if rows == 1 {
            return self.multiply(batch.row(0, self.inputs), bias, out, scratch);
        }
        assert_eq!(bias.len(), self.outputs, "one bias for each output");
        assert_eq!(out.len(), rows * self.outputs, "one place for each output of each row");
        if let Some(outliers) = self.outliers() {
            return outliers.multiply_rows(self, batch, (bias, out), scratch);
        }
        self.multiply_rows_rest(batch, bias, out, scratch);
    }

    /// As [`multiply_rows`](Matrix::multiply_rows), where the activations of outliers are zero.
    pub(crate) fn multiply_rows_rest(
        &self,
        batch: Batch<'_>,
        bias: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        with_kernels!(Set::best(), kernels => self.multiply_rows_with(kernels, batch, bias, out, scratch));
    }

    pub(crate) fn multiply_rows_with(
        &self,
        kernels: impl Kernels,
        batch: Batch<'_>,
        bias: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        match &self.store {
            Store::Bytes(body, means) if self.is_worth_blocks(body, means, batch) => {
                for (n, out) in out.chunks_mut(MOST_ROWS * self.outputs).enumerate() {
                    let rows = n * MOST_ROWS..n * MOST_ROWS + out.len() / self.outputs;
                    let rows = rows.map(|row| batch.row(row, self.inputs));
                    let mut quantized = std::mem::take(&mut scratch.block);
                    quantized.fill(self.inputs, rows, means, kernels, scratch);
                    self.multiply_block(kernels, (body, means), &mut quantized, (bias, out), scratch);
                    scratch.block = quantized;
                }
            }
            Store::Floats(Body::Rows { values, stride, .. }, _)
                if self.is_worth_float_blocks(kernels, *stride, batch) =>
            {
                for (n, out) in out.chunks_mut(MOST_ROWS * self.outputs).enumerate() {
                    let rows = n * MOST_ROWS..n * MOST_ROWS + out.len() / self.outputs;
                    let rows = batch.dense(rows, self.inputs, &mut scratch.row);
                    let sums = room(&mut scratch.sums_f32, rows.len() / self.inputs * stride);
                    kernels.block_f32(values, *stride, rows, sums);
                    for (out, sums) in out.chunks_exact_mut(self.outputs).zip(sums.chunks_exact(*stride)) {
                        add_bias(sums, bias, out);
                    }
                }
            }
            _ => {
                for (row, out) in out.chunks_exact_mut(self.outputs).enumerate() {
                    self.multiply_with(kernels, batch.row(row, self.inputs), bias, out, scratch);
                }
            }
        }
    }

    fn is_worth_blocks(&self, body: &Body<i8>, means: &Quantized, batch: Batch<'_>) -> bool {
        let rows = batch.rows(self.inputs);
        let fewest = match body {
            Body::Tiles(_) => 2,
            Body::Rows { stride: 2.., .. } => FEWEST_ROWS,
            _ => return false,
        };
        if rows < fewest || matches!(means.scales, Scales::Group { .. }) {
            return false;
        }
        match batch {
            Batch::Dense(_) => true,
            Batch::Sparse { offsets, .. } => fill(offsets, self.inputs) > DENSE_SHARE,
        }
    }

    /// Floats have blocks where a row by itself is added up in the same order.
    fn is_worth_float_blocks(&self, kernels: impl Kernels, stride: usize, batch: Batch<'_>) -> bool {
        let rows = batch.rows(self.inputs);
        if rows < FEWEST_FLOAT_ROWS || !kernels.has_float_blocks(stride) {
            return false;
        }
        match batch {
            Batch::Dense(rows) => {
                let nonzeros = rows.iter().map(|x| usize::from(*x != 0.0)).sum::<usize>();
                nonzeros as f64 > rows.len() as f64 * DENSE_FLOAT_SHARE
            }
            Batch::Sparse { offsets, .. } => fill(offsets, self.inputs) > DENSE_FLOAT_SHARE,
        }
    }

    /// Up to [`MOST_ROWS`] rows that are quantized already.
    fn multiply_block(
        &self,
        kernels: impl Kernels,
        (body, means): (&Body<i8>, &Quantized),
        quantized: &mut Quantities,
        (bias, out): (&[f32], &mut [f32]),
        scratch: &mut Scratch,
    ) {
        let Quantities { levels, stride, scales, tiles } = quantized;
        let levels = &levels[..scales.len() * *stride];
        let (width, size) = (self.outputs.next_multiple_of(LANES), self.inputs.div_ceil(QUAD) * TILE);
        let sums = room(&mut scratch.sums_i32, scales.len() * width);
        let block = Block { weights: &[], size, rows: levels, stride: *stride, narrow: means.narrow() };
        match body {
            Body::Tiles(tiles) => kernels.block_i8(Block { weights: &tiles.values, ..block }, sums, width),
            Body::Rows { values, stride, .. } => {
                for at in (0..width).step_by(COLUMNS) {
                    let panels = (width - at).min(COLUMNS) / LANES;
                    let tiles = room(tiles, panels * size);
                    kernels.pack_i8(&values[at..], *stride, tiles, size);
                    kernels.block_i8(Block { weights: tiles, ..block }, &mut sums[at..], width);
                }
            }
            _ => unreachable!("only called for rows and tiles"),
        }
        let rows = levels.chunks_exact(*stride).zip(&*scales);
        for ((out, sums), (levels, s)) in
            out.chunks_exact_mut(self.outputs).zip(sums.chunks_exact(width)).zip(rows)
        {
            let taken = means.taken(whole(&levels[..self.inputs]));
            means.finish(kernels, sums, taken, (*s, bias), out);
        }
    }
}

impl<'a> Batch<'a> {
    fn rows(self, inputs: usize) -> usize {
        match self {
            Self::Sparse { offsets, .. } => offsets.len().saturating_sub(1),
            Self::Dense(rows) => {
                let count = rows.len() / inputs;
                assert_eq!(rows.len(), count * inputs, "one activation for each input of each row");
                count
            }
        }
    }

    pub(crate) fn row(self, row: usize, inputs: usize) -> Input<'a> {
        match self {
            Self::Sparse { offsets, columns, values } => {
                let range = offsets[row]..offsets[row + 1];
                Input::Sparse { columns: &columns[range.clone()], values: &values[range] }
            }
            Self::Dense(rows) => Input::Dense(&rows[row * inputs..][..inputs]),
        }
    }

    /// Some rows with their zeros, `[rows, inputs]`.
    fn dense(self, range: Range<usize>, inputs: usize, filled: &'a mut Aligned<f32>) -> &'a [f32] {
        let (offsets, columns, values) = match self {
            Self::Dense(rows) => return &rows[range.start * inputs..range.end * inputs],
            Self::Sparse { offsets, columns, values } => (offsets, columns, values),
        };
        let filled = room(filled, range.len() * inputs);
        for (row, filled) in range.zip(filled.chunks_exact_mut(inputs)) {
            let range = offsets[row]..offsets[row + 1];
            let (columns, values) = (&columns[range.clone()], &values[range]);
            if is_whole(columns, inputs) {
                filled.copy_from_slice(values);
                continue;
            }
            scatter(columns, values, |x| x, inputs, filled);
        }
        filled
    }
}

/// Share of the entries of sparse rows that are not zero.
fn fill(offsets: &[usize], inputs: usize) -> f64 {
    let rows = offsets.len() - 1;
    (offsets[rows] - offsets[0]) as f64 / (rows * inputs) as f64
}

/// Rows as integers, without gaps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quantities {
    /// `[rows, stride]`, zeros beyond the inputs; and what is left of larger blocks.
    levels: Aligned<i8>,
    /// A multiple of [`GROUP`].
    stride: usize,
    /// The scale of each row.
    scales: Vec<f32>,
    /// Room for tiles of the matrix.
    tiles: Aligned<i8>,
}

impl Quantities {
    fn fill<'a>(
        &mut self,
        inputs: usize,
        rows: impl ExactSizeIterator<Item = Input<'a>>,
        means: &Quantized,
        kernels: impl Kernels,
        scratch: &mut Scratch,
    ) {
        self.stride = inputs.next_multiple_of(GROUP);
        let levels = room(&mut self.levels, rows.len() * self.stride);
        self.scales.clear();
        for (row, levels) in rows.zip(levels.chunks_exact_mut(self.stride)) {
            let s = match row {
                Input::Dense(row) => {
                    let row = means.weighted_row(row, &mut scratch.weighted);
                    means.bytes_into(kernels, row, levels)
                }
                Input::Sparse { columns, values } if is_whole(columns, inputs) => {
                    let values = means.weighted_row(values, &mut scratch.weighted);
                    means.bytes_into(kernels, values, levels)
                }
                Input::Sparse { columns, values } => {
                    let values = means.weighted(columns, values, &mut scratch.weighted);
                    let (bytes, s) = means.bytes(kernels, values, &mut scratch.bytes);
                    scatter(columns, bytes, |level| level, inputs, levels);
                    s
                }
            };
            self.scales.push(s);
        }
    }
}

/// Whether these are all columns in their order.
fn is_whole(columns: &[u32], inputs: usize) -> bool {
    // Looks at all of them, which is faster than to stop at the first.
    columns.len() == inputs
        && columns.iter().zip(0..).fold(true, |whole, (&column, at)| whole & (column == at))
}
