//! What flows along the edges of a graph.

use super::node::{Graph, Op};

/// Whether there is one value for each example, or one for each of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// One for each example.
    Example,
    /// One for each token.
    Token,
}

/// The shape of what a node makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// How many there are.
    pub per: Per,
    /// Numbers of each.
    pub width: usize,
}

impl Graph {
    /// What every node makes. A graph that has not passed [`check`](Graph::check) may get nonsense, but no panic.
    pub fn values(&self) -> Vec<Value> {
        let mut values: Vec<Value> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let read = node.from.first().and_then(|from| values.get(*from)).copied();
            let read = read.unwrap_or(Value { per: Per::Example, width: 0 });
            values.push(match &node.op {
                Op::Features { outputs, .. } => Value { per: Per::Example, width: *outputs },
                Op::Embed { outputs, .. } => Value { per: Per::Token, width: *outputs },
                Op::Linear { outputs, .. } => Value { width: *outputs, ..read },
                Op::Pool(_) => Value { per: Per::Example, ..read },
                Op::Norm
                | Op::LayerNorm { .. }
                | Op::Activate(_)
                | Op::Attend { .. }
                | Op::Add
                | Op::Multiply
                | Op::Dropout { .. }
                | Op::Normalize => read,
            });
        }
        values
    }

    /// The last node that reads each node; itself where none does.
    pub fn last_readers(&self) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.nodes.len()).collect();
        for (n, node) in self.nodes.iter().enumerate() {
            node.from.iter().for_each(|from| last[*from] = n);
        }
        last
    }

    /// The nodes whose value is all that later nodes know of earlier ones, so that the network can be cut behind them.
    pub fn cuts(&self) -> Vec<usize> {
        let last = self.last_readers();
        let mut open_until = 0;
        let mut cuts = Vec::new();
        for (n, last) in last.iter().enumerate() {
            // `open_until` is about the nodes before this one.
            if open_until <= n {
                cuts.push(n);
            }
            open_until = open_until.max(*last);
        }
        cuts
    }
}
