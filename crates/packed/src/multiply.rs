//! One row of activations times a matrix, plus a bias.
//!
//! The rules, which training code mirrors:
//! - **f32**: `y = x · W + b`. Paths (portable, AVX2, NEON) may differ in rounding.
//! - **int8**: the row is quantized to `q` with scale `s` by [`quantize_row`](crate::quantize_row) at 127 levels;
//!   `acc_j = Σ q_i · w_ij` in 32-bit integers; `y_j = acc_j as f32 * (s * scale_j) + b_j`, each operation
//!   rounded to single precision, nothing fused.
//! - **int4**: as int8, exactly. **f16**: as f32, of the values as they were rounded.
//! - **int32**: the same as int8, with 32767 levels and 64-bit sums.
//!
//! A row of zeros gives the bias. Integer results are the same on every path. The values of a row that is given
//! as sparse are quantized as they are; entries that it leaves out are zeros, so both forms agree.

use crate::Matrix;
use crate::body::{Body, Element, Held, SPARE};
use crate::kernels::{GROUP, Kernels, LANES, Rescale, Set, Touched, rescale, with_kernels};
use crate::matrix::Store;
use crate::quantize::{INT8_LEVELS, INT16_LEVELS};

/// Why a form of another kind is a bug.
const WHOLE: &str = "only called for panels and tiles";

/// One row of activations.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The non-zeros: `columns[i]` holds `values[i]`, no column twice.
    Sparse {
        /// Positions in the row, each less than the matrix's inputs.
        columns: &'a [u32],
        /// As many values.
        values: &'a [f32],
    },
    /// All entries; zeros are skipped.
    Dense(&'a [f32]),
}

/// Memory for intermediate results, to be used again: after the first row of a kind nothing is allocated.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    columns: Vec<u32>,
    values: Vec<f32>,
    levels: Vec<i32>,
    row: Vec<f32>,
    bytes: Vec<i8>,
    words: Vec<i32>,
    sums_f32: Vec<f32>,
    sums_i32: Vec<i32>,
    sums_i64: Vec<i64>,
}

impl Matrix {
    /// `out = input · W + bias`, by the rules of this module.
    ///
    /// # Panics
    /// When `bias` or `out` do not have as many entries as the matrix has outputs, a dense input not as many as
    /// it has inputs, or a sparse one a column beyond them: mistakes of the caller.
    pub fn multiply(&self, input: Input<'_>, bias: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        assert_eq!(bias.len(), self.outputs, "one bias for each output");
        assert_eq!(out.len(), self.outputs, "one place for each output");
        with_kernels!(Set::best(), kernels => self.multiply_with(kernels, input, bias, out, scratch));
    }

