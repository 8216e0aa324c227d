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
use serde::de::DeserializeOwned;

use super::moving::{Above, Highest, Masking, MovingMasks, Scoring, Start};
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
    settings: &[TARGET, &[SCOPE], RawHard::SETTINGS, &[FINETUNE]],
    parse: parse::<Unstructured<Hard>>,
};

/// The entry of soft movement pruning in the list of all techniques.
pub const SOFT: Kind = Kind {
    name: "prune.soft_movement",
    summary: "Soft movement pruning: learns a score for each connection and how many to drop where, by a \
              threshold and a penalty.",
    source: "Sanh, Wolf and Rush 2020, arXiv:2005.07683, section 4 (soft movement pruning)",
    settings: &[TARGET, &[SCOPE], RawSoft::SETTINGS, &[FINETUNE]],
    parse: parse::<Unstructured<Soft>>,
    ..HARD
};

const TRAIN: &str =
    "training in which the scores are learnt, a training table as for finetune; 10 epochs by default";
const SCORE_RATE: &str = "learning rate of the scores, positive; 100 by default. From zero, the order of hard movement's scores does \
     not depend on it";
const START: &str = "first scores: \"zero\", as in the paper (default); \"magnitude\" of the weights, which movement then \
     corrects";

/// Scores that are learnt while training; `prune.movement`.
pub type Hard = Movement<Highest>;

/// Scores that are learnt while training; `prune.soft_movement`.
pub type Soft = Movement<Above>;

/// Scores that are learnt while training, and how they become masks meanwhile.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw<M>", bound = "M: Read")]
pub struct Movement<M: Read> {
    train: Tuning,
    scoring: Scoring,
    masking: M,
}

/// Masks that a technique's settings describe.
pub trait Read: Masking + Clone + PartialEq {
    /// The technique's settings as they are written.
    type Raw: DeserializeOwned;
    /// The technique's entry.
    const KIND: Kind;

    /// Checks the settings.
    ///
    /// # Errors
    /// [`PruneError`], naming the key, its value and the bound.
    fn check(raw: Self::Raw) -> Result<Movement<Self>, PruneError>;
}

impl Read for Highest {
    type Raw = RawHard;
    const KIND: Kind = HARD;

    fn check(raw: RawHard) -> Result<Hard, PruneError> {
        let RawHard { train, score_rate, start, warmup, settle } = raw;
        Ok(Movement {
            train,
            masking: Highest::between(warmup, settle)?,
            scoring: Scoring::new(score_rate, start)?,
        })
    }
}

impl Read for Above {
    type Raw = RawSoft;
    const KIND: Kind = SOFT;

    fn check(raw: RawSoft) -> Result<Soft, PruneError> {
        let RawSoft { train, score_rate, start, threshold, lambda } = raw;
        Ok(Movement {
            train,
            masking: Above::threshold(threshold, lambda)?,
            scoring: Scoring::new(score_rate, start)?,
        })
    }
}

settings! {
    /// Settings of `prune.movement`.
    #[derive(Debug)]
    pub struct RawHard {
        #[serde(default)]
        train: Tuning as TRAIN,
        score_rate: Option<f64> as SCORE_RATE,
        #[serde(default)]
        start: Start as START,
        /// share of the training before the first entry goes, from 0 to 0.9; 0.1 by default
        warmup: Option<f64>,
        /// share of the training, at its end, at the final count, from 0 to 0.9; 0.2 by default
        settle: Option<f64>,
    }
}

settings! {
    /// Settings of `prune.soft_movement`.
    #[derive(Debug)]
    pub struct RawSoft {
        #[serde(default)]
        train: Tuning as TRAIN,
        score_rate: Option<f64> as SCORE_RATE,
        #[serde(default)]
        start: Start as START,
        /// a connection is there while σ(score) is above this, more than 0 and less than 1; 0.1 by default
        threshold: Option<f64>,
        /// weight of the penalty on the sum of σ(score), positive; 1e-3 by default
        lambda: Option<f64>,
    }
}

#[derive(Deserialize)]
#[serde(transparent, bound = "M: Read")]
struct Raw<M: Read>(M::Raw);

impl<M: Read> TryFrom<Raw<M>> for Movement<M> {
    type Error = PruneError;

    fn try_from(raw: Raw<M>) -> Result<Self, PruneError> {
        M::check(raw.0)
    }
}

impl<M: Read> Criterion for Movement<M> {
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
        assert_eq!(
            hard("sparsity = 0.5").unwrap().criterion().masking,
            Highest::between(None, None).unwrap()
        );
        assert_eq!(
            soft("sparsity = 0.5").unwrap().criterion().masking,
            Above::threshold(Some(0.1), None).unwrap()
        );
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
