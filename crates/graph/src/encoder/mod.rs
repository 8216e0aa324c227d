//! Encoders of the kind of BERT, and what came after it.

mod build;
mod read;

use serde::{Deserialize, Serialize};

use crate::bad::BadSpec;
use crate::dataflow::{Activation, Graph, MOST_TYPES, Pooling};
use crate::site::SiteId;

/// A bidirectional transformer encoder (Devlin et al. 2019, arXiv:1810.04805): the sum of word, position and type
/// embeddings, normalised; then layers of attention and a feed-forward block with GELU, each added to what was there and
/// normalised (post-norm); then one row for each example. With [`relative`](EncoderSpec::relative) it is MPNet's, with
/// [`modern`](EncoderSpec::modern) ModernBERT's.
///
/// Names are the usual ones: `embeddings.word_embeddings`, `….position_embeddings`, `….token_type_embeddings`,
/// `….LayerNorm`, `embeddings_project`; for layer `i` `encoder.layer.i.attention.self.query`, `….key`, `….value`,
/// `encoder.layer.i.attention.output.dense`, `….LayerNorm`, `encoder.layer.i.intermediate.dense`,
/// `encoder.layer.i.output.dense`, `….LayerNorm`; `encoder.relative_attention_bias`; `pooler.dense`, `classifier`. Tables
/// have no bias, all other sites do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSpec {
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Most tokens of an example; at most `positions`.
    pub tokens: usize,
    /// Rows of the table of positions; places that tokens can have where there is no table.
    pub positions: usize,
    /// Types of tokens; 0 for no table of them.
    pub types: usize,
    /// Numbers of a token in the tables, of which `embeddings_project` makes `width`; where there are none, the tables have
    /// the width of the layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<usize>,
    /// Numbers of a token between layers; a multiple of `heads`.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Width of the feed-forward block.
    pub intermediate: usize,
    /// A bias of attention by distance, which all layers share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative: Option<RelativeSizes>,
    /// Layers of ModernBERT in place of those of BERT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modern: Option<ModernLayers>,
    /// Added to the variance by normalisations.
    pub epsilon: f32,
    /// Dropout rate while training, in `[0, 1)`: behind the embeddings, the attention, the feed-forward block, and before
    /// the classifier.
    #[serde(default)]
    pub dropout: f64,
    /// What comes behind the layers.
    pub head: Head,
    /// Whether what the head makes are scores as they are, not logits of classes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scores: bool,
}

/// The sizes of a bias of attention by distance (MPNet: Song et al. 2020, arXiv:2004.09297), the vector
/// `encoder.relative_attention_bias.weight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelativeSizes {
    /// As [`RelativeBias::buckets`](crate::RelativeBias::buckets).
    pub buckets: usize,
    /// As [`RelativeBias::distance`](crate::RelativeBias::distance).
    pub distance: usize,
}

