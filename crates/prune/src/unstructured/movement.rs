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

use nlpress_model::{Model, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, Training, parse};
use nlpress_train::record::{Reader, Writer};
use nlpress_train::{Effective, Reparameterization, Stateful, Step, TrainError, With};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::io;
use std::ops::Range;

use super::penalty::{TRAINS, positive};
use crate::PruneError;
use crate::frame::{
    BYTES, Criterion, Curve, FINETUNE, MaskBuilder, NONZEROS, PruningSchedule, SCOPE, SPARSITY,
    SchedulePoint, Scope, SparsityTarget, Tuning, Unstructured, keep_highest,
};

/// The entry of hard movement pruning in the list of all techniques.
pub const HARD: Kind = Kind {
    name: "prune.movement",
    family: Family::Simplify,
    summary: "Movement pruning: learns a score for each connection while training, and drops those that move \
              towards zero.",
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
    parse: parse::<Unstructured<Hard>>,
};

/// The entry of soft movement pruning in the list of all techniques.
pub const SOFT: Kind = Kind {
    name: "prune.soft_movement",
    summary: "Soft movement pruning: learns a score for each connection and how many to drop where, by a \
              threshold and a penalty.",
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
    parse: parse::<Unstructured<Soft>>,
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

/// Scores that are learnt while training; `prune.movement`.
pub type Hard = Movement<Highest>;

/// Scores that are learnt while training; `prune.soft_movement`.
pub type Soft = Movement<Above>;

/// Scores that are learnt while training, and how they become masks meanwhile.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw<M>", bound = "M: Masking")]
pub struct Movement<M: Masking> {
    train: Tuning,
    score_rate: f64,
    start: Start,
    masking: M,
}

/// How scores become masks while they are learnt.
pub trait Masking: Clone + Debug + PartialEq + Send + Sync + 'static {
    /// The technique's settings as they are written.
    type Raw: DeserializeOwned;
    /// The technique's entry.
    const KIND: Kind;

    /// Checks the settings.
    ///
    /// # Errors
    /// [`PruneError`], naming the key, its value and the bound.
    fn check(raw: Self::Raw) -> Result<Movement<Self>, PruneError>;

    /// Masks at a point of the training, `done` of it being over, of entries that are `kept`.
    ///
    /// # Errors
    /// [`PruneError`] when the lengths differ or fewer are kept than must stay.
    fn masks(
        &self,
        scores: &[Vec<f32>],
        kept: &[Vec<bool>],
        done: f64,
        masks: &MaskBuilder,
    ) -> Result<Vec<Vec<bool>>, PruneError>;

    /// Weight of the penalty on the sum of the scores' sigmoids.
    fn lambda(&self) -> f64 {
        0.0
    }

    /// Whether, `done` of the training being over, as many entries are kept as will be in the end.
    fn settled(&self, done: f64) -> bool {
        let _ = done;
        true
    }
}

/// The entries of the highest scores stay, fewer and fewer of them: from one share of the training to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Highest {
    from: f64,
    to: f64,
}

/// The entries above a score stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Above {
    above: f32,
    lambda: f64,
}

/// Settings of `prune.movement`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawHard {
    #[serde(default)]
    train: Tuning,
    score_rate: Option<f64>,
    #[serde(default)]
    start: Start,
    warmup: Option<f64>,
    settle: Option<f64>,
}

/// Settings of `prune.soft_movement`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSoft {
    #[serde(default)]
    train: Tuning,
    score_rate: Option<f64>,
    #[serde(default)]
    start: Start,
    threshold: Option<f64>,
    lambda: Option<f64>,
}

#[derive(Deserialize)]
#[serde(transparent, bound = "M: Masking")]
struct Raw<M: Masking>(M::Raw);

impl<M: Masking> TryFrom<Raw<M>> for Movement<M> {
    type Error = PruneError;

    fn try_from(raw: Raw<M>) -> Result<Self, PruneError> {
        M::check(raw.0)
    }
}

/// Points of the curve that a training is divided into.
const POINTS: u64 = 1 << 20;

impl Masking for Highest {
    type Raw = RawHard;
    const KIND: Kind = HARD;

