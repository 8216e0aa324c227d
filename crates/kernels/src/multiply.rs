//! One row of activations times a matrix, plus a bias.
//!
//! The rules, which training code mirrors:
//! - **f32**: `y = x · W + b`. Paths (portable, AVX2, NEON) may differ in rounding.
//! - **f16**, **bf16**: as f32, of the values as they were rounded.
//! - **int8** and narrower: the row is quantized to `q` with scale `s` by [`quantize_row`](crate::quantize_row) at
//!   127 levels; `acc_j = Σ q_i · w_ij` in 32-bit integers; `y_j = acc_j as f32 * (s * scale_j) + b_j`, each
//!   operation rounded to single precision, nothing fused.
//! - **int32**, **int16**: the same, with 32767 levels and 64-bit sums.
//! - A **scale for each row** of the weight is multiplied into the activations before they are quantized:
//!   `y_j = acc_j as f32 * s + b_j`.
//! - **Scales for groups** of inputs: `y_j = b_j`, then for each group `y_j += acc_j as f32 * (s * scale_gj)`, in the
//!   order in which the row visits the groups.
//! - **Zero points**: `acc_j` loses `z_j · Σ q_i`, in integers, before it becomes a float.
//! - **Static activations**: `s` is the matrix's own, by [`quantize_row_at`](crate::quantize_row_at).
//! - **Outliers**: the activations of the inputs that are outliers count as zeros in all of the above, so that `s` is
//!   that of the others; then, for each outlier `i` in ascending order whose activation is not zero,
//!   `y_j += x_i · w_ij` with its 16-bit float `w_ij`, a product and a sum of single precision.
//!
//! A row of zeros gives the bias. Integer results are the same on every path. The values of a row that is given
//! as sparse are quantized as they are; entries that it leaves out are zeros, so both forms agree.

use crate::aligned::Aligned;
use crate::form::{Body, Held};
use crate::input::{Input, scatter};
use crate::integers::{rows_of, touched, whole};
use crate::isa::{Kernels, Rescale, Set, Touched, rescale, with_kernels};
use crate::lanes::{GROUP, LANES};
use crate::linear::{Linear, Store};
use crate::scratch::Scratch;
use nlpress_packed::Scales;

/// Why a form of another kind is a bug.
const WHOLE: &str = "only called for panels and tiles";

impl Linear {
    /// `out = input · W + bias`, by the rules of this module.
    ///
    /// # Panics
    /// When `bias` or `out` do not have as many entries as the matrix has outputs, a dense input not as many as
    /// it has inputs, or a sparse one a column beyond them: mistakes of the caller.
    pub fn multiply(&self, input: Input<'_>, bias: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        assert_eq!(bias.len(), self.outputs, "one bias for each output");
        assert_eq!(out.len(), self.outputs, "one place for each output");
        let Store::Bytes(_, integers) = &self.store else {
            return self.multiply_rest(input, bias, out, scratch);
        };
        let Some(apart) = integers.apart() else { return self.multiply_rest(input, bias, out, scratch) };
        // Moved out, so that the product can have the rest.
        let mut rest = std::mem::take(&mut scratch.without_outliers);
        let mut taken = std::mem::take(&mut scratch.outliers);
        let (input, found) = apart.take(input, self.inputs, &mut rest, &mut taken);
        self.multiply_rest(input, bias, out, scratch);
        apart.add(found, self.outputs, out);
        (scratch.without_outliers, scratch.outliers) = (rest, taken);
    }

