//! A graph compiled for serving: a flat list of steps over a few buffers that are used again.
//!
//! What a step computes is left to [`Kernels`], floats or integers; this module decides in which order, from which
//! buffer and into which. Nothing is allocated in a run once the buffers have grown.

use bytemuck::Pod;
use nlpress_graph::{Activation, Graph, Key, Op, Per, Pooling};
use nlpress_kernels::Aligned;

use crate::layers::Span;

/// The steps of a network.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    steps: Vec<Step>,
    buffers: usize,
}

/// One step: what it does, what it reads, and where its value goes.
#[derive(Clone, Debug)]
struct Step {
    act: Act,
    from: Vec<Place>,
    to: Place,
    /// Whether nothing but the first value that it reads lies in its buffer, to be changed where it is.
    in_place: bool,
}

/// What a step does. Sites, normalisations with vectors and attentions are counted in the order in which the graph runs
/// them.
#[derive(Clone, Copy, Debug)]
enum Act {
    Features {
        site: usize,
    },
    Embed {
        site: usize,
        by: Key,
    },
    Linear {
        site: usize,
    },
    Norm,
    LayerNorm {
        norm: usize,
    },
    Activate(Activation),
    Attend {
        attention: usize,
        heads: usize,
        head_width: usize,
    },
    Add,
    Multiply,
    Pool(Pooling),
    Normalize,
    /// A whole layer of an encoder, counted as those that are run so.
    Layer(usize),
}

impl Act {
    /// Whether it changes the first value that it reads, which its own begins as.
    fn changes(self) -> bool {
        matches!(
            self,
            Act::Norm
                | Act::LayerNorm { .. }
                | Act::Activate(_)
                | Act::Add
                | Act::Multiply
                | Act::Normalize
                | Act::Layer(_)
        )
    }
}

/// Where a value lies and how long it is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The buffer; none for the network's result.
    buffer: Option<usize>,
    width: usize,
    per: Per,
}

/// The operations, on numbers of one kind. Values are `[rows, width]` or `[tokens, width]`, row by row.
pub(crate) trait Kernels {
    /// The numbers.
    type Number: Pod + Default;

    /// The product of a site with the feature rows.
    fn features(&mut self, site: usize, out: &mut [Self::Number]);
    /// For each token the row of a site's table that it looks up.
    fn embed(&mut self, site: usize, by: Key, out: &mut [Self::Number]);
    /// The product of a site with each row of `input`.
    fn linear(&mut self, site: usize, input: &[Self::Number], out: &mut [Self::Number]);
    /// Each row of `out` to mean 0 and variance 1.
    fn norm(&mut self, width: usize, rows: &mut [Self::Number]);
    /// The same, times the gain of a normalisation, plus its bias.
    fn layer_norm(&mut self, norm: usize, width: usize, rows: &mut [Self::Number]);
    /// A non-linearity of each number.
    fn activate(&mut self, activation: Activation, values: &mut [Self::Number]);
    /// Multi-head attention number `attention` among the tokens of each example, from query, key and value.
    fn attend(
        &mut self,
        attention: usize,
        heads: (usize, usize),
        query_key_value: [&[Self::Number]; 3],
        out: &mut [Self::Number],
    );
    /// Adds to each number another.
    fn add(&mut self, sums: &mut [Self::Number], more: &[Self::Number]);
    /// Multiplies each number by another.
    fn multiply(&mut self, products: &mut [Self::Number], by: &[Self::Number]);
    /// One row from the tokens of each example.
    fn pool(&mut self, pooling: Pooling, width: usize, tokens: &[Self::Number], out: &mut [Self::Number]);
    /// Each row to Euclidean length 1.
    fn normalize(&mut self, width: usize, rows: &mut [Self::Number]);
    /// A whole layer of the tokens' states. Only programs that were made [with layers](Program::with_layers) have any.
    fn layer(&mut self, layer: usize, states: &mut [Self::Number]) {
        let _ = (layer, states);
        unreachable!("a program without layers");
    }
}

/// How many values there are of each kind in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) rows: usize,
    pub(crate) tokens: usize,
}

impl Counts {
    fn length(self, place: Place) -> usize {
        place.width * if place.per == Per::Token { self.tokens } else { self.rows }
    }
}

impl Program {
    /// The program of a graph that has been checked.
    pub(crate) fn of(graph: &Graph) -> Self {
        Self::with_layers(graph, &[])
    }

    /// The same, with one step for each of these layers in place of its operations.
    pub(crate) fn with_layers(graph: &Graph, layers: &[Span]) -> Self {
        let values = graph.values();
        let mut compiler = Compiler::new(graph);
        let mut steps = Vec::new();
        let (mut site, mut norm, mut attention) = (0, 0, 0);
        for (n, node) in graph.nodes.iter().enumerate() {
            let act = match &node.op {
                Op::Features { .. } => Act::Features { site },
                Op::Embed { by, .. } => Act::Embed { site, by: *by },
                Op::Linear { .. } => Act::Linear { site },
                Op::Norm => Act::Norm,
                Op::LayerNorm { .. } => Act::LayerNorm { norm },
                Op::Activate(activation) => Act::Activate(*activation),
                Op::Attend { heads, head_width, .. } => {
                    Act::Attend { attention, heads: *heads, head_width: *head_width }
                }
                Op::Add => Act::Add,
                Op::Multiply => Act::Multiply,
                Op::Pool(pooling) => Act::Pool(*pooling),
                Op::Normalize => Act::Normalize,
                Op::Dropout { .. } => {
                    compiler.pass_on(n);
                    continue;
                }
            };
            site += usize::from(node.op.site().is_some());
            norm += usize::from(matches!(node.op, Op::LayerNorm { .. }));
            attention += usize::from(matches!(node.op, Op::Attend { .. }));
            let place = |buffer, of: usize| Place { buffer, width: values[of].width, per: values[of].per };
            let from: Vec<Place> =
                node.from.iter().map(|from| place(compiler.buffer[*from], *from)).collect();
            let (buffer, in_place) = compiler.target(n, act.changes());
            let to = place(buffer, n);
            match layers.iter().position(|layer| (layer.nodes.0..=layer.nodes.1).contains(&n)) {
                None => steps.push(Step { act, from, to, in_place }),
                Some(layer) if n == layers[layer].nodes.1 => {
                    let states = place(compiler.buffer[layers[layer].from], layers[layer].from);
                    let in_place = states.buffer == to.buffer;
                    steps.push(Step { act: Act::Layer(layer), from: vec![states], to, in_place });
                }
                Some(_) => {}
            }
        }
        Self { steps, buffers: compiler.count }
    }

