//! What a graph consists of.

use serde::{Deserialize, Serialize};

use super::positions::{PositionScheme, RelativeBias, is_default};
use crate::site::SiteId;

/// Added to the variance by [`Op::Norm`], so that numbers which are all the same stay finite.
pub const NORM_EPSILON: f32 = 1e-5;

/// A network without its numbers: a dataflow graph whose nodes are in topological order.
///
/// The value of the last node is the network's result: one row for each example, of which [`Output`] says what it is.
///
/// Written down, a node that reads the one before it, and no other, does not say so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "written::Graph", into = "written::Graph")]
pub struct Graph {
    /// What goes in.
    pub source: Source,
    /// The operations; each reads from earlier ones only.
    pub nodes: Vec<Node>,
    /// What the result is.
    pub output: Output,
}

/// What a network's result is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Logits: one for each class, or of two classes only that of the second against the first.
    #[default]
    Logits,
    /// A vector that stands for the example, to be compared with those of others.
    Embedding,
    /// Numbers that answer as they are: of regression, or of ranking.
    Scores,
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
    /// Token ids in the order of the text, of which no example has more than `most`, each perhaps with a type (the first or
    /// the second text of a pair); read by [`Op::Embed`].
    Tokens {
        /// Token ids are less than this.
        vocabulary: usize,
        /// Most tokens of an example.
        most: usize,
    },
}

/// What an [`Op::Embed`] looks up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Key {
    /// The token itself: its table has a row for each feature of a bag, or each entry of a vocabulary.
    #[default]
    Word,
    /// The place of the token in its example, counted from 0.
    Position {
        /// Rows of the table.
        rows: usize,
    },
    /// The type of the token; 0 where examples have none.
    Type {
        /// Rows of the table.
        rows: usize,
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
    /// For every token a row of a site's table, plus the site's bias; reads [`Source::Bag`] or [`Source::Tokens`]. Several
    /// tables are several nodes, and their sum is [`Op::Add`].
    Embed {
        /// The site.
        site: SiteId,
        /// Numbers that it makes.
        outputs: usize,
        /// Which row.
        #[serde(default, skip_serializing_if = "is_default")]
        by: Key,
        /// Whether the site has a bias.
        #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
        bias: bool,
    },
    /// The value times the weight of a site, plus its bias.
    Linear {
        /// The site.
        site: SiteId,
        /// Numbers that it makes.
        outputs: usize,
        /// Whether the site has a bias.
        #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
        bias: bool,
    },
    /// Every row or token to mean 0 and variance 1 (Ba et al. 2016, arXiv:1607.06450, without gain and bias); with
    /// [`NORM_EPSILON`].
    Norm,
    /// Every row or token to mean 0 and variance 1, times a gain, plus a bias (Ba et al. 2016). The gain is the vector
    /// `PARAM.weight`, the bias `PARAM.bias`.
    LayerNorm {
        /// What its vectors are called after.
        param: SiteId,
        /// Added to the variance; positive.
        epsilon: f32,
        /// Whether it has a bias.
        #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
        bias: bool,
    },
    /// A non-linearity of each number.
    Activate(Activation),
    /// Scaled dot-product attention of several heads (Vaswani et al. 2017, arXiv:1706.03762) among the tokens of an
    /// example; reads query, key and value, each `heads · head_width` wide.
    Attend {
        /// Heads.
        heads: usize,
        /// Numbers of a token in one head.
        head_width: usize,
        /// What it makes of the places of tokens.
        #[serde(default, skip_serializing_if = "is_default")]
        positions: PositionScheme,
    },
    /// The sum of two values of one shape.
    Add,
    /// The product of two values of one shape, number by number: what gates one by the other (Shazeer 2020,
    /// arXiv:2002.05202).
    Multiply,
    /// Numbers switched off at random while training (Srivastava et al. 2014); nothing otherwise.
    Dropout {
        /// Share that is switched off, in `[0, 1)`.
        rate: f64,
    },
    /// One row from the tokens of an example.
    Pool(Pooling),
    /// Every row or token to Euclidean length 1; a zero one stays.
    Normalize,
}

/// A non-linearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// The Gaussian error linear unit `x · Φ(x)` (Hendrycks and Gimpel 2016, arXiv:1606.08415), exact.
    Gelu,
    /// The hyperbolic tangent.
    Tanh,
}

