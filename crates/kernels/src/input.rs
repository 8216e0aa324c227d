//! Activations as a caller has them: one row or several, all entries or the non-zeros.

use crate::aligned::Aligned;
use std::ops::Range;

/// One row of activations.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The non-zeros: `columns[i]` holds `values[i]`.
    Sparse {
        /// Positions in the row, each less than the weight's inputs, strictly ascending.
        columns: &'a [u32],
        /// As many values.
        values: &'a [f32],
    },
    /// All entries; zeros are skipped.
    Dense(&'a [f32]),
}

/// Rows of activations.
#[derive(Clone, Copy, Debug)]
pub enum Batch<'a> {
    /// The non-zeros of each: those of row `i` are at `offsets[i]..offsets[i + 1]`.
    Sparse {
        /// One more than there are rows, ascending.
        offsets: &'a [usize],
        /// Positions in a row, each less than the weight's inputs, strictly ascending.
        columns: &'a [u32],
        /// As many values.
        values: &'a [f32],
    },
    /// All entries, `[rows, inputs]`, row-major.
    Dense(&'a [f32]),
}

/// One row of activations that are integers within `±127`.
#[derive(Clone, Copy, Debug)]
pub enum Levels<'a> {
    /// Those that are not zero: `columns[i]` holds `levels[i]`.
    Sparse {
        /// Positions in the row, each less than the weight's inputs, strictly ascending.
        columns: &'a [u32],
        /// As many activations.
        levels: &'a [i32],
    },
    /// All of them.
    Dense(&'a [i32]),
}

impl<'a> Batch<'a> {
    /// How many rows there are.
    ///
    /// # Panics
    /// When dense rows are not whole.
    pub(crate) fn rows(self, inputs: usize) -> usize {
        match self {
            Self::Sparse { offsets, .. } => offsets.len().saturating_sub(1),
            Self::Dense(rows) => {
                let count = rows.len() / inputs;
                assert_eq!(rows.len(), count * inputs, "one activation for each input of each row");
                count
            }
        }
    }

    pub(crate) fn row(self, row: usize, inputs: usize) -> Input<'a> {
        match self {
            Self::Sparse { offsets, columns, values } => {
                let range = offsets[row]..offsets[row + 1];
                Input::Sparse { columns: &columns[range.clone()], values: &values[range] }
            }
            Self::Dense(rows) => Input::Dense(&rows[row * inputs..][..inputs]),
        }
    }

    /// Share of the entries that are not zero, counting those of sparse rows that are given.
    pub(crate) fn fill(self, inputs: usize) -> f64 {
        match self {
            Self::Dense(rows) => {
                let add = |sum: u32, x: &f32| sum.wrapping_add(u32::from(*x != 0.0));
                let nonzeros: f64 = rows.chunks(inputs).map(|row| f64::from(row.iter().fold(0, add))).sum();
                nonzeros / rows.len() as f64
            }
            Self::Sparse { offsets, .. } => {
                let rows = offsets.len() - 1;
                (offsets[rows] - offsets[0]) as f64 / (rows * inputs) as f64
            }
        }
    }

    /// Some rows with their zeros, `[rows, inputs]`.
    pub(crate) fn dense(self, range: Range<usize>, inputs: usize, filled: &'a mut Aligned<f32>) -> &'a [f32] {
        let (offsets, columns, values) = match self {
            Self::Dense(rows) => return &rows[range.start * inputs..range.end * inputs],
            Self::Sparse { offsets, columns, values } => (offsets, columns, values),
        };
        let is_whole = |row: usize| is_whole(&columns[offsets[row]..offsets[row + 1]], inputs);
        if range.clone().all(is_whole) {
            return &values[offsets[range.start]..offsets[range.end]];
        }
        let filled = filled.room(range.len() * inputs);
        for (row, filled) in range.zip(filled.chunks_exact_mut(inputs)) {
            let range = offsets[row]..offsets[row + 1];
            let (columns, values) = (&columns[range.clone()], &values[range]);
            scatter(columns, values, |x| x, inputs, filled);
        }
        filled
    }
}

/// Whether these are all columns, given that they ascend.
pub(crate) fn is_whole(columns: &[u32], inputs: usize) -> bool {
    debug_assert!(columns.is_sorted_by(|a, b| a < b), "ascending columns");
    columns.len() == inputs && columns.last().is_some_and(|last| *last as usize + 1 == inputs)
}

/// Numbers at their columns, of which there are `inputs`, and zeros everywhere else; `numbers` stand for the values.
pub(crate) fn scatter<X: Copy, Y: Copy + Default>(
    columns: &[u32],
    numbers: &[X],
    as_number: impl Fn(X) -> Y,
    inputs: usize,
    row: &mut [Y],
) {
    row.fill(Y::default());
    let row = &mut row[..inputs];
    for (&column, &x) in columns.iter().zip(numbers) {
        row[column as usize] = as_number(x);
    }
}
