//! Counts of words as feature values, in whole numbers.

use super::fixed::{FRACTION, MOST, divide};
use nlpress_text::Counts;

/// What the words of a text are worth; numbers have 16 fraction bits.
#[derive(Debug)]
pub(super) struct Features {
    /// The value of one occurrence of each word.
    pub(super) one: Vec<i64>,
    pub(super) terms: Terms,
    /// Whether rows are scaled to Euclidean length 1.
    pub(super) unit: bool,
}

/// What several occurrences are worth beside one.
#[derive(Debug)]
pub(super) enum Terms {
    /// The same.
    One,
    /// As many times as much.
    Count,
    /// A number for each count from 0 on; more occurrences are worth as much as the last.
    Table(Vec<i64>),
}

/// Occurrences beyond which a count does not count.
const MOST_COUNT: u32 = u16::MAX as u32;

impl Features {
    /// The value of each word, with 16 fraction bits.
    pub(super) fn values(&self, counts: Counts<'_>, values: &mut Vec<i64>) {
        values.clear();
        for (&column, &count) in counts.columns.iter().zip(counts.counts) {
            let one = self.one[column as usize];
            let value = match &self.terms {
                Terms::One => one,
                Terms::Count => one * i64::from(count.min(MOST_COUNT)),
                Terms::Table(table) => (one * table[(count as usize).min(table.len() - 1)]) >> FRACTION,
            };
            values.push(value.min(MOST));
        }
        if !self.unit {
            return;
        }
        let squares: u128 = values.iter().map(|v| u128::from(v.unsigned_abs()).pow(2)).sum();
        let length = squares.isqrt() as i64;
        if length > 0 {
            values.iter_mut().for_each(|v| *v = divide(*v << FRACTION, length));
        }
    }
}
