//! A graph as it is written down: with the edges that do not go without saying.

use serde::{Deserialize, Serialize};

use super::{Op, Source};
use crate::spec::MOST_LISTED;

/// As [`super::Graph`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Graph {
    source: Source,
    #[serde(deserialize_with = "nlpress_core::bounded::list::<_, _, MOST_LISTED>")]
    nodes: Vec<Node>,
}

/// As [`super::Node`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    op: Op,
    /// None for the node before, where the operation reads one.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "nlpress_core::bounded::list::<_, _, 8>"
    )]
    from: Vec<usize>,
}

impl From<Graph> for super::Graph {
    fn from(graph: Graph) -> Self {
        let node = |(n, Node { op, from }): (usize, Node)| {
            let from = if from.is_empty() && op.reads() == 1 {
                n.checked_sub(1).into_iter().collect()
            } else {
                from
            };
            super::Node { op, from }
        };
        Self { source: graph.source, nodes: graph.nodes.into_iter().enumerate().map(node).collect() }
    }
}

impl From<super::Graph> for Graph {
    fn from(graph: super::Graph) -> Self {
        let node = |(n, super::Node { op, from }): (usize, super::Node)| {
            let follows = op.reads() == 1 && n > 0 && from == [n - 1];
            Node { op, from: if follows { Vec::new() } else { from } }
        };
        Self { source: graph.source, nodes: graph.nodes.into_iter().enumerate().map(node).collect() }
    }
}