    pub(crate) fn multiply_with(
        &self,
        kernels: impl Kernels,
        input: Input<'_>,
        bias: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let row = match input {
            Input::Sparse { columns, values } => {
                assert_eq!(columns.len(), values.len(), "one value for each column");
                Row { columns, values }
            }
            Input::Dense(row) => {
                assert_eq!(row.len(), self.inputs, "one activation for each input");
                if self.outputs == 1 && self.multiply_column(kernels, row, bias, out, scratch) {
                    return;
                }
                if matches!(self.held(), Held::Panels | Held::Tiles) {
                    return self.multiply_whole(kernels, row, bias, out, scratch);
                }
                let columns = room(&mut scratch.columns, row.len() + LANES);
                let values = room(&mut scratch.values, row.len() + LANES);
                let n = kernels.compress(row, columns, values);
                Row { columns: &scratch.columns[..n], values: &scratch.values[..n] }
            }
        };
        let Row { columns, values } = row;
        match &self.store {
            Store::Floats(body, _) => {
                let sums = room(&mut scratch.sums_f32, body.width(self.outputs));
                match body {
                    Body::Rows { values: w, stride: 1, .. } => {
                        sums[0] = gather(columns, values, w, |x, w| x * w);
                    }
                    Body::Rows { values: w, stride, .. } => {
                        kernels.rows_f32(w, *stride, columns, values, sums);
                    }
                    Body::Lists(lists) => kernels.lists_f32(lists, columns, values, sums),
                    Body::Strips(strips) => kernels.strips_f32(strips, columns, values, sums),
                    Body::Panels(panels) => {
                        let row = spread(&mut scratch.row, row, values, |x| x, self.inputs);
                        kernels.panels_f32(panels, row, sums);
                    }
                    Body::Tiles(tiles) => {
                        let row = spread(&mut scratch.row, row, values, |x| x, self.inputs);
                        kernels.tiles_f32(tiles, row, sums);
                    }
                }
                add_bias(sums, bias, out);
            }
            Store::Bytes(body, scales, _) => {
                let sums = room(&mut scratch.sums_i32, body.width(self.outputs));
                if let Body::Rows { values: weights, stride: stride @ 2.., .. } = body {
                    let (levels, s) = quantized(kernels, values, &mut scratch.bytes);
                    kernels.rows_i8(Touched { weights, stride: *stride, columns, levels }, sums);
                    return kernels.rescale(sums, Rescale { s, scales, bias }, out);
                }
                let levels = room(&mut scratch.levels, values.len());
                let s = kernels.quantize(values, INT8_LEVELS, levels);
                match body {
                    Body::Rows { values: w, .. } => {
                        sums[0] = gather(columns, levels, w, |x, w| x * i32::from(w));
                    }
                    Body::Lists(lists) => kernels.lists_i8(lists, columns, levels, sums),
                    Body::Strips(strips) => kernels.strips_i8(strips, columns, levels, sums),
                    Body::Panels(panels) => {
                        let row = spread(&mut scratch.bytes, row, levels, |x| x as i8, self.inputs);
                        kernels.panels_i8(panels, row, sums);
                    }
                    Body::Tiles(tiles) => {
                        let row = spread(&mut scratch.bytes, row, levels, |x| x as i8, self.inputs);
                        kernels.tiles_i8(tiles, row, sums);
                    }
                }
                kernels.rescale(sums, Rescale { s, scales, bias }, out);
            }
            Store::Words(body, scales) => {
                let levels = room(&mut scratch.levels, values.len());
                let s = kernels.quantize(values, INT16_LEVELS, levels);
                let sums = room(&mut scratch.sums_i64, body.width(self.outputs));
                match body {
                    Body::Rows { values: w, stride, .. } => {
                        kernels.rows_i32(w, *stride, columns, levels, sums);
                    }
                    Body::Lists(lists) => kernels.lists_i32(lists, columns, levels, sums),
                    Body::Strips(strips) => kernels.strips_i32(strips, columns, levels, sums),
                    Body::Panels(panels) => {
                        let row = spread(&mut scratch.words, row, levels, |x| x, self.inputs);
                        kernels.panels_i32(panels, row, sums);
                    }
                    Body::Tiles(tiles) => {
                        let row = spread(&mut scratch.words, row, levels, |x| x, self.inputs);
                        kernels.tiles_i32(tiles, row, sums);
                    }
                }
                rescale(sums, |sum| sum as f32, Rescale { s, scales, bias }, out);
            }
        }
    }

    /// A dense row times a form that takes it as it is.
    fn multiply_whole(
        &self,
        kernels: impl Kernels,
        row: &[f32],
        bias: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let inputs = self.inputs.next_multiple_of(GROUP);
        match &self.store {
            Store::Floats(body, _) => {
                let sums = room(&mut scratch.sums_f32, self.outputs.next_multiple_of(LANES));
                let row = if inputs == row.len() {
                    row
                } else {
                    let filled = room(&mut scratch.row, inputs);
                    filled[..row.len()].copy_from_slice(row);
                    filled[row.len()..].fill(0.0);
                    filled
                };
                match body {
                    Body::Panels(panels) => kernels.panels_f32(panels, row, sums),
                    Body::Tiles(tiles) => kernels.tiles_f32(tiles, row, sums),
                    _ => unreachable!("{WHOLE}"),
                }
                add_bias(sums, bias, out);
            }
            Store::Bytes(body, scales, _) => {
                let (bytes, s) = quantized(kernels, row, &mut scratch.bytes);
                let sums = room(&mut scratch.sums_i32, self.outputs.next_multiple_of(LANES));
                match body {
                    Body::Panels(panels) => kernels.panels_i8(panels, bytes, sums),
                    Body::Tiles(tiles) => kernels.tiles_i8(tiles, bytes, sums),
                    _ => unreachable!("{WHOLE}"),
                }
                kernels.rescale(sums, Rescale { s, scales, bias }, out);
            }
            Store::Words(body, scales) => {
                let levels = room(&mut scratch.levels, inputs);
                let s = kernels.quantize(row, INT16_LEVELS, levels);
                levels[row.len()..].fill(0);
                let sums = room(&mut scratch.sums_i64, self.outputs.next_multiple_of(LANES));
                match body {
                    Body::Panels(panels) => kernels.panels_i32(panels, levels, sums),
                    Body::Tiles(tiles) => kernels.tiles_i32(tiles, levels, sums),
                    _ => unreachable!("{WHOLE}"),
                }
                rescale(sums, |sum| sum as f32, Rescale { s, scales, bias }, out);
            }
        }
    }
}

