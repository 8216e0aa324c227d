//! The tokens of a batch of examples, one after the other without padding, and what tables make of them.
//!
//! Looking a token up is a product with a row that has a single one, so it needs no graph: the gradient by the table
//! is the sum of what arrives at each token's place.

use nlpress_graph::{Key, Pooling};
use nlpress_text::{Rows, TokenRows};

/// Examples up to so many tokens attend together, whatever their lengths.
const SHORT: usize = 16;

/// The tokens of some examples.
///
/// Where there is no token at all there is one place all the same, which belongs to no example: a tensor of nothing
/// is none that a backend takes.
#[derive(Debug)]
pub(super) struct Tokens {
    /// Where each example's tokens begin, and where the last one's end.
    offsets: Vec<usize>,
    ids: Vec<u32>,
    /// The type of each token; empty where all are 0.
    types: Vec<u8>,
    /// The weight of each token in its bag; empty for texts.
    weights: Vec<f32>,
}

/// Examples that attend together, each among its own tokens, padded to the longest.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) examples: usize,
    pub(super) length: usize,
    /// The place of each token, `[examples, length]`; any place where an example is shorter.
    pub(super) places: Vec<usize>,
    /// What is added to the attention that each gets, `[examples, length]`: none at all where an example is shorter.
    pub(super) absence: Vec<f32>,
}

impl Tokens {
    /// The words of the given rows, at most `most` of each.
    pub(super) fn of_bags(rows: &Rows, indices: &[usize], most: usize) -> Self {
        let mut tokens = Self { offsets: vec![0], ids: Vec::new(), types: Vec::new(), weights: Vec::new() };
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        for &i in indices {
            rows.row(i).strongest(most, &mut columns, &mut values);
            tokens.ids.extend_from_slice(&columns);
            tokens.weights.extend_from_slice(&values);
            tokens.offsets.push(tokens.ids.len());
        }
        tokens
    }

    /// The tokens of the given texts.
    pub(super) fn of_texts(rows: &TokenRows, indices: &[usize]) -> Self {
        let mut tokens = Self { offsets: vec![0], ids: Vec::new(), types: Vec::new(), weights: Vec::new() };
        for &i in indices {
            let row = rows.row(i);
            tokens.ids.extend_from_slice(row.ids);
            tokens.types.extend_from_slice(row.types);
            tokens.offsets.push(tokens.ids.len());
        }
        tokens
    }

    /// Tokens of all examples.
    pub(super) fn count(&self) -> usize {
        self.ids.len()
    }

    /// Rows of a tensor that has one for each token.
    pub(super) fn places(&self) -> usize {
        self.count().max(1)
    }

    /// Tokens of each example.
    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> {
        self.offsets.windows(2).map(|w| w[1] - w[0])
    }

    /// The example that each place belongs to.
    pub(super) fn owners(&self) -> Vec<usize> {
        let mut owners: Vec<usize> =
            self.lengths().enumerate().flat_map(|(n, length)| std::iter::repeat_n(n, length)).collect();
        owners.resize(self.places(), 0);
        owners
    }

    /// What each token looks up.
    pub(super) fn keys(&self, by: Key) -> Vec<u32> {
        match by {
            Key::Word => self.ids.clone(),
            Key::Position { .. } => self.lengths().flat_map(|length| 0..length as u32).collect(),
            Key::Type { .. } if self.types.is_empty() => vec![0; self.count()],
            Key::Type { .. } => self.types.iter().map(|of| u32::from(*of)).collect(),
        }
    }

    /// Where each example's tokens begin, and where the last one's end.
    pub(super) fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// What pooling multiplies each token with.
    pub(super) fn shares(&self, pooling: Pooling) -> Vec<f32> {
        let lengths = self.lengths();
        match pooling {
            Pooling::WeightedSum => self.weights.clone(),
            Pooling::Mean => lengths.flat_map(|n| std::iter::repeat_n(1.0 / n.max(1) as f32, n)).collect(),
            Pooling::First => {
                lengths.flat_map(|n| (0..n).map(|at| if at == 0 { 1.0 } else { 0.0 })).collect()
            }
        }
    }

    /// The examples that have tokens, by length, so that few places are padding.
    pub(super) fn buckets(&self) -> Vec<Bucket> {
        let lengths: Vec<usize> = self.lengths().collect();
        let mut order: Vec<usize> = (0..lengths.len()).filter(|n| lengths[*n] > 0).collect();
        order.sort_by_key(|n| std::cmp::Reverse(lengths[*n]));
        let mut buckets = Vec::new();
        let mut rest = &order[..];
        while let Some(longest) = rest.first().map(|n| lengths[*n]) {
            let alike = |n: &&usize| longest <= SHORT || 2 * lengths[**n] > longest;
            let (now, later) = rest.split_at(rest.iter().take_while(alike).count());
            buckets.push(self.bucket(now, longest));
            rest = later;
        }
        buckets
    }

    fn bucket(&self, examples: &[usize], length: usize) -> Bucket {
        let (mut places, mut absence) = (Vec::new(), Vec::new());
        for &n in examples {
            let (start, own) = (self.offsets[n], self.offsets[n + 1] - self.offsets[n]);
            places.extend((0..length).map(|at| start + at.min(own - 1)));
            absence.extend((0..length).map(|at| if at < own { 0.0 } else { -1e9 }));
        }
        Bucket { examples: examples.len(), length, places, absence }
    }

    /// Adds to `out`, `[places, outputs]`, for every token its row of a table `[inputs, outputs]`, plus the bias.
    pub(super) fn add_rows(&self, by: Key, table: &[f32], bias: &[f32], outputs: usize, out: &mut [f32]) {
        for (out, key) in out.chunks_exact_mut(outputs).zip(self.keys(by)) {
            let row = &table[key as usize * outputs..][..outputs];
            out.iter_mut().zip(row).for_each(|(out, x)| *out += x);
            out.iter_mut().zip(bias).for_each(|(out, b)| *out += b);
        }
    }
}

impl Bucket {
    /// Whether its places are all of a batch, in order.
    pub(super) fn is_all(&self, places: usize) -> bool {
        self.places.len() == places && self.places.iter().enumerate().all(|(n, place)| n == *place)
    }
}
