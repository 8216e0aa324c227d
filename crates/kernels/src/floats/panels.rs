//! A matrix of floats in panels of 32 columns, in the order in which long products read it.

use super::tile::{Columns, WIDE};
use crate::aligned::Aligned;
use crate::int8::LANES;

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
    /// Numbers that are bfloat16, those of two columns side by side.
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

    /// From rows of `outputs` values that are all bfloat16: in half the memory, and multiplied to the same bits.
    pub(crate) fn halves(rows: &[f32], inputs: usize, outputs: usize) -> Self {
        let size = inputs * LANES;
        let mut values = Aligned::zeroed(outputs.div_ceil(WIDE) * size);
        for (input, row) in rows.chunks_exact(outputs).enumerate() {
            for (panel, row) in row.chunks(WIDE).enumerate() {
                let pairs = &mut values[panel * size + input * LANES..][..LANES];
                for (column, x) in row.iter().enumerate() {
                    let half = (x.to_bits() >> 16) << (16 * (column / LANES));
                    pairs[column % LANES] |= half.cast_signed();
                }
            }
        }
        Self { values: Values::Halves(values), inputs, outputs }
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
    pub(crate) fn panel<'a, W>(&self, all: &'a [W], n: usize) -> Columns<'a, W> {
        let pitch = all.len() / self.count() / self.inputs;
        let size = self.inputs * pitch;
        Columns { numbers: &all[n * size..][..size], pitch, depth: self.inputs }
    }

    pub(crate) fn visit(&self, mut see: impl FnMut(usize, usize, f32)) {
        for input in 0..self.inputs {
            for column in 0..self.outputs {
                let row = column / WIDE * self.inputs + input;
                let x = match &self.values {
                    Values::Whole(values) => values[row * WIDE + column % WIDE],
                    Values::Halves(values) => {
                        let pair = values[row * LANES + column % LANES].cast_unsigned();
                        f32::from_bits((pair >> (16 * (column % WIDE / LANES))) << 16)
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
