//! A matrix of bytes in panels of 64 columns, in the order in which long products read it.

use super::tiles::{PITCH, Panel, QUAD, WIDE};
use crate::aligned::Aligned;

/// Inputs are filled up with zeros to a multiple of this: what the widest instruction takes.
const DEPTH: usize = 64;

/// `[outputs / 64, inputs / 4, 64, 4]`; what is beyond the matrix is zero.
#[derive(Clone, Debug)]
pub(crate) struct WidePanels {
    values: Aligned<i8>,
    /// `-128 ·` the total of each column.
    starts: Vec<[i32; WIDE]>,
    /// What the sums of each column are multiplied by.
    factors: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl WidePanels {
    /// From rows of as many values as there are factors.
    pub(crate) fn new(rows: &[i8], inputs: usize, factors: Vec<f32>) -> Self {
        let outputs = factors.len();
        let panels = outputs.div_ceil(WIDE);
        let size = Self::size(inputs);
        let mut values = Aligned::zeroed(panels * size);
        let mut starts = vec![[0; WIDE]; panels];
        let zeros = vec![0; outputs];
        for (quad, rows) in rows.chunks(QUAD * outputs).enumerate() {
            let mut each = rows.chunks_exact(outputs);
            let [a, b, c, d] = std::array::from_fn(|_| each.next().unwrap_or(&zeros[..]));
            for (panel, starts) in starts.iter_mut().enumerate() {
                let columns = panel * WIDE..outputs.min((panel + 1) * WIDE);
                let (to, _) = values[panel * size + quad * PITCH..][..PITCH].as_chunks_mut::<QUAD>();
                let [a, b, c, d] = [a, b, c, d].map(|row| &row[columns.clone()]);
                for (n, (to, start)) in to.iter_mut().zip(starts).take(columns.len()).enumerate() {
                    *to = [a[n], b[n], c[n], d[n]];
                    *start -= 128 * to.iter().map(|w| i32::from(*w)).sum::<i32>();
                }
            }
        }
        Self { values, starts, factors, inputs, outputs }
    }

    /// Bytes of a panel.
    fn size(inputs: usize) -> usize {
        inputs.next_multiple_of(DEPTH) * WIDE
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
