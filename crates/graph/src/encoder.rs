//! Encoders of the kind of BERT.

use serde::{Deserialize, Serialize};

use crate::bad::BadSpec;
use crate::dataflow::{Activation, Builder, Graph, Key, Op, Output, Pooling, Source};
use crate::site::SiteId;

/// A bidirectional transformer encoder (Devlin et al. 2019, arXiv:1810.04805): the sum of word, position and type
/// embeddings, normalised; then layers of attention and a feed-forward block with GELU, each added to what was there and
/// normalised (post-norm); then one row for each example.
///
/// Names are the usual ones: `embeddings.word_embeddings`, `….position_embeddings`, `….token_type_embeddings`,
/// `….LayerNorm`; for layer `i` `encoder.layer.i.attention.self.query`, `….key`, `….value`,
/// `encoder.layer.i.attention.output.dense`, `….LayerNorm`, `encoder.layer.i.intermediate.dense`,
/// `encoder.layer.i.output.dense`, `….LayerNorm`; `pooler.dense`, `classifier`. Tables have no bias, all other sites do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSpec {
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Most tokens of an example; at most `positions`.
    pub tokens: usize,
    /// Rows of the table of positions.
    pub positions: usize,
    /// Types of tokens; 0 for no table of them.
    pub types: usize,
    /// Numbers of a token between layers; a multiple of `heads`.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Width of the feed-forward block.
    pub intermediate: usize,
    /// Added to the variance by normalisations.
    pub epsilon: f32,
    /// Dropout rate while training, in `[0, 1)`: behind the embeddings, the attention, the feed-forward block, and before
    /// the classifier.
    #[serde(default)]
    pub dropout: f64,
    /// What comes behind the layers.
    pub head: Head,
}

/// What makes one row of an example's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Head {
    /// The first token, through `pooler.dense` and an activation, then `classifier`. BERT and RoBERTa have tanh there,
    /// DistilBERT ReLU, ELECTRA GELU.
    Pooler {
        /// What follows `pooler.dense`.
        activation: Activation,
        /// Logits.
        outputs: usize,
    },
    /// The tokens pooled, then `classifier`.
    Classifier {
        /// How.
        pooling: Pooling,
        /// Logits.
        outputs: usize,
    },
    /// The tokens pooled, as the example's embedding.
    Embedding {
        /// How.
        pooling: Pooling,
        /// Whether to Euclidean length 1.
        unit: bool,
    },
}

impl Head {
    /// What comes behind the layers of a graph.
    fn of(graph: &Graph) -> Result<Self, String> {
        let mut last = graph.nodes.iter().rev().map(|node| &node.op);
        let unit = last.clone().next() == Some(&Op::Normalize);
        let at = last.clone().find_map(|op| if let Op::Pool(pooling) = op { Some(*pooling) } else { None });
        let pooling = at.ok_or("its tokens are not pooled")?;
        let Some(outputs) = graph.classes().and(last.next().and_then(Op::outputs)) else {
            return Ok(Head::Embedding { pooling, unit });
        };
        let activation = last
            .take_while(|op| !matches!(op, Op::Pool(_)))
            .find_map(|op| if let Op::Activate(activation) = op { Some(*activation) } else { None });
        Ok(match activation {
            Some(activation) => Head::Pooler { activation, outputs },
            None => Head::Classifier { pooling, outputs },
        })
    }
}

impl EncoderSpec {
    /// An encoder of so many layers with a feed-forward block four times as wide, without dropout and types, whose tokens'
    /// mean goes through a classifier of one logit. It has one position and one word: the texts say how many there are.
    pub fn new(width: usize, layers: usize, heads: usize) -> Self {
        Self {
            vocabulary: 1,
            tokens: 1,
            positions: 1,
            types: 0,
            width,
            layers,
            heads,
            intermediate: width.saturating_mul(4),
            epsilon: 1e-12,
            dropout: 0.0,
            head: Head::Classifier { pooling: Pooling::Mean, outputs: 1 },
        }
    }

    /// The site or normalisation `name` of layer `layer`, for example `intermediate.dense`.
    pub fn site(layer: usize, name: &str) -> SiteId {
        SiteId::new(format!("encoder.layer.{layer}.{name}"))
    }

