//! The multi-layer perceptron.

use serde::{Deserialize, Serialize};

use crate::bad::{BadSpec, MOST_LISTED};
use crate::dataflow::{Activation, Builder, Graph, Op, Output, Source};
use crate::ranks::{self, Ranks};
use crate::site::SiteId;

/// A multi-layer perceptron: `inputs → hidden… (ReLU, dropout) → outputs` logits.
///
/// One output is a binary classifier (sigmoid); two or more are classes (softmax). No hidden layer makes it a
/// linear model. Sites: `hidden.0`, `hidden.1`, …, `output`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpSpec {
    /// Features of a row.
    pub inputs: usize,
    /// Widths of the hidden layers.
    #[serde(deserialize_with = "nlpress_core::bounded::list::<_, _, MOST_LISTED>")]
    pub hidden: Vec<usize>,
    /// Logits.
    pub outputs: usize,
    /// Dropout rate after each hidden layer while training, in `[0, 1)`.
    #[serde(default)]
    pub dropout: f64,
    /// Sites that are the product of two.
    #[serde(
        default,
        skip_serializing_if = "Ranks::is_empty",
        deserialize_with = "nlpress_core::bounded::map::<_, _, _, MOST_LISTED>"
    )]
    pub ranks: Ranks,
}

impl MlpSpec {
    /// A network with no factored site.
    pub fn new(inputs: usize, hidden: &[usize], outputs: usize, dropout: f64) -> Self {
        Self { inputs, hidden: hidden.to_vec(), outputs, dropout, ranks: Ranks::new() }
    }

    /// Checks every size.
    ///
    /// # Errors
    /// [`BadSpec`] naming the field, its value and the bound.
    pub fn check(&self) -> Result<(), BadSpec> {
        BadSpec::layers("hidden", self.hidden.len())?;
        let hidden = self.hidden.iter().enumerate().map(|(i, &w)| (format!("hidden.{i}"), w));
        for (what, width) in [("inputs".to_owned(), self.inputs), ("outputs".to_owned(), self.outputs)]
            .into_iter()
            .chain(hidden)
        {
            BadSpec::width(&what, width)?;
        }
        BadSpec::dropout("dropout", self.dropout)?;
        ranks::check(&self.ranks, &self.plain().sites())?;
        self.plain().check()
    }

    /// The graph with no factored site.
    fn plain(&self) -> Graph {
        let mut nodes = Builder::default();
        let sites = (0..self.hidden.len()).map(SiteId::hidden).chain([SiteId::output()]);
        for (n, (site, &outputs)) in sites.zip(self.hidden.iter().chain([&self.outputs])).enumerate() {
            if n == 0 {
                nodes.add(Op::Features { site, outputs }, &[]);
            } else {
                nodes.then(Op::Activate(Activation::Relu));
                nodes.then(Op::Dropout { rate: self.dropout });
                nodes.then(Op::linear(site, outputs));
            }
        }
        nodes.graph(Source::Features { width: self.inputs }, Output::Logits)
    }
}

impl From<MlpSpec> for Graph {
    fn from(mlp: MlpSpec) -> Self {
        mlp.ranks.iter().fold(mlp.plain(), |graph, (site, rank)| graph.factored(site, *rank))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WIDEST;

    #[test]
    fn refuses_impossible_sizes() {
        let with = |f: &dyn Fn(&mut MlpSpec)| {
            let mut mlp = MlpSpec::new(1000, &[128, 64], 1, 0.5);
            f(&mut mlp);
            mlp.check().map_err(|e| e.to_string())
        };
        assert!(with(&|_| {}).is_ok());
        assert!(with(&|m| m.inputs = 0).unwrap_err().contains("inputs is 0"));
        assert!(with(&|m| m.hidden = vec![usize::MAX]).unwrap_err().contains("hidden.0"));
        assert!(with(&|m| m.hidden = vec![1; 65]).unwrap_err().contains("65 layers"));
        assert!(with(&|m| m.dropout = f64::NAN).is_err());
        assert!(
            with(&|m| m.hidden = vec![WIDEST, WIDEST]).unwrap_err().contains("the number of parameters is")
        );
        let rank = |id: SiteId, rank| {
            with(&|m| {
                m.ranks.insert(id.clone(), rank);
            })
        };
        assert!(rank(SiteId::hidden(0), 16).is_ok());
        assert!(rank(SiteId::hidden(0), 129).unwrap_err().contains("between 1 and 128"));
        assert!(rank(SiteId::hidden(0), 0).is_err());
        assert!(rank(SiteId::hidden(7), 1).unwrap_err().contains("of a site that the network has"));
    }
}