    fn check(raw: RawHard) -> Result<Hard, PruneError> {
        let (warmup, settle) = (raw.warmup.unwrap_or(0.1), raw.settle.unwrap_or(0.2));
        for (key, share) in [("warmup", warmup), ("settle", settle)] {
            if !(0.0..=0.9).contains(&share) {
                return Err(PruneError::setting(key, share, "between 0 and 0.9"));
            }
        }
        if warmup + settle > 0.95 {
            return Err(PruneError::setting("warmup + settle", warmup + settle, "at most 0.95"));
        }
        Ok(Movement {
            train: raw.train,
            score_rate: positive("score_rate", raw.score_rate.unwrap_or(100.0))?,
            start: raw.start,
            masking: Highest { from: warmup, to: 1.0 - settle },
        })
    }

    fn masks(
        &self,
        scores: &[Vec<f32>],
        kept: &[Vec<bool>],
        done: f64,
        masks: &MaskBuilder,
    ) -> Result<Vec<Vec<bool>>, PruneError> {
        let along = ((done - self.from) / (self.to - self.from)).clamp(0.0, 1.0);
        let at = SchedulePoint { curve: Curve::Cubic, step: (along * POINTS as f64) as u64, steps: POINTS };
        masks.choose(scores, kept, at, &mut keep_highest)
    }

    fn settled(&self, done: f64) -> bool {
        done >= self.to
    }
}

impl Masking for Above {
    type Raw = RawSoft;
    const KIND: Kind = SOFT;

    fn check(raw: RawSoft) -> Result<Soft, PruneError> {
        let threshold = raw.threshold.unwrap_or(0.1);
        if !(threshold > 0.0 && threshold < 1.0) {
            return Err(PruneError::setting("threshold", threshold, "more than 0 and less than 1"));
        }
        let above = (threshold / (1.0 - threshold)).ln() as f32;
        Ok(Movement {
            train: raw.train,
            score_rate: positive("score_rate", raw.score_rate.unwrap_or(100.0))?,
            start: raw.start,
            masking: Above { above, lambda: positive("lambda", raw.lambda.unwrap_or(1e-3))? },
        })
    }

    fn masks(
        &self,
        scores: &[Vec<f32>],
        kept: &[Vec<bool>],
        _done: f64,
        _masks: &MaskBuilder,
    ) -> Result<Vec<Vec<bool>>, PruneError> {
        let mask = |(scores, kept): (&Vec<f32>, &Vec<bool>)| {
            scores.iter().zip(kept).map(|(score, kept)| *kept && *score > self.above).collect()
        };
        Ok(scores.iter().zip(kept).map(mask).collect())
    }

    fn lambda(&self) -> f64 {
        self.lambda
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

/// Masks by scores that are learnt while the weights under them are trained.
#[derive(Debug)]
pub struct MovingMasks<M: Masking> {
    config: Movement<M>,
    masks: MaskBuilder,
    /// Where the selected sites' weights are in the flat row.
    ranges: Vec<Range<usize>>,
    /// What was kept before.
    before: Vec<Vec<bool>>,
    scores: Vec<Vec<f32>>,
    /// The scores as they were when the parameters that are kept were.
    kept: Vec<Vec<f32>>,
}

impl<M: Masking> MovingMasks<M> {
    fn new(config: &Movement<M>, masks: MaskBuilder, model: &Model) -> Self {
        let weights = masks.weights(model);
        let scores: Vec<Vec<f32>> = match config.start {
            Start::Magnitude => weights.into_iter().map(|w| w.iter().map(|x| x.abs()).collect()).collect(),
            Start::Zero => weights.into_iter().map(|w| vec![0.0; w.len()]).collect(),
        };
        Self {
            config: config.clone(),
            ranges: masks.ranges(model),
            before: masks.layers(model).iter().map(|l| l.weight.keep()).collect(),
            masks,
            kept: scores.clone(),
            scores,
        }
    }

    /// A trained model with the masks of the final count, by the scores that were kept.
    ///
    /// # Errors
    /// [`StepError`] when it is not the model that this is for.
    pub fn cut(&self, model: Model) -> Result<Model, StepError> {
        let at = SchedulePoint { curve: Curve::Cubic, step: 1, steps: 1 };
        self.masks.prune(model, &self.kept, at, &mut keep_highest)
    }
}

fn failed(error: PruneError) -> TrainError {
    TrainError::Failed(error.to_string())
}

impl<M: Masking> Stateful for MovingMasks<M> {
    fn identity(&self) -> String {
        format!("masked by {:?}, {:?}", self.config, self.masks)
    }

    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        self.scores.iter().chain(&self.kept).try_for_each(|scores| to.row(scores))
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        self.scores.iter_mut().chain(&mut self.kept).try_for_each(|scores| from.row_into(scores))
    }
}

impl<M: Masking> Reparameterization for MovingMasks<M> {
    fn forward(&mut self, _: &[f32], into: &mut Effective, at: Step) -> Result<(), TrainError> {
        let masks = self.config.masking.masks(&self.scores, &self.before, at.done(), &self.masks);
        for (range, mask) in self.ranges.iter().zip(masks.map_err(failed)?) {
            let weights = into.values[range.clone()].iter_mut().zip(&mask);
            weights.filter(|(_, k)| !**k).for_each(|(w, _)| *w = 0.0);
            into.keep[range.clone()].copy_from_slice(&mask);
        }
        Ok(())
    }

