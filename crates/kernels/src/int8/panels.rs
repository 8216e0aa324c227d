//! A matrix of bytes in panels of 64 columns, in the order in which long products read it.

use super::simd::Simd;
use super::tiles::{Isa, PITCH, Panel, QUAD, Set, WIDE, with_set};
use crate::aligned::Aligned;
use bytemuck::{cast, cast_slice};
use std::ops::Range;

/// Inputs are filled up with zeros to a multiple of this: what the widest instruction takes.
const DEPTH: usize = 64;

/// `[outputs / 64, inputs / 4, 64, 4]`; what is beyond the matrix is zero.
#[derive(Clone, Debug)]
pub(crate) struct WidePanels {
    values: Aligned<i8>,
    /// `-128 ·` the total of each column.
    starts: Vec<[i32; WIDE]>,
    /// What the sums of each column are multiplied by, where they become floats.
    factors: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

/// A panel of some columns of rows of `outputs`, and what their offset takes from the sum of each.
#[inline(always)]
fn lay_out(
    (rows, outputs): (&[i8], usize),
    columns: Range<usize>,
    panel: &mut [i8],
    starts: &mut [i32; WIDE],
) {
    let (quads, _) = panel.as_chunks_mut::<PITCH>();
    for (rows, quad) in rows.chunks(QUAD * outputs).zip(quads) {
        // Of a fixed number of columns, so that a vector of them is laid out at a time.
        let mut inputs = [[0_u8; WIDE]; QUAD];
        for (input, row) in inputs.iter_mut().zip(rows.chunks_exact(outputs)) {
            let row: &[u8] = cast_slice(&row[columns.clone()]);
            match row.first_chunk() {
                Some(row) => *input = *row,
                None => input[..row.len()].copy_from_slice(row),
            }
        }
        let [a, b, c, d] = &inputs;
        let mut words = [0; WIDE];
        for n in 0..WIDE {
            let [a, b, c, d] = [a[n], b[n], c[n], d[n]];
            words[n] = u32::from(a) | u32::from(b) << 8 | u32::from(c) << 16 | u32::from(d) << 24;
            let sum = [a, b, c, d].map(|w| i32::from(w.cast_signed()));
            starts[n] = starts[n].wrapping_sub(128_i32.wrapping_mul(sum[0] + sum[1] + sum[2] + sum[3]));
        }
        *quad = cast(words.map(u32::to_le));
    }
}

impl WidePanels {
    /// From rows of `outputs` values; with a factor for each output, or none where sums are all that is asked for.
    pub(crate) fn new(rows: &[i8], (inputs, outputs): (usize, usize), factors: Vec<f32>) -> Self {
        let panels = outputs.div_ceil(WIDE);
        let size = Self::size(inputs);
        let mut values = Aligned::zeroed(panels * size);
        let mut starts = vec![[0; WIDE]; panels];
        with_set!(Isa::best(), set => set.simd().vectorize(
            #[inline(always)]
            || {
                for (panel, starts) in starts.iter_mut().enumerate() {
                    let first = panel * WIDE;
                    let values = &mut values[panel * size..][..size];
                    lay_out((rows, outputs), first..outputs.min(first + WIDE), values, starts);
                }
            },
        ));
        Self { values, starts, factors, inputs, outputs }
    }

    /// Bytes of a panel.
    fn size(inputs: usize) -> usize {
        inputs.next_multiple_of(DEPTH) * WIDE
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(crate) fn factors(&self) -> &[f32] {
        &self.factors
    }

    /// Panels of 64 columns.
    pub(crate) fn count(&self) -> usize {
        self.starts.len()
    }

    #[inline(always)]
    pub(crate) fn panel(&self, n: usize) -> Panel<'_> {
        let size = Self::size(self.inputs);
        Panel {
            bytes: &self.values[n * size..][..size],
            columns: WIDE,
            quads: size / PITCH,
            starts: &self.starts[n],
        }
    }

    pub(crate) fn visit(&self, mut see: impl FnMut(usize, usize, i8)) {
        let size = Self::size(self.inputs);
        for input in 0..self.inputs {
            for column in 0..self.outputs {
                let place = input / QUAD * PITCH + column % WIDE * QUAD + input % QUAD;
                see(input, column, self.values[column / WIDE * size + place]);
            }
        }
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        size_of_val(&self.values[..]) + size_of_val(&self.starts[..]) + size_of_val(&self.factors[..])
    }
}
