//! Products of the inputs whose weights are floats beside integers.

use crate::aligned::Aligned;
use crate::input::{Batch, Input};
use nlpress_packed::Outliers;

/// The outliers of a weight of integers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Apart<'a> {
    pub(crate) outliers: &'a Outliers,
    /// One bit for each input up to the last of them, so that all others are told from them in one look.
    pub(crate) marks: &'a [u64],
}

impl<'a> Apart<'a> {
    pub(crate) fn marks(outliers: &Outliers) -> Vec<u64> {
        // The last is the largest; a matrix of integers has few enough inputs for a bit each.
        let last = outliers.inputs().last().map_or(0, |last| *last as usize);
        let mut marks = vec![0; last / 64 + 1];
        for input in outliers.inputs() {
            marks[*input as usize / 64] |= 1 << (input % 64);
        }
        marks
    }

    fn count(self) -> usize {
        self.outliers.inputs().len()
    }

    /// A row in which the activations of outliers are zeros, and these, as many as there are outliers.
    ///
    /// # Panics
    /// When a dense row does not have `inputs` entries.
    pub(crate) fn take<'r>(
        self,
        input: Input<'r>,
        inputs: usize,
        rest: &'r mut Vec<f32>,
        found: &'r mut Aligned<f32>,
    ) -> (Input<'r>, &'r [f32]) {
        let found = found.room(self.count());
        rest.clear();
        match input {
            Input::Sparse { columns, values } => {
                rest.extend_from_slice(values);
                found.fill(0.0);
                for (x, &column) in rest.iter_mut().zip(columns) {
                    let marks = self.marks.get(column as usize / 64).copied().unwrap_or(0);
                    if marks >> (column % 64) & 1 == 1
                        && let Some(place) = self.outliers.place(column as usize)
                    {
                        found[place] = std::mem::take(x);
                    }
                }
                (Input::Sparse { columns, values: rest }, found)
            }
            Input::Dense(row) => {
                assert_eq!(row.len(), inputs, "one activation for each input");
                rest.extend_from_slice(row);
                self.take_row(rest, found);
                (Input::Dense(rest), found)
            }
        }
    }

    /// The same for rows without gaps; of each row as many activations as there are outliers.
    pub(crate) fn take_rows<'r>(
        self,
        rows: &[f32],
        inputs: usize,
        rest: &'r mut Vec<f32>,
        found: &'r mut Aligned<f32>,
    ) -> (Batch<'r>, &'r [f32]) {
        let count = self.count();
        rest.clear();
        rest.extend_from_slice(rows);
        let found = found.room(rows.len() / inputs * count);
        for (row, found) in rest.chunks_exact_mut(inputs).zip(found.chunks_exact_mut(count)) {
            self.take_row(row, found);
        }
        (Batch::Dense(rest), found)
    }

    /// Leaves zeros in a row without gaps where it takes the outliers' activations from.
    fn take_row(self, row: &mut [f32], found: &mut [f32]) {
        for (found, &input) in found.iter_mut().zip(self.outliers.inputs()) {
            *found = std::mem::take(&mut row[input as usize]);
        }
    }

    /// Adds the products of the outliers' activations to `[rows, outputs]`.
    pub(crate) fn add(self, found: &[f32], outputs: usize, out: &mut [f32]) {
        for (found, out) in found.chunks_exact(self.count()).zip(out.chunks_exact_mut(outputs)) {
            for (&x, weights) in found.iter().zip(self.outliers.values().chunks_exact(outputs)) {
                if x != 0.0 {
                    out.iter_mut().zip(weights).for_each(|(out, w)| *out += x * w);
                }
            }
        }
    }
}
