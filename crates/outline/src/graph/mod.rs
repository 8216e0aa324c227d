//! A network as a value: operations in the order in which they run.
//!
//! Shapes are written once: an operation says how many numbers it makes, and what it reads follows from the nodes that
//! it reads from. Everything else that one asks of a network (its sites, the units that can be removed together, its
//! blocks, its multiply-accumulates) is derived from this dataflow, so that no other code asks which family of networks
//! it has before it.

mod build;
mod check;
mod edit;
mod flow;
mod groups;
mod written;

use serde::{Deserialize, Serialize};

use crate::{Shape, SiteId};
pub use build::Builder;
pub use flow::{Per, Value};

/// Added to the variance by [`Op::Norm`], so that numbers which are all the same stay finite.
pub const NORM_EPSILON: f32 = 1e-5;

/// A network without its numbers: a dataflow graph whose nodes are in topological order.
///
/// The value of the last node is the network's result: one row of logits for each example.
///
/// Written down, a node that reads the one before it, and no other, does not say so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "written::Graph", into = "written::Graph")]
pub struct Graph {
    /// What goes in.
    pub source: Source,
    /// The operations; each reads from earlier ones only.
    pub nodes: Vec<Node>,
}

/// What goes into a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A feature row, read by [`Op::Features`].
    Features {
        /// Features of a row.
        width: usize,
    },
    /// The non-zero features of a row as a set of tokens, each with its value as weight, read by [`Op::Embed`].
    Bag {
        /// Features of a row.
        width: usize,
        /// Most tokens of a row: those of the largest value, the first among equals.
        tokens: usize,
    },
}

/// One operation, and the nodes that it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// Numbers of the nodes that it reads, as many as its operation takes; each is less than its own.
    pub from: Vec<usize>,
}

/// An operation. Widths are counts of numbers of a row or a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// The feature row times the weight of a site, plus its bias; reads [`Source::Features`].
    Features {
        /// The site.
        site: SiteId,
        /// Numbers that it makes.
        outputs: usize,
    },
    /// For every token its row of a site's table, plus the site's bias; reads [`Source::Bag`].
    Embed {
        /// The site.
        site: SiteId,
        /// Numbers that it makes.
        outputs: usize,
    },
    /// The value times the weight of a site, plus its bias.
    Linear {
        /// The site.
        site: SiteId,
        /// Numbers that it makes.
        outputs: usize,
    },
    /// Every row or token to mean 0 and variance 1 (Ba et al. 2016, arXiv:1607.06450, without gain and bias); with
    /// [`NORM_EPSILON`].
    Norm,
    /// A non-linearity of each number.
    Activate(Activation),
    /// Scaled dot-product attention of several heads (Vaswani et al. 2017, arXiv:1706.03762) among the tokens of an
    /// example; reads query, key and value, each `heads · head_width` wide.
    Attend {
        /// Heads.
        heads: usize,
        /// Numbers of a token in one head.
        head_width: usize,
    },
    /// The sum of two values of one shape.
    Add,
    /// Numbers switched off at random while training (Srivastava et al. 2014); nothing otherwise.
    Dropout {
        /// Share that is switched off, in `[0, 1)`.
        rate: f64,
    },
    /// One row from the tokens of an example.
    Pool(Pooling),
}

/// A non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
}

/// How the tokens of an example become one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their sum, each times its weight in the bag.
    WeightedSum,
}

impl Op {
    /// The site whose numbers it uses.
    pub fn site(&self) -> Option<&SiteId> {
        match self {
            Op::Features { site, .. } | Op::Embed { site, .. } | Op::Linear { site, .. } => Some(site),
            _ => None,
        }
    }

    fn site_mut(&mut self) -> Option<(&mut SiteId, &mut usize)> {
        match self {
            Op::Features { site, outputs } | Op::Embed { site, outputs } | Op::Linear { site, outputs } => {
                Some((site, outputs))
            }
            _ => None,
        }
    }

    /// How many nodes it reads.
    fn reads(&self) -> usize {
        match self {
            Op::Features { .. } | Op::Embed { .. } => 0,
            Op::Attend { .. } => 3,
            Op::Add => 2,
            _ => 1,
        }
    }
}

impl Graph {
    /// Features of a row that goes in.
    pub fn inputs(&self) -> usize {
        match self.source {
            Source::Features { width } | Source::Bag { width, .. } => width,
        }
    }

    /// Logits of a row that comes out.
    pub fn outputs(&self) -> usize {
        self.values().last().map_or(0, |value| value.width)
    }

    /// The sites with their shapes, in the order in which they run.
    pub fn sites(&self) -> Vec<(SiteId, Shape)> {
        let values = self.values();
        let shape = |node: &Node, outputs| {
            let inputs = node.from.first().map_or(self.inputs(), |from| values[*from].width);
            Shape { inputs, outputs }
        };
        self.nodes
            .iter()
            .zip(&values)
            .filter_map(|(node, value)| Some((node.op.site()?.clone(), shape(node, value.width))))
            .collect()
    }

    /// The number of the node that uses a site.
    pub fn node_of(&self, site: &SiteId) -> Option<usize> {
        self.nodes.iter().position(|node| node.op.site() == Some(site))
    }

    /// The site of which this one is the second factor: nothing lies between them, so that both are one weight as the
    /// product of two.
    pub fn first_factor(&self, site: &SiteId) -> Option<&SiteId> {
        let node = &self.nodes[self.node_of(site)?];
        self.nodes[*node.from.first()?].op.site()
    }

    /// The site whose outputs can be divided, each by a number above zero, so that the inputs of `site` are, and nothing
    /// else changes: only ReLUs, attention's weighted sum of values, or nothing lie between, and nobody else reads them.
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
                Op::Activate(Activation::Relu) | Op::Dropout { .. } => node.from[0],
                Op::Attend { .. } => node.from[2],
                _ => return None,
            };
        }
    }

    /// Multiply-accumulates of the products with weights and of attention, with every weight present, for an example of
    /// `tokens` tokens (non-zero features, for a network that reads feature rows).
    pub fn macs(&self, tokens: usize) -> usize {
        let values = self.values();
        let of = |(node, value): (&Node, &Value)| {
            let times = if value.per == Per::Token { tokens } else { 1 };
            match &node.op {
                Op::Features { outputs, .. } => tokens.saturating_mul(*outputs),
                Op::Linear { outputs, .. } => {
                    times.saturating_mul(values[node.from[0]].width).saturating_mul(*outputs)
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

    /// The block that the node of a site lies in, of [`blocks`](Graph::blocks).
    pub fn block_of(&self, site: &SiteId) -> Option<usize> {
        let node = self.node_of(site)?;
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

#[cfg(test)]
mod tests;
