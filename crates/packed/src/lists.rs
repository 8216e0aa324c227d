//! The kept values of each row, with their columns: what every index is written from and read into.

use crate::numbers::Number;

/// The kept values of each row, with their columns.
///
/// `starts` ascends from 0 to the length of `columns` and `values`, one more than there are rows; columns ascend strictly
/// within a row and are less than the matrix's outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Lists<T> {
    /// Where each row begins, and where the last one ends.
    pub starts: Vec<u32>,
    /// The columns of the kept values.
    pub columns: Vec<u32>,
    /// The kept values.
    pub values: Vec<T>,
}

impl<T: Number> Lists<T> {
    /// The kept entries of a dense slice of `[inputs, outputs]`.
    pub fn gather(dense: &[T], keep: &[bool], outputs: usize) -> Self {
        let mut lists = Lists { starts: vec![0], columns: Vec::new(), values: Vec::new() };
        for (values, keep) in dense.chunks_exact(outputs).zip(keep.chunks_exact(outputs)) {
            for (column, (&value, _)) in values.iter().zip(keep).enumerate().filter(|(_, (_, keep))| **keep) {
                lists.columns.push(column as u32);
                lists.values.push(value);
            }
            lists.starts.push(lists.values.len() as u32);
        }
        lists
    }

    /// How many rows there are.
    pub fn inputs(&self) -> usize {
        self.starts.len() - 1
    }

    /// Columns and values of a row.
    pub fn row(&self, row: usize) -> (&[u32], &[T]) {
        let range = self.starts[row] as usize..self.starts[row + 1] as usize;
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Visits the entries row by row, in the order of their columns.
    pub fn visit(&self, mut see: impl FnMut(usize, usize, T)) {
        for row in 0..self.inputs() {
            let (columns, values) = self.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                see(row, column as usize, value);
            }
        }
    }
}
