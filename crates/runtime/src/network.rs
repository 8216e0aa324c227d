//! The network of an artifact, served in floats.

use nlpress_artifact::{Layer, Vector};
use nlpress_graph::{Activation, Graph, Key, NORM_EPSILON, Op, Pooling, SiteId, Source};
use nlpress_kernels::{
    self as kernels, Aligned, Batch, Crew, EncoderLayer, Input, Linear, Room as LayerRoom,
    Scratch as Products, Weighted,
};
use nlpress_text::{Row, Rows, TokenRow};
use std::ops::Range;
use std::sync::Arc;

use crate::attention::{self, Heads};
use crate::functions;
use crate::layers::{self, Span};
use crate::positions::{self, Positions};
use crate::program::{Counts, Kernels, Program};
use crate::tokens::Tokens;

/// A network that answers. The layers are those of an artifact, so their shapes fit the graph.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) graph: Graph,
    pub(crate) layers: Vec<Site>,
    pub(crate) norms: Vec<Norm>,
    /// What each attention makes of places.
    pub(crate) positions: Vec<Positions>,
    /// Its operations one by one.
    pub(crate) program: Program,
    /// The same with whole layers, where there is a kernel for them.
    with_layers: Option<Program>,
    fused: Vec<Span>,
    /// Whether it is one product with feature rows.
    is_linear: bool,
    /// Logits of a row.
    pub(crate) outputs: usize,
}

/// A site that multiplies.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) id: SiteId,
    pub(crate) weight: Linear,
    /// Zeros for a site without one.
    pub(crate) bias: Vec<f32>,
}

/// A normalisation with its vectors.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) gain: Vector,
    pub(crate) bias: Vector,
    pub(crate) epsilon: f32,
}

/// Memory for what lies between steps; it grows and never shrinks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activations {
    buffers: Vec<Aligned<f32>>,
    room: Room,
    tokens: Tokens,
}

/// What operations need besides their values.
#[derive(Clone, Debug, Default)]
struct Room {
    products: Products,
    heads: Heads,
    layer: LayerRoom,
    /// Threads that share the rows of a layer.
    crew: Option<Arc<Crew>>,
}

impl Activations {
    /// Memory for a thread that others help with the rows of a layer.
    pub(crate) fn with(crew: Arc<Crew>) -> Self {
        Self { room: Room { crew: Some(crew), ..Room::default() }, ..Self::default() }
    }

    /// Threads that share rows.
    pub(crate) fn threads(&self) -> usize {
        self.room.crew.as_ref().map_or(1, |crew| crew.threads())
    }
}

impl Network {
    /// The network of an artifact. What reads features or tokens is laid out for sparse rows, the others for rows that are
    /// mostly not zero; of no other site than the one at hand both the numbers and what is laid out are held.
    pub(crate) fn new(graph: Graph, layers: Vec<Layer>, vectors: Vec<Vector>) -> Self {
        let program = Program::of(&graph);
        let fused = layers::find(&graph, &layers);
        let with_layers = (!fused.is_empty()).then(|| Program::with_layers(&graph, &fused));
        let ops = graph.nodes.iter().map(|node| &node.op).filter(|op| op.site().is_some());
        let site = |(n, (op, Layer { id, matrix, mut bias })): (usize, (&Op, Layer))| {
            bias.resize(matrix.outputs(), 0.0);
            let weight = match op {
                _ if fused.iter().any(|span| span.sites.contains(&n)) => Linear::for_encoder(matrix),
                Op::Linear { .. } => Linear::for_dense_rows(matrix),
                _ => Linear::for_sparse_rows(matrix),
            };
            Site { id, weight, bias }
        };
        let layers = ops.zip(layers).enumerate().map(site).collect();
        let norms = norms(&graph, &vectors);
        let positions = positions::of(&graph, &vectors);
        let (outputs, is_linear) = (graph.outputs(), program.is_one_product());
        Self { graph, layers, norms, positions, program, with_layers, fused, is_linear, outputs }
    }

