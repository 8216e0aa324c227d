//! The operations of a network in integers. All numbers have 16 fraction bits.

use super::fixed::{FRACTION, Factor, divide, multiply};
use super::functions::{gelu, layer_norm, normalize, relu, softmax, tanh};
use super::places::Places;
use super::site::{Room, Site};
use crate::program::{Counts, Kernels, Program};
use crate::tokens::Tokens;
use nlpress_graph::{Activation, Key, Pooling};
use nlpress_kernels::Aligned;
use nlpress_text::TokenRow;

/// A network whose sites are integers.
#[derive(Debug)]
pub(super) struct Network<'a> {
    pub(super) program: &'a Program,
    pub(super) sites: Vec<Site<'a>>,
    /// Words that are looked at, where the network reads bags.
    pub(super) most_words: Option<usize>,
    /// For each width of a head what a product of a query and a key, with 32 fraction bits, is multiplied by.
    pub(super) scores: Vec<(usize, Factor)>,
    /// What is added to a variance where a normalisation has no vectors.
    pub(super) epsilon: i64,
    pub(super) norms: Vec<Norm>,
    /// What each attention makes of places, where it makes something of them.
    pub(super) places: Vec<Option<Places>>,
}

/// A normalisation with its vectors; numbers have 16 fraction bits.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) gain: Vec<i64>,
    pub(super) bias: Vec<i64>,
    pub(super) epsilon: i64,
}

/// Memory for what lies between steps, to be used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Between {
    buffers: Vec<Aligned<i64>>,
    room: Room,
    shares: Vec<i64>,
    tokens: Tokens,
    values: Vec<i64>,
}

impl Network<'_> {
    /// The logits of a row of feature values.
    pub(super) fn logits(&self, columns: &[u32], values: &[i64], out: &mut [i64], between: &mut Between) {
        let Between { buffers, room, shares, tokens, values: weights } = between;
        tokens.clear();
        let mut counts = Counts { rows: 1, tokens: 0 };
        let (columns, values) = match self.most_words {
            None => (columns, values),
            Some(most) => {
                strongest((columns, values), most, &mut tokens.ids, weights);
                tokens.end_example();
                counts.tokens = tokens.ids.len();
                (&[][..], &weights[..])
            }
        };
        let mut integers = Integers { network: self, columns, values, tokens, room, shares };
        self.program.run(&mut integers, counts, out, buffers);
    }

    /// What the network makes of texts, `[texts, outputs]`; each is a text that it takes.
    pub(super) fn outputs_of<'t>(
        &self,
        texts: impl Iterator<Item = TokenRow<'t>>,
        out: &mut [i64],
        between: &mut Between,
    ) {
        let Between { buffers, room, shares, tokens, .. } = between;
        tokens.read_texts(texts);
        let counts = Counts { rows: tokens.examples(), tokens: tokens.ids.len() };
        let mut integers = Integers { network: self, columns: &[], values: &[], tokens, room, shares };
        self.program.run(&mut integers, counts, out, buffers);
    }
}

/// The operations in integers, on one row, the words of one bag or the tokens of texts.
struct Integers<'a, 'n> {
    network: &'a Network<'n>,
    columns: &'a [u32],
    /// Of the columns, or of the words of the bag.
    values: &'a [i64],
    tokens: &'a Tokens,
    room: &'a mut Room,
    shares: &'a mut Vec<i64>,
}

impl Kernels for Integers<'_, '_> {
    type Number = i64;

    fn features(&mut self, site: usize, out: &mut [i64]) {
        self.network.sites[site].sparse(self.columns, self.values, out, self.room);
    }

    fn embed(&mut self, site: usize, by: Key, out: &mut [i64]) {
        let table = &self.network.sites[site];
        for (out, key) in out.chunks_exact_mut(table.outputs()).zip(self.tokens.keys(by)) {
            table.row(key, out, self.room);
        }
    }

    fn linear(&mut self, site: usize, input: &[i64], out: &mut [i64]) {
        let site = &self.network.sites[site];
        let rows = input.chunks_exact(site.weight.inputs());
        for (row, out) in rows.zip(out.chunks_exact_mut(site.outputs())) {
            site.dense(row, out, self.room);
        }
    }

    fn norm(&mut self, width: usize, rows: &mut [i64]) {
        rows.chunks_exact_mut(width).for_each(|row| layer_norm(row, self.network.epsilon));
    }

    fn layer_norm(&mut self, norm: usize, width: usize, rows: &mut [i64]) {
        let Norm { gain, bias, epsilon } = &self.network.norms[norm];
        for row in rows.chunks_exact_mut(width) {
            layer_norm(row, *epsilon);
            for ((x, gain), bias) in row.iter_mut().zip(gain).zip(bias) {
                *x = multiply(*x, *gain) + bias;
            }
        }
    }

