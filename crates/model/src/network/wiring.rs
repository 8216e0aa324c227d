//! What a pass needs to know of a graph, read off it once.

use nlpress_graph::{Activation, Graph, Key, Op, Source, Value};

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
    /// The vectors of each node: of a normalisation its gain, and its bias where it has one; of attention its bias by
    /// distance, which several may share.
    pub(super) vectors_of: Vec<Vec<usize>>,
    /// For each dropout the site before it, and how many dropouts there are between the two.
    pub(super) dropout_of: Vec<(usize, usize)>,
    /// Where a pass over the whole network starts, and which nodes are computed before it does.
    pub(super) leaves: Vec<Leaf>,
    pub(super) is_plain: Vec<bool>,
    /// Sites that are tables.
    pub(super) is_table: Vec<bool>,
    /// For each site whose only reader is a non-linearity, that.
    pub(super) activation_of: Vec<Option<Activation>>,
    /// For each attention whose query, key and value are made of one value and nothing else reads them: the node of that
    /// value, and the three sites.
    pub(super) projection_of: Vec<Option<(usize, [usize; 3])>>,
    /// For each node that makes one of these, the attention.
    pub(super) projected_at: Vec<Option<usize>>,
    /// Types of tokens that every table of types knows.
    pub(super) types: usize,
}

impl Wiring {
    pub(super) fn of(graph: &Graph) -> Self {
        let mut nodes = Vec::new();
        let (mut site_of, mut vectors_of, mut dropout_of) = (Vec::new(), Vec::new(), Vec::new());
        let vectors = graph.vectors();
        let (mut dropouts, mut types) = (0, usize::MAX);
        for (n, node) in graph.nodes.iter().enumerate() {
            let has_site = node.op.site().is_some();
            site_of.push(has_site.then_some(nodes.len()));
            if has_site {
                nodes.push(n);
                dropouts = 0;
            }
            let own = node.op.vectors();
            let number = |id| vectors.iter().position(|(of, _)| of == id);
            vectors_of.push(own.iter().filter_map(number).collect());
            dropout_of.push((nodes.len().saturating_sub(1), dropouts));
            dropouts += usize::from(matches!(node.op, Op::Dropout { .. }));
            if let Op::Embed { by: Key::Type { rows }, .. } = node.op {
                types = types.min(rows);
            }
        }
        let readers = graph.readers();
        let activation_of = (0..graph.nodes.len()).map(|n| activation_behind(graph, &readers, n)).collect();
        let projection_of: Vec<_> =
            (0..graph.nodes.len()).map(|n| projection(graph, &readers, &site_of, n)).collect();
        let mut projected_at = vec![None; graph.nodes.len()];
        for n in (0..graph.nodes.len()).filter(|n| projection_of[*n].is_some()) {
            graph.nodes[n].from.iter().for_each(|from| projected_at[*from] = Some(n));
        }
        let (leaves, is_plain) = leaves(graph, &site_of);
        let is_table = nodes.iter().map(|n| matches!(graph.nodes[*n].op, Op::Embed { .. })).collect();
        let (values, last_readers) = (graph.values(), graph.last_readers());
        Self {
            values,
            last_readers,
            nodes,
            site_of,
            vectors_of,
            dropout_of,
            leaves,
            is_plain,
            is_table,
            activation_of,
            projection_of,
            projected_at,
            types,
        }
    }

    /// The node that ends a pass over the first `sites` sites.
    pub(super) fn last(&self, sites: usize) -> usize {
        if sites == self.nodes.len() { self.values.len() - 1 } else { self.nodes[sites - 1] }
    }
}

/// The non-linearity that alone reads node `n`, a product with a site.
fn activation_behind(graph: &Graph, readers: &[Vec<usize>], n: usize) -> Option<Activation> {
    match (&graph.nodes[n].op, &readers[n][..]) {
        (Op::Linear { .. }, [reader]) => match graph.nodes[*reader].op {
            Op::Activate(activation) => Some(activation),
            _ => None,
        },
        _ => None,
    }
}

/// The node that query, key and value of the attention at node `n` are made of, and their sites.
fn projection(
    graph: &Graph,
    readers: &[Vec<usize>],
    site_of: &[Option<usize>],
    n: usize,
) -> Option<(usize, [usize; 3])> {
    let node = &graph.nodes[n];
    let (Op::Attend { positions, .. }, &[query, key, value]) = (&node.op, &node.from[..]) else {
        return None;
    };
    if !positions.is_none() {
        return None; // queries and keys are looked at between
    }
    let from = graph.nodes[query].from.first().copied()?;
    let is_own = |made: usize| {
        let is_product = matches!(graph.nodes[made].op, Op::Linear { .. });
        is_product && graph.nodes[made].from == [from] && readers[made] == [n]
    };
    let sites = [site_of[query]?, site_of[key]?, site_of[value]?];
    [query, key, value].into_iter().all(is_own).then_some((from, sites))
}

/// Whether a network starts from tokens, so that it runs as a whole.
pub(super) fn reads_tokens(graph: &Graph) -> bool {
    !matches!(graph.source, Source::Features { .. })
}
