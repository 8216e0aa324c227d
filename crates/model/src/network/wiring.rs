//! What a pass needs to know of a graph, read off it once.

use nlpress_graph::{Graph, Key, Op, Source, Value};

use super::leaves::{Leaf, leaves};

/// A graph's nodes, sites and vectors, and how they go together.
#[derive(Debug)]
pub(super) struct Wiring {
    /// What nodes make, and who reads each last.
    pub(super) values: Vec<Value>,
    pub(super) last_readers: Vec<usize>,
    /// The node of each site, and the site of each node.
    pub(super) nodes: Vec<usize>,
    pub(super) site_of: Vec<Option<usize>>,
    /// The gain of each normalisation that has one; its bias is the vector behind it.
    pub(super) gain_of: Vec<Option<usize>>,
    /// For each dropout the site before it, and how many dropouts there are between the two.
    pub(super) dropout_of: Vec<(usize, usize)>,
    /// Where a pass over the whole network starts, and which nodes are computed before it does.
    pub(super) leaves: Vec<Leaf>,
    pub(super) is_plain: Vec<bool>,
    /// Sites that are tables.
    pub(super) is_table: Vec<bool>,
    /// Types of tokens that every table of types knows.
    pub(super) types: usize,
}

impl Wiring {
    pub(super) fn of(graph: &Graph) -> Self {
        let mut nodes = Vec::new();
        let (mut site_of, mut gain_of, mut dropout_of) = (Vec::new(), Vec::new(), Vec::new());
        let (mut vectors, mut dropouts, mut types) = (0, 0, usize::MAX);
        for (n, node) in graph.nodes.iter().enumerate() {
            let has_site = node.op.site().is_some();
            site_of.push(has_site.then_some(nodes.len()));
            if has_site {
                nodes.push(n);
                dropouts = 0;
            }
            let has_vectors = matches!(node.op, Op::LayerNorm { .. });
            gain_of.push(has_vectors.then_some(vectors));
            vectors += if has_vectors { 2 } else { 0 };
            dropout_of.push((nodes.len().saturating_sub(1), dropouts));
            dropouts += usize::from(matches!(node.op, Op::Dropout { .. }));
            if let Op::Embed { by: Key::Type { rows }, .. } = node.op {
                types = types.min(rows);
            }
        }
        let (leaves, is_plain) = leaves(graph, &site_of);
        let is_table = nodes.iter().map(|n| matches!(graph.nodes[*n].op, Op::Embed { .. })).collect();
        let (values, last_readers) = (graph.values(), graph.last_readers());
        Self { values, last_readers, nodes, site_of, gain_of, dropout_of, leaves, is_plain, is_table, types }
    }

    /// The node that ends a pass over the first `sites` sites.
    pub(super) fn last(&self, sites: usize) -> usize {
        if sites == self.nodes.len() { self.values.len() - 1 } else { self.nodes[sites - 1] }
    }
}

/// Whether a network starts from tokens, so that it runs as a whole.
pub(super) fn reads_tokens(graph: &Graph) -> bool {
    !matches!(graph.source, Source::Features { .. })
}