/// How the tokens of an example become one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their sum, each times its weight in the bag.
    WeightedSum,
    /// Their mean; zeros where there is none.
    Mean,
    /// The first; zeros where there is none.
    First,
}

impl Op {
    /// The site whose numbers it uses.
    pub fn site(&self) -> Option<&SiteId> {
        match self {
            Op::Features { site, .. } | Op::Embed { site, .. } | Op::Linear { site, .. } => Some(site),
            _ => None,
        }
    }

    /// Numbers that its site makes.
    pub(crate) fn outputs(&self) -> Option<usize> {
        match self {
            Op::Features { outputs, .. } | Op::Embed { outputs, .. } | Op::Linear { outputs, .. } => {
                Some(*outputs)
            }
            _ => None,
        }
    }

    /// Whether it does the same as another, whatever the parameters of the two are called.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let mut named = self.clone();
        if let (Some(name), Some(of_other)) = (named.name_mut(), other.name()) {
            *name = of_other.clone();
        }
        named == *other
    }

    /// Whether its site has a bias.
    pub(super) fn has_bias(&self) -> bool {
        match self {
            Op::Embed { bias, .. } | Op::Linear { bias, .. } => *bias,
            other => other.site().is_some(),
        }
    }

    /// The rows of a table that has a bias.
    pub fn embed(site: SiteId, outputs: usize, by: Key) -> Self {
        Op::Embed { site, outputs, by, bias: true }
    }

    /// A product with a site that has a bias.
    pub fn linear(site: SiteId, outputs: usize) -> Self {
        Op::Linear { site, outputs, bias: true }
    }

    /// Every row or token to mean 0 and variance 1, with gain and bias.
    pub fn layer_norm(param: SiteId, epsilon: f32) -> Self {
        Op::LayerNorm { param, epsilon, bias: true }
    }

    /// Attention to which the places of tokens make no difference.
    pub fn attend(heads: usize, head_width: usize) -> Self {
        Op::Attend { heads, head_width, positions: PositionScheme::default() }
    }

    /// The bias of its scores by distance, where it has one.
    pub fn relative(&self) -> Option<&RelativeBias> {
        if let Op::Attend { positions, .. } = self { positions.relative.as_ref() } else { None }
    }

    /// What its parameters are called after: its site, or the vectors of a normalisation.
    pub(crate) fn name(&self) -> Option<&SiteId> {
        if let Op::LayerNorm { param, .. } = self { Some(param) } else { self.site() }
    }

    pub(super) fn name_mut(&mut self) -> Option<&mut SiteId> {
        if let Op::LayerNorm { param, .. } = self {
            return Some(param);
        }
        self.site_mut().map(|(site, _)| site)
    }

    pub(super) fn site_mut(&mut self) -> Option<(&mut SiteId, &mut usize)> {
        match self {
            Op::Features { site, outputs }
            | Op::Embed { site, outputs, .. }
            | Op::Linear { site, outputs, .. } => Some((site, outputs)),
            _ => None,
        }
    }

    /// How many nodes it reads.
    pub(super) fn reads(&self) -> usize {
        match self {
            Op::Features { .. } | Op::Embed { .. } => 0,
            Op::Attend { .. } => 3,
            Op::Add | Op::Multiply => 2,
            _ => 1,
        }
    }
}

/// What serde takes for a site of which nothing is said.
fn yes() -> bool {
    true
}

/// A graph as it is written down: with the edges that do not go without saying.
mod written {
    use serde::{Deserialize, Serialize};

    use super::{Op, Output, Source, is_default};
    use crate::bad::MOST_LISTED;

    /// As [`super::Graph`].
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Graph {
        source: Source,
        #[serde(deserialize_with = "nlpress_core::bounded::list::<_, _, MOST_LISTED>")]
        nodes: Vec<Node>,
        #[serde(default, skip_serializing_if = "is_default")]
        output: Output,
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
            let nodes = graph.nodes.into_iter().enumerate().map(node).collect();
            Self { source: graph.source, nodes, output: graph.output }
        }
    }

    impl From<super::Graph> for Graph {
        fn from(graph: super::Graph) -> Self {
            let node = |(n, super::Node { op, from }): (usize, super::Node)| {
                let follows = op.reads() == 1 && n > 0 && from == [n - 1];
                Node { op, from: if follows { Vec::new() } else { from } }
            };
            let nodes = graph.nodes.into_iter().enumerate().map(node).collect();
            Self { source: graph.source, nodes, output: graph.output }
        }
    }
}
