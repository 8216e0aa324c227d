//! What a network can do without: its residual blocks, and its layers.

use std::ops::Range;

use super::flow::{Per, Value};
use super::node::{Graph, Node, Op};

/// A residual block `x → x + f(x)` of tokens, with the normalisation behind the sum where there is one (post-norm).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residual {
    /// From the node behind which it begins to the node that ends it: taken out, what comes behind the one goes on from
    /// the other.
    pub nodes: Range<usize>,
    /// Whether tokens attend to others in it; else it is a feed-forward block.
    pub attends: bool,
}

impl Graph {
    /// The residual blocks, in order.
    pub fn residuals(&self) -> Vec<Residual> {
        let (values, cuts) = (self.values(), self.cuts());
        let mut found: Vec<Residual> = Vec::new();
        for &end in &cuts {
            let node = &self.nodes[end];
            let start = node.from.iter().copied().find(|from| cuts.binary_search(from).is_ok());
            let (Op::Add, Some(start)) = (&node.op, start) else { continue };
            let inside = &self.nodes[start + 1..end];
            // A sum of tables adds nothing to what was there.
            let is_whole = inside.iter().all(|node| !node.from.is_empty());
            if values[end].per == Per::Token && values[start] == values[end] && is_whole {
                let attends = inside.iter().any(|node| matches!(node.op, Op::Attend { .. }));
                found.push(Residual { nodes: start..end, attends });
            }
        }
        for n in 0..found.len() {
            found[n].nodes.end = self.end_of(n, &found, &values);
        }
        found
    }

    /// Where the residual block number `n` ends, whose sum is known: behind what comes between it and the next one, if
    /// that has no site; the last one ends as the one before it does.
    fn end_of(&self, n: usize, found: &[Residual], values: &[Value]) -> usize {
        let sum = found[n].nodes.end;
        let Some(next) = found.get(n + 1) else {
            let behind = match n.checked_sub(1) {
                Some(before) => self.sum_within(&found[before].nodes)..found[before].nodes.end,
                None => return sum,
            };
            let same = |by: &usize| {
                let (a, b) = (self.nodes.get(behind.start + by), self.nodes.get(sum + by));
                let kind = |node: &Node| std::mem::discriminant(&node.op);
                a.map(kind) == b.map(kind) && b.is_some_and(|b| b.from == [sum + by - 1])
            };
            return sum + (1..=behind.len()).take_while(same).count();
        };
        let start = next.nodes.start;
        let between = self.nodes.get(sum + 1..=start).unwrap_or_default();
        let plain = between.iter().all(|node| node.op.site().is_none());
        if sum <= start && plain && values[start] == values[sum] { start } else { sum }
    }

    /// The last sum of a residual block.
    fn sum_within(&self, nodes: &Range<usize>) -> usize {
        let is_sum = |n: &usize| matches!(self.nodes[*n].op, Op::Add);
        (nodes.start + 1..=nodes.end).rev().find(is_sum).unwrap_or(nodes.end)
    }

    /// The layers, as ranges of nodes like those of [`residuals`](Graph::residuals): a block of attention with the
    /// feed-forward block behind it, or one of the two that is there alone.
    pub fn blocks(&self) -> Vec<Range<usize>> {
        let mut layers: Vec<Range<usize>> = Vec::new();
        let mut waits = false;
        for Residual { nodes, attends } in self.residuals() {
            match layers.last_mut() {
                Some(layer) if waits && !attends && layer.end == nodes.start => layer.end = nodes.end,
                _ => layers.push(nodes),
            }
            waits = attends;
        }
        layers
    }

    /// The network without one of its [`residuals`](Graph::residuals); none when it has no such block.
    pub fn without_residual(&self, n: usize) -> Option<Self> {
        let mut less = self.clone();
        less.cut_out(&self.residuals().get(n)?.nodes);
        Some(less)
    }
}