    /// As [`multiply`](Linear::multiply), where the activations of outliers are zero.
    fn multiply_rest(&self, input: Input<'_>, bias: &[f32], out: &mut [f32], scratch: &mut Scratch) {
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
                let columns = scratch.columns.room(row.len() + LANES);
                let values = scratch.values.room(row.len() + LANES);
                let n = kernels.compress(row, columns, values);
                Row { columns: &scratch.columns[..n], values: &scratch.values[..n] }
            }
        };
        let Row { columns, values } = row;
        match &self.store {
            Store::Floats(body) => {
                let sums = scratch.sums_f32.room(body.width(self.outputs));
                match body {
                    Body::Rows { values: w, stride: 1 } => {
                        sums[0] = gather(columns, values, w, |x, w| x * w);
                    }
                    Body::Rows { values: w, stride } => {
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
            Store::Bytes(body, integers) => {
                let values = integers.weighted(columns, values, &mut scratch.weighted);
                let sums = scratch.sums_i32.room(body.width(self.outputs));
                if let Body::Rows { values: weights, stride } = body {
                    let (levels, s) = integers.bytes(kernels, values, &mut scratch.bytes);
                    let rows = Touched { weights, stride: *stride, columns, levels, narrow: integers.narrow };
                    if let Scales::Group { size, .. } = &integers.quantized.scales {
                        return integers.add_groups(kernels, (rows, s), usize::from(*size), (bias, sums), out);
                    }
                    rows_of(kernels, rows, sums);
                    return integers.finish(
                        kernels,
                        sums,
                        integers.taken(touched(columns, levels)),
                        (s, bias),
                        out,
                    );
                }
                let levels = scratch.levels.room(values.len());
                let s = integers.quantize(kernels, values, levels);
                match body {
                    Body::Rows { .. } => unreachable!("rows are multiplied above"),
                    Body::Lists(lists) => kernels.lists_i8(lists, columns, levels, sums),
                    Body::Strips(strips) => kernels.strips_i8(strips, columns, levels, sums),
                    Body::Panels(panels) => {
                        let row = spread(&mut scratch.bytes, row, levels, |x| x as i8, self.inputs);
                        kernels.panels_i8(panels, row, sums);
                    }
                    Body::Tiles(tiles) => {
                        let row = spread(&mut scratch.bytes, row, levels, |x| x as i8, self.inputs);
                        kernels.tiles_i8(tiles, row, integers.narrow, sums);
                    }
                }
                let taken = integers.taken(columns.iter().zip(&*levels).map(|(&c, &q)| (c as usize, q)));
                integers.finish(kernels, sums, taken, (s, bias), out);
            }
            Store::Words(body, integers) => {
                let levels = scratch.levels.room(values.len());
                let s = integers.quantize(kernels, values, levels);
                let sums = scratch.sums_i64.room(body.width(self.outputs));
                match body {
                    Body::Rows { values: w, stride } => {
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
                rescale(sums, |sum| sum as f32, Rescale { s, scales: &integers.quantized.scales, bias }, out);
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
            Store::Floats(body) => {
                let sums = scratch.sums_f32.room(self.outputs.next_multiple_of(LANES));
                let row = if inputs == row.len() {
                    row
                } else {
                    let filled = scratch.row.room(inputs);
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
            Store::Bytes(body, integers) => {
                let row = integers.weighted_row(row, &mut scratch.weighted);
                let (bytes, s) = integers.bytes(kernels, row, &mut scratch.bytes);
                let sums = scratch.sums_i32.room(self.outputs.next_multiple_of(LANES));
                match body {
                    Body::Panels(panels) => kernels.panels_i8(panels, bytes, sums),
                    Body::Tiles(tiles) => kernels.tiles_i8(tiles, bytes, integers.narrow, sums),
                    _ => unreachable!("{WHOLE}"),
                }
                let taken = integers.taken(whole(&bytes[..row.len()]));
                integers.finish(kernels, sums, taken, (s, bias), out);
            }
            Store::Words(body, integers) => {
                let levels = scratch.levels.room(inputs);
                let s = integers.quantize(kernels, row, levels);
                levels[row.len()..].fill(0);
                let sums = scratch.sums_i64.room(self.outputs.next_multiple_of(LANES));
                match body {
                    Body::Panels(panels) => kernels.panels_i32(panels, levels, sums),
                    Body::Tiles(tiles) => kernels.tiles_i32(tiles, levels, sums),
                    _ => unreachable!("{WHOLE}"),
                }
                rescale(sums, |sum| sum as f32, Rescale { s, scales: &integers.quantized.scales, bias }, out);
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
    room_for: &'a mut Aligned<Y>,
    row: Row<'_>,
    numbers: &[X],
    as_number: impl Fn(X) -> Y,
    inputs: usize,
) -> &'a [Y] {
    let spread = room_for.room(inputs.next_multiple_of(GROUP));
    scatter(row.columns, numbers, as_number, inputs, spread);
    spread
}

pub(crate) fn add_bias(sums: &[f32], bias: &[f32], out: &mut [f32]) {
    for ((out, sum), b) in out.iter_mut().zip(sums).zip(bias) {
        *out = *sum + b;
    }
}

impl Linear {
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
            Store::Floats(Body::Rows { values, .. }) => out[0] = kernels.dot(row, values) + bias[0],
            Store::Bytes(Body::Rows { values, .. }, integers)
                if !integers.is_grouped() =>
            {
                let row = integers.weighted_row(row, &mut scratch.weighted);
                let (levels, s) = integers.bytes(kernels, row, &mut scratch.bytes);
                let levels = &levels[..row.len()];
                let sum = kernels.dot_i8(levels, values);
                integers.finish(kernels, &[sum], integers.taken(whole(levels)), (s, bias), out);
            }
            _ => return false,
        }
        true
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
