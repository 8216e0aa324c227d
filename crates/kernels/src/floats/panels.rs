//! A matrix of floats in panels of 32 columns, in the order in which long products read it.

use super::tile::{Columns, WIDE, Weight};
use crate::aligned::Aligned;

/// `[outputs / 32, inputs, 32]`; what is beyond the matrix is zero.
#[derive(Clone, Debug)]
pub(crate) struct FloatPanels {
    values: Values,
    inputs: usize,
    outputs: usize,
}

/// The numbers of panels.
#[derive(Clone, Debug)]
enum Values {
    Whole(Aligned<f32>),
    /// Numbers that are bfloat16, those of two inputs side by side: `[outputs / 32, inputs / 2, 32]`, where zeros fill up inputs to
    /// [`FILLED`](Weight::FILLED).
    Halves(Aligned<i32>),
}

/// The panels' numbers, of either type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Panels<'a> {
    Whole(&'a [f32]),
    Halves(&'a [i32]),
}

impl FloatPanels {
    /// From rows of `outputs` values.
    pub(crate) fn new(rows: &[f32], inputs: usize, outputs: usize) -> Self {
        let size = inputs * WIDE;
        let mut values = Aligned::zeroed(outputs.div_ceil(WIDE) * size);
        for (input, row) in rows.chunks_exact(outputs).enumerate() {
            for (panel, row) in row.chunks(WIDE).enumerate() {
                values[panel * size + input * WIDE..][..row.len()].copy_from_slice(row);
            }
        }
        Self { values: Values::Whole(values), inputs, outputs }
    }

    /// From rows of `outputs` values that are all bfloat16, in half the memory: the lower half of a pair is an even input's,
    /// the upper half that of the next one, or zero behind the last.
    pub(crate) fn halves(rows: &[f32], inputs: usize, outputs: usize) -> Self {
        let size = <i32 as Weight>::rows(inputs) * WIDE;
        let mut values = Aligned::zeroed(outputs.div_ceil(WIDE) * size);
        for (input, row) in rows.chunks_exact(outputs).enumerate() {
            for (panel, row) in row.chunks(WIDE).enumerate() {
                let pairs = &mut values[panel * size + input / 2 * WIDE..][..row.len()];
                for (pair, x) in pairs.iter_mut().zip(row) {
                    *pair |= (x.to_bits() >> 16 << (16 * (input % 2))).cast_signed();
                }
            }
        }
        Self { values: Values::Halves(values), inputs, outputs }
    }

    /// Inputs of each column.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// How many pairs of bfloat16 a row takes that these are multiplied with: whole vectors of them; none for floats of 32 bits.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn row_pairs(&self) -> usize {
        if self.are_halves() { <i32 as Weight>::rows(self.inputs) } else { 0 }
    }

    /// Whether the numbers are bfloat16.
    pub(crate) fn are_halves(&self) -> bool {
        matches!(self.values, Values::Halves(_))
    }

    /// Panels of 32 columns.
    pub(crate) fn count(&self) -> usize {
        self.outputs.div_ceil(WIDE)
    }

    pub(crate) fn panels(&self) -> Panels<'_> {
        match &self.values {
            Values::Whole(values) => Panels::Whole(values),
            Values::Halves(values) => Panels::Halves(values),
        }
    }

    /// One of the panels, whose numbers lie in `all`.
    #[inline(always)]
    pub(crate) fn panel<'a, W: Weight>(&self, all: &'a [W], n: usize) -> Columns<'a, W> {
        let size = W::rows(self.inputs) * WIDE;
        Columns { numbers: &all[n * size..][..size], pitch: WIDE, depth: self.inputs }
    }

    pub(crate) fn visit(&self, mut see: impl FnMut(usize, usize, f32)) {
        for input in 0..self.inputs {
            for column in 0..self.outputs {
                let (panel, column_of) = (column / WIDE, column % WIDE);
                let x = match &self.values {
                    Values::Whole(values) => values[(panel * self.inputs + input) * WIDE + column_of],
                    Values::Halves(values) => {
                        let row = panel * <i32 as Weight>::rows(self.inputs) + input / 2;
                        let pair = values[row * WIDE + column_of].cast_unsigned();
                        f32::from_bits(pair >> (16 * (input % 2)) << 16)
                    }
                };
                see(input, column, x);
            }
        }
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        match &self.values {
            Values::Whole(values) => size_of_val(&values[..]),
            Values::Halves(values) => size_of_val(&values[..]),
        }
    }
}