    fn activate(&mut self, activation: Activation, values: &mut [i64]) {
        let of = match activation {
            Activation::Relu => relu,
            Activation::Gelu => gelu,
            Activation::Tanh => tanh,
        };
        values.iter_mut().for_each(|x| *x = of(*x));
    }

    fn attend(
        &mut self,
        attention: usize,
        (heads, width): (usize, usize),
        from: [&[i64]; 3],
        out: &mut [i64],
    ) {
        let places = self.network.places[attention].as_ref();
        let score = self.network.scores.iter().find(|(of, _)| *of == width).map(|(_, score)| *score);
        let score = score.expect("every width of a head has a factor since the network was prepared");
        for range in self.tokens.ranges() {
            let own = heads * width * range.start..heads * width * range.end;
            let from = from.map(|of| &of[own.clone()]);
            match places {
                None => attend((heads, width), score, from, &mut out[own], self.shares),
                Some(places) => places.attend((heads, width), score, from, &mut out[own], self.shares),
            }
        }
    }

    fn add(&mut self, sums: &mut [i64], more: &[i64]) {
        sums.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
    }

    fn multiply(&mut self, products: &mut [i64], by: &[i64]) {
        products.iter_mut().zip(by).for_each(|(product, x)| *product = multiply(*product, *x));
    }

    fn pool(&mut self, pooling: Pooling, width: usize, tokens: &[i64], out: &mut [i64]) {
        out.fill(0);
        for (range, out) in self.tokens.ranges().zip(out.chunks_exact_mut(width)) {
            let tokens = tokens[width * range.start..width * range.end].chunks_exact(width);
            let count = match pooling {
                Pooling::WeightedSum => {
                    for (token, weight) in tokens.zip(&self.values[range]) {
                        out.iter_mut().zip(token).for_each(|(sum, x)| *sum += multiply(*weight, *x));
                    }
                    continue;
                }
                Pooling::Mean => tokens.len(),
                Pooling::First => 1,
            };
            for token in tokens.take(count) {
                out.iter_mut().zip(token).for_each(|(sum, x)| *sum += x);
            }
            out.iter_mut().for_each(|sum| *sum = divide(*sum, count.max(1) as i64));
        }
    }

    fn normalize(&mut self, width: usize, rows: &mut [i64]) {
        rows.chunks_exact_mut(width).for_each(normalize);
    }
}

/// Multi-head attention among the tokens of one example; `score` is what a product of a query and a key is multiplied by.
fn attend(
    (heads, width): (usize, usize),
    score: Factor,
    [query, key, value]: [&[i64]; 3],
    out: &mut [i64],
    shares: &mut Vec<i64>,
) {
    let stride = heads * width;
    out.fill(0);
    for head in 0..heads {
        let part = head * width..(head + 1) * width;
        for (query, out) in query.chunks_exact(stride).zip(out.chunks_exact_mut(stride)) {
            let query = &query[part.clone()];
            shares.clear();
            shares.extend(key.chunks_exact(stride).map(|key| {
                let terms =
                    query.iter().zip(&key[part.clone()]).map(|(q, k)| i128::from(*q) * i128::from(*k));
                // Beyond 20 whole bits a softmax sees no difference.
                let dot = (terms.sum::<i128>() >> FRACTION).clamp(-(1 << 36), 1 << 36);
                score.times(dot as i64)
            }));
            softmax(shares);
            let out = &mut out[part.clone()];
            for (share, value) in shares.iter().zip(value.chunks_exact(stride)) {
                out.iter_mut().zip(&value[part.clone()]).for_each(|(m, v)| *m += share * v);
            }
            out.iter_mut().for_each(|m| *m = divide(*m, 1 << FRACTION));
        }
    }
}

/// The tokens of the largest value, at most `most` and the first among equals, in the order of their columns.
fn strongest(
    (columns, values): (&[u32], &[i64]),
    most: usize,
    kept: &mut Vec<u32>,
    kept_values: &mut Vec<i64>,
) {
    let mut ranked: Vec<usize> = (0..columns.len()).collect();
    if ranked.len() > most {
        ranked.sort_by_key(|i| std::cmp::Reverse(values[*i]));
        ranked.truncate(most);
        ranked.sort_unstable();
    }
    kept.clear();
    kept_values.clear();
    kept.extend(ranked.iter().map(|i| columns[*i]));
    kept_values.extend(ranked.iter().map(|i| values[*i]));
}
