//! For each row, the vectors of eight outputs in which anything is kept.

use super::element::Element;
use crate::aligned::Aligned;
use crate::lanes::LANES;
use nlpress_packed::Lists;

/// Invariants: `starts` ascends from 0 to the length of `columns`, one more than there are rows; there are eight times
/// as many `values`. Columns are multiples of eight, ascend strictly within a row and are less than the matrix's
/// outputs. Values that are not kept are zero.
#[derive(Clone, Debug)]
pub(crate) struct Strips<T: Element> {
    pub(crate) starts: Vec<u32>,
    pub(crate) columns: Vec<u32>,
    pub(crate) values: Aligned<T>,
}

impl<T: Element> Strips<T> {
    pub(crate) fn new(lists: &Lists<T>) -> Self {
        let mut strips = Self { starts: vec![0], columns: vec![], values: Aligned::new() };
        for row in 0..lists.inputs() {
            let first = strips.columns.len();
            let (columns, values) = lists.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                let (lane, column) = (column as usize % LANES, column - column % LANES as u32);
                if strips.columns[first..].last() != Some(&column) {
                    strips.columns.push(column);
                    strips.values.resize(strips.values.len() + LANES);
                }
                let last = strips.columns.len() - 1;
                strips.values[last * LANES + lane] = value;
            }
            strips.starts.push(strips.columns.len() as u32);
        }
        strips
    }

    /// Zeros beyond the last output are not visited: kept or not, they are in no matrix.
    pub(super) fn visit(&self, outputs: usize, mut see: impl FnMut(usize, usize, T)) {
        for (row, ends) in self.starts.windows(2).enumerate() {
            for strip in ends[0] as usize..ends[1] as usize {
                let first = self.columns[strip] as usize;
                let values = &self.values[strip * LANES..][..LANES.min(outputs - first)];
                values.iter().enumerate().for_each(|(lane, &value)| see(row, first + lane, value));
            }
        }
    }
}
