//! `prune.movement` and `prune.soft_movement`: connections that training moves towards zero go.
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

use nlpress_core::Backend;
use nlpress_model::{Gradients, Model, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use nlpress_train::{Batch, Engine, Serial, TrainError};
use serde::{Deserialize, Serialize};
use std::ops::Range;

use crate::PruneError;
use crate::cut::{self, Curve, Cut, SCOPE, Scope};
use crate::magnitude::keep_highest;
use crate::penalty::positive;
use crate::target::{BYTES, NONZEROS, SPARSITY, Target};
use crate::tune::{FINETUNE, Tuning, retrain, retrain_if};

/// The entry of hard movement pruning in the list of all techniques.
pub const HARD: Kind = Kind {
    name: "prune.movement",
    family: Family::Simplify,
    summary: "Learns a score for each connection while training, and drops those that move towards zero.",
    source: "Sanh, Wolf and Rush 2020, arXiv:2005.07683",
    example: "sparsity = 0.8\ntrain = { epochs = 2 }\nfinetune = { epochs = 1 }",
    on: &["**"],
    settings: &[
        SPARSITY,
        NONZEROS,
        BYTES,
        SCOPE,
        TRAIN,
        SCORE_RATE,
        START,
        ("warmup", "share of the training before the first entry goes, from 0 to 0.9; 0.1 by default"),
        ("settle", "share of the training, at its end, at the final count, from 0 to 0.9; 0.2 by default"),
        FINETUNE,
    ],
    parse: parse::<Hard>,
};

/// The entry of soft movement pruning in the list of all techniques.
pub const SOFT: Kind = Kind {
    name: "prune.soft_movement",
    summary: "Learns a score for each connection and how many to drop where, by a threshold and a penalty.",
    source: "Sanh, Wolf and Rush 2020, arXiv:2005.07683, section 4 (soft movement pruning)",
    settings: &[
        SPARSITY,
        NONZEROS,
        BYTES,
        SCOPE,
        TRAIN,
        SCORE_RATE,
        START,
        (
            "threshold",
            "a connection is there while σ(score) is above this, more than 0 and less than 1; 0.1 by default",
        ),
        ("lambda", "weight of the penalty on the sum of σ(score), positive; 1e-3 by default"),
        FINETUNE,
    ],
    parse: parse::<Soft>,
    ..HARD
};

const TRAIN: (&str, &str) = (
    "train",
    "training in which the scores are learnt, a training table as for finetune; 10 epochs by default",
);
const SCORE_RATE: (&str, &str) = (
    "score_rate",
    "learning rate of the scores, positive; 100 by default. From zero, the order of hard movement's scores does not \
     depend on it",
);
const START: (&str, &str) = (
    "start",
    "first scores: \"zero\", as in the paper (default); \"magnitude\" of the weights, which movement then corrects",
);

/// Where scores start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At zero.
    #[default]
    Zero,
    /// At the magnitude of each weight.
    Magnitude,
}

/// The checked configuration of `prune.movement`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawHard")]
pub struct Hard(Movement);

/// The checked configuration of `prune.soft_movement`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawSoft")]
pub struct Soft(Movement);

#[derive(Clone, Debug, PartialEq)]
struct Movement {
    target: Target,
    scope: Scope,
    train: Tuning,
    score_rate: f64,
    start: Start,
    masking: Masking,
    finetune: Option<Tuning>,
}

