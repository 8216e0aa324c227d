//! A model without its numbers: its specification and the form of every site.
//!
//! A recipe is first executed on outlines, so that a wrong order, an empty selector, a bad shape and the
//! predicted size are known before anything is trained; "the result has exactly the planned outline" is then a
//! check that every technique gets for free. The crate knows no burn, so that the runtime, which serves
//! artifacts, can share these words.

use nlpress_packed::Scheme;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of an addressable place in a network: `hidden.0`, `output`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SiteId(String);

impl SiteId {
    /// A site of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The `n`-th hidden layer of a multi-layer perceptron, from 0.
    pub fn hidden(n: usize) -> Self {
        Self(format!("hidden.{n}"))
    }

    /// The last layer.
    pub fn output() -> Self {
        Self("output".into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a network is, without the form of its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spec {
    /// A multi-layer perceptron over feature rows.
    Mlp(MlpSpec),
}

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
    pub hidden: Vec<usize>,
    /// Logits.
    pub outputs: usize,
    /// Dropout rate after each hidden layer while training, in `[0, 1)`.
    #[serde(default)]
    pub dropout: f64,
}

/// Widest layer, and most layers, that a specification may ask for.
pub const WIDEST: usize = 1 << 20;
const MOST_LAYERS: usize = 64;
const MOST_PARAMETERS: usize = 1 << 28;

/// A specification that no network can have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{what} is {value}, but it must be {bound}")]
pub struct BadSpec {
    /// The field.
    pub what: String,
    /// Its value.
    pub value: String,
    /// What would be accepted.
    pub bound: String,
}

impl Spec {
    /// Checks every size, so that whatever is built from this specification fits in memory.
    ///
    /// # Errors
    /// [`BadSpec`] naming the field, its value and the bound.
    pub fn check(&self) -> Result<(), BadSpec> {
        let Spec::Mlp(mlp) = self;
        let bad =
            |what: String, value: String, bound: &str| Err(BadSpec { what, value, bound: bound.into() });
        let widths = [("inputs".to_owned(), mlp.inputs), ("outputs".to_owned(), mlp.outputs)];
        let hidden = mlp.hidden.iter().enumerate().map(|(i, &w)| (format!("hidden.{i}"), w));
        for (what, width) in widths.into_iter().chain(hidden) {
            if !(1..=WIDEST).contains(&width) {
                return bad(what, width.to_string(), "between 1 and 1048576");
            }
        }
        if mlp.hidden.len() > MOST_LAYERS {
            return bad("hidden".into(), format!("{} layers", mlp.hidden.len()), "at most 64 layers");
        }
        if !(0.0..1.0).contains(&mlp.dropout) {
            return bad("dropout".into(), mlp.dropout.to_string(), "at least 0 and less than 1");
        }
        if self.sites().iter().map(|(_, s)| s.parameters()).sum::<usize>() > MOST_PARAMETERS {
            return bad("parameters".into(), "the product of the widths".into(), "at most 2^28");
        }
        Ok(())
    }

    /// The sites with their shapes, in the order of the forward pass.
    pub fn sites(&self) -> Vec<(SiteId, Shape)> {
        let Spec::Mlp(mlp) = self;
        let mut sites = Vec::new();
        let mut inputs = mlp.inputs;
        for (i, &outputs) in mlp.hidden.iter().enumerate() {
            sites.push((SiteId::hidden(i), Shape { inputs, outputs }));
            inputs = outputs;
        }
        sites.push((SiteId::output(), Shape { inputs, outputs: mlp.outputs }));
        sites
    }

    /// Features of a row.
    pub fn inputs(&self) -> usize {
        let Spec::Mlp(mlp) = self;
        mlp.inputs
    }

    /// Logits of a row.
    pub fn outputs(&self) -> usize {
        let Spec::Mlp(mlp) = self;
        mlp.outputs
    }
}

/// The shape of a site's weight, `[inputs, outputs]`, with a bias of `outputs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Rows of the weight.
    pub inputs: usize,
    /// Columns of the weight.
    pub outputs: usize,
}

impl Shape {
    /// Entries of the weight.
    pub fn weights(self) -> usize {
        self.inputs.saturating_mul(self.outputs)
    }

