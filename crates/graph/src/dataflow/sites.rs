//! What can be asked of a graph: its sites, what can be folded where, its multiply-accumulates.

use super::flow::{Per, Value};
use super::node::{Activation, Graph, Node, Op, Output, Pooling, Source};
use crate::site::SiteId;

impl Graph {
    /// Features of a row that goes in, or the size of the vocabulary of tokens.
    pub fn inputs(&self) -> usize {
        match self.source {
            Source::Features { width } | Source::Bag { width, .. } => width,
            Source::Tokens { vocabulary, .. } => vocabulary,
        }
    }

    /// Numbers of an example that come out: logits, or those of an embedding.
    pub fn outputs(&self) -> usize {
        self.values().last().map_or(0, |value| value.width)
    }

    /// The classes that its logits tell apart: two for one logit; none where it makes embeddings or scores.
    pub fn classes(&self) -> Option<usize> {
        match (self.output, self.outputs()) {
            (Output::Embedding | Output::Scores, _) => None,
            (Output::Logits, 1) => Some(2),
            (Output::Logits, outputs) => Some(outputs),
        }
    }

    /// The site of which this one is the second factor: nothing lies between them and nobody else reads the first, so that
    /// both are one weight as the product of two.
    pub fn first_factor(&self, site: &SiteId) -> Option<&SiteId> {
        let first = *self.nodes[self.node_of(site)?].from.first()?;
        let is_shared =
            self.nodes.iter().flat_map(|node| &node.from).filter(|from| **from == first).count() > 1;
        self.nodes[first].op.site().filter(|_| !is_shared)
    }

    /// The site whose outputs can be divided, each by a number above zero, so that the inputs of `site` are, and nothing
    /// else changes: only ReLUs, attention's weighted sum of values, pools, or nothing lie between, and nobody else reads
    /// them.
    pub fn fold_target(&self, site: &SiteId) -> Option<&SiteId> {
        let readers = self.readers();
        let mut at = *self.nodes[self.node_of(site)?].from.first()?;
        loop {
            if readers[at].len() != 1 {
                return None;
            }
            let node = &self.nodes[at];
            at = match &node.op {
                Op::Linear { site, .. } | Op::Features { site, .. } | Op::Embed { site, .. } => {
                    return Some(site);
                }
                Op::Activate(Activation::Relu) | Op::Dropout { .. } | Op::Pool(_) => node.from[0],
                Op::Attend { .. } => node.from[2],
                _ => return None,
            };
        }
    }

    /// Multiply-accumulates of the products with weights and of attention, with every weight present, for an example of
    /// `tokens` tokens (non-zero features, for a network that reads feature rows).
    pub fn macs(&self, tokens: usize) -> usize {
        self.macs_of(tokens, |_, weights| weights)
    }

    /// The same with the weights that are kept: `kept` has how many of a site's, which has so many, are.
    pub fn macs_of(&self, tokens: usize, kept: impl Fn(&SiteId, usize) -> usize) -> usize {
        let values = self.values();
        let of = |(node, value): (&Node, &Value)| {
            let times = if value.per == Per::Token { tokens } else { 1 };
            match &node.op {
                Op::Features { outputs, .. } => tokens.saturating_mul(*outputs),
                Op::Linear { site, outputs, .. } => {
                    let weights = values[node.from[0]].width.saturating_mul(*outputs);
                    times.saturating_mul(kept(site, weights))
                }
                Op::Attend { .. } => {
                    2_usize.saturating_mul(tokens).saturating_mul(tokens).saturating_mul(value.width)
                }
                Op::Pool(Pooling::WeightedSum) => tokens.saturating_mul(value.width),
                _ => 0,
            }
        };
        self.nodes.iter().zip(&values).map(of).fold(0, usize::saturating_add)
    }

    /// Whether it is a chain of layers on feature rows: every node reads the one before it, and no other.
    pub fn is_chain(&self) -> bool {
        let follows = |(n, node): (usize, &Node)| n == 0 || node.from == [n - 1];
        matches!(self.source, Source::Features { .. }) && self.nodes.iter().enumerate().all(follows)
    }

    /// The layer that a site or a vector belongs to, of [`blocks`](Graph::blocks); none of what several share.
    pub fn block_of(&self, param: &SiteId) -> Option<usize> {
        let is_its = |n: &usize| self.nodes[*n].op.params().any(|name| name == *param);
        let mut nodes = (0..self.nodes.len()).filter(is_its);
        let node = nodes.next()?;
        if nodes.next().is_some() {
            return None; // layers share it
        }
        self.blocks().iter().position(|block| (block.start + 1..=block.end).contains(&node))
    }

    /// The nodes that read each node.
    pub fn readers(&self) -> Vec<Vec<usize>> {
        let mut readers = vec![Vec::new(); self.nodes.len()];
        for (n, node) in self.nodes.iter().enumerate() {
            node.from.iter().for_each(|from| readers[*from].push(n));
        }
        readers
    }

    /// The largest rate of its dropouts; 0 for none.
    pub fn dropout(&self) -> f64 {
        let rate = |node: &Node| if let Op::Dropout { rate } = node.op { rate } else { 0.0 };
        self.nodes.iter().map(rate).fold(0.0, f64::max)
    }
}
