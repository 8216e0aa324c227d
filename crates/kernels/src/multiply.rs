//! One row of activations times a matrix, plus a bias.
//!
//! The rules, which training code mirrors:
//! - **f32**: `y = x · W + b`. Paths (portable, AVX2, NEON) may differ in rounding.
//! - **f16**, **bf16**: as f32, of the values as they were rounded. With the set `avx512-bf16`, bf16 that is laid out
//!   [for an encoder](Linear::for_encoder) is multiplied with activations that are rounded to bfloat16.
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
//! A row of zeros gives the bias. Integer results of finite rows are the same on every path. The values of a row that is given
//! as sparse are quantized as they are; entries that it leaves out are zeros, so both forms agree.

use crate::form::{Body, Held};
use crate::input::{Batch, Input};
use crate::integers::Integers;
use crate::isa::{Kernels, Rescale, Set, rescale, with_kernels};
use crate::lanes::{GROUP, LANES};
use crate::linear::{Linear, Store};
use crate::product::{Activations, NonZeros, add_up};
use crate::scratch::{Between, Scratch};

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
        let offsets;
        let batch = match input {
            Input::Dense(row) => {
                assert_eq!(row.len(), self.inputs, "one activation for each input");
                Batch::Dense(row)
            }
            Input::Sparse { columns, values } => {
                assert_eq!(columns.len(), values.len(), "one value for each column");
                offsets = [0, columns.len()];
                Batch::Sparse { offsets: &offsets, columns, values }
            }
        };
        let by_panels = match &self.store {
            Store::Wide(..) | Store::FloatPanels(_) => true,
            Store::Bytes(body, integers) => self.is_worth_panels(body, integers, batch),
            Store::Floats(_) | Store::Words(..) => false,
        };
        match by_panels {
            true => self.multiply_rows_with(kernels, batch, bias, out, scratch),
            false => self.multiply_by_loops(kernels, input, bias, out, scratch),
        }
    }

    /// The same by the loops over the form in memory, for all but panels.
    pub(crate) fn multiply_by_loops(
        &self,
        kernels: impl Kernels,
        input: Input<'_>,
        bias: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let Scratch { columns: all_columns, values: all_values, between, .. } = scratch;
        let row = match input {
            Input::Sparse { columns, values } => Row::NonZeros { columns, values },
            Input::Dense(row) => {
                if self.outputs == 1 && self.multiply_column(kernels, row, bias, out, between) {
                    return;
                }
                if matches!(self.held(), Held::Panels | Held::Tiles) {
                    Row::Whole(row)
                } else {
                    let columns = all_columns.room(row.len() + LANES);
                    let values = all_values.room(row.len() + LANES);
                    let n = kernels.compress(row, columns, values);
                    Row::NonZeros { columns: &columns[..n], values: &values[..n] }
                }
            }
        };
        match &self.store {
            Store::Floats(body) => self.multiply_floats(kernels, body, row, (bias, out), between),
            Store::Words(body, integers) => {
                self.multiply_words(kernels, (body, integers), row, (bias, out), between);
            }
            Store::Bytes(body, integers) => {
                self.multiply_bytes(kernels, (body, integers), row, (bias, out), between);
            }
            Store::Wide(..) | Store::FloatPanels(_) => unreachable!("panels are multiplied otherwise"),
        }
    }

    #[inline]
    fn multiply_floats(
        &self,
        kernels: impl Kernels,
        body: &Body<f32>,
        row: Row<'_>,
        (bias, out): (&[f32], &mut [f32]),
        between: &mut Between,
    ) {
        let x = match row {
            Row::NonZeros { columns, values: levels } => {
                NonZeros { columns, levels }.held_as(body.held(), self.inputs, &mut between.floats)
            }
            Row::Whole(row) if row.len().is_multiple_of(GROUP) => Activations::Whole(row),
            Row::Whole(row) => {
                let filled = between.floats.room(row.len().next_multiple_of(GROUP));
                filled[..row.len()].copy_from_slice(row);
                filled[row.len()..].fill(0.0);
                Activations::Whole(filled)
            }
        };
        let sums = between.sums_f32.room(body.width(self.outputs));
        add_up(kernels, body, x, false, sums);
        add_bias(sums, bias, out);
    }

    #[inline]
    fn multiply_words(
        &self,
        kernels: impl Kernels,
        (body, integers): (&Body<i32>, &Integers),
        row: Row<'_>,
        (bias, out): (&[f32], &mut [f32]),
        between: &mut Between,
    ) {
        let (x, s) = match row {
            Row::NonZeros { columns, values } => {
                let levels = between.levels.room(values.len());
                let s = integers.quantize(kernels, values, levels);
                (NonZeros { columns, levels }.held_as(body.held(), self.inputs, &mut between.words), s)
            }
            Row::Whole(row) => {
                let levels = between.words.room(row.len().next_multiple_of(GROUP));
                let s = integers.quantize(kernels, row, levels);
                levels[row.len()..].fill(0);
                (Activations::Whole(levels), s)
            }
        };
        let sums = between.sums_i64.room(body.width(self.outputs));
        add_up(kernels, body, x, false, sums);
        rescale(sums, |sum| sum as f32, Rescale { s, scales: &integers.quantized.scales, bias }, out);
    }

    #[inline]
    fn multiply_bytes(
        &self,
        kernels: impl Kernels,
        (body, integers): (&Body<i8>, &Integers),
        row: Row<'_>,
        (bias, out): (&[f32], &mut [f32]),
        between: &mut Between,
    ) {
        let Between { weighted, bytes, levels, .. } = between;
        let (x, s) = match row {
            Row::Whole(row) => {
                let (row, s) = integers.bytes(integers.weighted_row(row, weighted), bytes);
                (Activations::Whole(row), s)
            }
            Row::NonZeros { columns, values } => {
                let values = integers.weighted(columns, values, weighted);
                if let Body::Rows { .. } = body {
                    let (levels, s) = integers.bytes(values, bytes);
                    (Activations::Rows { columns, levels }, s)
                } else {
                    let levels = levels.room(values.len());
                    let s = integers.quantize(kernels, values, levels);
                    (NonZeros { columns, levels }.held_as(body.held(), self.inputs, bytes), s)
                }
            }
        };
        let sums = between.sums_i32.room(body.width(self.outputs));
        if integers.is_grouped() {
            return integers.add_groups(kernels, (body, x, s), (bias, sums), out);
        }
        add_up(kernels, body, x, integers.narrow, sums);
        integers.finish(kernels, sums, integers.taken(x), (s, bias), out);
    }

    /// A dense row times a matrix of one column, which is a vector; false where there is no shortcut.
    fn multiply_column(
        &self,
        kernels: impl Kernels,
        row: &[f32],
        bias: &[f32],
        out: &mut [f32],
        between: &mut Between,
    ) -> bool {
        match &self.store {
            Store::Floats(Body::Rows { values, .. }) => out[0] = kernels.dot(row, values) + bias[0],
            Store::Bytes(Body::Rows { values, .. }, integers) if !integers.is_grouped() => {
                let row = integers.weighted_row(row, &mut between.weighted);
                let (levels, s) = integers.bytes(row, &mut between.bytes);
                let levels = &levels[..row.len()];
                let sum = kernels.dot_i8(levels, values);
                integers.finish(kernels, &[sum], integers.taken(Activations::Whole(levels)), (s, bias), out);
            }
            _ => return false,
        }
        true
    }
}

/// A row as it is multiplied: where it was not given as sparse, its zeros are found or not looked for.
#[derive(Clone, Copy)]
enum Row<'a> {
    NonZeros { columns: &'a [u32], values: &'a [f32] },
    Whole(&'a [f32]),
}

pub(crate) fn add_bias(sums: &[f32], bias: &[f32], out: &mut [f32]) {
    for ((out, sum), b) in out.iter_mut().zip(sums).zip(bias) {
        *out = *sum + b;
    }
}
