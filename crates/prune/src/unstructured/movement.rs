//! `prune.movement` and `prune.soft_movement`: movement pruning, connections that training moves towards zero go.
//!
//! Magnitude asks how large a weight is; movement asks where it is going. Each weight gets a score `S`, learnt
//! beside the weights by a straight-through estimator: forward, the weight is there or not (`W ⊙ M(S)`); backward,
//! the mask is treated as if it were the score itself, so that `S` falls by `rate · ∂L/∂W · W`. A weight that
//! gradient descent shrinks loses score, one that it grows gains.
//!
//! *Hard* movement keeps the entries of the highest scores, fewer and fewer along a cubic curve. *Soft* movement
//! keeps those whose `σ(S)` is above a threshold, under a penalty `λ · Σ σ(S)` that pushes scores down: how much goes
//! where is learnt. The paper's penalty is a mean under Adam; here scores move by plain gradient steps, and the
//! sum makes `λ` independent of the size of the network. In both, the last cut keeps exactly the asked count, by
//! score, and the masks are then held.
//!
//! A weight that is masked gets no gradient of its own, but its score does, so that it may come back.

use nlpress_model::Model;
use nlpress_technique::{Cx, Family, Kind, Needs, Settings, StepError, Training, parse, settings};
use nlpress_train::With;
use serde::Deserialize;

use super::moving::{Above, Highest, Masking, MovingMasks, Scoring};
use crate::PruneError;
use crate::frame::{Criterion, FINETUNE, MaskBuilder, PruningSchedule, SCOPE, TARGET, Tuning, Unstructured};

/// The entry of hard movement pruning in the list of all techniques.
pub const HARD: Kind = Kind {
    name: "prune.movement",
    family: Family::Simplify,
    summary: "Movement pruning: learns a score for each connection while training, and drops those that move \
              towards zero.",
    source: "Sanh, Wolf and Rush 2020, arXiv:2005.07683",
    example: "sparsity = 0.8\ntrain = { epochs = 2 }\nfinetune = { epochs = 1 }",
    on: &["**"],
    settings: &[TARGET, &[SCOPE], Learnt::SETTINGS, Scoring::SETTINGS, Highest::SETTINGS, &[FINETUNE]],
    parse: parse::<Unstructured<Hard>>,
};

/// The entry of soft movement pruning in the list of all techniques.
pub const SOFT: Kind = Kind {
    name: "prune.soft_movement",
    summary: "Soft movement pruning: learns a score for each connection and how many to drop where, by a \
              threshold and a penalty.",
    source: "Sanh, Wolf and Rush 2020, arXiv:2005.07683, section 4 (soft movement pruning)",
    settings: &[TARGET, &[SCOPE], Learnt::SETTINGS, Scoring::SETTINGS, Above::SETTINGS, &[FINETUNE]],
    parse: parse::<Unstructured<Soft>>,
    ..HARD
};

/// Scores that are learnt while training; `prune.movement`.
pub type Hard = Movement<Highest>;

/// Scores that are learnt while training; `prune.soft_movement`.
pub type Soft = Movement<Above>;

/// Scores that are learnt while training, and how they become masks meanwhile.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table", bound = "M: Moves")]
pub struct Movement<M> {
    train: Tuning,
    scoring: Scoring,
    masking: M,
}

/// Masks that are a technique's.
pub trait Moves: Masking + Settings + Clone + PartialEq {
    /// The technique's entry.
    const KIND: Kind;
}

impl Moves for Highest {
    const KIND: Kind = HARD;
}

impl Moves for Above {
    const KIND: Kind = SOFT;
}

settings! {
    struct Learnt {
        /// training in which the scores are learnt, a training table as for finetune; 10 epochs by default
        #[serde(default)]
        train: Tuning,
    }
}

impl<M: Moves> TryFrom<toml::Table> for Movement<M> {
    type Error = PruneError;

    fn try_from(table: toml::Table) -> Result<Self, PruneError> {
        let (Learnt { train }, rest) = settings::split(table, M::KIND.settings)?;
        let (scoring, masking) = settings::split(rest, M::KIND.settings)?;
        Ok(Self { train, scoring, masking })
    }
}

impl<M: Moves> Criterion for Movement<M> {
    const KIND: Kind = M::KIND;

    fn needs(&self) -> Needs {
        Needs::TRAINING
    }

    fn prune(
        &self,
        model: Model,
        masks: &MaskBuilder,
        schedule: &PruningSchedule,
        cx: &mut Cx<'_>,
    ) -> Result<Model, StepError> {
        let mut moving = MovingMasks::new(self.scoring, self.masking.clone(), masks.clone(), &model);
        let with = With { reparameterizations: vec![&mut moving], ..With::default() };
        let training = Training { with, ..Training::new(&self.train, cx.seed.derive("movement")) };
        let (model, _) = training.run(model, cx)?;
        schedule.run(model, cx, &mut |model, _, _| moving.cut(model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let hard =
            |text: &str| toml::from_str::<Unstructured<Hard>>(text).map_err(|e| e.message().to_owned());
        let soft =
            |text: &str| toml::from_str::<Unstructured<Soft>>(text).map_err(|e| e.message().to_owned());
        let masking = toml::from_str("warmup = 0.1\nsettle = 0.2").unwrap();
        assert_eq!(hard("sparsity = 0.5").unwrap().criterion().masking, masking);
        let masking = toml::from_str("threshold = 0.1\nlambda = 1e-3").unwrap();
        assert_eq!(soft("sparsity = 0.5").unwrap().criterion().masking, masking);
        for (message, says) in [
            (hard("sparsity = 0.5\nwarmup = 1"), "warmup is 1, but it must be between 0 and 0.9"),
            (hard("sparsity = 0.5\nwarmup = 0.6\nsettle = 0.5"), "warmup + settle is 1.1"),
            (hard("sparsity = 0.5\nscore_rate = 0"), "score_rate is 0"),
            (hard("sparsity = 0.5\nlambda = 1"), "unknown field `lambda`"),
            (hard("sparsity = 0.5\ntrain = { epochs = 0 }"), "epochs is 0"),
        ] {
            let message = message.unwrap_err();
            assert!(message.contains(says), "{message}");
        }
        for (message, says) in [
            (soft("sparsity = 0.5\nthreshold = 1"), "threshold is 1"),
            (soft("sparsity = 0.5\nlambda = -1"), "lambda is -1"),
            (soft("sparsity = 0.5\nwarmup = 0.1"), "unknown field `warmup`"),
        ] {
            let message = message.unwrap_err();
            assert!(message.contains(says), "{message}");
        }
    }
}