/// The activations that are not zero.
#[derive(Clone, Copy)]
struct Row<'a> {
    columns: &'a [u32],
    values: &'a [f32],
}

/// A row with its zeros, filled up to whole groups of panels; `numbers` stand for its values.
fn spread<'a, X: Copy, Y: Copy + Default>(
    room_for: &'a mut Vec<Y>,
    row: Row<'_>,
    numbers: &[X],
    as_number: impl Fn(X) -> Y,
    inputs: usize,
) -> &'a [Y] {
    let spread = room(room_for, inputs.next_multiple_of(GROUP));
    spread.fill(Y::default());
    for (&column, &x) in row.columns.iter().zip(numbers) {
        spread[..inputs][column as usize] = as_number(x);
    }
    spread
}

fn add_bias(sums: &[f32], bias: &[f32], out: &mut [f32]) {
    for ((out, sum), b) in out.iter_mut().zip(sums).zip(bias) {
        *out = *sum + b;
    }
}

impl Matrix {
    /// A dense row times a matrix of one column, which is a vector; false where there is no shortcut.
    fn multiply_column(
        &self,
        kernels: impl Kernels,
        row: &[f32],
        bias: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
    ) -> bool {
        match &self.store {
            Store::Floats(Body::Rows { values, .. }, _) => out[0] = kernels.dot(row, values) + bias[0],
            Store::Bytes(Body::Rows { values, .. }, scales, _) => {
                let (levels, s) = quantized(kernels, row, &mut scratch.bytes);
                rescale(
                    &[kernels.dot_i8(&levels[..row.len()], values)],
                    |sum| sum as f32,
                    Rescale { s, scales, bias },
                    out,
                );
            }
            _ => return false,
        }
        true
    }
}

impl<T: Element> Body<T> {
    /// How many sums the kernels need: the columns in memory.
    fn width(&self, outputs: usize) -> usize {
        match self {
            Body::Rows { stride, .. } => *stride,
            Body::Lists(_) => outputs + SPARE,
            Body::Strips(_) | Body::Panels(_) | Body::Tiles(_) => outputs.next_multiple_of(LANES),
        }
    }
}

/// The product of a sparse row and a vector.
fn gather<X: Copy, W: Copy, S: std::iter::Sum>(
    columns: &[u32],
    values: &[X],
    weights: &[W],
    product: impl Fn(X, W) -> S,
) -> S {
    columns.iter().zip(values).map(|(&column, &x)| product(x, weights[column as usize])).sum()
}

/// A row as bytes, filled with zeros up to whole groups, and its scale.
#[inline]
fn quantized<'a>(kernels: impl Kernels, row: &[f32], bytes: &'a mut Vec<i8>) -> (&'a [i8], f32) {
    let bytes = room(bytes, row.len().next_multiple_of(GROUP));
    let s = kernels.quantize_bytes(row, bytes.as_chunks_mut().0);
    (bytes, s)
}

/// Room for `count` numbers, which may be anything.
#[inline]
fn room<T: Copy + Default>(numbers: &mut Vec<T>, count: usize) -> &mut [T] {
    if numbers.len() < count {
        numbers.resize(count, T::default());
    }
    &mut numbers[..count]
}
