//! Rows of activations times a weight that lies in panels of columns, by the rules of [`multiply`](crate::multiply).

use crate::floats::{FloatPanels, Rows, WithBias, product};
use crate::input::Batch;
use crate::int8::{Isa, Same, Set, Simd, WidePanels, with_set};
use crate::integers::Integers;
use crate::isa::Kernels;
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
        let Scratch { between, wide, .. } = scratch;
        for (n, out) in out.chunks_mut(MOST_ROWS * self.outputs).enumerate() {
            let count = out.len() / self.outputs;
            let rows = n * MOST_ROWS..n * MOST_ROWS + count;
            wide.rows.prepare(count, self.inputs);
            let numbers = batch.dense(rows, self.inputs, &mut between.floats);
            for (r, row) in numbers.chunks_exact(self.inputs).enumerate() {
                let row = integers.weighted_row(row, &mut between.weighted);
                wide.rows.quantize_by_rule(r, row, integers.quantized.activations);
            }
            if !panels.factors().is_empty() {
                wide.multiply(panels, count, bias, out);
                continue;
            }
            let width = panels.outputs();
            let sums = between.sums_i32.room(count * width);
            wide.accumulate(panels, count, (sums, width));
            for (r, (out, sums)) in
                out.chunks_exact_mut(self.outputs).zip(sums.chunks_exact(width)).enumerate()
            {
                let levels = between.bytes.room(self.inputs);
                levels.iter_mut().zip(wide.rows.levels(r)).for_each(|(to, level)| *to = level);
                let taken = integers.taken(Activations::Whole(levels));
                integers.finish(kernels, sums, taken, (wide.rows.scales[r], bias), out);
            }
        }
    }
}
