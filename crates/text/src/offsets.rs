//! Where the rows of a ragged set begin and end.

use std::ops::Range;

/// Row `i` lies at `offsets[i]..offsets[i + 1]`: they start at 0 and ascend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offsets(Vec<usize>);

impl Offsets {
    /// The offsets of rows that have so many entries together.
    ///
    /// # Errors
    /// A sentence when they do not start at 0, ascend and end there.
    pub(crate) fn new(offsets: Vec<usize>, entries: usize) -> Result<Self, String> {
        if offsets.first() != Some(&0) || offsets.last() != Some(&entries) {
            return Err(format!("offsets must start at 0 and end at {entries}"));
        }
        match offsets.windows(2).position(|w| w[0] > w[1]) {
            Some(at) => Err(format!("row {at} ends before it begins")),
            None => Ok(Self(offsets)),
        }
    }

    /// Of no rows.
    pub(crate) fn empty() -> Self {
        Self(vec![0])
    }

    /// Adds the row that ends where there are so many entries.
    pub(crate) fn push(&mut self, entries: usize) {
        self.0.push(entries);
    }

    /// Adds the rows of another set.
    pub(crate) fn append(&mut self, other: &Self) {
        let start = self.0.last().copied().unwrap_or(0);
        self.0.extend(other.0[1..].iter().map(|offset| start + offset));
    }

    pub(crate) fn clear(&mut self) {
        self.0.truncate(1);
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.0.len() - 1
    }

    /// Where a row lies.
    pub(crate) fn row(&self, i: usize) -> Range<usize> {
        self.0[i]..self.0[i + 1]
    }

    /// Where each row lies.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<usize>> {
        self.0.windows(2).map(|w| w[0]..w[1])
    }

    pub(crate) fn as_slice(&self) -> &[usize] {
        &self.0
    }
}
