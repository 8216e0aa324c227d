//! The kept values of each row, with their columns, in chunks of four.
//!
//! A row is filled up to whole chunks with zeros for columns beyond the last, so that loops run through chunks of
//! one size and not through lists of lengths that no processor can guess.

use super::element::Element;
use crate::aligned::Aligned;
use crate::lanes::{CHUNK, SPARE};
use nlpress_packed::Lists;

/// Invariants: `starts` ascends from 0 to the count of chunks, one more than there are rows; there are [`CHUNK`]
/// columns and values in each. Kept columns ascend strictly within a row; those from `outputs` on, up to `outputs +
/// SPARE`, are not kept and have a value of zero.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<T: Element> {
    pub(crate) starts: Vec<u32>,
    pub(crate) columns: Vec<u32>,
    pub(crate) values: Aligned<T>,
    outputs: u32,
}

impl<T: Element> Chunks<T> {
    pub(crate) fn new(lists: &Lists<T>, outputs: usize) -> Self {
        let outputs = outputs as u32;
        let (mut starts, mut all_columns, mut all_values) = (vec![0], vec![], vec![]);
        let mut spare = 0;
        for row in 0..lists.inputs() {
            let (columns, values) = lists.row(row);
            all_columns.extend_from_slice(columns);
            all_values.extend_from_slice(values);
            while !all_values.len().is_multiple_of(CHUNK) {
                all_columns.push(outputs + spare % SPARE as u32);
                all_values.push(T::default());
                spare = spare.wrapping_add(1);
            }
            starts.push((all_values.len() / CHUNK) as u32);
        }
        Self { starts, columns: all_columns, values: Aligned::from(all_values), outputs }
    }

    pub(super) fn visit(&self, mut see: impl FnMut(usize, usize, T)) {
        for (row, ends) in self.starts.windows(2).enumerate() {
            let range = ends[0] as usize * CHUNK..ends[1] as usize * CHUNK;
            for (&column, &value) in self.columns[range.clone()].iter().zip(&self.values[range]) {
                if column < self.outputs {
                    see(row, column as usize, value);
                }
            }
        }
    }
}