/// Layers of ModernBERT (Warner et al. 2024, arXiv:2412.13663): normalised before attention and feed-forward block
/// (pre-norm) and once behind all of them, without any bias; rotary positions in place of a table; GELU gated by a second
/// product (GeGLU); attention within a window in all layers but every so many.
///
/// Before attention stands `encoder.layer.i.attention.LayerNorm`, but not in layer 0; before the feed-forward block
/// `encoder.layer.i.intermediate.LayerNorm`, in it `encoder.layer.i.intermediate.gate`; behind all `encoder.LayerNorm`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModernLayers {
    /// Layers `0`, `every`, `2 · every` and so on attend to all tokens.
    pub every: usize,
    /// In the others a token attends to those at most so many places away.
    pub window: usize,
    /// Base of the rotary positions where layers attend to all tokens.
    pub global_base: f32,
    /// And where they attend within the window.
    pub local_base: f32,
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
        /// Numbers that it makes.
        outputs: usize,
    },
    /// The tokens pooled, through `pooler.dense` without a bias, GELU and `pooler.LayerNorm`, then `classifier`: the
    /// head of ModernBERT.
    Prediction {
        /// How.
        pooling: Pooling,
        /// Numbers that it makes.
        outputs: usize,
    },
    /// The tokens pooled, then `classifier`.
    Classifier {
        /// How.
        pooling: Pooling,
        /// Numbers that it makes.
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
    /// Numbers that a classifier makes; none where the tokens are the embedding.
    pub fn outputs(self) -> Option<usize> {
        match self {
            Head::Pooler { outputs, .. }
            | Head::Prediction { outputs, .. }
            | Head::Classifier { outputs, .. } => Some(outputs),
            Head::Embedding { .. } => None,
        }
    }

    /// How the tokens become one row.
    pub fn pooling(self) -> Pooling {
        match self {
            Head::Pooler { .. } => Pooling::First,
            Head::Prediction { pooling, .. }
            | Head::Classifier { pooling, .. }
            | Head::Embedding { pooling, .. } => pooling,
        }
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
            embedding: None,
            width,
            layers,
            heads,
            intermediate: width.saturating_mul(4),
            relative: None,
            modern: None,
            epsilon: 1e-12,
            dropout: 0.0,
            head: Head::Classifier { pooling: Pooling::Mean, outputs: 1 },
            scores: false,
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
        if let Some(width) = self.embedding {
            BadSpec::width("embedding", width)?;
        }
        BadSpec::width("intermediate", self.intermediate)?;
        if self.heads == 0 || !self.width.is_multiple_of(self.heads) {
            let bound = format!("a divisor of the width, {}", self.width);
            return Err(BadSpec::new("heads", self.heads, &bound));
        }
        if self.tokens > self.positions {
            let bound = format!("at most {} positions", self.positions);
            return Err(BadSpec::new("tokens", self.tokens, &bound));
        }
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            return Err(BadSpec::new("epsilon", self.epsilon, "positive and finite"));
        }
        BadSpec::dropout("dropout", self.dropout)?;
        if self.types > MOST_TYPES {
            return Err(BadSpec::new("types", self.types, "at most 256"));
        }
        match (self.modern, self.relative, self.embedding, self.head) {
            (Some(_), Some(_), ..) => {
                Err(BadSpec::new("relative", "there", "left out beside rotary positions"))
            }
            (Some(_), _, Some(_), _) => {
                Err(BadSpec::new("embedding", "there", "left out: its tables are as wide"))
            }
            (Some(_), .., Head::Pooler { .. }) => Err(BadSpec::new("head", "of BERT", "that of ModernBERT")),
            (None, .., Head::Prediction { .. }) => Err(BadSpec::new("head", "of ModernBERT", "that of BERT")),
            (Some(ModernLayers { every: 0, .. }), ..) => Err(BadSpec::new("every", 0, "at least 1")),
            (Some(_), ..) if self.types > 0 => Err(BadSpec::new("types", self.types, "0 in ModernBERT")),
            (_, _, Some(width), _) if width == self.width => {
                Err(BadSpec::new("embedding", width, "left out where the tables are as wide as the layers"))
            }
            _ => Graph::from(self.clone()).check(),
        }
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
        says(&|s| s.types = 300, "types is 300");
        says(&|s| s.epsilon = f32::NAN, "epsilon is NaN");
        says(&|s| s.epsilon = 0.0, "epsilon is 0");
        says(&|s| s.vocabulary = usize::MAX, "inputs is");
        says(&|s| s.intermediate = 0, "intermediate is 0");
        says(&|s| s.dropout = 1.0, "dropout is 1");
        says(&|s| s.embedding = Some(0), "embedding is 0");
        says(&|s| s.embedding = Some(8), "left out where the tables are as wide");
        says(&|s| s.relative = Some(RelativeSizes { buckets: 7, distance: 128 }), "relative.buckets is 7");
        says(&|s| s.relative = Some(RelativeSizes { buckets: 32, distance: 8 }), "relative.distance is 8");
        let modern = ModernLayers { every: 2, window: 2, global_base: 1e5, local_base: 1e4 };
        let modern_with = |change: &dyn Fn(&mut EncoderSpec, &mut ModernLayers)| {
            with(&|s| {
                let mut layers = modern;
                s.types = 0;
                s.head = Head::Prediction { pooling: Pooling::First, outputs: 2 };
                change(s, &mut layers);
                s.modern = Some(layers);
            })
        };
        let modern_says = |change: &dyn Fn(&mut EncoderSpec, &mut ModernLayers), part: &str| {
            let message = modern_with(change).unwrap_err();
            assert!(message.contains(part), "{message}");
        };
        assert_eq!(modern_with(&|_, _| {}), Ok(()));
        modern_says(&|_, m| m.every = 0, "every is 0");
        modern_says(&|_, m| m.window = 0, "window is 0");
        modern_says(&|_, m| m.local_base = f32::NAN, "base is NaN");
        modern_says(&|s, _| s.types = 2, "types is 2");
        modern_says(&|s, _| (s.width, s.heads) = (9, 3), "of an even number");
        modern_says(&|s, _| s.relative = Some(RelativeSizes { buckets: 8, distance: 16 }), "relative");
        modern_says(&|s, _| s.head = Head::Pooler { activation: Activation::Tanh, outputs: 2 }, "head");
        says(&|s| s.head = Head::Prediction { pooling: Pooling::First, outputs: 2 }, "head");
        let weighted = Head::Classifier { pooling: Pooling::WeightedSum, outputs: 2 };
        says(&|s| s.head = weighted, "without weights");
    }

    #[test]
    fn every_kind_is_read_off_its_graph() {
        let bert = EncoderSpec { tokens: 9, positions: 9, intermediate: 12, ..EncoderSpec::new(8, 4, 2) };
        let mpnet = EncoderSpec {
            relative: Some(RelativeSizes { buckets: 8, distance: 16 }),
            head: Head::Pooler { activation: Activation::Tanh, outputs: 1 },
            scores: true,
            ..bert.clone()
        };
        let narrow = EncoderSpec {
            embedding: Some(4),
            types: 2,
            head: Head::Embedding { pooling: Pooling::First, unit: true },
            ..bert.clone()
        };
        let layers = ModernLayers { every: 3, window: 2, global_base: 160_000.0, local_base: 1e4 };
        let modern = EncoderSpec {
            modern: Some(layers),
            head: Head::Prediction { pooling: Pooling::Mean, outputs: 3 },
            ..bert.clone()
        };
        for spec in [bert, mpnet, narrow, modern.clone()] {
            let graph = Graph::from(spec.clone());
            assert_eq!(graph.check(), Ok(()));
            assert_eq!(EncoderSpec::of(&graph), Ok(spec));
            let written = serde_json::to_string(&graph).unwrap();
            assert_eq!(serde_json::from_str::<Graph>(&written).unwrap(), graph);
            assert_eq!(graph.blocks().len(), 4);
            assert_eq!(graph.residuals().len(), 8);
        }
        let graph = Graph::from(modern.clone());
        let less = graph.without_block(0).unwrap();
        assert_eq!(less.check(), Ok(()));
        let why = EncoderSpec::of(&less).unwrap_err();
        assert!(why.contains("encoder.layer.0.attention.LayerNorm is not as"), "{why}");
        // What is left of seven layers may have no period.
        let less = Graph::from(EncoderSpec { layers: 7, ..modern }).without_block(4).unwrap();
        let why = EncoderSpec::of(&less).unwrap_err();
        assert!(why.contains("looks at places otherwise"), "{why}");
    }

    #[test]
    fn what_goes_together_is_cut_together() {
        let layers = ModernLayers { every: 3, window: 2, global_base: 160_000.0, local_base: 1e4 };
        let base = EncoderSpec { tokens: 9, positions: 9, intermediate: 12, ..EncoderSpec::new(8, 2, 2) };
        let modern = Graph::from(EncoderSpec { modern: Some(layers), ..base.clone() });
        let gated = modern.groups().into_iter().find(|group| group.units == 12).unwrap();
        let names = |sites: &[SiteId]| sites.iter().map(ToString::to_string).collect::<Vec<_>>();
        let site = |name: &str| format!("encoder.layer.0.{name}");
        assert_eq!(names(&gated.columns), [site("intermediate.dense"), site("intermediate.gate")]);
        assert_eq!(names(&gated.rows), [site("output.dense")]);
        let less = modern.with_units(&gated, 5);
        assert_eq!(less.check(), Ok(()));
        let relative = RelativeSizes { buckets: 8, distance: 16 };
        let mpnet = Graph::from(EncoderSpec { relative: Some(relative), ..base });
        let heads: Vec<_> = mpnet.groups().into_iter().filter(|group| group.block == 4).collect();
        // All layers share the bias, so that their heads go together.
        assert_eq!((heads.len(), heads[0].columns.len(), heads[0].units), (1, 6, 2));
        assert_eq!(names(&heads[0].vectors), ["encoder.relative_attention_bias.weight"]);
        let less = mpnet.clone().with_units(&heads[0], 1);
        assert_eq!(less.check(), Ok(()));
        let bias = |graph: &Graph| {
            graph.vectors().iter().find(|(id, _)| *id == heads[0].vectors[0]).unwrap().1.length
        };
        assert_eq!((bias(&mpnet), bias(&less)), (16, 8));
        assert_eq!(mpnet.block_of(&heads[0].vectors[0]), None);
        let shallower = mpnet.without_block(0).unwrap();
        assert_eq!((shallower.check(), bias(&shallower)), (Ok(()), 16));
    }
}
