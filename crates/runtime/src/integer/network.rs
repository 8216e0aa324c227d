//! The forward passes of both networks in integers.

use super::fixed::{FRACTION, Factor, divide, multiply};
use super::functions::{layer_norm, relu, softmax};
use super::site::{Room, Site};

/// A network whose sites are integers.
#[derive(Debug)]
pub(super) struct Network<'a> {
    pub(super) sites: Vec<Site<'a>>,
    /// Whether a site is the second factor of the one before it.
    pub(super) follows_factor: Vec<bool>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Perceptron,
    Attention(Attention),
}

/// What an attention network does between its sites.
#[derive(Debug)]
pub(super) struct Attention {
    pub(super) width: usize,
    pub(super) head_width: usize,
    /// Heads of each block.
    pub(super) heads: Vec<usize>,
    /// Words that are looked at.
    pub(super) tokens: usize,
    /// What a product of a query and a key, with 32 fraction bits, is multiplied by.
    pub(super) score: Factor,
    /// What is added to a variance, with 16 fraction bits.
    pub(super) epsilon: i64,
}

/// Memory for what lies between sites, to be used again. All numbers have 16 fraction bits.
#[derive(Clone, Debug, Default)]
pub(super) struct Between {
    room: Room,
    before: Vec<i64>,
    after: Vec<i64>,
    words: Vec<i64>,
    query: Vec<i64>,
    key: Vec<i64>,
    value: Vec<i64>,
    mixed: Vec<i64>,
    shares: Vec<i64>,
    columns: Vec<u32>,
    values: Vec<i64>,
}

impl Network<'_> {
    /// The logits of a row of feature values, all with 16 fraction bits.
    pub(super) fn logits(&self, columns: &[u32], values: &[i64], out: &mut [i64], between: &mut Between) {
        match &self.kind {
            Kind::Perceptron => self.perceptron(columns, values, out, between),
            Kind::Attention(attention) => self.attention(attention, (columns, values), out, between),
        }
    }

    fn perceptron(&self, columns: &[u32], values: &[i64], out: &mut [i64], between: &mut Between) {
        let Between { room, before, after, .. } = between;
        let last = self.sites.len() - 1;
        for (n, site) in self.sites.iter().enumerate() {
            after.resize(site.outputs(), 0);
            match n {
                0 => site.sparse(columns, values, after, room),
                _ => site.dense(before, after, room),
            }
            if n < last && !self.follows_factor[n + 1] {
                after.iter_mut().for_each(|x| *x = relu(*x));
            }
            std::mem::swap(before, after);
        }
        out.copy_from_slice(before);
    }

    fn attention(
        &self,
        attention: &Attention,
        (columns, values): (&[u32], &[i64]),
        out: &mut [i64],
        between: &mut Between,
    ) {
        let Between { room, before, after, words, query, key, value, mixed, shares, .. } = between;
        strongest((columns, values), attention.tokens, &mut between.columns, &mut between.values);
        let mut sites = Sites { network: self, next: 1, room, factor: before };
        let table = &self.sites[0];
        let start = if sites.is_second_factor() { &mut *after } else { &mut *words };
        start.clear();
        start.resize(between.columns.len() * table.outputs(), 0);
        for (row, column) in start.chunks_exact_mut(table.outputs()).zip(&between.columns) {
            table.row(*column, row, sites.room);
        }
        if sites.is_second_factor() {
            sites.multiply(after, words);
        }
        for &heads in &attention.heads {
            norm(attention, words, after);
            for into in [&mut *query, &mut *key, &mut *value] {
                sites.each(after, into);
            }
            attend((query, key, value), (heads, attention), mixed, shares);
            sites.each(mixed, after);
            add(words, after);
            norm(attention, words, after);
            sites.each(after, mixed);
            mixed.iter_mut().for_each(|x| *x = relu(*x));
            sites.each(mixed, after);
            add(words, after);
        }
        mixed.clear();
        mixed.resize(attention.width, 0);
        for (word, value) in words.chunks_exact(attention.width).zip(&between.values) {
            mixed.iter_mut().zip(word).for_each(|(sum, x)| *sum += multiply(*value, *x));
        }
        sites.each(mixed, after);
        out.copy_from_slice(after);
    }
}

/// The sites that are still to come.
struct Sites<'a, 'b> {
    network: &'a Network<'b>,
    next: usize,
    room: &'a mut Room,
    /// First factors' outputs.
    factor: &'a mut Vec<i64>,
}

impl Sites<'_, '_> {
    fn is_second_factor(&self) -> bool {
        self.network.follows_factor.get(self.next).copied().unwrap_or(false)
    }

    /// The next site, both factors of it where it is factored, for each row of `inputs`.
    fn each(&mut self, inputs: &[i64], out: &mut Vec<i64>) {
        self.multiply(inputs, out);
        if self.is_second_factor() {
            let mut factor = std::mem::take(self.factor);
            std::mem::swap(&mut factor, out);
            self.multiply(&factor, out);
            *self.factor = factor;
        }
    }

    fn multiply(&mut self, inputs: &[i64], out: &mut Vec<i64>) {
        let site = &self.network.sites[self.next];
        self.next += 1;
        let width = site.weight.inputs();
        out.clear();
        out.resize(inputs.len() / width * site.outputs(), 0);
        for (row, out) in inputs.chunks_exact(width).zip(out.chunks_exact_mut(site.outputs())) {
            site.dense(row, out, self.room);
        }
    }
}

/// The words of the largest value, at most `most` and the first among equals, in the order of their columns.
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

/// Scaled dot-product attention of every head.
fn attend(
    (query, key, value): (&[i64], &[i64], &[i64]),
    (heads, attention): (usize, &Attention),
    mixed: &mut Vec<i64>,
    shares: &mut Vec<i64>,
) {
    let width = attention.head_width;
    let stride = heads * width;
    mixed.clear();
    mixed.resize(query.len(), 0);
    for head in 0..heads {
        let part = head * width..(head + 1) * width;
        for (query, mixed) in query.chunks_exact(stride).zip(mixed.chunks_exact_mut(stride)) {
            let query = &query[part.clone()];
            shares.clear();
            shares.extend(key.chunks_exact(stride).map(|key| {
                let terms =
                    query.iter().zip(&key[part.clone()]).map(|(q, k)| i128::from(*q) * i128::from(*k));
                // Beyond 20 whole bits a softmax sees no difference.
                let dot = (terms.sum::<i128>() >> FRACTION).clamp(-(1 << 36), 1 << 36);
                attention.score.times(dot as i64)
            }));
            softmax(shares);
            let mixed = &mut mixed[part.clone()];
            for (share, value) in shares.iter().zip(value.chunks_exact(stride)) {
                mixed.iter_mut().zip(&value[part.clone()]).for_each(|(m, v)| *m += share * v);
            }
            mixed.iter_mut().for_each(|m| *m = divide(*m, 1 << FRACTION));
        }
    }
}

/// Every word to mean 0 and variance 1.
fn norm(attention: &Attention, words: &[i64], out: &mut Vec<i64>) {
    out.clear();
    out.extend_from_slice(words);
    out.chunks_exact_mut(attention.width).for_each(|word| layer_norm(word, attention.epsilon));
}

fn add(sums: &mut [i64], more: &[i64]) {
    sums.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
}
