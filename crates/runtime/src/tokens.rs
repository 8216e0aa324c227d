//! The tokens of the examples of a run, one after the other without padding.

use nlpress_graph::Key;
use nlpress_text::{Row, TokenRow};
use std::ops::Range;

/// Tokens, in memory that is used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    /// Where each example's tokens end.
    ends: Vec<usize>,
    pub(crate) ids: Vec<u32>,
    /// The type of each; empty where all are 0.
    types: Vec<u8>,
    /// The weight of each in its bag; empty for texts.
    pub(crate) weights: Vec<f32>,
}

impl Tokens {
    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.ids.clear();
        self.types.clear();
        self.weights.clear();
    }

    /// The words of a bag of the largest value, at most `most`.
    pub(crate) fn read_bag(&mut self, row: Row<'_>, most: usize) {
        self.clear();
        row.strongest(most, &mut self.ids, &mut self.weights);
        self.ends.push(self.ids.len());
    }

    /// The tokens of texts.
    pub(crate) fn read_texts<'t>(&mut self, texts: impl Iterator<Item = TokenRow<'t>>) {
        self.clear();
        for row in texts {
            self.ids.extend_from_slice(row.ids);
            self.types.extend_from_slice(row.types);
            self.ends.push(self.ids.len());
        }
    }

    /// The tokens so far are those of an example and those before.
    pub(crate) fn end_example(&mut self) {
        self.ends.push(self.ids.len());
    }

    /// Examples.
    pub(crate) fn examples(&self) -> usize {
        self.ends.len()
    }

    /// Where each example's tokens end.
    pub(crate) fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// Where the tokens of each example are.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| start..*end)
    }

    /// What each token looks up.
    pub(crate) fn keys(&self, by: Key) -> impl Iterator<Item = u32> {
        let of = move |example: Range<usize>| {
            let start = example.start;
            example.map(move |at| match by {
                Key::Word => self.ids[at],
                Key::Position { .. } => (at - start) as u32,
                Key::Type { .. } => self.types.get(at).copied().unwrap_or(0).into(),
            })
        };
        self.ranges().flat_map(of)
    }
}
