//! For each row, the vectors of eight outputs in which anything is kept.

use super::{Element, Lists};
use crate::Aligned;
use crate::kernels::LANES;

/// Invariants: `starts` ascends from 0 to the length of `columns` and `keep`, one more than there are rows; there
/// are eight times as many `values`. Columns are multiples of eight, ascend strictly within a row and are less
/// than the matrix's outputs. `keep` marks the kept ones of eight values; the others are zero.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Strips<T: Element> {
    pub(crate) starts: Vec<u32>,
    pub(crate) columns: Vec<u32>,
    pub(crate) keep: Vec<u8>,
    pub(crate) values: Aligned<T>,
}

impl<T: Element> Strips<T> {
    pub(crate) fn new(lists: &Lists<T>) -> Self {
        let mut strips = Self { starts: vec![0], columns: vec![], keep: vec![], values: Aligned::new() };
        for row in 0..lists.inputs() {
            let first = strips.columns.len();
            let (columns, values) = lists.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                let (lane, column) = (column as usize % LANES, column - column % LANES as u32);
                if strips.columns[first..].last() != Some(&column) {
                    strips.columns.push(column);
                    strips.keep.push(0);
                    strips.values.resize(strips.values.len() + LANES);
                }
                let last = strips.columns.len() - 1;
                strips.keep[last] |= 1 << lane;
                strips.values[last * LANES + lane] = value;
            }
            strips.starts.push(strips.columns.len() as u32);
        }
        strips
    }

    pub(crate) fn kept(&self) -> usize {
        self.keep.iter().map(|k| k.count_ones() as usize).sum()
    }

    pub(crate) fn visit(&self, mut see: impl FnMut(usize, usize, T)) {
        for (row, ends) in self.starts.windows(2).enumerate() {
            for strip in ends[0] as usize..ends[1] as usize {
                for lane in (0..LANES).filter(|lane| self.keep[strip] >> lane & 1 == 1) {
                    see(row, self.columns[strip] as usize + lane, self.values[strip * LANES + lane]);
                }
            }
        }
    }
}