    /// Entries of weight and bias.
    pub fn parameters(self) -> usize {
        self.weights().saturating_add(self.outputs)
    }
}

/// What form a site's weight is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Trainable floats.
    Dense,
    /// Trainable floats, some of which are held at zero.
    Masked,
    /// Final: laid out as it ships, no longer trained.
    Packed(Scheme),
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Form::Dense => f.write_str("dense"),
            Form::Masked => f.write_str("masked"),
            Form::Packed(scheme) => write!(f, "packed {scheme}"),
        }
    }
}

/// A site of an outline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// Its name.
    pub id: SiteId,
    /// Its shape.
    pub shape: Shape,
    /// The form of its weight.
    pub form: Form,
}

/// A model without its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    /// The network.
    pub spec: Spec,
    /// Its sites, in the order of the forward pass.
    pub sites: Vec<Site>,
    /// Weight entries that are kept (not held at zero), over all sites; biases are not counted.
    pub kept: usize,
}

impl Outline {
    /// The outline of a freshly made, dense network.
    pub fn dense(spec: &Spec) -> Self {
        let sites: Vec<Site> =
            spec.sites().into_iter().map(|(id, shape)| Site { id, shape, form: Form::Dense }).collect();
        let kept = sites.iter().map(|s| s.shape.weights()).sum();
        Self { spec: spec.clone(), sites, kept }
    }

    /// The site of that name.
    pub fn site(&self, id: &SiteId) -> Option<&Site> {
        self.sites.iter().find(|s| &s.id == id)
    }

    /// The site of that name, to be changed.
    pub fn site_mut(&mut self, id: &SiteId) -> Option<&mut Site> {
        self.sites.iter_mut().find(|s| &s.id == id)
    }

    /// Entries of all weights and biases, zeros included.
    pub fn parameters(&self) -> usize {
        self.sites.iter().map(|s| s.shape.parameters()).sum()
    }

    /// Multiply-accumulates of one row with no zero in it, counting kept weights only.
    pub fn macs(&self) -> usize {
        self.kept
    }

    /// Predicted bytes of all weights and biases as they would ship.
    ///
    /// Kept entries are spread over the sites in proportion to their size where only the total is planned.
    pub fn predicted_bytes(&self) -> usize {
        let total: usize = self.sites.iter().map(|s| s.shape.weights()).sum();
        let share = if total == 0 { 0.0 } else { self.kept as f64 / total as f64 };
        self.sites
            .iter()
            .map(|s| {
                let kept = (s.shape.weights() as f64 * share).round() as usize;
                let Shape { inputs, outputs } = s.shape;
                let sparse = Scheme { index: nlpress_packed::Index::Sparse, ..Scheme::F32 };
                4 * outputs
                    + match s.form {
                        Form::Dense => Scheme::F32.bytes(inputs, outputs, kept),
                        Form::Masked => {
                            Scheme::F32.bytes(inputs, outputs, kept).min(sparse.bytes(inputs, outputs, kept))
                        }
                        Form::Packed(scheme) => scheme.bytes(inputs, outputs, kept),
                    }
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn article() -> Spec {
        Spec::Mlp(MlpSpec { inputs: 1000, hidden: vec![128, 64], outputs: 1, dropout: 0.5 })
    }

    #[test]
    fn the_article_network_has_136_449_parameters() {
        let outline = Outline::dense(&article());
        assert_eq!(outline.parameters(), 136_449);
        assert_eq!(outline.macs(), 136_256);
        assert_eq!(outline.predicted_bytes(), 4 * 136_449);
        assert_eq!(outline.sites[1].id.as_str(), "hidden.1");
    }

    #[test]
    fn refuses_impossible_sizes() {
        let with = |f: &dyn Fn(&mut MlpSpec)| {
            let Spec::Mlp(mut mlp) = article();
            f(&mut mlp);
            Spec::Mlp(mlp).check()
        };
        assert!(article().check().is_ok());
        assert!(with(&|m| m.inputs = 0).is_err());
        assert!(with(&|m| m.hidden = vec![usize::MAX]).is_err());
        assert!(with(&|m| m.dropout = f64::NAN).is_err());
        assert!(with(&|m| m.hidden = vec![WIDEST, WIDEST]).is_err());
    }

    #[test]
    fn forms_are_read_back_from_json() {
        let form = Form::Packed(Scheme::F32);
        let text = serde_json::to_string(&form).unwrap();
        assert_eq!(serde_json::from_str::<Form>(&text).unwrap(), form);
    }
}
