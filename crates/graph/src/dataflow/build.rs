//! Graphs, node by node.

use super::node::{Graph, Node, Op, Output, Source};

/// A graph that grows at its end.
#[derive(Debug, Default)]
pub struct Builder(Vec<Node>);

impl Builder {
    /// Adds a node that reads the given ones, and returns its number.
    pub fn add(&mut self, op: Op, from: &[usize]) -> usize {
        self.0.push(Node { op, from: from.to_vec() });
        self.0.len() - 1
    }

    /// Adds a node that reads the one added last, and returns its number.
    pub fn then(&mut self, op: Op) -> usize {
        let last = self.0.len().saturating_sub(1);
        self.add(op, &[last])
    }

    /// The graph; [`Graph::check`] tells whether it can be.
    pub fn graph(self, source: Source, output: Output) -> Graph {
        Graph { source, nodes: self.0, output }
    }
}
