//! The graph of an encoder.

use super::{EncoderSpec, Head, ModernLayers};
use crate::dataflow::{
    Activation, Builder, Graph, Key, Op, Output, PositionScheme, RelativeBias, Rotary, Source,
};
use crate::site::SiteId;

impl EncoderSpec {
    /// The sum of the tables, normalised and made as wide as the layers.
    fn embedded(&self, nodes: &mut Builder) -> usize {
        let name = |name: &str| SiteId::new(format!("embeddings.{name}"));
        let table = |nodes: &mut Builder, table: &str, by| {
            let outputs = self.embedding.unwrap_or(self.width);
            nodes.add(Op::Embed { site: name(table), outputs, by, bias: false }, &[])
        };
        let mut sum = table(nodes, "word_embeddings", Key::Word);
        if self.modern.is_none() {
            let position = table(nodes, "position_embeddings", Key::Position { rows: self.positions });
            sum = nodes.add(Op::Add, &[sum, position]);
        }
        if self.types > 0 {
            let kind = table(nodes, "token_type_embeddings", Key::Type { rows: self.types });
            nodes.add(Op::Add, &[sum, kind]);
        }
        nodes.then(self.norm(name("LayerNorm")));
        let tokens = nodes.then(Op::Dropout { rate: self.dropout });
        match self.embedding {
            Some(_) => nodes.then(Op::linear(SiteId::new("embeddings_project"), self.width)),
            None => tokens,
        }
    }

    fn norm(&self, param: SiteId) -> Op {
        Op::LayerNorm { param, epsilon: self.epsilon, bias: self.modern.is_none() }
    }

    /// A product, with a bias where layers have some.
    fn product(&self, site: SiteId, outputs: usize) -> Op {
        Op::Linear { site, outputs, bias: self.modern.is_none() }
    }

    /// What the last node added makes, switched off in part, added to `tokens`.
    fn added(&self, nodes: &mut Builder, tokens: usize) -> usize {
        let change = nodes.then(Op::Dropout { rate: self.dropout });
        nodes.add(Op::Add, &[tokens, change])
    }

    /// How the attention of a layer looks at places.
    fn positions(&self, layer: usize) -> PositionScheme {
        let relative = self.relative.map(|sizes| RelativeBias {
            param: SiteId::new("encoder.relative_attention_bias"),
            buckets: sizes.buckets,
            distance: sizes.distance,
        });
        let Some(ModernLayers { every, window, global_base, local_base }) = self.modern else {
            return PositionScheme { relative, ..PositionScheme::default() };
        };
        let is_global = layer.is_multiple_of(every.max(1));
        PositionScheme {
            rotary: Some(Rotary { base: if is_global { global_base } else { local_base } }),
            window: (!is_global).then_some(window),
            relative,
        }
    }

    /// A layer behind `tokens`.
    fn layer(&self, nodes: &mut Builder, layer: usize, tokens: usize) -> usize {
        let site = |name: &str| Self::site(layer, name);
        let is_modern = self.modern.is_some();
        let head_width = self.width / self.heads.max(1);
        let outputs = self.heads.saturating_mul(head_width);
        // The first of them has what the embeddings made normalised already.
        let input = match is_modern && layer > 0 {
            true => nodes.add(self.norm(site("attention.LayerNorm")), &[tokens]),
            false => tokens,
        };
        let made = ["query", "key", "value"]
            .map(|name| nodes.add(self.product(site(&format!("attention.self.{name}")), outputs), &[input]));
        nodes.add(Op::Attend { heads: self.heads, head_width, positions: self.positions(layer) }, &made);
        nodes.then(self.product(site("attention.output.dense"), self.width));
        let mut tokens = self.added(nodes, tokens);
        if is_modern {
            let input = nodes.then(self.norm(site("intermediate.LayerNorm")));
            nodes.then(self.product(site("intermediate.dense"), self.intermediate));
            let active = nodes.then(Op::Activate(Activation::Gelu));
            let gate = nodes.add(self.product(site("intermediate.gate"), self.intermediate), &[input]);
            nodes.add(Op::Multiply, &[active, gate]);
        } else {
            tokens = nodes.then(self.norm(site("attention.output.LayerNorm")));
            nodes.then(self.product(site("intermediate.dense"), self.intermediate));
            nodes.then(Op::Activate(Activation::Gelu));
        }
        nodes.then(self.product(site("output.dense"), self.width));
        let sum = self.added(nodes, tokens);
        if is_modern { sum } else { nodes.then(self.norm(site("output.LayerNorm"))) }
    }

    /// One row from the tokens, which the last node added made.
    fn head(&self, nodes: &mut Builder) {
        nodes.then(Op::Pool(self.head.pooling()));
        let dense = || SiteId::new("pooler.dense");
        match self.head {
            Head::Pooler { activation, .. } => {
                nodes.then(Op::linear(dense(), self.width));
                nodes.then(Op::Activate(activation));
            }
            Head::Prediction { .. } => {
                nodes.then(self.product(dense(), self.width));
                nodes.then(Op::Activate(Activation::Gelu));
                nodes.then(self.norm(SiteId::new("pooler.LayerNorm")));
            }
            Head::Classifier { .. } | Head::Embedding { .. } => {}
        }
        if let Some(outputs) = self.head.outputs() {
            nodes.then(Op::Dropout { rate: self.dropout });
            nodes.then(Op::linear(SiteId::new("classifier"), outputs));
        }
        if let Head::Embedding { unit: true, .. } = self.head {
            nodes.then(Op::Normalize);
        }
    }
}

impl From<EncoderSpec> for Graph {
    fn from(spec: EncoderSpec) -> Self {
        let mut nodes = Builder::default();
        let mut tokens = spec.embedded(&mut nodes);
        for layer in 0..spec.layers {
            tokens = spec.layer(&mut nodes, layer, tokens);
        }
        if spec.modern.is_some() {
            nodes.then(spec.norm(SiteId::new("encoder.LayerNorm")));
        }
        spec.head(&mut nodes);
        let output = match spec.head.outputs() {
            None => Output::Embedding,
            Some(_) if spec.scores => Output::Scores,
            Some(_) => Output::Logits,
        };
        nodes.graph(Source::Tokens { vocabulary: spec.vocabulary, most: spec.tokens }, output)
    }
}
