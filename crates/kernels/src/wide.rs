//! Rows of activations times a weight that lies in panels of columns, by the rules of [`multiply`](crate::multiply).

use crate::floats::{FloatPanels, Rows, WithBias, product};
use crate::input::{Batch, Input, scatter};
use crate::int8::{Isa, Same, Set, Simd, WidePanels, accumulate, with_set};
use crate::integers::Integers;
use crate::isa::Kernels;
use crate::lanes::{GROUP, LANES};
use crate::linear::Linear;
use crate::product::Activations;
use crate::scratch::{Between, Scratch};

/// Rows that are multiplied together at most.
const MOST_ROWS: usize = 32;

impl Linear {
    /// What [`multiply_rows`](Linear::multiply_rows) does, for panels of floats.
    pub(crate) fn multiply_float_panels(
        &self,
        panels: &FloatPanels,
        batch: Batch<'_>,
        (bias, out): (&[f32], &mut [f32]),
        scratch: &mut Scratch,
    ) {
        for (n, out) in out.chunks_mut(MOST_ROWS * self.outputs).enumerate() {
            let rows = n * MOST_ROWS..n * MOST_ROWS + out.len() / self.outputs;
            let Between { floats, words, .. } = &mut scratch.between;
            let numbers = batch.dense(rows.clone(), self.inputs, floats);
            let rows = Rows { numbers, stride: self.inputs, count: rows.len() };
            let mut finish = WithBias { bias, out, stride: self.outputs, function: Same };
            with_set!(Isa::best(), set => {
                let simd = set.simd();
                simd.vectorize(
                    #[inline(always)]
                    || product(simd, rows, panels, words, &mut finish),
                );
            });
        }
    }

    /// What [`multiply_rows`](Linear::multiply_rows) does, for panels of 64 columns.
    pub(crate) fn multiply_wide(
        &self,
        kernels: impl Kernels,
        (panels, integers): (&WidePanels, &Integers),
        batch: Batch<'_>,
        (bias, out): (&[f32], &mut [f32]),
        scratch: &mut Scratch,
    ) {
        let (stride, width) = (self.inputs.next_multiple_of(GROUP), self.outputs.next_multiple_of(LANES));
        for (n, out) in out.chunks_mut(MOST_ROWS * self.outputs).enumerate() {
            let count = out.len() / self.outputs;
            let levels = scratch.block.levels.room(count * stride);
            let sums = scratch.between.sums_i32.room(count * width);
            scratch.block.scales.clear();
            for (r, levels) in levels.chunks_exact_mut(stride).enumerate() {
                let s = match batch.row(n * MOST_ROWS + r, self.inputs) {
                    Input::Dense(row) => integers.bytes_into(row, levels),
                    Input::Sparse { columns, values } => {
                        let (bytes, s) = integers.bytes(values, &mut scratch.between.bytes);
                        scatter(columns, bytes, |level| level, self.inputs, levels);
                        s
                    }
                };
                scratch.block.scales.push(s);
            }
            accumulate(panels, self.inputs, (levels, stride), (sums, width), &mut scratch.wide);
            let rows = levels.chunks_exact(stride).zip(&scratch.block.scales);
            for ((out, sums), (levels, s)) in
                out.chunks_exact_mut(self.outputs).zip(sums.chunks_exact(width)).zip(rows)
            {
                let taken = integers.taken(Activations::Whole(&levels[..self.inputs]));
                integers.finish(kernels, sums, taken, (*s, bias), out);
            }
        }
    }
}