    /// Checks every size.
    ///
    /// # Errors
    /// [`BadSpec`] naming the field, its value and the bound.
    pub fn check(&self) -> Result<(), BadSpec> {
        BadSpec::layers("layers", self.layers)?;
        BadSpec::width("width", self.width)?;
        if self.heads == 0 || !self.width.is_multiple_of(self.heads) {
            return Err(BadSpec::new(
                "heads",
                self.heads,
                &format!("a divisor of the width, {}", self.width),
            ));
        }
        if self.tokens > self.positions {
            return Err(BadSpec::new(
                "tokens",
                self.tokens,
                &format!("at most {} positions", self.positions),
            ));
        }
        Graph::from(self.clone()).check()
    }

    /// The sizes of a graph that is such an encoder, whatever its layers are called.
    ///
    /// # Errors
    /// What in it no such encoder has, naming the site: layers of other widths, a factored site, attention whose heads do
    /// not make the width.
    pub fn of(graph: &Graph) -> Result<Self, String> {
        let Source::Tokens { vocabulary, most } = graph.source else {
            return Err("it reads rows of features, not tokens".into());
        };
        let ops = || graph.nodes.iter().map(|node| &node.op);
        let outputs = |site: &str| {
            let ends = |op: &&Op| op.site().is_some_and(|id| id.as_str().ends_with(site));
            ops().find(ends).and_then(Op::outputs)
        };
        let rows = |of: &dyn Fn(&Key) -> Option<usize>| {
            ops().find_map(|op| if let Op::Embed { by, .. } = op { of(by) } else { None })
        };
        let positions = rows(&|by| if let Key::Position { rows } = by { Some(*rows) } else { None });
        let types = rows(&|by| if let Key::Type { rows } = by { Some(*rows) } else { None });
        let epsilon =
            ops().find_map(|op| if let Op::LayerNorm { epsilon, .. } = op { Some(*epsilon) } else { None });
        let heads = ops().find_map(|op| if let Op::Attend { heads, .. } = op { Some(*heads) } else { None });
        let spec = Self {
            vocabulary,
            tokens: most,
            positions: positions.ok_or("it has no table of positions")?,
            types: types.unwrap_or(0),
            width: outputs("embeddings.word_embeddings")
                .ok_or("it has no table embeddings.word_embeddings")?,
            layers: ops().filter(|op| matches!(op, Op::Attend { .. })).count(),
            heads: heads.unwrap_or(1),
            intermediate: outputs(".intermediate.dense").unwrap_or(1),
            epsilon: epsilon.ok_or("it has no normalisation with gain and bias")?,
            dropout: graph.dropout(),
            head: Head::of(graph)?,
        };
        spec.check().map_err(|e| e.to_string())?;
        let expected = Graph::from(spec.clone());
        for (found, expected) in graph.nodes.iter().zip(&expected.nodes) {
            if found.from != expected.from || !found.op.is_like(&expected.op) {
                return Err(match (found.op.name(), found.op.outputs(), &found.op) {
                    (Some(name), Some(outputs), _) => {
                        let usual = expected.op.outputs().unwrap_or(0);
                        format!("{name} makes {outputs} numbers, where such an encoder makes {usual}")
                    }
                    (_, _, Op::Attend { heads, head_width }) => {
                        format!(
                            "a layer has {heads} heads of {head_width} numbers: not those of the others, or not its width"
                        )
                    }
                    (Some(name), ..) => format!("{name} is not as in such an encoder"),
                    (None, ..) => "its operations are not those of such an encoder".into(),
                });
            }
        }
        match graph.nodes.len() == expected.nodes.len() {
            true => Ok(spec),
            false => Err("its operations are not those of such an encoder".into()),
        }
    }

    /// The sum of the tables, normalised.
    fn embedded(&self, nodes: &mut Builder) -> usize {
        let name = |name: &str| SiteId::new(format!("embeddings.{name}"));
        let table = |nodes: &mut Builder, table: &str, by| {
            nodes.add(Op::Embed { site: name(table), outputs: self.width, by, bias: false }, &[])
        };
        let mut sum = table(nodes, "word_embeddings", Key::Word);
        let position = table(nodes, "position_embeddings", Key::Position { rows: self.positions });
        sum = nodes.add(Op::Add, &[sum, position]);
        if self.types > 0 {
            let kind = table(nodes, "token_type_embeddings", Key::Type { rows: self.types });
            nodes.add(Op::Add, &[sum, kind]);
        }
        nodes.then(Op::LayerNorm { param: name("LayerNorm"), epsilon: self.epsilon });
        nodes.then(Op::Dropout { rate: self.dropout })
    }

