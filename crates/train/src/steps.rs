//! One step of an optimiser over the whole of the parameters, and the choice between that and [`ByFeature`].

use nlpress_model::Model;

use crate::by_feature::{self, ByFeature};
use crate::checkpoint::Progress;
use crate::engine::{Batch, Engine, Wire};
use crate::plan::Fit;
use crate::{FitConfig, TrainError};

/// How the steps of a training are done.
pub(crate) enum Steps<'a> {
    /// Every parameter in every step.
    Whole(Box<Whole<'a>>),
    /// Those of the first site only where a batch has the feature.
    ByFeature(Box<ByFeature<'a>>),
}

/// Which way a training goes: the cheaper one, unless a test asks for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Cheaper,
    #[cfg(test)]
    Whole,
    #[cfg(test)]
    ByFeature,
}

/// Steps that read and write every parameter.
pub(crate) struct Whole<'a> {
    config: &'a FitConfig,
    wire: Option<&'a mut dyn Wire>,
    /// Entries that a mask holds.
    frozen: Vec<usize>,
    /// Which entries are weights; empty where weights are treated like biases.
    is_weight: Vec<bool>,
}

impl<'a> Steps<'a> {
    /// The steps of a training that stands at `at`. The engine is begun if it has something to do.
    ///
    /// # Errors
    /// [`TrainError`] when engine or threads cannot be started.
    pub(crate) fn of(
        model: &Model,
        fit: &mut Fit<'a>,
        (engine, given): (&mut dyn Engine, bool),
        at: &mut Progress,
        threads: usize,
        way: Way,
    ) -> Result<Self, TrainError> {
        let by_feature = match way {
            Way::Cheaper => !given && by_feature::pays(model, fit),
            #[cfg(test)]
            Way::Whole => false,
            #[cfg(test)]
            Way::ByFeature => !given && by_feature::possible(model, fit),
        };
        if by_feature {
            return Ok(Self::ByFeature(Box::new(ByFeature::new(model, fit, at, threads)?)));
        }
        engine.begin(model, fit.backend)?;
        let config = fit.config;
        let told_apart = config.l1() + config.l2() + config.weight_decay() > 0.0;
        Ok(Self::Whole(Box::new(Whole {
            config,
            wire: fit.wire.take(),
            frozen: model.flat_keep().iter().enumerate().filter(|(_, k)| !**k).map(|(i, _)| i).collect(),
            is_weight: if told_apart { model.flat_is_weight() } else { Vec::new() },
        })))
    }

    /// Prepares for an epoch of `steps` steps, in a training of `total`, of which `done` are done.
    pub(crate) fn begin_epoch(&mut self, done: u64, steps: usize, total: u64) {
        if let Self::ByFeature(by_feature) = self {
            by_feature.begin_epoch(done, steps, total);
        }
    }

    /// Does a step and gives the loss of the batch, penalties left out. With a loss that is no number, nothing is done.
    ///
    /// # Errors
    /// [`TrainError`] when the device or a worker fails.
    pub(crate) fn step(
        &mut self,
        engine: &mut dyn Engine,
        at: &mut Progress,
        batch: &Batch<'_>,
        rate: f64,
    ) -> Result<f64, TrainError> {
        match self {
            Self::Whole(whole) => whole.step(engine, at, batch, rate),
            Self::ByFeature(by_feature) => by_feature.step(at, batch, rate),
        }
    }

    /// Puts all numbers where they belong after the last step of an epoch.
    pub(crate) fn end_epoch(&mut self, at: &mut Progress) {
        if let Self::ByFeature(by_feature) = self {
            by_feature.end_epoch(at);
        }
    }
}

impl Whole<'_> {
    fn step(
        &mut self,
        engine: &mut dyn Engine,
        at: &mut Progress,
        batch: &Batch<'_>,
        rate: f64,
    ) -> Result<f64, TrainError> {
        let config = self.config;
        let mut gradients = engine.gradients(&at.flat, batch)?;
        if !gradients.loss.is_finite() {
            return Ok(gradients.loss);
        }
        if let Some(wire) = self.wire.as_mut() {
            wire.send(&mut gradients.flat);
        }
        if config.l1() + config.l2() > 0.0 {
            penalise(&mut gradients.flat, &at.flat, &self.is_weight, config);
        }
        self.frozen.iter().for_each(|&i| gradients.flat[i] = 0.0);
        clip(&mut gradients.flat, config.clip_norm());
        if config.weight_decay() > 0.0 {
            let decay = (1.0 - rate * config.weight_decay()) as f32;
            let weights = at.flat.iter_mut().zip(&self.is_weight).filter(|(_, is_weight)| **is_weight);
            weights.for_each(|(w, _)| *w *= decay);
        }
        at.adam.step(&mut at.flat, &gradients.flat, rate, config.adam());
        Ok(gradients.loss)
    }
}

/// Adds the derivative of `l1 · Σ|w| + l2 · Σw²` over the weights.
fn penalise(gradient: &mut [f32], flat: &[f32], is_weight: &[bool], config: &FitConfig) {
    let (l1, l2) = (config.l1() as f32, 2.0 * config.l2() as f32);
    for ((g, w), is_weight) in gradient.iter_mut().zip(flat).zip(is_weight) {
        if *is_weight && *w != 0.0 {
            *g += l1 * w.signum() + l2 * w;
        }
    }
}

/// Scales a gradient down to the norm it may have (Pascanu et al. 2013).
fn clip(gradient: &mut [f32], bound: Option<f64>) {
    let Some(bound) = bound else { return };
    let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    if norm > bound {
        let scale = (bound / norm) as f32;
        gradient.iter_mut().for_each(|g| *g *= scale);
    }
}