/// How scores become masks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Masking {
    /// The highest, along a curve from one share of the training to another.
    Hard { from: f64, to: f64 },
    /// Those above a score.
    Soft { above: f32, lambda: f64 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHard {
    sparsity: Option<f64>,
    nonzeros: Option<usize>,
    bytes: Option<usize>,
    #[serde(default)]
    scope: Scope,
    #[serde(default)]
    train: Tuning,
    score_rate: Option<f64>,
    #[serde(default)]
    start: Start,
    warmup: Option<f64>,
    settle: Option<f64>,
    finetune: Option<Tuning>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSoft {
    sparsity: Option<f64>,
    nonzeros: Option<usize>,
    bytes: Option<usize>,
    #[serde(default)]
    scope: Scope,
    #[serde(default)]
    train: Tuning,
    score_rate: Option<f64>,
    #[serde(default)]
    start: Start,
    threshold: Option<f64>,
    lambda: Option<f64>,
    finetune: Option<Tuning>,
}

impl TryFrom<RawHard> for Hard {
    type Error = PruneError;

    fn try_from(raw: RawHard) -> Result<Self, PruneError> {
        let (warmup, settle) = (raw.warmup.unwrap_or(0.1), raw.settle.unwrap_or(0.2));
        for (key, share) in [("warmup", warmup), ("settle", settle)] {
            if !(0.0..=0.9).contains(&share) {
                return Err(PruneError::setting(key, share, "between 0 and 0.9"));
            }
        }
        if warmup + settle > 0.95 {
            return Err(PruneError::setting("warmup + settle", warmup + settle, "at most 0.95"));
        }
        Ok(Self(Movement {
            target: Target::one_of(raw.sparsity, raw.nonzeros, raw.bytes)?,
            scope: raw.scope,
            train: raw.train,
            score_rate: positive("score_rate", raw.score_rate.unwrap_or(100.0))?,
            start: raw.start,
            masking: Masking::Hard { from: warmup, to: 1.0 - settle },
            finetune: raw.finetune,
        }))
    }
}

impl TryFrom<RawSoft> for Soft {
    type Error = PruneError;

    fn try_from(raw: RawSoft) -> Result<Self, PruneError> {
        let threshold = raw.threshold.unwrap_or(0.1);
        if !(threshold > 0.0 && threshold < 1.0) {
            return Err(PruneError::setting("threshold", threshold, "more than 0 and less than 1"));
        }
        let above = (threshold / (1.0 - threshold)).ln() as f32;
        Ok(Self(Movement {
            target: Target::one_of(raw.sparsity, raw.nonzeros, raw.bytes)?,
            scope: raw.scope,
            train: raw.train,
            score_rate: positive("score_rate", raw.score_rate.unwrap_or(100.0))?,
            start: raw.start,
            masking: Masking::Soft { above, lambda: positive("lambda", raw.lambda.unwrap_or(1e-3))? },
            finetune: raw.finetune,
        }))
    }
}

/// One step of the scores of some weights: `S -= rate · (∂L/∂W · W + lambda · σ'(S))`, where the derivative is
/// taken at the masked weights and `weights` are the dense ones.
///
/// # Errors
/// [`PruneError::Length`] when the lengths differ.
pub fn move_scores(
    scores: &mut [f32],
    gradient: &[f32],
    weights: &[f32],
    rate: f32,
    lambda: f32,
) -> Result<(), PruneError> {
    PruneError::same_length("gradient", gradient.len(), scores.len())?;
    PruneError::same_length("weights", weights.len(), scores.len())?;
    for ((score, g), w) in scores.iter_mut().zip(gradient).zip(weights) {
        let mut step = g * w;
        if lambda > 0.0 {
            let on = nlpress_train::objective::sigmoid(*score);
            step += lambda * on * (1.0 - on);
        }
        *score -= rate * step;
    }
    Ok(())
}

/// A serial engine whose parameters are dense and whose gradients are taken at the masked ones.
#[derive(Debug)]
struct Moving<'a> {
    serial: Serial,
    config: &'a Movement,
    cut: &'a Cut,
    /// Where the selected sites' weights are in the flat row.
    ranges: Vec<Range<usize>>,
    /// What lived before.
    kept: Vec<Vec<bool>>,
    scores: Vec<Vec<f32>>,
    masked: Vec<f32>,
    step: u64,
    steps: u64,
}

/// Points of the curve that a training is divided into.
const POINTS: u64 = 1 << 20;

impl Moving<'_> {
    fn masks(&self) -> Result<Vec<Vec<bool>>, PruneError> {
        match self.config.masking {
            Masking::Hard { from, to } => {
                let done = self.step as f64 / self.steps.max(1) as f64;
                let along = ((done - from) / (to - from)).clamp(0.0, 1.0);
                let at = (Curve::Cubic, (along * POINTS as f64) as u64, POINTS);
                self.cut.choose(&self.scores, &self.kept, at, &mut keep_highest)
            }
            Masking::Soft { above, .. } => {
                let rows = self.scores.iter().zip(&self.kept);
                let mask = |(s, k): (&Vec<f32>, &Vec<bool>)| {
                    s.iter().zip(k).map(|(s, k)| *k && *s > above).collect()
                };
                Ok(rows.map(mask).collect())
            }
        }
    }

    fn advance(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Gradients, TrainError> {
        let failed = |e: PruneError| TrainError::Engine(e.to_string());
        let masks = self.masks().map_err(failed)?;
        self.masked.clear();
        self.masked.extend_from_slice(flat);
        for (range, mask) in self.ranges.iter().zip(&masks) {
            let weights = self.masked[range.clone()].iter_mut().zip(mask);
            weights.filter(|(_, k)| !**k).for_each(|(w, _)| *w = 0.0);
        }
        let mut gradients = self.serial.gradients(&self.masked, batch)?;
        let lambda = match self.config.masking {
            Masking::Hard { .. } => 0.0,
            Masking::Soft { lambda, .. } => lambda as f32,
        };
        let rate = self.config.score_rate as f32;
        for ((range, mask), scores) in self.ranges.iter().zip(&masks).zip(&mut self.scores) {
            let gradient = &mut gradients.flat[range.clone()];
            move_scores(scores, gradient, &flat[range.clone()], rate, lambda).map_err(failed)?;
            gradient.iter_mut().zip(mask).filter(|(_, k)| !**k).for_each(|(g, _)| *g = 0.0);
        }
        self.step += 1;
        Ok(gradients)
    }
}

impl Engine for Moving<'_> {
    fn begin(&mut self, model: &Model, backend: &Backend) -> Result<(), TrainError> {
        self.serial.begin(model, backend)
    }

    fn gradients(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Gradients, TrainError> {
        self.advance(flat, batch)
    }

    fn keeps_state(&self) -> bool {
        true
    }
}

impl Technique for Movement {
    fn needs(&self) -> Needs {
        Needs { training: true, validation: true, teacher: false }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        cut::plan(before, on, self.target, self.scope, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let cut = Cut::of(&model, on, self.target, self.scope)?;
        let weights = cut.weights(&model);
        let scores = match self.start {
            Start::Magnitude => weights.into_iter().map(|w| w.iter().map(|x| x.abs()).collect()).collect(),
            Start::Zero => weights.into_iter().map(|w| vec![0.0; w.len()]).collect(),
        };
        let fit = self.train.fit();
        let mut moving = Moving {
            serial: Serial::default(),
            config: self,
            cut: &cut,
            ranges: cut.ranges(&model),
            kept: cut.layers(&model).iter().map(|l| l.weight.keep()).collect(),
            scores,
            masked: Vec::new(),
            step: 0,
            steps: u64::from(fit.epochs()) * cx.train.len().div_ceil(fit.batch()) as u64,
        };
        let model = retrain(model, &self.train, "movement", Some(&mut moving), cx)?;
        let scores = moving.scores;
        let model = cut.make_by(model, &scores, (Curve::Cubic, 1, 1), &mut keep_highest)?;
        retrain_if(model, self.finetune.as_ref(), cx)
    }
}

impl Technique for Hard {
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

impl Technique for Soft {
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
    fn what_shrinks_loses_score_and_what_grows_gains() {
        // Descent moves a weight against its gradient: the first two shrink, the last two grow.
        let (weights, gradient) = ([1.0, -1.0, 1.0, -1.0], [0.5, -0.5, -0.5, 0.5]);
        let mut scores = [0.0; 4];
        move_scores(&mut scores, &gradient, &weights, 2.0, 0.0).unwrap();
        assert_eq!(scores, [-1.0, -1.0, 1.0, 1.0]);
        assert!(move_scores(&mut scores, &gradient[..3], &weights, 1.0, 0.0).is_err());
        assert!(move_scores(&mut scores, &gradient, &weights[..3], 1.0, 0.0).is_err());
    }

    #[test]
    fn the_penalty_pushes_scores_down_most_where_they_are_undecided() {
        let mut scores = [0.0, 5.0, -5.0];
        move_scores(&mut scores, &[0.0; 3], &[1.0; 3], 1.0, 1.0).unwrap();
        assert!((scores[0] + 0.25).abs() < 1e-6, "{scores:?}");
        assert!(scores[1] < 5.0 && scores[1] > 4.9 && scores[2] < -5.0 && scores[2] > -5.1);
    }

    #[test]
    fn settings_are_checked() {
        let hard = |text: &str| toml::from_str::<Hard>(text).map_err(|e| e.message().to_owned());
        let soft = |text: &str| toml::from_str::<Soft>(text).map_err(|e| e.message().to_owned());
        assert_eq!(hard("sparsity = 0.5").unwrap().0.masking, Masking::Hard { from: 0.1, to: 0.8 });
        let Masking::Soft { above, .. } = soft("sparsity = 0.5").unwrap().0.masking else { panic!() };
        assert!((above - (1.0f32 / 9.0).ln()).abs() < 1e-6);
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