    fn learn(
        &mut self,
        latent: &[f32],
        _: &Effective,
        gradient: &[f32],
        _: Step,
    ) -> Result<(), TrainError> {
        let (rate, lambda) = (self.config.score_rate as f32, self.config.masking.lambda() as f32);
        for (range, scores) in self.ranges.iter().zip(&mut self.scores) {
            let (gradient, weights) = (&gradient[range.clone()], &latent[range.clone()]);
            move_scores(scores, gradient, weights, rate, lambda).map_err(failed)?;
        }
        Ok(())
    }

    fn settled(&self, at: Step) -> bool {
        self.config.masking.settled(at.done())
    }

    fn keep(&mut self) {
        self.kept.clone_from(&self.scores);
    }
}

/// Hard movement pruning in a training that is not its own: how many entries go, and how.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawMasks")]
pub struct MasksConfig(Unstructured<Hard>);

/// Settings of a [`MasksConfig`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMasks {
    sparsity: Option<f64>,
    nonzeros: Option<usize>,
    bytes: Option<usize>,
    #[serde(default)]
    scope: Scope,
    score_rate: Option<f64>,
    #[serde(default)]
    start: Start,
    warmup: Option<f64>,
    settle: Option<f64>,
}

impl TryFrom<RawMasks> for MasksConfig {
    type Error = PruneError;

    fn try_from(raw: RawMasks) -> Result<Self, PruneError> {
        let target = SparsityTarget::one_of(raw.sparsity, raw.nonzeros, raw.bytes)?;
        let RawMasks { scope, score_rate, start, warmup, settle, .. } = raw;
        let train = Tuning::default();
        let masks = Highest::check(RawHard { train, score_rate, start, warmup, settle })?;
        Ok(Self(Unstructured::at_once(target, scope, masks)?))
    }
}

impl MasksConfig {
    /// The outline with the masks of the final count; whatever is in their way goes into `problems`.
    pub fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        self.0.plan(before, on, problems)
    }

    /// The masks of the sites `on` of a model as they move while it is trained.
    ///
    /// # Errors
    /// [`StepError`] when fewer entries are kept than must stay.
    pub fn moving(&self, model: &Model, on: &[SiteId]) -> Result<MovingMasks<Highest>, StepError> {
        let masks = self.0.masks(model, on)?.ok_or(StepError::Missing("a target"))?;
        Ok(MovingMasks::new(self.0.criterion(), masks, model))
    }
}

impl<M: Masking> Criterion for Movement<M> {
    const KIND: Kind = M::KIND;

    fn needs(&self) -> Needs {
        TRAINS
    }

    fn prune(
        &self,
        model: Model,
        masks: &MaskBuilder,
        schedule: &PruningSchedule,
        cx: &mut Cx<'_>,
    ) -> Result<Model, StepError> {
        let mut moving = MovingMasks::new(self, masks.clone(), &model);
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
        let hard =
            |text: &str| toml::from_str::<Unstructured<Hard>>(text).map_err(|e| e.message().to_owned());
        let soft =
            |text: &str| toml::from_str::<Unstructured<Soft>>(text).map_err(|e| e.message().to_owned());
        assert_eq!(hard("sparsity = 0.5").unwrap().criterion().masking, Highest { from: 0.1, to: 0.8 });
        let above = soft("sparsity = 0.5").unwrap().criterion().masking.above;
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
