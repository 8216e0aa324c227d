//! What a graph consists of.

use serde::{Deserialize, Serialize};

use crate::site::SiteId;

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

    pub(super) fn site_mut(&mut self) -> Option<(&mut SiteId, &mut usize)> {
        match self {
            Op::Features { site, outputs } | Op::Embed { site, outputs } | Op::Linear { site, outputs } => {
                Some((site, outputs))
            }
            _ => None,
        }
    }

    /// How many nodes it reads.
    pub(super) fn reads(&self) -> usize {
        match self {
            Op::Features { .. } | Op::Embed { .. } => 0,
            Op::Attend { .. } => 3,
            Op::Add => 2,
            _ => 1,
        }
    }
}

/// A graph as it is written down: with the edges that do not go without saying.
mod written {
    use serde::{Deserialize, Serialize};

    use super::{Op, Source};
    use crate::bad::MOST_LISTED;

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
}
