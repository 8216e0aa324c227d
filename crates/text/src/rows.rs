//! Feature rows: a sparse matrix in compressed-row form, in plain memory.

use crate::error::TextError;
use crate::offsets::Offsets;

/// A sparse matrix of `len()` rows by `width()` columns, compressed by rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    width: usize,
    offsets: Offsets,
    columns: Vec<u32>,
    values: Vec<f32>,
}

/// One row: the columns that are not zero, ascending, and their values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// Columns, strictly ascending.
    pub columns: &'a [u32],
    /// One value for each column.
    pub values: &'a [f32],
}

impl Rows {
    /// A matrix from its parts: row `i` lies at `offsets[i]..offsets[i + 1]` of `columns` and `values`.
    ///
    /// # Errors
    /// [`TextError::Rows`] when the offsets do not start at 0, ascend and end at the number of values, when
    /// the columns of a row do not strictly ascend or reach `width`, or when a value is not finite.
    pub fn new(
        width: usize,
        offsets: Vec<usize>,
        columns: Vec<u32>,
        values: Vec<f32>,
    ) -> Result<Self, TextError> {
        let fail = |problem: String| Err(TextError::Rows(problem));
        if u32::try_from(width).is_err() {
            return fail(format!("{width} columns are more than {}", u32::MAX));
        }
        if columns.len() != values.len() {
            return fail(format!("{} columns for {} values", columns.len(), values.len()));
        }
        let offsets = Offsets::new(offsets, values.len()).map_err(TextError::Rows)?;
        for (at, place) in offsets.iter().enumerate() {
            let row = &columns[place];
            if row.windows(2).any(|c| c[0] >= c[1]) {
                return fail(format!("the columns of row {at} do not ascend"));
            }
            if let Some(last) = row.last().filter(|&&c| c as usize >= width) {
                return fail(format!("column {last} of row {at} is not below the width {width}"));
            }
        }
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return fail(format!("value {at} is {}", values[at]));
        }
        Ok(Self { width, offsets, columns, values })
    }

    /// A matrix from `rows` times `width` dense values in row order; zeros are left out.
    ///
    /// # Errors
    /// [`TextError::Rows`] when the number of values is another or a value is not finite.
    pub fn from_dense(rows: usize, width: usize, dense: &[f32]) -> Result<Self, TextError> {
        if rows.checked_mul(width) != Some(dense.len()) {
            return Err(TextError::Rows(format!("{} values for {rows} rows of {width}", dense.len())));
        }
        let mut offsets = vec![0; rows + 1];
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        for row in 0..rows {
            for (column, &value) in dense[row * width..(row + 1) * width].iter().enumerate() {
                if value != 0.0 {
                    columns.push(column as u32);
                    values.push(value);
                }
            }
            offsets[row + 1] = values.len();
        }
        Self::new(width, offsets, columns, values)
    }

    /// A matrix of `width` columns without rows, to be filled by [`push`](Self::push).
    pub(crate) fn empty(width: usize) -> Self {
        Self { width, offsets: Offsets::empty(), columns: Vec::new(), values: Vec::new() }
    }

    /// Appends a row of the same width, as an encoder makes it.
    pub(crate) fn push(&mut self, row: Row<'_>) {
        self.columns.extend_from_slice(row.columns);
        self.values.extend_from_slice(row.values);
        self.offsets.push(self.values.len());
    }

    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        self.offsets.clear();
        self.columns.clear();
        self.values.clear();
    }

    /// Appends all rows of another matrix of the same width.
    pub(crate) fn append(&mut self, other: &Self) {
        self.columns.extend_from_slice(&other.columns);
        self.values.extend_from_slice(&other.values);
        self.offsets.append(&other.offsets);
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.offsets.rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of stored values.
    pub fn nonzeros(&self) -> usize {
        self.values.len()
    }

    /// Share of entries that are stored, from 0 to 1.
    pub fn density(&self) -> f64 {
        self.values.len() as f64 / (self.len() as f64 * self.width as f64).max(1.0)
    }

    /// The same rows with the stored values of each changed in place; `change` gets the columns, too.
    ///
    /// A value may become zero; it stays stored.
    #[must_use]
    pub fn map_rows(mut self, mut change: impl FnMut(&[u32], &mut [f32])) -> Self {
        for range in self.offsets.iter() {
            change(&self.columns[range.clone()], &mut self.values[range]);
        }
        self
    }

    /// The columns at the positions `keep` only, numbered anew in the same order; with `unit`, every row that is
    /// not empty is then scaled to Euclidean length 1.
    ///
    /// Of rows that an encoder with `l2` made, and with `unit`, these are the rows of the encoder that
    /// [`narrow`](crate::BagEncoder::narrow) gives, up to rounding.
    ///
    /// # Errors
    /// [`TextError::Narrow`] as for [`narrow`](crate::BagEncoder::narrow).
    pub fn keep_columns(&self, keep: &[u32], unit: bool) -> Result<Self, TextError> {
        check_kept(keep, self.width)?;
        let mut place = vec![u32::MAX; self.width];
        keep.iter().zip(0..).for_each(|(&old, new)| place[old as usize] = new);
        let mut kept = Self::empty(keep.len());
        for row in self.iter() {
            let start = kept.values.len();
            let pairs = row.columns.iter().zip(row.values).filter(|(c, _)| place[**c as usize] != u32::MAX);
            for (&column, &value) in pairs {
                kept.columns.push(place[column as usize]);
                kept.values.push(value);
            }
            let values = &mut kept.values[start..];
            let squares: f64 = values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
            if unit && squares > 0.0 {
                let scale = squares.sqrt().recip();
                values.iter_mut().for_each(|v| *v = (f64::from(*v) * scale) as f32);
            }
            kept.offsets.push(kept.values.len());
        }
        Ok(kept)
    }

    /// Where each row begins in [`columns`](Self::columns) and [`values`](Self::values); one more at the end.
    pub fn offsets(&self) -> &[usize] {
        self.offsets.as_slice()
    }

    /// The columns of all rows, one row after the other.
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// The values of all rows, one row after the other.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Row `i`.
    ///
    /// # Panics
    /// When `i` is not below [`len`](Self::len).
    pub fn row(&self, i: usize) -> Row<'_> {
        let range = self.offsets.row(i);
        Row { columns: &self.columns[range.clone()], values: &self.values[range] }
    }

    /// Every row in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        (0..self.len()).map(|i| self.row(i))
    }

    /// Writes the given rows, dense and in row order, over what `out` holds: `[rows, width]`.
    ///
    /// # Panics
    /// When a row is not below [`len`](Self::len).
    pub fn densify(&self, rows: impl IntoIterator<Item = usize>, out: &mut Vec<f32>) {
        out.clear();
        for i in rows {
            let start = out.len();
            out.resize(start + self.width, 0.0);
            let row = self.row(i);
            for (&column, &value) in row.columns.iter().zip(row.values) {
                out[start + column as usize] = value;
            }
        }
    }

    /// The given rows in the given order; a row may be taken more than once.
    ///
    /// # Panics
    /// When a row is not below [`len`](Self::len).
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let mut out = Self::empty(self.width);
        for &i in rows {
            out.push(self.row(i));
        }
        out
    }
}

