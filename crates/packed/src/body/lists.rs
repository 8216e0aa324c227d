//! The kept values of each row, with their columns.

use super::{Body, Element, Mask, stride};
use crate::Aligned;
use crate::kernels::LANES;

/// Invariants: `starts` ascends from 0 to the length of `columns` and `values`, one more than there are rows;
/// columns ascend strictly within a row and are less than the matrix's outputs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lists<T> {
    pub(crate) starts: Vec<u32>,
    pub(crate) columns: Vec<u32>,
    pub(crate) values: Vec<T>,
}

impl<T: Element> Lists<T> {
    /// The kept entries of a dense slice of `[inputs, outputs]`.
    pub(crate) fn gather(dense: &[T], keep: &[bool], outputs: usize) -> Self {
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

    pub(crate) fn inputs(&self) -> usize {
        self.starts.len() - 1
    }

    pub(crate) fn expand(&self, outputs: usize) -> Body<T> {
        let inputs = self.inputs();
        let stride = stride(outputs);
        let mut values = Aligned::zeroed(inputs * stride);
        let mut mask = Mask::empty(inputs * outputs);
        self.visit(|row, column, value| {
            values[row * stride + column] = value;
            mask.set(row * outputs + column);
        });
        Body::Rows { values, stride, mask: Some(mask) }
    }

    /// Vectors of eight outputs, over all rows, in which anything is kept.
    pub(crate) fn strips(&self) -> usize {
        let vectors = |row| {
            let (columns, _) = self.row(row);
            columns.chunk_by(|a, b| *a as usize / LANES == *b as usize / LANES).count()
        };
        (0..self.inputs()).map(vectors).sum()
    }

    /// Columns and values of a row.
    pub(crate) fn row(&self, row: usize) -> (&[u32], &[T]) {
        let range = self.starts[row] as usize..self.starts[row + 1] as usize;
        (&self.columns[range.clone()], &self.values[range])
    }

    pub(crate) fn visit(&self, mut see: impl FnMut(usize, usize, T)) {
        for row in 0..self.inputs() {
            let (columns, values) = self.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                see(row, column as usize, value);
            }
        }
    }
}
