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
#[cfg(target_arch = "x86_64")]
use crate::kernels::Avx2;
use crate::kernels::{Kernels, Portable};
use crate::matrix::Store;
use crate::quantize::{INT8_LEVELS, INT16_LEVELS};
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

impl Matrix {
    /// `out = input · W + bias`, by the rules of this module.
    ///
    /// # Panics
    /// When `bias` or `out` do not have as many entries as the matrix has outputs, a dense input not as many as
    /// it has inputs, or a sparse one a column beyond them: mistakes of the caller.
    pub fn multiply(&self, input: Input<'_>, bias: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        assert_eq!(bias.len(), self.outputs, "one bias for each output");
        assert_eq!(out.len(), self.outputs, "one place for each output");
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::detect() {
            return self.multiply_with(avx2, input, bias, out, scratch);
        }
        self.multiply_with(Portable, input, bias, out, scratch);
    }

    fn multiply_with(
        &self,
        kernels: impl Kernels,
        input: Input<'_>,
        bias: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (columns, values) = match input {
            Input::Sparse { columns, values } => {
                assert_eq!(columns.len(), values.len(), "one value for each column");
                (columns, values)
            }
            Input::Dense(row) => {
                assert_eq!(row.len(), self.inputs, "one activation for each input");
                if let (Store::F32(Body::Rows { values, stride: 1, .. }), [b]) = (&self.store, bias) {
                    out[0] = kernels.dot(row, values) + b;
                    return;
                }
                kernels.compress(row, &mut scratch.columns, &mut scratch.values);
                (&scratch.columns[..], &scratch.values[..])
            }
        };
        match &self.store {
            Store::F32(body) => {
                let sums = room(&mut scratch.sums_f32, body.width(self.outputs));
                match body {
                    Body::Rows { values: w, stride: 1, .. } => {
                        sums[0] = columns.iter().zip(values).map(|(&c, x)| x * w[c as usize]).sum();
                    }
                    Body::Rows { values: w, stride, .. } => {
                        kernels.rows_f32(w, *stride, columns, values, sums);
                    }
                    Body::Lists(lists) => kernels.lists(lists, columns, values, sums, |x, w| x * w),
                }
                for ((out, sum), b) in out.iter_mut().zip(sums).zip(bias) {
                    *out = *sum + b;
                }
            }
            Store::Int8(body, scales) => {
                let levels = room(&mut scratch.levels, values.len());
                let s = kernels.quantize(values, INT8_LEVELS, levels);
                let sums = room(&mut scratch.sums_i32, body.width(self.outputs));
                let product = |x, w| x * i32::from(w);
                match body {
                    Body::Rows { values: w, stride, .. } => {
                        kernels.rows_i8(w, *stride, columns, levels, sums);
                    }
                    Body::Lists(lists) => kernels.lists(lists, columns, levels, sums, product),
                }
                rescale(sums, |sum| sum as f32, s, scales, bias, out);
            }
            Store::Int32(body, scales) => {
                let levels = room(&mut scratch.levels, values.len());
                let s = kernels.quantize(values, INT16_LEVELS, levels);
                let sums = room(&mut scratch.sums_i64, body.width(self.outputs));
                let product = |x, w| i64::from(x) * i64::from(w);
                match body {
                    Body::Rows { values: w, stride, .. } => {
                        kernels.rows_i32(w, *stride, columns, levels, sums);
                    }
                    Body::Lists(lists) => kernels.lists(lists, columns, levels, sums, product),
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

/// Room for `count` numbers, which may be anything.
fn room<T: Copy + Default>(numbers: &mut Vec<T>, count: usize) -> &mut [T] {
    if numbers.len() < count {
        numbers.resize(count, T::default());
    }
    &mut numbers[..count]
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