impl Row<'_> {
    /// Inner product with a dense vector.
    ///
    /// # Panics
    /// When `dense` is shorter than the width of the matrix.
    pub fn dot(&self, dense: &[f32]) -> f32 {
        self.columns.iter().zip(self.values).map(|(&c, &v)| dense[c as usize] * v).sum()
    }

    /// The entries of the largest value, at most `most` of them and the first among equals, in the order of their
    /// columns: written over what `columns` and `values` hold.
    pub fn strongest(&self, most: usize, columns: &mut Vec<u32>, values: &mut Vec<f32>) {
        columns.clear();
        values.clear();
        if self.values.len() <= most {
            columns.extend_from_slice(self.columns);
            values.extend_from_slice(self.values);
            return;
        }
        let mut ranked: Vec<usize> = (0..self.values.len()).collect();
        ranked.sort_by(|a, b| self.values[*b].total_cmp(&self.values[*a]));
        ranked.truncate(most);
        ranked.sort_unstable();
        columns.extend(ranked.iter().map(|i| self.columns[*i]));
        values.extend(ranked.iter().map(|i| self.values[*i]));
    }
}

/// Checks that positions to keep are there and in order.
pub(crate) fn check_kept(keep: &[u32], width: usize) -> Result<(), TextError> {
    let fail = |problem: String| Err(TextError::Narrow(problem));
    if let Some(pair) = keep.windows(2).find(|pair| pair[0] >= pair[1]) {
        return fail(format!("{} comes before {}, but they must ascend", pair[0], pair[1]));
    }
    match keep.last() {
        None => fail("there is none".into()),
        Some(&last) if last as usize >= width => {
            fail(format!("there is no feature {last}: there are {width}, counted from 0"))
        }
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_parts_that_contradict_each_other() {
        type Parts<'a> = (usize, &'a [usize], &'a [u32], &'a [f32]);
        let bad: [Parts<'_>; 9] = [
            (2, &[], &[], &[]),
            (2, &[1, 1], &[0], &[1.0]),
            (2, &[0, 1], &[0, 1], &[1.0, 1.0]),
            (2, &[0, 2, 1, 2], &[0, 1], &[1.0, 1.0]),
            (2, &[0, 9, 1], &[0], &[1.0]),
            (2, &[0, 1], &[2], &[1.0]),
            (2, &[0, 2], &[1, 0], &[1.0, 1.0]),
            (2, &[0, 1], &[0], &[f32::NAN]),
            (2, &[0, 1], &[0], &[1.0, 2.0]),
        ];
        for (width, offsets, columns, values) in bad {
            let got = Rows::new(width, offsets.into(), columns.into(), values.into());
            assert!(matches!(got, Err(TextError::Rows(_))), "{offsets:?} {columns:?}");
        }
        assert!(Rows::from_dense(2, 2, &[0.0; 3]).is_err());
        assert!(Rows::from_dense(usize::MAX, 2, &[0.0; 3]).is_err());
    }

    #[test]
    fn selects_and_multiplies() {
        let rows = Rows::from_dense(2, 3, &[1.0, 0.0, 2.0, 0.0, 0.0, 0.0]).unwrap();
        assert_eq!(rows.nonzeros(), 2);
        assert_eq!(rows.row(0), Row { columns: &[0, 2], values: &[1.0, 2.0] });
        assert_eq!(rows.row(0).dot(&[1.0, 5.0, 10.0]), 21.0);
        let picked = rows.select(&[1, 0, 0]);
        assert_eq!((picked.len(), picked.nonzeros()), (3, 4));
        assert_eq!(picked.row(2), rows.row(0));
    }

    #[test]
    fn the_strongest_entries_keep_their_order() {
        let row = Row { columns: &[1, 4, 6, 9], values: &[0.2, 0.7, 0.2, 0.3] };
        let (mut columns, mut values) = (vec![5], vec![5.0]);
        row.strongest(3, &mut columns, &mut values);
        assert_eq!((&columns[..], &values[..]), (&[1, 4, 9][..], &[0.2, 0.7, 0.3][..]));
        row.strongest(4, &mut columns, &mut values);
        assert_eq!(columns, row.columns);
    }

    proptest! {
        #[test]
        fn dense_to_sparse_and_back(width in 1usize..6, flat in prop::collection::vec(prop_oneof![Just(0.0f32), -9.0f32..9.0], 0..40)) {
            let rows = flat.len() / width;
            let dense = &flat[..rows * width];
            let sparse = Rows::from_dense(rows, width, dense).unwrap();
            let mut back = vec![7.0];
            sparse.densify(0..rows, &mut back);
            prop_assert_eq!(back, dense);
        }
    }
}
