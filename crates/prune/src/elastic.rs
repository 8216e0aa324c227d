//! `prune.elastic`: training under L1 and L2 together, then the smallest weights go.
//!
//! L1 alone picks one of several inputs that say the same and drops the others by accident of the data; with some
//! L2 beside it they share the weight, and go or stay as a group (Zou and Hastie 2005). Words that occur together
//! are such inputs. Otherwise as `prune.l1`.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use serde::Deserialize;

use crate::PruneError;
use crate::cut::{SCOPE, Scope};
use crate::penalty::{Regularised, penalised, positive};
use crate::target::{BYTES, NONZEROS, SPARSITY, Target};
use crate::tune::{FINETUNE, Tuning};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.elastic",
    family: Family::Clip,
    summary: "Trains under L1 and L2 penalties together, then drops the smallest weights.",
    source: "Zou and Hastie 2005 (elastic net); Han et al. 2015, arXiv:1506.02626, section 3.1",
    example: "l1 = 1e-4\nl2 = 1e-4\nsparsity = 0.8\ntrain = { epochs = 1 }\nfinetune = { epochs = 1 }",
    on: &["**"],
    settings: &[
        ("l1", "weight of the sum of magnitudes in the loss, positive; required"),
        ("l2", "weight of the sum of squares in the loss, positive; required"),
        (
            "train",
            "training under the penalties, as a training table like finetune's, without l1 and l2; 10 epochs by default",
        ),
        SPARSITY,
        NONZEROS,
        BYTES,
        SCOPE,
        FINETUNE,
    ],
    parse: parse::<Elastic>,
};

/// The checked configuration of `prune.elastic`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Elastic(Regularised);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    l1: f64,
    l2: f64,
    #[serde(default)]
    train: Tuning,
    sparsity: Option<f64>,
    nonzeros: Option<usize>,
    bytes: Option<usize>,
    #[serde(default)]
    scope: Scope,
    finetune: Option<Tuning>,
}

impl TryFrom<Raw> for Elastic {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let penalty = (positive("l1", raw.l1)?, positive("l2", raw.l2)?);
        let target = Target::one_of(raw.sparsity, raw.nonzeros, raw.bytes)?;
        let train = penalised(raw.train, penalty)?;
        Ok(Self(Regularised { train, target, scope: raw.scope, finetune: raw.finetune }))
    }
}

impl Technique for Elastic {
    fn needs(&self) -> Needs {
        self.0.needs()
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        self.0.plan(before, on, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        self.0.apply(model, on, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_penalties_are_set_and_positive() {
        let read = |text: &str| toml::from_str::<Elastic>(text).map_err(|e| e.message().to_owned());
        let elastic = read("l1 = 0.01\nl2 = 0.1\nsparsity = 0.5").unwrap();
        assert_eq!((elastic.0.train.fit().l1(), elastic.0.train.fit().l2()), (0.01, 0.1));
        for (bad, says) in [
            ("l1 = 0\nl2 = 0.1\nsparsity = 0.5", "l1 is 0, but it must be positive"),
            ("l1 = 0.1\nl2 = nan\nsparsity = 0.5", "l2 is NaN"),
            ("l1 = 0.1\nsparsity = 0.5", "l2"),
            ("l1 = 0.1\nl2 = 0.1\nsparsity = 0.5\ntrain = { l1 = 0.1 }", "train.l1 is 0.1"),
            ("l1 = 0.1\nl2 = 0.1", "sparsity, nonzeros or bytes is missing"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
