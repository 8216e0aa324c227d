//! The steps of a training: over all of the parameters, in one row or where the network has them ([`InPlace`]), here or on the
//! device ([`OnDevice`]), or by feature where that is cheaper ([`ByFeature`]).

use nlpress_model::Model;
use std::ops::Range;

use crate::by_feature::{self, ByFeature};
use crate::checkpoint::Progress;
use crate::crew::{Crew, by_pieces, sum_of_squares};
use crate::gradients::Batch;
use crate::in_place::{self, InPlace};
use crate::on_device::{self, OnDevice};
use crate::parts::Parts;
use crate::places::places;
use crate::plan::Fit;
use crate::reparameterization::{Penalty, Step};
use crate::segments::Segments;
use crate::{FitConfig, TrainError};

/// How the steps of a training are done.
pub(crate) enum Steps<'a> {
    /// Every parameter in every step.
    Whole(Whole<'a>),
    /// Those of the first site only where a batch has the feature.
    ByFeature(Box<ByFeature<'a>>),
    /// Every parameter in every step, where the backend has them.
    OnDevice(Box<OnDevice<'a>>),
    /// Every parameter in every step, where the network computes with them.
    InPlace(InPlace<'a>),
}

/// Which way a training goes: the cheaper one, unless a test asks for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Cheaper,
    #[cfg(test)]
    Whole,
    #[cfg(test)]
    ByFeature,
    #[cfg(test)]
    OnDevice,
    #[cfg(test)]
    InPlace,
}

/// Steps that read and write every parameter.
pub(crate) struct Whole<'a> {
    config: &'a FitConfig,
    /// The penalty of the configuration.
    own: Option<ElasticNet>,
    segments: Segments,
}

/// Whether the steps of a training are done where the network computes.
pub(crate) fn in_place(fit: &Fit<'_>, parts: &mut Parts<'_>, way: Way) -> bool {
    let is_cheaper = match way {
        Way::Cheaper => fit.backend.kind().is_cpu(),
        #[cfg(test)]
        Way::InPlace => true,
        #[cfg(test)]
        _ => false,
    };
    is_cheaper && in_place::possible(fit.config, parts)
}

/// Whether the steps of a training go by feature.
pub(crate) fn by_feature(model: &Model, fit: &Fit<'_>, way: Way) -> bool {
    match way {
        Way::Cheaper => by_feature::pays(model, fit),
        #[cfg(test)]
        Way::Whole | Way::OnDevice | Way::InPlace => false,
        #[cfg(test)]
        Way::ByFeature => by_feature::possible(model, fit),
    }
}

/// Whether the steps of a training are done where the parameters are.
pub(crate) fn on_device(fit: &Fit<'_>, way: Way) -> bool {
    let is_asked_for = match way {
        Way::Cheaper => !fit.backend.kind().is_cpu(),
        #[cfg(test)]
        Way::OnDevice => true,
        #[cfg(test)]
        _ => false,
    };
    is_asked_for && on_device::possible(fit)
}

impl<'a> Steps<'a> {
    /// Steps over all of the parameters.
    ///
    /// # Errors
    /// [`TrainError::NoGroup`] for a group that selects no site that is trained.
    pub(crate) fn whole(model: &Model, config: &'a FitConfig) -> Result<Self, TrainError> {
        let own = (config.l1() + config.l2() > 0.0).then(|| ElasticNet::of(model, config));
        Ok(Self::Whole(Whole { config, own, segments: Segments::of(model, config)? }))
    }

    /// Prepares for an epoch of `steps` steps, in a training of `total`, of which `done` are done.
    pub(crate) fn begin_epoch(&mut self, done: u64, steps: usize, total: u64) {
        if let Self::ByFeature(by_feature) = self {
            by_feature.begin_epoch(done, steps, total);
        }
    }

    /// Does a step on a batch and gives its loss, penalties left out. With a loss that is no number, nothing is done.
    ///
    /// # Errors
    /// [`TrainError`] when the device or a worker fails.
    pub(crate) fn step(
        &mut self,
        parts: &mut Parts<'_>,
        at: &mut Progress,
        batch: &Batch<'_>,
        now: Step,
    ) -> Result<f64, TrainError> {
        match self {
            Self::Whole(whole) => whole.step(parts, at, batch, now),
            Self::ByFeature(by_feature) => by_feature.step(at, batch, now.rate),
            Self::OnDevice(on_device) => on_device.step(batch, now),
            Self::InPlace(in_place) => in_place.step(parts, at, batch, now),
        }
    }

    /// Puts all numbers where they belong after the last step of an epoch.
    ///
    /// # Errors
    /// [`TrainError`] when the device fails.
    pub(crate) fn end_epoch(&mut self, parts: &mut Parts<'_>, at: &mut Progress) -> Result<(), TrainError> {
        match self {
            Self::Whole(_) => {}
            Self::InPlace(in_place) => in_place.end_epoch(parts, at)?,
            Self::ByFeature(by_feature) => by_feature.end_epoch(at),
            Self::OnDevice(on_device) => on_device.end_epoch(at)?,
        }
        Ok(())
    }
}

impl Whole<'_> {
    fn step(
        &self,
        parts: &mut Parts<'_>,
        at: &mut Progress,
        batch: &Batch<'_>,
        now: Step,
    ) -> Result<f64, TrainError> {
        parts.forward(&at.flat, now)?;
        let size = self.config.batch();
        let words = parts.words;
        let mut found = batch.thinned(words, now.number, |batch| parts.gradients(&at.flat, batch, size))?;
        if !found.loss.is_finite() {
            return Ok(found.loss);
        }
        let gradient = &mut found.flat;
        parts.backward(&at.flat, gradient, now)?;
        if let Some(own) = &self.own {
            own.add(&at.flat, gradient)?;
        }
        parts.hold(gradient);
        self.segments.freeze(gradient);
        clip(parts.crew(), gradient, self.config.clip_norm());
        self.segments.step(parts.crew(), (&mut at.flat, &mut at.adam), gradient, (now.rate, self.config));
        Ok(found.loss)
    }
}

/// `l1 · Σ|w| + l2 · Σw²` over the weights.
struct ElasticNet {
    weights: Vec<Range<usize>>,
    l1: f32,
    l2: f32,
}

impl ElasticNet {
    fn of(model: &Model, config: &FitConfig) -> Self {
        let weights = places(model).into_iter().map(|place| place.weights).collect();
        Self { weights, l1: config.l1() as f32, l2: 2.0 * config.l2() as f32 }
    }
}

impl Penalty for ElasticNet {
    fn add(&self, latent: &[f32], gradient: &mut [f32]) -> Result<(), TrainError> {
        for range in &self.weights {
            for (g, w) in gradient[range.clone()].iter_mut().zip(&latent[range.clone()]) {
                *g += if *w != 0.0 { self.l1 * w.signum() + self.l2 * w } else { 0.0 };
            }
        }
        Ok(())
    }
}

/// Scales a gradient down to the norm it may have (Pascanu et al. 2013).
fn clip(crew: Option<&Crew>, gradient: &mut [f32], bound: Option<f64>) {
    let Some(bound) = bound else { return };
    let norm = sum_of_squares(crew, gradient).sqrt();
    if norm > bound {
        let scale = (bound / norm) as f32;
        by_pieces(crew, [gradient], |_, [gradient]| gradient.iter_mut().for_each(|g| *g *= scale));
    }
}