    /// Whether it is nothing but the product of the first site with the feature rows.
    pub(crate) fn is_one_product(&self) -> bool {
        matches!(self.steps[..], [Step { act: Act::Features { .. }, .. }])
    }

    /// Runs all steps; the result goes into `out`.
    #[inline]
    pub(crate) fn run<K: Kernels>(
        &self,
        kernels: &mut K,
        counts: Counts,
        out: &mut [K::Number],
        buffers: &mut Vec<Aligned<K::Number>>,
    ) {
        if buffers.len() < self.buffers {
            buffers.resize_with(self.buffers, Aligned::new);
        }
        for step in &self.steps {
            match step.to.buffer {
                None => step.run(kernels, counts, out, buffers),
                Some(buffer) => {
                    let mut made = std::mem::take(&mut buffers[buffer]);
                    step.run(kernels, counts, made.room(counts.length(step.to)), buffers);
                    buffers[buffer] = made;
                }
            }
        }
    }
}

impl Step {
    #[inline]
    fn run<K: Kernels>(
        &self,
        kernels: &mut K,
        counts: Counts,
        out: &mut [K::Number],
        buffers: &[Aligned<K::Number>],
    ) {
        let read = |i: usize| -> &[K::Number] {
            let place = self.from[i];
            place.buffer.map_or(&[], |buffer| &buffers[buffer][..counts.length(place)])
        };
        if self.act.changes() && !self.in_place {
            out.copy_from_slice(read(0));
        }
        match self.act {
            Act::Features { site } => kernels.features(site, out),
            Act::Embed { site, by } => kernels.embed(site, by, out),
            Act::Linear { site } => kernels.linear(site, read(0), out),
            Act::Norm => kernels.norm(self.to.width, out),
            Act::LayerNorm { norm } => kernels.layer_norm(norm, self.to.width, out),
            Act::Activate(activation) => kernels.activate(activation, out),
            Act::Attend { attention, heads, head_width } => {
                kernels.attend(attention, (heads, head_width), [read(0), read(1), read(2)], out);
            }
            Act::Add => kernels.add(out, read(1)),
            Act::Multiply => kernels.multiply(out, read(1)),
            Act::Pool(pooling) => kernels.pool(pooling, self.to.width, read(0), out),
            Act::Normalize => kernels.normalize(self.to.width, out),
            Act::Layer(layer) => kernels.layer(layer, out),
        }
    }
}

/// Which buffers hold values that are still to be read.
struct Compiler<'g> {
    graph: &'g Graph,
    /// The buffer of each node so far.
    buffer: Vec<Option<usize>>,
    /// The last node that reads each node's value, also through nodes that only pass it on.
    last_reader: Vec<usize>,
    /// The node whose value lies in each buffer; none where it is free.
    holds: Vec<Option<usize>>,
    count: usize,
}

impl<'g> Compiler<'g> {
    fn new(graph: &'g Graph) -> Self {
        let mut last_reader = graph.last_readers();
        for (n, node) in graph.nodes.iter().enumerate().rev() {
            if matches!(node.op, Op::Dropout { .. }) {
                last_reader[node.from[0]] = last_reader[node.from[0]].max(last_reader[n]);
            }
        }
        Self { graph, buffer: Vec::new(), last_reader, holds: Vec::new(), count: 0 }
    }

    /// Node `n` is the value that it reads.
    fn pass_on(&mut self, n: usize) {
        let buffer = self.buffer[self.graph.nodes[n].from[0]];
        self.buffer.push(buffer);
    }

    /// Where node `n` puts its value, and whether that is where the first value that it reads lies.
    fn target(&mut self, n: usize, changes: bool) -> (Option<usize>, bool) {
        let is_result = self.last_reader[n] == n;
        let first = self.graph.nodes[n].from.first().and_then(|from| self.buffer[*from]);
        let free = |holds: &Option<usize>| holds.is_none_or(|node| self.last_reader[node] < n);
        let in_place = first.filter(|buffer| {
            let last = self.holds[*buffer].is_some_and(|node| self.last_reader[node] == n);
            changes && !is_result && last && !self.also_reads(n, *buffer)
        });
        let buffer = if is_result {
            None
        } else {
            in_place.or_else(|| self.holds.iter().position(free)).or_else(|| {
                self.holds.push(None);
                Some(self.holds.len() - 1)
            })
        };
        if let Some(buffer) = buffer {
            self.holds[buffer] = Some(n);
        }
        self.count = self.holds.len();
        self.buffer.push(buffer);
        (buffer, in_place.is_some())
    }

    /// Whether node `n` reads a buffer not only as its first value.
    fn also_reads(&self, n: usize, buffer: usize) -> bool {
        self.graph.nodes[n].from.iter().skip(1).any(|from| self.buffer[*from] == Some(buffer))
    }
}