    /// What the last node added makes, switched off in part, added to `tokens` and normalised.
    fn added(&self, nodes: &mut Builder, tokens: usize, param: SiteId) -> usize {
        let change = nodes.then(Op::Dropout { rate: self.dropout });
        nodes.add(Op::Add, &[tokens, change]);
        nodes.then(Op::LayerNorm { param, epsilon: self.epsilon })
    }
}

impl From<EncoderSpec> for Graph {
    fn from(spec: EncoderSpec) -> Self {
        let mut nodes = Builder::default();
        let mut tokens = spec.embedded(&mut nodes);
        let head_width = spec.width / spec.heads.max(1);
        for layer in 0..spec.layers {
            let site = |name: &str| EncoderSpec::site(layer, name);
            let outputs = spec.heads.saturating_mul(head_width);
            let made = ["query", "key", "value"].map(|name| {
                nodes.add(Op::linear(site(&format!("attention.self.{name}")), outputs), &[tokens])
            });
            nodes.add(Op::Attend { heads: spec.heads, head_width }, &made);
            nodes.then(Op::linear(site("attention.output.dense"), spec.width));
            tokens = spec.added(&mut nodes, tokens, site("attention.output.LayerNorm"));
            nodes.then(Op::linear(site("intermediate.dense"), spec.intermediate));
            nodes.then(Op::Activate(Activation::Gelu));
            nodes.then(Op::linear(site("output.dense"), spec.width));
            tokens = spec.added(&mut nodes, tokens, site("output.LayerNorm"));
        }
        let (pooling, outputs) = match spec.head {
            Head::Pooler { outputs, .. } => (Pooling::First, Some(outputs)),
            Head::Classifier { pooling, outputs } => (pooling, Some(outputs)),
            Head::Embedding { pooling, .. } => (pooling, None),
        };
        nodes.then(Op::Pool(pooling));
        if let Head::Pooler { activation, .. } = spec.head {
            nodes.then(Op::linear(SiteId::new("pooler.dense"), spec.width));
            nodes.then(Op::Activate(activation));
        }
        if let Some(outputs) = outputs {
            nodes.then(Op::Dropout { rate: spec.dropout });
            nodes.then(Op::linear(SiteId::new("classifier"), outputs));
        }
        if let Head::Embedding { unit: true, .. } = spec.head {
            nodes.then(Op::Normalize);
        }
        let output = if outputs.is_some() { Output::Logits } else { Output::Embedding };
        nodes.graph(Source::Tokens { vocabulary: spec.vocabulary, most: spec.tokens }, output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_impossible_sizes() {
        let with = |change: &dyn Fn(&mut EncoderSpec)| {
            let mut spec = EncoderSpec {
                vocabulary: 100,
                tokens: 16,
                positions: 20,
                types: 2,
                intermediate: 12,
                dropout: 0.1,
                head: Head::Pooler { activation: Activation::Tanh, outputs: 2 },
                ..EncoderSpec::new(8, 2, 2)
            };
            change(&mut spec);
            spec.check().map_err(|e| e.to_string())
        };
        assert_eq!(with(&|_| {}), Ok(()));
        assert_eq!(with(&|s| s.layers = 0), Ok(()));
        assert_eq!(with(&|s| s.types = 0), Ok(()));
        assert_eq!(with(&|s| s.head = Head::Embedding { pooling: Pooling::Mean, unit: true }), Ok(()));
        let says = |change: &dyn Fn(&mut EncoderSpec), part: &str| {
            let message = with(change).unwrap_err();
            assert!(message.contains(part), "{message}");
        };
        says(&|s| s.heads = 3, "heads is 3");
        says(&|s| s.heads = 0, "heads is 0");
        says(&|s| s.tokens = 21, "at most 20 positions");
        says(&|s| s.tokens = 0, "tokens is 0");
        says(&|s| s.layers = 65, "65 layers");
        says(&|s| s.types = 300, "nodes.3.by.type.rows is 300");
        says(&|s| s.epsilon = f32::NAN, "epsilon is NaN");
        says(&|s| s.epsilon = 0.0, "epsilon is 0");
        says(&|s| s.vocabulary = usize::MAX, "inputs is");
        says(&|s| s.intermediate = 0, "encoder.layer.0.intermediate.dense is 0");
        let weighted = Head::Classifier { pooling: Pooling::WeightedSum, outputs: 2 };
        says(&|s| s.head = weighted, "without weights");
    }
}
