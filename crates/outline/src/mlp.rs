//! The multi-layer perceptron.

use serde::{Deserialize, Serialize};

use crate::spec::MOST_LISTED;
use crate::{Group, Ranks, Shape, SiteId, Units};

/// A multi-layer perceptron: `inputs → hidden… (ReLU, dropout) → outputs` logits.
///
/// One output is a binary classifier (sigmoid); two or more are classes (softmax). No hidden layer makes it a
/// linear model.
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

    pub(crate) fn widths(&self) -> Vec<(String, usize)> {
        let hidden = self.hidden.iter().enumerate().map(|(i, &w)| (format!("hidden.{i}"), w));
        [("inputs".to_owned(), self.inputs), ("outputs".to_owned(), self.outputs)]
            .into_iter()
            .chain(hidden)
            .collect()
    }

    pub(crate) fn sites(&self) -> Vec<(SiteId, Shape)> {
        let mut sites = Vec::new();
        let mut inputs = self.inputs;
        for (i, &outputs) in self.hidden.iter().enumerate() {
            sites.push((SiteId::hidden(i), Shape { inputs, outputs }));
            inputs = outputs;
        }
        sites.push((SiteId::output(), Shape { inputs, outputs: self.outputs }));
        sites
    }

    pub(crate) fn groups(&self) -> Vec<Group> {
        let next = |i| if i + 1 < self.hidden.len() { SiteId::hidden(i + 1) } else { SiteId::output() };
        let group = |(i, &units): (usize, &usize)| Group {
            what: Units::Neurons,
            units,
            block: 1,
            columns: vec![SiteId::hidden(i)],
            rows: vec![next(i)],
        };
        self.hidden.iter().enumerate().map(group).collect()
    }

    pub(crate) fn set_units(&mut self, group: &Group, units: usize) {
        for (i, width) in self.hidden.iter_mut().enumerate() {
            if group.lead() == &SiteId::hidden(i) {
                *width = units;
            }
        }
    }
}
