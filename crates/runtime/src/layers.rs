//! The layers of an encoder that one kernel can run: found in the graph by what their operations read.
//!
//! A layer is taken whole or not at all. Where anything in it is another operation than a post-norm layer has, or is read
//! from elsewhere, or a weight does not lie in panels, or some are floats and others not, its operations run one by one.

use nlpress_artifact::Layer;
use nlpress_graph::{Activation, Graph, Op, PositionScheme};
use nlpress_kernels::{self as kernels, EncoderLayer, Linear};

/// A layer: its nodes, and the sites and normalisations of its operations, counted as the graph runs them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    /// The node that it reads.
    pub(crate) from: usize,
    /// Its first and its last node.
    pub(crate) nodes: (usize, usize),
    /// Query, key, value, output, up, down.
    pub(crate) sites: [usize; 6],
    pub(crate) norms: [usize; 2],
    /// Heads, and numbers of each.
    pub(crate) heads: (usize, usize),
    pub(crate) activation: kernels::Activation,
}

/// The layers of a graph that one kernel can run with such weights.
pub(crate) fn find(graph: &Graph, layers: &[Layer]) -> Vec<Span> {
    let fits = |span: &Span| {
        let mut numbers = span
            .sites
            .iter()
            .map(|&site| layers.get(site).and_then(|of| Linear::encoder_numbers(&of.matrix)));
        let first = numbers.next().flatten();
        EncoderLayer::HEAD_WIDTHS.contains(&span.heads.1) && first.is_some() && numbers.all(|of| of == first)
    };
    if !EncoderLayer::is_fast() {
        return Vec::new();
    }
    let mut found: Vec<Span> = Vec::new();
    for first in 0..graph.nodes.len() {
        let free = found.last().is_none_or(|span| span.nodes.1 < first);
        if let Some(span) = Reader::new(graph, first).layer().filter(|span| free && fits(span)) {
            found.push(span);
        }
    }
    found
}

/// Reads the nodes of a graph in order, those that pass their value on left out.
struct Reader<'g> {
    graph: &'g Graph,
    first: usize,
    at: usize,
    sites: Vec<usize>,
    norms: Vec<usize>,
}

impl<'g> Reader<'g> {
    fn new(graph: &'g Graph, first: usize) -> Self {
        Self { graph, first, at: first, sites: Vec::new(), norms: Vec::new() }
    }

    /// The next node, if its operation is what is looked for; remembers its site or normalisation.
    fn next(&mut self, is: impl Fn(&Op) -> bool) -> Option<usize> {
        while matches!(self.graph.nodes.get(self.at)?.op, Op::Dropout { .. }) && self.at > self.first {
            self.at += 1;
        }
        let n = self.at;
        let op = &self.graph.nodes[n].op;
        if !is(op) {
            return None;
        }
        let before = || self.graph.nodes[..n].iter().map(|node| &node.op);
        if op.site().is_some() {
            self.sites.push(before().filter(|op| op.site().is_some()).count());
        }
        if matches!(op, Op::LayerNorm { .. }) {
            self.norms.push(before().filter(|op| matches!(op, Op::LayerNorm { .. })).count());
        }
        self.at += 1;
        Some(n)
    }

    /// What a node reads, without those that only pass it on.
    fn reads(&self, n: usize) -> Vec<usize> {
        let through = |mut from: usize| {
            while matches!(self.graph.nodes[from].op, Op::Dropout { .. }) {
                from = self.graph.nodes[from].from[0];
            }
            from
        };
        self.graph.nodes[n].from.iter().map(|from| through(*from)).collect()
    }

    /// The next node, a product, of the value of `from`.
    fn linear(&mut self, from: usize) -> Option<usize> {
        let n = self.next(|op| matches!(op, Op::Linear { .. }))?;
        (self.reads(n) == [from]).then_some(n)
    }

    /// The two next nodes: the sum of two values, normalised.
    fn add_and_normalize(&mut self, a: usize, b: usize) -> Option<usize> {
        let sum = self.next(|op| matches!(op, Op::Add))?;
        let reads = self.reads(sum);
        if reads != [a, b] && reads != [b, a] {
            return None;
        }
        let norm = self.next(|op| matches!(op, Op::LayerNorm { .. }))?;
        (self.reads(norm) == [sum]).then_some(norm)
    }

    fn layer(mut self) -> Option<Span> {
        let query = self.next(|op| matches!(op, Op::Linear { .. }))?;
        let [from] = self.reads(query)[..] else { return None };
        let (key, value) = (self.linear(from)?, self.linear(from)?);
        let attend = self.next(|op| matches!(op, Op::Attend { .. }))?;
        // All fields are named: attention with more to it is another operation.
        let Op::Attend { heads, head_width, ref positions } = self.graph.nodes[attend].op else {
            return None;
        };
        if *positions != PositionScheme::default() {
            return None;
        }
        if self.reads(attend) != [query, key, value] {
            return None;
        }
        let output = self.linear(attend)?;
        let middle = self.add_and_normalize(from, output)?;
        let up = self.linear(middle)?;
        let activate = self.next(|op| matches!(op, Op::Activate(_)))?;
        let activation = match self.graph.nodes[activate].op {
            Op::Activate(Activation::Gelu) => kernels::Activation::Gelu,
            Op::Activate(Activation::Relu) => kernels::Activation::Relu,
            _ => return None,
        };
        if self.reads(activate) != [up] {
            return None;
        }
        let down = self.linear(activate)?;
        let last = self.add_and_normalize(middle, down)?;
        let readers = self.graph.last_readers();
        let inner = (self.first..last).all(|n| readers[n] <= last);
        let (sites, norms) = (self.sites.try_into().ok()?, self.norms.try_into().ok()?);
        let span =
            Span { from, nodes: (self.first, last), sites, norms, heads: (heads, head_width), activation };
        inner.then_some(span)
    }
}
