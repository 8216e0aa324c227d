//! Small classifiers on whatever goes in: students, and controls.

use crate::dataflow::{Activation, Builder, Graph, Key, Op, Output, Pooling, Source};
use crate::mlp::MlpSpec;
use crate::site::SiteId;

impl Graph {
    /// A feed-forward classifier without attention on what `source` gives, of these hidden widths (none makes it linear).
    ///
    /// On features it is a multi-layer perceptron ([`MlpSpec`]). On tokens it is a deep averaging network (Iyyer et al.
    /// 2015, "Deep Unordered Composition Rivals Syntactic Methods for Text Classification"): the first width is that of the
    /// token embeddings, whose mean goes through the other layers; with one width it is
    /// [`StaticSpec`](crate::StaticSpec)'s network, and with none a linear model on the shares of the tokens.
    pub fn feed_forward(source: Source, hidden: &[usize], outputs: usize, dropout: f64) -> Self {
        if let Source::Features { width } | Source::Bag { width, .. } = source {
            return MlpSpec::new(width, hidden, outputs, dropout).into();
        }
        let mut nodes = Builder::default();
        let Some((&width, behind)) = hidden.split_first() else {
            nodes.add(Op::embed(SiteId::output(), outputs, Key::Word), &[]);
            nodes.then(Op::Pool(Pooling::Mean));
            return nodes.graph(source, Output::Logits);
        };
        let table = SiteId::new("embedding");
        nodes.add(Op::Embed { site: table, outputs: width, by: Key::Word, bias: false }, &[]);
        nodes.then(Op::Pool(Pooling::Mean));
        for (n, &width) in behind.iter().enumerate() {
            nodes.then(Op::Dropout { rate: dropout });
            nodes.then(Op::linear(SiteId::hidden(n), width));
            nodes.then(Op::Activate(Activation::Relu));
        }
        nodes.then(Op::Dropout { rate: dropout });
        nodes.then(Op::linear(SiteId::output(), outputs));
        nodes.graph(source, Output::Logits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StaticSpec;

    #[test]
    fn a_source_of_tokens_makes_a_deep_averaging_network() {
        let source = Source::Tokens { vocabulary: 50, most: 9 };
        let of = |hidden: &[usize]| {
            let graph = Graph::feed_forward(source, hidden, 3, 0.2);
            graph.check().unwrap();
            let sites = graph.sites().into_iter();
            let sites: Vec<_> =
                sites.map(|(id, shape)| (id.to_string(), shape.inputs, shape.outputs)).collect();
            (graph, sites)
        };
        let site = |name: &str, inputs, outputs| (name.to_owned(), inputs, outputs);
        assert_eq!(of(&[]).1, [site("output", 50, 3)]);
        let spec = StaticSpec { vocabulary: 50, tokens: 9, width: 8, outputs: Some(3), dropout: 0.2 };
        assert_eq!(of(&[8]).0, Graph::from(spec));
        assert_eq!(of(&[8, 6]).1, [site("embedding", 50, 8), site("hidden.0", 8, 6), site("output", 6, 3)]);
        let bag = Graph::feed_forward(Source::Bag { width: 7, tokens: 4 }, &[5], 1, 0.0);
        assert_eq!(bag, Graph::from(MlpSpec::new(7, &[5], 1, 0.0)));
    }
}
