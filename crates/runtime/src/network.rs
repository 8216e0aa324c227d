//! The network of an artifact, served in floats.

use nlpress_artifact::Layer;
use nlpress_graph::SiteId;
use nlpress_graph::{Graph, NORM_EPSILON, Op, Source};
use nlpress_kernels::{Aligned, Batch, Input, Linear, Scratch as Products};
use nlpress_text::{Row, Rows};
use std::ops::Range;

use crate::program::{Counts, Kernels, Program};

/// A network that answers. The layers are those of an artifact, so their shapes fit the graph.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) graph: Graph,
    pub(crate) layers: Vec<Site>,
    pub(crate) program: Program,
    /// Logits of a row.
    pub(crate) outputs: usize,
}

/// A site that multiplies.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) id: SiteId,
    pub(crate) weight: Linear,
    pub(crate) bias: Vec<f32>,
}

/// Memory for what lies between steps; it grows and never shrinks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activations {
    buffers: Vec<Aligned<f32>>,
    room: Room,
    tokens: Vec<u32>,
    weights: Vec<f32>,
}

/// What operations need besides their values.
#[derive(Clone, Debug, Default)]
struct Room {
    products: Products,
    /// How much a token attends to each.
    shares: Vec<f32>,
}

impl Network {
    /// The network of an artifact. What reads features or tokens is laid out for sparse rows, the others for rows that are
    /// mostly not zero; of no other site than the one at hand both the numbers and what is laid out are held.
    pub(crate) fn new(graph: Graph, layers: Vec<Layer>) -> Self {
        let program = Program::of(&graph);
        let ops = graph.nodes.iter().map(|node| &node.op).filter(|op| op.site().is_some());
        let site = |(op, Layer { id, matrix, bias }): (&Op, Layer)| {
            let weight = match op {
                Op::Linear { .. } => Linear::for_dense_rows(matrix),
                _ => Linear::for_sparse_rows(matrix),
            };
            Site { id, weight, bias }
        };
        let layers = ops.zip(layers).map(site).collect();
        let outputs = graph.outputs();
        Self { graph, layers, program, outputs }
    }

    /// The logits of one row; `out` has as many entries as the network has outputs.
    pub(crate) fn logits(&self, columns: &[u32], values: &[f32], out: &mut [f32], scratch: &mut Activations) {
        let Activations { buffers, room, tokens, weights } = scratch;
        let (columns, values) = match self.graph.source {
            Source::Features { .. } => (columns, values),
            Source::Bag { tokens: most, .. } => {
                Row { columns, values }.strongest(most, tokens, weights);
                (&tokens[..], &weights[..])
            }
        };
        let features = Batch::Sparse { offsets: &[0, columns.len()], columns, values };
        let mut floats = Floats { layers: &self.layers, features, tokens: columns, weights: values, room };
        self.program.run(&mut floats, Counts { rows: 1, tokens: columns.len() }, out, buffers);
    }

    /// The logits of consecutive rows, `[rows, outputs]`: what [`logits`](Network::logits) makes of each.
    pub(crate) fn logits_of(
        &self,
        rows: &Rows,
        range: Range<usize>,
        out: &mut [f32],
        scratch: &mut Activations,
    ) {
        if let Source::Bag { .. } = self.graph.source {
            for (row, out) in range.zip(out.chunks_exact_mut(self.outputs)) {
                let row = rows.row(row);
                self.logits(row.columns, row.values, out, scratch);
            }
            return;
        }
        let offsets = &rows.offsets()[range.start..=range.end];
        let features = Batch::Sparse { offsets, columns: rows.columns(), values: rows.values() };
        let Activations { buffers, room, .. } = scratch;
        let mut floats = Floats { layers: &self.layers, features, tokens: &[], weights: &[], room };
        self.program.run(&mut floats, Counts { rows: range.len(), tokens: 0 }, out, buffers);
    }
}

/// The operations in floats, on what goes in.
struct Floats<'a> {
    layers: &'a [Site],
    features: Batch<'a>,
    tokens: &'a [u32],
    weights: &'a [f32],
    room: &'a mut Room,
}

impl Kernels for Floats<'_> {
    type Number = f32;

    #[inline]
    fn features(&mut self, site: usize, out: &mut [f32]) {
        let layer = &self.layers[site];
        layer.weight.multiply_rows(self.features, &layer.bias, out, &mut self.room.products);
    }

    fn embed(&mut self, site: usize, out: &mut [f32]) {
        let layer = &self.layers[site];
        for (out, token) in out.chunks_exact_mut(layer.bias.len()).zip(self.tokens) {
            let input = Input::Sparse { columns: std::slice::from_ref(token), values: &[1.0] };
            layer.weight.multiply(input, &layer.bias, out, &mut self.room.products);
        }
    }

    #[inline]
    fn linear(&mut self, site: usize, input: &[f32], out: &mut [f32]) {
        let layer = &self.layers[site];
        layer.weight.multiply_rows(Batch::Dense(input), &layer.bias, out, &mut self.room.products);
    }

    fn norm(&mut self, width: usize, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(width) {
            let mean = row.iter().sum::<f32>() / width as f32;
            let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / width as f32;
            let scale = 1.0 / (variance + NORM_EPSILON).sqrt();
            row.iter_mut().for_each(|x| *x = (*x - mean) * scale);
        }
    }

    #[inline]
    fn relu(&mut self, values: &mut [f32]) {
        for x in values {
            *x = x.max(0.0);
        }
    }

    fn attend(&mut self, (heads, width): (usize, usize), [query, key, value]: [&[f32]; 3], out: &mut [f32]) {
        let shares = &mut self.room.shares;
        let stride = heads * width;
        let scale = 1.0 / (width as f32).sqrt();
        out.fill(0.0);
        for head in 0..heads {
            let part = head * width..(head + 1) * width;
            for (query, out) in query.chunks_exact(stride).zip(out.chunks_exact_mut(stride)) {
                let query = &query[part.clone()];
                shares.clear();
                shares.extend(key.chunks_exact(stride).map(|key| {
                    let dot: f32 = query.iter().zip(&key[part.clone()]).map(|(q, k)| q * k).sum();
                    dot * scale
                }));
                let largest = shares.iter().fold(f32::NEG_INFINITY, |m, x| m.max(*x));
                shares.iter_mut().for_each(|x| *x = (*x - largest).exp());
                let sum: f32 = shares.iter().sum();
                let out = &mut out[part.clone()];
                for (share, value) in shares.iter().zip(value.chunks_exact(stride)) {
                    let share = share / sum;
                    out.iter_mut().zip(&value[part.clone()]).for_each(|(m, v)| *m += share * v);
                }
            }
        }
    }

    fn add(&mut self, sums: &mut [f32], more: &[f32]) {
        sums.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
    }

    fn pool(&mut self, tokens: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        for (token, weight) in tokens.chunks_exact(out.len()).zip(self.weights) {
            out.iter_mut().zip(token).for_each(|(sum, x)| *sum += weight * x);
        }
    }
}
