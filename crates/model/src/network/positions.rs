//! What attention makes of the places of tokens, by operations of burn.

use burn::tensor::{Device, Int, Tensor, TensorData};
use nlpress_graph::{RelativeBias, Rotary};
use nlpress_kernels::dense::Heads;

use super::tokens::Tokens;

/// What queries and keys are turned by.
#[derive(Debug)]
pub(super) struct Turns {
    /// `[places, heads · width]`.
    cos: Tensor<2>,
    /// The same; below zero for the first half of each head.
    sin: Tensor<2>,
    heads: Heads,
}

/// What is added to the scores of attention.
#[derive(Debug)]
pub(super) struct ScoreBias<'g> {
    /// Only those at most so many places away are attended to.
    pub(super) window: Option<usize>,
    /// By head and distance, with its vector, `[1, heads · buckets]`.
    pub(super) relative: Option<(&'g RelativeBias, Tensor<2>)>,
}

/// What is added to the score of a key that is not attended to.
const FAR: f32 = -1e9;

impl Turns {
    pub(super) fn of(rotary: Rotary, tokens: &Tokens, heads: Heads, device: &Device) -> Self {
        let longest = tokens.lengths().max().unwrap_or(0).max(1);
        let (turns, half) = (rotary.turns(longest, heads.width), heads.width / 2);
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        // Where no token is there is a place all the same.
        let lengths = tokens.lengths().chain((tokens.count() == 0).then_some(1));
        for place in lengths.flat_map(|length| 0..length) {
            let turns = &turns[place * half..][..half];
            for _ in 0..heads.heads {
                cos.extend(turns.iter().chain(turns).map(|(cos, _)| *cos));
                sin.extend(turns.iter().map(|(_, sin)| -*sin).chain(turns.iter().map(|(_, sin)| *sin)));
            }
        }
        let shape = [cos.len() / heads.all(), heads.all()];
        let tensor = |numbers: Vec<f32>| Tensor::from_data(TensorData::new(numbers, shape), device);
        Self { cos: tensor(cos), sin: tensor(sin), heads }
    }

    /// Queries or keys, `[places, heads · width]`, turned.
    pub(super) fn turn(&self, x: Tensor<2>) -> Tensor<2> {
        let ([places, all], Heads { heads, width }) = (x.dims(), self.heads);
        let halves: Tensor<4> = x.clone().reshape([places, heads, 2, width / 2]);
        let swapped = halves.flip([2]).reshape([places, all]);
        x * self.cos.clone() + swapped * self.sin.clone()
    }
}

impl ScoreBias<'_> {
    /// Whether nothing is added.
    pub(super) fn is_none(&self) -> bool {
        self.window.is_none() && self.relative.is_none()
    }

    /// What is added to scores `[examples, heads, length, length]`.
    pub(super) fn of(&self, length: usize, heads: usize, device: &Device) -> Vec<Tensor<4>> {
        let mut all = Vec::new();
        if let Some(window) = self.window {
            let pairs = (0..length).flat_map(|query| (0..length).map(move |key| query.abs_diff(key)));
            let far: Vec<f32> = pairs.map(|away| if away > window { FAR } else { 0.0 }).collect();
            all.push(Tensor::from_data(TensorData::new(far, [1, 1, length, length]), device));
        }
        if let Some((bias, vector)) = &self.relative {
            let buckets = bias.bucket_of_offsets(length);
            let of_pair = |query: usize, key: usize| buckets[length - 1 + key - query] as i64;
            let pairs = (0..length).flat_map(|query| (0..length).map(move |key| (query, key)));
            let pairs: Vec<i64> = pairs.map(|(query, key)| of_pair(query, key)).collect();
            let pairs: Tensor<1, Int> = Tensor::from_data(TensorData::new(pairs, [length * length]), device);
            let table: Tensor<2> = vector.clone().reshape([heads, bias.buckets]);
            all.push(table.select(1, pairs).reshape([1, heads, length, length]));
        }
        all
    }
}
