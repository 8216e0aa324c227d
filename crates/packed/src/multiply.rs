//! One row of activations times a matrix, plus a bias.
//!
//! The rules, which training code mirrors:
//! - **f32**: `y = x · W + b`. Paths (portable, AVX2) may differ in rounding.
//! - **int8**: the row is quantized to `q` with scale `s` by [`quantize_row`](crate::quantize_row) at 127 levels;
//!   `acc_j = Σ q_i · w_ij` in 32-bit integers; `y_j = acc_j as f32 * (s * scale_j) + b_j`, each operation
//!   rounded to single precision, nothing fused.
//! - **int32**: the same with 32767 levels and 64-bit sums.
//!
//! A row of zeros gives the bias. Integer results are the same on every path. The values of a row that is given
//! as sparse are quantized as they are; entries that it leaves out are zeros, so both forms agree.

use crate::body::{Body, Element};
use crate::kernels::portable;
use crate::matrix::Store;
use crate::quantize::{INT8_LEVELS, INT16_LEVELS, quantize};
use crate::{Matrix, Scales};

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
    sums_f32: Vec<f32>,
    sums_i32: Vec<i32>,
    sums_i64: Vec<i64>,
}

impl Element for f32 {
    const EXPAND_FROM: usize = 8;
}
impl Element for i8 {
    const EXPAND_FROM: usize = 8;
}
impl Element for i32 {
    const EXPAND_FROM: usize = 8;
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
        let (columns, values) = match input {
            Input::Sparse { columns, values } => {
                assert_eq!(columns.len(), values.len(), "one value for each column");
                (columns, values)
            }
            Input::Dense(row) => {
                assert_eq!(row.len(), self.inputs, "one activation for each input");
                scratch.columns.clear();
                scratch.values.clear();
                for (column, &x) in row.iter().enumerate().filter(|(_, x)| **x != 0.0) {
                    scratch.columns.push(column as u32);
                    scratch.values.push(x);
                }
                (&scratch.columns[..], &scratch.values[..])
            }
        };
        match &self.store {
            Store::F32(body) => {
                let sums = zeros(&mut scratch.sums_f32, body.width(self.outputs));
                match body {
                    Body::Rows { values: weights, stride, .. } => {
                        portable::rows_f32(weights, *stride, columns, values, sums)
                    }
                    Body::Lists(lists) => portable::lists(lists, columns, values, sums, |x, w| x * w),
                }
                for ((out, sum), b) in out.iter_mut().zip(sums).zip(bias) {
                    *out = *sum + b;
                }
            }
            Store::Int8(body, scales) => {
                scratch.levels.resize(values.len(), 0);
                let s = quantize(values, INT8_LEVELS, &mut scratch.levels);
                let sums = zeros(&mut scratch.sums_i32, body.width(self.outputs));
                match body {
                    Body::Rows { values: weights, stride, .. } => {
                        portable::rows_i8(weights, *stride, columns, &scratch.levels, sums)
                    }
                    Body::Lists(lists) => {
                        portable::lists(lists, columns, &scratch.levels, sums, |x, w| x * i32::from(w))
                    }
                }
                rescale(sums, |sum| sum as f32, s, scales, bias, out);
            }
            Store::Int32(body, scales) => {
                scratch.levels.resize(values.len(), 0);
                let s = quantize(values, INT16_LEVELS, &mut scratch.levels);
                let sums = zeros(&mut scratch.sums_i64, body.width(self.outputs));
                match body {
                    Body::Rows { values: weights, stride, .. } => {
                        portable::rows_i32(weights, *stride, columns, &scratch.levels, sums)
                    }
                    Body::Lists(lists) => {
                        let long = |x, w| i64::from(x) * i64::from(w);
                        portable::lists(lists, columns, &scratch.levels, sums, long)
                    }
                }
                rescale(sums, |sum| sum as f32, s, scales, bias, out);
            }
        }
    }
}

impl<T: Element> Body<T> {
    /// How many sums the kernels need: the columns in memory.
    fn width(&self, outputs: usize) -> usize {
        match self {
            Body::Rows { stride, .. } => *stride,
            Body::Lists(_) => outputs,
        }
    }
}

fn zeros<T: Copy + Default>(sums: &mut Vec<T>, width: usize) -> &mut [T] {
    sums.clear();
    sums.resize(width, T::default());
    sums
}

/// `out_j = sum_j · (s · scale_j) + b_j`.
fn rescale<S: Copy>(
    sums: &[S],
    float: impl Fn(S) -> f32,
    s: f32,
    scales: &Scales,
    bias: &[f32],
    out: &mut [f32],
) {
    match scales {
        Scales::Tensor(scale) => {
            for ((out, &sum), b) in out.iter_mut().zip(sums).zip(bias) {
                *out = float(sum) * (s * scale) + b;
            }
        }
        Scales::Channel(scales) => {
            for (((out, &sum), b), scale) in out.iter_mut().zip(sums).zip(bias).zip(scales) {
                *out = float(sum) * (s * scale) + b;
            }
        }
    }
}
