//! Training as a part of a step: of what a technique has cut or rounded, with the masks held.
//!
//! What is left after a cut learns best with larger steps than a dense network: of the article's network at 98 %,
//! three epochs at a constant 1e-3 recover 90.1 % on R8, at 1e-2, falling to zero, 94 %. So that is the
//! default here.

use nlpress_core::Seed;
use nlpress_model::Model;
use nlpress_train::{BadConfig, Fit, FitConfig, History, Objective, With, fit};
use serde::Deserialize;

use crate::{Cx, StepError, told};

/// The description of a setting that is a training table, where nothing more is to be said of it.
pub const TRAINING: &str = "how to train: a table of training settings";

/// How a network is trained whose connections were cut: a training table with one more key, `dropout`.
///
/// Dropout fits the size of a network. A cut one needs less of it: without a rate of its own, the network's is
/// multiplied by the root of the share of weights that a site has left (Han et al. 2015, section 3.2), on average
/// over the sites that dropout comes before.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct Tuning {
    fit: FitConfig,
    dropout: Option<f64>,
}

/// A training table that cannot be run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadTuning {
    /// A value is out of its bounds.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// The table cannot be read.
    #[error("{0}")]
    Table(String),
}

impl TryFrom<toml::Table> for Tuning {
    type Error = BadTuning;

    fn try_from(table: toml::Table) -> Result<Self, BadTuning> {
        // Few weights take larger steps: measured at 90 to 98 % on the article's network.
        Self::read(table, &[("learning_rate", 1e-2.into()), ("schedule", "linear".into())])
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self::try_from(toml::Table::new()).expect("an empty table is a training of defaults")
    }
}

impl Tuning {
    /// Reads a table; what it leaves out is as in `defaults`, and as [`FitConfig`] has it beyond those.
    ///
    /// # Errors
    /// [`BadTuning`], naming the key, its value and the bound.
    pub fn read(mut table: toml::Table, defaults: &[(&str, toml::Value)]) -> Result<Self, BadTuning> {
        for (key, value) in defaults {
            table.entry(*key).or_insert_with(|| value.clone());
        }
        let dropout = match table.remove("dropout") {
            None => None,
            Some(value) => {
                let rate = value.as_float().or_else(|| value.as_integer().map(|n| n as f64));
                let (field, bound) = ("dropout", "at least 0 and less than 1");
                let bad = || BadConfig { field, value: value.to_string(), bound };
                Some(rate.filter(|r| (0.0..1.0).contains(r)).ok_or_else(bad)?)
            }
        };
        let fit = toml::Value::Table(table).try_into();
        let fit = fit.map_err(|e: toml::de::Error| BadTuning::Table(told(&e)))?;
        Ok(Self { fit, dropout })
    }

    /// How it trains.
    pub fn fit(&self) -> &FitConfig {
        &self.fit
    }

    /// The same dropout with another training.
    #[must_use]
    pub fn with_fit(&self, fit: FitConfig) -> Self {
        Self { fit, dropout: self.dropout }
    }

    /// Dropout for a network of rate `rate`, of whose sites after the first these `shares` of the weights are left.
    pub fn dropout(&self, rate: f64, shares: &[f64]) -> f64 {
        let mean = shares.iter().map(|s| s.sqrt()).sum::<f64>() / shares.len().max(1) as f64;
        self.dropout.unwrap_or(if shares.is_empty() { rate } else { rate * mean })
    }
}

/// One training of a step.
#[allow(missing_debug_implementations)] // objectives have none
pub struct Training<'a> {
    /// How.
    pub tuning: &'a Tuning,
    /// Root of its random choices, another than those of the step's other trainings.
    pub seed: Seed,
    /// What to reduce; the true labels' cross-entropy when there is none.
    pub objective: Option<&'a dyn Objective>,
    /// What else is done in every step.
    pub with: With<'a>,
}

impl<'a> Training<'a> {
    /// A plain training on labels.
    pub fn new(tuning: &'a Tuning, seed: Seed) -> Self {
        Self { tuning, seed, objective: None, with: With::default() }
    }

    /// Trains every trainable site of a model on the step's rows; entries that are not kept stay zero, and the
    /// network's own dropout is put back afterwards.
    ///
    /// # Errors
    /// [`StepError`] when the training fails or is stopped.
    pub fn run(self, model: Model, cx: &'a Cx<'_>) -> Result<(Model, History), StepError> {
        let rest = model.layers().iter().skip(1);
        let shares: Vec<f64> = rest.map(|l| l.weight.kept() as f64 / l.shape.weights() as f64).collect();
        let (changed, own) = with_dropout(model, |rate| self.tuning.dropout(rate, &shares))?;
        let how = Fit {
            valid: Some(cx.valid),
            objective: self.objective,
            with: self.with,
            ..Fit::new(&self.tuning.fit, cx.backend, cx.train, self.seed, cx.sink)
        };
        let (model, history) = fit(changed, how)?;
        Ok((with_dropout(model, |_| own)?.0, history))
    }
}

/// A model with another dropout rate, and the rate it had.
fn with_dropout(model: Model, change: impl Fn(f64) -> f64) -> Result<(Model, f64), StepError> {
    let (graph, layers) = model.into_parts();
    let was = graph.dropout();
    // Networks on tokens keep their own rate.
    let graph = if graph.is_chain() { graph.with_dropout(change(was)) } else { graph };
    Ok((Model::new(graph, layers)?, was))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_follows_the_share_kept_unless_it_is_set() {
        let read = |text: &str| toml::from_str::<Tuning>(text).map_err(|e| e.message().to_owned());
        let tuning = read("epochs = 3").unwrap();
        assert_eq!(tuning.fit().epochs(), 3);
        assert!((tuning.dropout(0.5, &[0.04, 0.16]) - 0.15).abs() < 1e-12);
        assert_eq!((tuning.dropout(0.5, &[1.0, 1.0]), tuning.dropout(0.5, &[])), (0.5, 0.5));
        assert_eq!(read("dropout = 0").unwrap().dropout(0.5, &[0.04]), 0.0);
        assert_eq!(Tuning::default(), read("").unwrap());
        for (bad, says) in [
            ("dropout = 1.0", "dropout is 1.0"),
            ("dropout = 'none'", "dropout is \"none\""),
            ("epochs = 0", "epochs is 0"),
            ("epoch = 3", "unknown field `epoch`"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn defaults_give_way_to_what_is_written() {
        let defaults = [("epochs", 4.into()), ("dropout", 0.1.into())];
        let read = |text: &str| Tuning::read(text.parse().unwrap(), &defaults).unwrap();
        assert_eq!((read("").fit().epochs(), read("").dropout(0.5, &[])), (4, 0.1));
        assert_eq!((read("epochs = 9").fit().epochs(), read("dropout = 0.3").dropout(0.5, &[])), (9, 0.3));
    }
}