    /// Bytes of the weights, biases and vectors in memory.
    pub(crate) fn resident_bytes(&self) -> usize {
        let layers = self.layers.iter().map(|l| l.weight.resident_bytes() + 4 * l.bias.len());
        let norms = self.norms.iter().map(|n| 4 * (n.gain.values.len() + n.bias.values.len()));
        layers.chain(norms).chain(self.positions.iter().map(Positions::bytes)).sum()
    }

    /// Layers that run as one kernel.
    pub(crate) fn fused_layers(&self) -> usize {
        self.fused.len()
    }

    /// A layer that runs as one kernel, with its numbers.
    fn encoder_layer(&self, span: &Span) -> EncoderLayer<'_> {
        let site = |n: usize| {
            let site = &self.layers[span.sites[n]];
            Weighted { weight: &site.weight, bias: &site.bias }
        };
        let norm = |n: usize| {
            let Norm { gain, bias, epsilon } = &self.norms[span.norms[n]];
            kernels::Norm { gain: &gain.values, bias: &bias.values, epsilon: *epsilon }
        };
        EncoderLayer {
            query_key_value: [site(0), site(1), site(2)],
            output: site(3),
            attention_norm: norm(0),
            up: site(4),
            activation: span.activation,
            down: site(5),
            output_norm: norm(1),
            heads: span.heads.0,
            head_width: span.heads.1,
        }
    }

    /// The logits of one row; `out` has as many entries as the network has outputs.
    #[inline]
    pub(crate) fn logits(&self, columns: &[u32], values: &[f32], out: &mut [f32], scratch: &mut Activations) {
        if self.is_linear {
            let layer = &self.layers[0];
            let row = Input::Sparse { columns, values };
            return layer.weight.multiply(row, &layer.bias, out, &mut scratch.room.products);
        }
        if let Source::Bag { tokens: most, .. } = self.graph.source {
            scratch.tokens.read_bag(Row { columns, values }, most);
            return self.run_tokens(out, scratch);
        }
        let features = Batch::Sparse { offsets: &[0, columns.len()], columns, values };
        self.run_features(features, 1, out, scratch);
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
        if self.is_linear {
            let layer = &self.layers[0];
            return layer.weight.multiply_rows(features, &layer.bias, out, &mut scratch.room.products);
        }
        self.run_features(features, range.len(), out, scratch);
    }

    /// What the network makes of texts, `[texts, outputs]`; each is a text that it takes.
    pub(crate) fn outputs_of<'t>(
        &self,
        texts: impl Iterator<Item = TokenRow<'t>>,
        out: &mut [f32],
        scratch: &mut Activations,
    ) {
        scratch.tokens.read_texts(texts);
        self.run_tokens(out, scratch);
    }

    fn run_features(&self, features: Batch<'_>, rows: usize, out: &mut [f32], scratch: &mut Activations) {
        let Activations { buffers, room, tokens } = scratch;
        tokens.clear();
        let mut floats = Floats { network: self, features, tokens, room };
        self.served().run(&mut floats, Counts { rows, tokens: 0 }, out, buffers);
    }

    fn run_tokens(&self, out: &mut [f32], scratch: &mut Activations) {
        let Activations { buffers, room, tokens } = scratch;
        let counts = Counts { rows: tokens.examples(), tokens: tokens.ids.len() };
        let features = Batch::Sparse { offsets: &[0], columns: &[], values: &[] };
        let mut floats = Floats { network: self, features, tokens, room };
        self.served().run(&mut floats, counts, out, buffers);
    }

    /// The program by which it is served.
    fn served(&self) -> &Program {
        self.with_layers.as_ref().unwrap_or(&self.program)
    }
}

/// The normalisations of a graph with their vectors, which are all there; zeros for a bias that is none.
fn norms(graph: &Graph, vectors: &[Vector]) -> Vec<Norm> {
    let mut norms = Vec::new();
    for node in &graph.nodes {
        let Op::LayerNorm { param, epsilon, .. } = &node.op else { continue };
        let own = node.op.vectors();
        let mut own = own.iter().filter_map(|id| vectors.iter().find(|vector| vector.id == *id)).cloned();
        let Some(gain) = own.next() else { continue };
        let zeros = || Vector { id: param.clone(), values: vec![0.0; gain.values.len()] };
        let bias = own.next().unwrap_or_else(zeros);
        norms.push(Norm { gain, bias, epsilon: *epsilon });
    }
    norms
}

