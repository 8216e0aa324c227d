//! Static embeddings.

use serde::{Deserialize, Serialize};

use crate::bad::BadSpec;
use crate::dataflow::{Builder, Graph, Key, Op, Output, Pooling, Source};
use crate::site::SiteId;

/// A table of token embeddings whose mean stands for a text, as a linear classifier reads it or as it is: fastText's
/// classifier (Joulin et al. 2017, arXiv:1607.01759), and what model2vec distils encoders into.
///
/// Sites: `embedding`, without a bias; `output` of a classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticSpec {
    /// Entries of the vocabulary.
    pub vocabulary: usize,
    /// Most tokens of an example.
    pub tokens: usize,
    /// Numbers of a token.
    pub width: usize,
    /// Logits; none for a network that makes embeddings of Euclidean length 1.
    pub outputs: Option<usize>,
    /// Dropout rate of the mean while training, in `[0, 1)`.
    #[serde(default)]
    pub dropout: f64,
}

impl StaticSpec {
    /// Checks every size.
    ///
    /// # Errors
    /// [`BadSpec`] naming the field, its value and the bound.
    pub fn check(&self) -> Result<(), BadSpec> {
        BadSpec::width("width", self.width)?;
        Graph::from(self.clone()).check()
    }
}

impl From<StaticSpec> for Graph {
    fn from(spec: StaticSpec) -> Self {
        let mut nodes = Builder::default();
        let table = SiteId::new("embedding");
        nodes.add(Op::Embed { site: table, outputs: spec.width, by: Key::Word, bias: false }, &[]);
        nodes.then(Op::Pool(Pooling::Mean));
        let output = match spec.outputs {
            Some(outputs) => {
                nodes.then(Op::Dropout { rate: spec.dropout });
                nodes.then(Op::linear(SiteId::output(), outputs));
                Output::Logits
            }
            None => {
                nodes.then(Op::Normalize);
                Output::Embedding
            }
        };
        nodes.graph(Source::Tokens { vocabulary: spec.vocabulary, most: spec.tokens }, output)
    }
}
