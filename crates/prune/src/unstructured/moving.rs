//! Masks by scores that are learnt while the weights under them are trained: movement pruning as a reparameterization.
//!
//! What a score is, and how scores become masks, is told in [`movement`](super::movement), the technique. Here they are
//! laid over the latent weights in every step of any training, and learn from the gradient at what the network computes
//! with, whatever else is made of the weights.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_technique::{Problem, Settings, StepError, settings};
use nlpress_train::record::{Reader, Writer};
use nlpress_train::{Effective, Reparameterization, Stateful, Step, TrainError};
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::io;
use std::ops::Range;

use crate::PruneError;
use crate::frame::{
    Curve, MaskBuilder, SCOPE, SchedulePoint, Scope, Shared, SparsityTarget, TARGET, keep_highest, plan_masks,
};

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

settings! {
    /// How scores are learnt.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct Scoring {
        /// learning rate of the scores, positive; 100 by default. From zero, the order of hard movement's scores does
        /// not depend on it
        score_rate: f64 => or(100.0).positive(),
        /// first scores: "zero", as in the paper (default); "magnitude" of the weights, which movement then corrects
        #[serde(default)]
        start: Start,
    }
}

/// How scores become masks while they are learnt.
pub trait Masking: Debug + Send + Sync + 'static {
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

settings! {
    /// The entries of the highest scores stay, fewer and fewer of them: from one share of the training to another.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Highest {
        /// share of the training before the first entry goes, from 0 to 0.9; 0.1 by default
        warmup: f64 => or(0.1).within(0.0..=0.9),
        /// share of the training, at its end, at the final count, from 0 to 0.9; 0.2 by default
        settle: f64 => or(0.2).within(0.0..=0.9),
    } => Highest::leaves_time
}

settings! {
    /// The entries whose score's sigmoid is above a threshold stay.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Above {
        /// a connection is there while σ(score) is above this, more than 0 and less than 1; 0.1 by default
        threshold: f64 => or(0.1).when(|x: &f64| *x > 0.0 && *x < 1.0, "more than 0 and less than 1"),
        /// weight of the penalty on the sum of σ(score), positive; 1e-3 by default
        lambda: f64 => or(1e-3).positive(),
    }
}

/// Points of the curve that a training is divided into.
const POINTS: u64 = 1 << 20;

impl Highest {
    fn leaves_time(&self) -> Result<(), PruneError> {
        let both = self.warmup + self.settle;
        if both > 0.95 {
            return Err(PruneError::setting("warmup + settle", both, "at most 0.95"));
        }
        Ok(())
    }

    /// The share of the training after which the final count is kept.
    fn end(&self) -> f64 {
        1.0 - self.settle
    }
}

impl Masking for Highest {
    fn masks(
        &self,
        scores: &[Vec<f32>],
        kept: &[Vec<bool>],
        done: f64,
        masks: &MaskBuilder,
    ) -> Result<Vec<Vec<bool>>, PruneError> {
        let along = ((done - self.warmup) / (self.end() - self.warmup)).clamp(0.0, 1.0);
        let at = SchedulePoint { curve: Curve::Cubic, step: (along * POINTS as f64) as u64, steps: POINTS };
        masks.choose(scores, kept, at, &mut keep_highest)
    }

    fn settled(&self, done: f64) -> bool {
        done >= self.end()
    }
}

impl Masking for Above {
    fn masks(
        &self,
        scores: &[Vec<f32>],
        kept: &[Vec<bool>],
        _done: f64,
        _masks: &MaskBuilder,
    ) -> Result<Vec<Vec<bool>>, PruneError> {
        let above = (self.threshold / (1.0 - self.threshold)).ln() as f32;
        let mask = |(scores, kept): (&Vec<f32>, &Vec<bool>)| {
            scores.iter().zip(kept).map(|(score, kept)| *kept && *score > above).collect()
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
    scoring: Scoring,
    masking: M,
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
    /// The masks of the sites of a model, before any step.
    pub fn new(scoring: Scoring, masking: M, masks: MaskBuilder, model: &Model) -> Self {
        let weights = masks.weights(model);
        let scores: Vec<Vec<f32>> = match scoring.start {
            Start::Magnitude => weights.into_iter().map(|w| w.iter().map(|x| x.abs()).collect()).collect(),
            Start::Zero => weights.into_iter().map(|w| vec![0.0; w.len()]).collect(),
        };
        Self {
            scoring,
            masking,
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
        format!("masked by {:?}, {:?}, {:?}", self.scoring, self.masking, self.masks)
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
        let masks = self.masking.masks(&self.scores, &self.before, at.done(), &self.masks);
        for (range, mask) in self.ranges.iter().zip(masks.map_err(failed)?) {
            let weights = into.values[range.clone()].iter_mut().zip(&mask);
            weights.filter(|(_, k)| !**k).for_each(|(w, _)| *w = 0.0);
            into.keep[range.clone()].copy_from_slice(&mask);
        }
        Ok(())
    }

    fn learn(&mut self, latent: &[f32], _: &Effective, gradient: &[f32], _: Step) -> Result<(), TrainError> {
        let (rate, lambda) = (self.scoring.score_rate as f32, self.masking.lambda() as f32);
        for (range, scores) in self.ranges.iter().zip(&mut self.scores) {
            let (gradient, weights) = (&gradient[range.clone()], &latent[range.clone()]);
            move_scores(scores, gradient, weights, rate, lambda).map_err(failed)?;
        }
        Ok(())
    }

    fn settled(&self, at: Step) -> bool {
        self.masking.settled(at.done())
    }

    fn keep(&mut self) {
        self.kept.clone_from(&self.scores);
    }
}

/// Hard movement pruning in a training that is not its own: how many entries go, and how.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct MasksConfig {
    target: SparsityTarget,
    scope: Scope,
    scoring: Scoring,
    masking: Highest,
}

impl TryFrom<toml::Table> for MasksConfig {
    type Error = PruneError;

    fn try_from(table: toml::Table) -> Result<Self, PruneError> {
        let all = [TARGET, &[SCOPE], Scoring::SETTINGS, Highest::SETTINGS];
        let (Shared { sparsity, nonzeros, bytes, scope, .. }, rest) = settings::split(table, &all)?;
        let (scoring, masking) = settings::split(rest, &all)?;
        let target = SparsityTarget::one_of(sparsity, nonzeros, bytes)?;
        Ok(Self { target, scope: scope.unwrap_or_default(), scoring, masking })
    }
}

impl MasksConfig {
    /// The outline with the masks of the final count; whatever is in their way goes into `problems`.
    pub fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        plan_masks(before, on, self.target, self.scope, problems)
    }

    /// The masks of the sites `on` of a model as they move while it is trained.
    ///
    /// # Errors
    /// [`StepError`] when fewer entries are kept than must stay.
    pub fn moving(&self, model: &Model, on: &[SiteId]) -> Result<MovingMasks<Highest>, StepError> {
        let masks = MaskBuilder::of(model, on, self.target, self.scope)?;
        Ok(MovingMasks::new(self.scoring, self.masking.clone(), masks, model))
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
}