/// The operations in floats, on what goes in.
struct Floats<'a> {
    network: &'a Network,
    features: Batch<'a>,
    tokens: &'a Tokens,
    room: &'a mut Room,
}

impl Kernels for Floats<'_> {
    type Number = f32;

    #[inline]
    fn features(&mut self, site: usize, out: &mut [f32]) {
        let layer = &self.network.layers[site];
        layer.weight.multiply_rows(self.features, &layer.bias, out, &mut self.room.products);
    }

    fn embed(&mut self, site: usize, by: Key, out: &mut [f32]) {
        let layer = &self.network.layers[site];
        for (out, key) in out.chunks_exact_mut(layer.bias.len()).zip(self.tokens.keys(by)) {
            let input = Input::Sparse { columns: &[key], values: &[1.0] };
            layer.weight.multiply(input, &layer.bias, out, &mut self.room.products);
        }
    }

    #[inline]
    fn linear(&mut self, site: usize, input: &[f32], out: &mut [f32]) {
        let layer = &self.network.layers[site];
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

    fn layer_norm(&mut self, norm: usize, _width: usize, rows: &mut [f32]) {
        let Norm { gain, bias, epsilon } = &self.network.norms[norm];
        functions::layer_norm(rows, &gain.values, &bias.values, *epsilon);
    }

    #[inline]
    fn activate(&mut self, activation: Activation, values: &mut [f32]) {
        match activation {
            Activation::Relu => values.iter_mut().for_each(|x| *x = x.max(0.0)),
            Activation::Gelu => functions::gelu(values),
            Activation::Tanh => functions::tanh(values),
        }
    }

    fn attend(
        &mut self,
        attention: usize,
        heads: (usize, usize),
        [query, key, value]: [&[f32]; 3],
        out: &mut [f32],
    ) {
        let positions = &self.network.positions[attention];
        let stride = heads.0 * heads.1;
        let is_bag = matches!(self.network.graph.source, Source::Bag { .. });
        for range in self.tokens.ranges() {
            let own = stride * range.start..stride * range.end;
            let (from, out) = ([&query[own.clone()], &key[own.clone()], &value[own.clone()]], &mut out[own]);
            if is_bag {
                attention::attend_in_order(heads, from, out, &mut self.room.heads);
            } else {
                attention::attend(heads, positions, from, out, &mut self.room.heads);
            }
        }
    }

    fn add(&mut self, sums: &mut [f32], more: &[f32]) {
        sums.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
    }

    fn multiply(&mut self, products: &mut [f32], by: &[f32]) {
        products.iter_mut().zip(by).for_each(|(product, x)| *product *= x);
    }

    fn pool(&mut self, pooling: Pooling, width: usize, tokens: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        for (range, out) in self.tokens.ranges().zip(out.chunks_exact_mut(width)) {
            let rows = tokens[width * range.start..width * range.end].chunks_exact(width);
            let mut add = |token: &[f32], weight: f32| {
                out.iter_mut().zip(token).for_each(|(sum, x)| *sum += weight * x);
            };
            match pooling {
                Pooling::WeightedSum => rows.zip(&self.tokens.weights[range]).for_each(|(x, w)| add(x, *w)),
                Pooling::First => rows.take(1).for_each(|x| add(x, 1.0)),
                Pooling::Mean => {
                    let share = 1.0 / rows.len().max(1) as f32;
                    rows.for_each(|x| add(x, 1.0));
                    out.iter_mut().for_each(|sum| *sum *= share);
                }
            }
        }
    }

    fn normalize(&mut self, width: usize, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(width) {
            let length = row.iter().map(|x| x * x).sum::<f32>().max(1e-24).sqrt();
            row.iter_mut().for_each(|x| *x /= length);
        }
    }

    fn layer(&mut self, layer: usize, states: &mut [f32]) {
        let layer = self.network.encoder_layer(&self.network.fused[layer]);
        let Room { layer: room, crew, .. } = &mut *self.room;
        EncoderLayer::run(&[layer], layer.width(), states, self.tokens.ends(), room, crew.as_deref());
    }
}
