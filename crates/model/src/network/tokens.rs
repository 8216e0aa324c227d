//! The words of a batch of rows, padded to the longest, and the first site of an attention network.
//!
//! Looking a word up is a product with a row that has a single one, so it needs no graph: the gradient by the table
//! is the sum of what arrives at each word's places.

use nlpress_graph::Shape;
use nlpress_text::Rows;

/// The words of some rows.
#[derive(Debug)]
pub(super) struct Tokens {
    /// Rows.
    pub(super) rows: usize,
    /// Places of a row: the longest row's words, at least one.
    pub(super) length: usize,
    /// The word at each place, `[rows, length]`; none where a row is shorter.
    words: Vec<Option<u32>>,
    /// The feature value at each place, zero where there is no word.
    pub(super) values: Vec<f32>,
}

impl Tokens {
    /// The words of the given rows, at most `most` of each.
    pub(super) fn of(rows: &Rows, indices: &[usize], most: usize) -> Self {
        let longest = indices.iter().map(|i| rows.row(*i).columns.len().min(most)).max();
        let (count, length) = (indices.len(), longest.unwrap_or(0).max(1));
        let (mut words, mut values) = (vec![None; count * length], vec![0.0; count * length]);
        let (mut columns, mut numbers) = (Vec::new(), Vec::new());
        for (n, &i) in indices.iter().enumerate() {
            rows.row(i).strongest(most, &mut columns, &mut numbers);
            let at = n * length;
            words[at..at + columns.len()].iter_mut().zip(&columns).for_each(|(w, c)| *w = Some(*c));
            values[at..at + numbers.len()].copy_from_slice(&numbers);
        }
        Self { rows: count, length, words, values }
    }

    /// Places of all rows.
    pub(super) fn places(&self) -> usize {
        self.words.len()
    }

    /// Numbers of the places that have a word.
    pub(super) fn filled(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().filter(|(_, w)| w.is_some()).map(|(i, _)| i)
    }

    /// The word of each place that has one.
    pub(super) fn words(&self) -> impl Iterator<Item = u32> {
        self.words.iter().flatten().copied()
    }

    /// What is added to the attention that a place gets, `[rows, length]`: none at all where there is no word.
    pub(super) fn absence(&self) -> Vec<f32> {
        self.words.iter().map(|w| if w.is_some() { 0.0 } else { -1e9 }).collect()
    }

    /// The rows of a table `[inputs, outputs]`, plus its bias, `[places, outputs]`; zero where there is no word.
    pub(super) fn embed(&self, table: &[f32], bias: &[f32]) -> Vec<f32> {
        let width = bias.len();
        let mut out = vec![0.0; self.places() * width];
        for (out, word) in out.chunks_exact_mut(width).zip(&self.words) {
            let Some(word) = word else { continue };
            let row = &table[*word as usize * width..][..width];
            out.iter_mut().zip(row).zip(bias).for_each(|((out, x), b)| *out = x + b);
        }
        out
    }

    /// Appends the gradient of the table and its bias to `flat`: `upstream` is `[places, outputs]`.
    pub(super) fn gradient(&self, upstream: &[f32], table: Shape, flat: &mut Vec<f32>) {
        let start = flat.len();
        flat.resize(start + table.parameters(), 0.0);
        let (weight, bias) = flat[start..].split_at_mut(table.weights());
        for (upstream, word) in upstream.chunks_exact(table.outputs).zip(&self.words) {
            let Some(word) = word else { continue };
            let row = &mut weight[*word as usize * table.outputs..][..table.outputs];
            row.iter_mut().zip(upstream).for_each(|(sum, x)| *sum += x);
            bias.iter_mut().zip(upstream).for_each(|(sum, x)| *sum += x);
        }
    }
}
