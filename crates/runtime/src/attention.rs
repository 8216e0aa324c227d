//! Self-attention over the words of one row, as `AttentionSpec` defines it.
//!
//! Every site is a matrix in any layout, multiplied word by word; nothing is padded, and words attend to the words
//! of their own row only.

use crate::network::{Activations, Network, relu};
use nlpress_kernels::{Aligned, Batch, Input, Scratch as Products};
use nlpress_outline::AttentionSpec;
use nlpress_text::Row;

/// Memory for the words of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room {
    columns: Vec<u32>,
    values: Vec<f32>,
    /// Every word between blocks, `[words, width]`.
    words: Aligned<f32>,
    normed: Aligned<f32>,
    query: Aligned<f32>,
    key: Aligned<f32>,
    value: Aligned<f32>,
    mixed: Aligned<f32>,
    /// First factors' outputs.
    factor: Aligned<f32>,
    /// How much a word attends to each, `[words]`.
    shares: Vec<f32>,
}

/// The logits of one row.
pub(crate) fn logits(
    network: &Network,
    spec: &AttentionSpec,
    columns: &[u32],
    values: &[f32],
    out: &mut [f32],
    scratch: &mut Activations,
) {
    let Activations { products, attention: room, .. } = scratch;
    Row { columns, values }.strongest(spec.tokens, &mut room.columns, &mut room.values);
    let mut sites = Sites { network, next: 0, products };
    sites.embed(&room.columns, &mut room.words, &mut room.factor);
    for block in &spec.layers {
        norm(&room.words, spec.width, &mut room.normed);
        for into in [&mut room.query, &mut room.key, &mut room.value] {
            sites.each(&room.normed, spec.width, into, &mut room.factor);
        }
        attend(room, block.heads, spec.head_width);
        sites.each(&room.mixed, block.heads * spec.head_width, &mut room.normed, &mut room.factor);
        add(&mut room.words, &room.normed);
        norm(&room.words, spec.width, &mut room.normed);
        sites.each(&room.normed, spec.width, &mut room.mixed, &mut room.factor);
        relu(&mut room.mixed);
        sites.each(&room.mixed, block.neurons, &mut room.normed, &mut room.factor);
        add(&mut room.words, &room.normed);
    }
    room.mixed.resize(spec.width);
    room.mixed.fill(0.0);
    for (word, value) in room.words.chunks_exact(spec.width).zip(&room.values) {
        room.mixed.iter_mut().zip(word).for_each(|(sum, x)| *sum += value * x);
    }
    sites.each(&room.mixed, spec.width, &mut room.normed, &mut room.factor);
    out.copy_from_slice(&room.normed);
}

/// The sites that are still to come.
struct Sites<'a> {
    network: &'a Network,
    next: usize,
    products: &'a mut Products,
}

impl Sites<'_> {
    /// The first site: a row of the table for each word.
    fn embed(&mut self, columns: &[u32], out: &mut Aligned<f32>, factor: &mut Aligned<f32>) {
        let layer = &self.network.layers[0];
        self.next = 1;
        let two = self.network.is_second_factor(1);
        let into = if two { &mut *factor } else { &mut *out };
        into.resize(columns.len() * layer.bias.len());
        for (into, column) in into.chunks_exact_mut(layer.bias.len()).zip(columns) {
            let input = Input::Sparse { columns: std::slice::from_ref(column), values: &[1.0] };
            layer.weight.multiply(input, &layer.bias, into, self.products);
        }
        if two {
            self.multiply(factor, layer.bias.len(), out);
        }
    }

    /// The next site, both factors of it where it is factored, for each of `inputs`, `[rows, width]`.
    fn each(&mut self, inputs: &[f32], width: usize, out: &mut Aligned<f32>, factor: &mut Aligned<f32>) {
        if !self.network.is_second_factor(self.next + 1) {
            return self.multiply(inputs, width, out);
        }
        let rank = self.network.layers[self.next].bias.len();
        self.multiply(inputs, width, factor);
        self.multiply(factor, rank, out);
    }

    fn multiply(&mut self, inputs: &[f32], width: usize, out: &mut Aligned<f32>) {
        let layer = &self.network.layers[self.next];
        self.next += 1;
        out.resize(inputs.len() / width * layer.bias.len());
        layer.weight.multiply_rows(Batch::Dense(inputs), &layer.bias, out, self.products);
    }
}

/// Scaled dot-product attention of every head, from `query`, `key`, `value` into `mixed`, all `[words, heads · width]`.
fn attend(room: &mut Room, heads: usize, width: usize) {
    let Room { query, key, value, mixed, shares, .. } = room;
    let stride = heads * width;
    let scale = 1.0 / (width as f32).sqrt();
    mixed.resize(query.len());
    mixed.fill(0.0);
    for head in 0..heads {
        let part = head * width..(head + 1) * width;
        for (query, mixed) in query.chunks_exact(stride).zip(mixed.chunks_exact_mut(stride)) {
            let query = &query[part.clone()];
            shares.clear();
            shares.extend(key.chunks_exact(stride).map(|key| {
                let dot: f32 = query.iter().zip(&key[part.clone()]).map(|(q, k)| q * k).sum();
                dot * scale
            }));
            let largest = shares.iter().fold(f32::NEG_INFINITY, |m, x| m.max(*x));
            shares.iter_mut().for_each(|x| *x = (*x - largest).exp());
            let sum: f32 = shares.iter().sum();
            let mixed = &mut mixed[part.clone()];
            for (share, value) in shares.iter().zip(value.chunks_exact(stride)) {
                let share = share / sum;
                mixed.iter_mut().zip(&value[part.clone()]).for_each(|(m, v)| *m += share * v);
            }
        }
    }
}

/// Every word to mean 0 and variance 1.
fn norm(words: &[f32], width: usize, out: &mut Aligned<f32>) {
    out.resize(words.len());
    for (word, out) in words.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let mean = word.iter().sum::<f32>() / width as f32;
        let variance = word.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / width as f32;
        let scale = 1.0 / (variance + AttentionSpec::NORM_EPSILON).sqrt();
        out.iter_mut().zip(word).for_each(|(out, x)| *out = (x - mean) * scale);
    }
}

fn add(sums: &mut [f32], more: &[f32]) {
    sums.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
}
