//! `prune.l1` and `prune.l2`: training under a penalty on the weights, then the smallest go.
//!
//! The penalty moves what the task does not need towards zero, so that cutting by magnitude loses less. L1
//! (the sum of magnitudes, Tibshirani 1996) pulls every weight by the same force and leaves few large ones; L2
//! (the sum of squares) pulls by proportion, so small weights are left and the cut matters more. The penalty is
//! for the training before the cut only; the training after it holds the mask and has its own settings.

use nlpress_core::Fraction;
use nlpress_model::{Model, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use nlpress_train::FitConfig;
use serde::Deserialize;

use crate::cut::{self, Cut, Scope};
use crate::magnitude::keep_largest;
use crate::tune::{tune, tune_if};
use crate::{PruneError, error};

/// The entry of L1 clipping in the list of all techniques.
pub const L1: Kind = Kind {
    name: "prune.l1",
    family: Family::Clip,
    summary: "Trains under an L1 penalty, then drops the smallest weights.",
    source: "Tibshirani 1996 (lasso); Han et al. 2015, arXiv:1506.02626, section 3.1",
    example: "lambda = 1e-4\nsparsity = 0.8\ntrain = { epochs = 1 }\nfinetune = { epochs = 1 }",
    parse: parse::<Penalised<1>>,
    ..L2
};

/// The entry of L2 clipping in the list of all techniques.
pub const L2: Kind = Kind {
    name: "prune.l2",
    family: Family::Clip,
    summary: "Trains under an L2 penalty, then drops the smallest weights.",
    source: "Krogh and Hertz 1991 (weight decay); Han et al. 2015, arXiv:1506.02626, section 3.1",
    example: "lambda = 1e-3\nsparsity = 0.8\ntrain = { epochs = 1 }\nfinetune = { epochs = 1 }",
    on: &["**"],
    settings: &[
        ("lambda", "weight of the penalty in the loss, positive; required"),
        (
            "train",
            "training under the penalty, as a training table without l1 and l2; by default its defaults",
        ),
        ("sparsity", "share of the selected sites' weights to drop, more than 0 and less than 1; required"),
        ("scope", "\"global\": weights compete over all selected sites (default); \"site\": within each"),
        ("finetune", "training afterwards with the mask held, as a training table; none by default"),
    ],
    parse: parse::<Penalised<2>>,
};

/// The checked configuration of `prune.l1` (`NORM` is 1) and `prune.l2` (`NORM` is 2).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Penalised<const NORM: u8> {
    /// With the penalty in it.
    train: FitConfig,
    sparsity: Fraction,
    scope: Scope,
    finetune: Option<FitConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    lambda: f64,
    #[serde(default)]
    train: FitConfig,
    sparsity: f64,
    #[serde(default)]
    scope: Scope,
    finetune: Option<FitConfig>,
}

impl<const NORM: u8> TryFrom<Raw> for Penalised<NORM> {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let bad_lambda = || PruneError::setting("lambda", raw.lambda, "positive and finite");
        if !(raw.lambda > 0.0 && raw.lambda.is_finite()) {
            return Err(bad_lambda());
        }
        for (key, given) in [("train.l1", raw.train.l1()), ("train.l2", raw.train.l2())] {
            if given != 0.0 {
                return Err(PruneError::setting(key, given, "left out: lambda is the penalty"));
            }
        }
        let (l1, l2) = if NORM == 1 { (raw.lambda, 0.0) } else { (0.0, raw.lambda) };
        let train = raw.train.clone().with_penalty(l1, l2).map_err(|_| bad_lambda())?;
        Ok(Self { train, sparsity: error::sparsity(raw.sparsity)?, scope: raw.scope, finetune: raw.finetune })
    }
}

impl<const NORM: u8> Technique for Penalised<NORM> {
    fn needs(&self) -> Needs {
        Needs { training: true, validation: true, teacher: false }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        cut::plan(before, on, self.sparsity, self.scope, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let cut = Cut::of(&model, on, self.sparsity, self.scope)?;
        let model = tune(model, &self.train, "penalty", cx)?;
        let model = cut.make(model, &mut keep_largest)?;
        tune_if(model, self.finetune.as_ref(), cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_penalty_is_set_once() {
        let read = |text: &str| toml::from_str::<Penalised<1>>(text).map_err(|e| e.message().to_owned());
        let l1 = read("lambda = 0.01\nsparsity = 0.5").unwrap();
        assert_eq!((l1.train.l1(), l1.train.l2()), (0.01, 0.0));
        let l2: Penalised<2> = toml::from_str("lambda = 0.01\nsparsity = 0.5").unwrap();
        assert_eq!((l2.train.l1(), l2.train.l2()), (0.0, 0.01));
        for (bad, says) in [
            ("lambda = 0.1\nsparsity = 0.5\ntrain = { l1 = 0.1 }", "train.l1 is 0.1"),
            ("lambda = 0.1\nsparsity = 0.5\ntrain = { l2 = 0.2 }", "train.l2 is 0.2"),
            ("lambda = 0\nsparsity = 0.5", "lambda is 0, but it must be positive"),
            ("lambda = inf\nsparsity = 0.5", "lambda is inf"),
            ("lambda = 0.1\nsparsity = 0", "sparsity is 0"),
            ("lambda = 0.1\nsparsity = 0.5\ntrain = { epochs = 0 }", "epochs is 0"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
