//! Self-attention over the words of a feature row.

use serde::{Deserialize, Serialize};

use crate::bad::{BadSpec, MOST_LISTED};
use crate::dataflow::{Activation, Builder, Graph, Key, Op, Output, Pooling, Source};
use crate::ranks::{self, Ranks};
use crate::site::SiteId;

/// A small network of self-attention blocks (Vaswani et al. 2017) over the set of words of a feature row.
///
/// Every non-zero feature of a row is a token; at most `tokens` of the largest value are looked at, and their
/// order means nothing (a set: Lee et al. 2019). Token `t` starts as its row of `embedding`. Each block adds
/// attention over the normalised tokens, then a feed-forward layer with ReLU (pre-norm: Xiong et al. 2020). The
/// tokens are summed, each times its feature value, and `output` makes the logits of the sum. The normalisation
/// has no gain and no bias of its own, because those of the site that follows do the same. Without blocks it is a
/// linear model through a bottleneck (Joulin et al. 2016).
///
/// Sites: `embedding`; for block `i` `encoder.i.attention.query`, `….key`, `….value`, `….output`,
/// `encoder.i.ffn.up`, `….down`; `output`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionSpec {
    /// Features of a row.
    pub inputs: usize,
    /// Numbers of a token between blocks.
    pub width: usize,
    /// Numbers of a token in one head.
    pub head_width: usize,
    /// The blocks.
    #[serde(deserialize_with = "nlpress_core::bounded::list::<_, _, MOST_LISTED>")]
    pub layers: Vec<BlockSpec>,
    /// Logits.
    pub outputs: usize,
    /// Dropout rate of the summed tokens while training, in `[0, 1)`.
    #[serde(default)]
    pub dropout: f64,
    /// Words of a row that are looked at, at most: those of the largest value.
    pub tokens: usize,
    /// Sites that are the product of two.
    #[serde(
        default,
        skip_serializing_if = "Ranks::is_empty",
        deserialize_with = "nlpress_core::bounded::map::<_, _, _, MOST_LISTED>"
    )]
    pub ranks: Ranks,
}

/// One block of attention and feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockSpec {
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward layer.
    pub neurons: usize,
}

impl AttentionSpec {
    /// The site `name` of block `block`, for example `ffn.up`.
    pub fn site(block: usize, name: &str) -> SiteId {
        SiteId::new(format!("encoder.{block}.{name}"))
    }

    /// The first site.
    pub fn embedding() -> SiteId {
        SiteId::new("embedding")
    }

    /// Checks every size.
    ///
    /// # Errors
    /// [`BadSpec`] naming the field, its value and the bound.
    pub fn check(&self) -> Result<(), BadSpec> {
        BadSpec::layers("layers", self.layers.len())?;
        for (what, width) in [
            ("inputs", self.inputs),
            ("width", self.width),
            ("head_width", self.head_width),
            ("outputs", self.outputs),
        ] {
            BadSpec::width(what, width)?;
        }
        for (i, block) in self.layers.iter().enumerate() {
            BadSpec::width(&format!("layers.{i}.heads"), block.heads)?;
            let all = block.heads.saturating_mul(self.head_width);
            BadSpec::width(&format!("layers.{i}.heads times head_width"), all)?;
            BadSpec::width(&format!("layers.{i}.neurons"), block.neurons)?;
        }
        BadSpec::dropout("dropout", self.dropout)?;
        ranks::check(&self.ranks, &self.plain().sites())?;
        self.plain().check()
    }

    /// The graph with no factored site.
    fn plain(&self) -> Graph {
        let mut nodes = Builder::default();
        let mut tokens = nodes.add(Op::embed(Self::embedding(), self.width, Key::Word), &[]);
        for (i, block) in self.layers.iter().enumerate() {
            let site = |name: &str| Self::site(i, name);
            let normed = nodes.add(Op::Norm, &[tokens]);
            let outputs = block.heads.saturating_mul(self.head_width);
            let made = ["attention.query", "attention.key", "attention.value"]
                .map(|name| nodes.add(Op::linear(site(name), outputs), &[normed]));
            nodes.add(Op::attend(block.heads, self.head_width), &made);
            let change = nodes.then(Op::linear(site("attention.output"), self.width));
            tokens = nodes.add(Op::Add, &[tokens, change]);
            nodes.then(Op::Norm);
            nodes.then(Op::linear(site("ffn.up"), block.neurons));
            nodes.then(Op::Activate(Activation::Relu));
            let change = nodes.then(Op::linear(site("ffn.down"), self.width));
            tokens = nodes.add(Op::Add, &[tokens, change]);
        }
        nodes.then(Op::Pool(Pooling::WeightedSum));
        nodes.then(Op::Dropout { rate: self.dropout });
        nodes.then(Op::linear(SiteId::output(), self.outputs));
        nodes.graph(Source::Bag { width: self.inputs, tokens: self.tokens }, Output::Logits)
    }
}

impl From<AttentionSpec> for Graph {
    fn from(spec: AttentionSpec) -> Self {
        spec.ranks.iter().fold(spec.plain(), |graph, (site, rank)| graph.factored(site, *rank))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> AttentionSpec {
        let block = BlockSpec { heads: 4, neurons: 32 };
        AttentionSpec {
            inputs: 100,
            width: 16,
            head_width: 8,
            layers: vec![block, block],
            outputs: 3,
            dropout: 0.1,
            tokens: 64,
            ranks: Ranks::new(),
        }
    }

    #[test]
    fn refuses_impossible_sizes() {
        let with = |f: &dyn Fn(&mut AttentionSpec)| {
            let mut attention = spec();
            f(&mut attention);
            attention.check().map_err(|e| e.to_string())
        };
        assert!(with(&|a| a.layers.clear()).is_ok());
        assert!(with(&|a| a.tokens = 0).unwrap_err().contains("tokens is 0"));
        assert!(with(&|a| a.head_width = usize::MAX).is_err());
        assert!(with(&|a| a.layers[1].heads = 0).unwrap_err().contains("layers.1.heads is 0"));
        assert!(with(&|a| a.dropout = 1.0).is_err());
        assert!(with(&|a| a.layers = vec![a.layers[0]; 65]).is_err());
    }

    #[test]
    fn is_read_back_from_json() {
        let text = serde_json::to_string(&spec()).unwrap();
        assert!(!text.contains("ranks"), "{text}");
        assert_eq!(serde_json::from_str::<AttentionSpec>(&text).unwrap(), spec());
    }
}
