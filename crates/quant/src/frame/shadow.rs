//! Quantization-aware training (QAT) with the straight-through estimator: the engine that all such techniques share.
//!
//! The optimizer moves latent (or shadow) weights, which are floats (Courbariaux et al. 2015). Each step rounds them,
//! takes the gradient of the loss at the rounded weights, and applies it to the latent ones as if rounding were the
//! identity: the straight-through estimator (Bengio et al. 2013, arXiv:1308.3432). A [`Rule`] says how an entry is
//! rounded and which gradients are clipped.
//!
//! Sites that were not selected, and all biases, are trained as floats. What ships is the rounded weights. The inputs
//! of the selected sites are fake-quantized, too: every row is rounded to 8 bits in training and validation, as the
//! runtime's kernels round it, with the same estimator. Fixed scales of activations (`activations`) are found after
//! the training.

use nlpress_core::{Backend, Measurement, Seed};
use nlpress_model::dataset::accuracy;
use nlpress_model::{Gradients, Layer, Model, Network, SiteId, Weight};
use nlpress_packed::{Grid, Matrix, Per, Scales, Values};
use nlpress_technique::{Cx, StepError, Training, Tuning};
use nlpress_train::{Batch, Engine, Objective, Serial, TrainError};
use std::borrow::Cow;
use std::fmt::Debug;
use std::ops::Range;

use crate::calibration::Calibration;
use crate::kd::KdSettings;
use crate::ladder::Kept;
use crate::sites;
use crate::words::{Renumbered, WordDropout};

/// Integers and a scale for each output.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rounded {
    /// An integer for each entry, `[inputs, outputs]`; undefined for pruned entries.
    pub integers: Vec<f32>,
    /// One for each output, positive.
    pub scales: Vec<f32>,
}

impl Rounded {
    /// Dequantizes into `out`; 0 for pruned entries.
    fn write(&self, keep: Option<&[bool]>, out: &mut [f32]) {
        let outputs = self.scales.len();
        for (out, q) in out.chunks_exact_mut(outputs).zip(self.integers.chunks_exact(outputs)) {
            out.iter_mut().zip(q).zip(&self.scales).for_each(|((out, q), s)| *out = q * s);
        }
        if let Some(keep) = keep {
            out.iter_mut().zip(keep).filter(|(_, k)| !**k).for_each(|(w, _)| *w = 0.0);
        }
    }
}

/// How the weights of one site are rounded while they are trained.
pub(crate) trait Rule: Debug + Send {
    /// Rounds them.
    fn round(&self, entries: Kept<'_>, into: &mut Rounded);

    /// Updates its own parameters (scales) by the gradient at the rounded weights, and turns that gradient into the one
    /// of the latent weights. `rate` is the learning rate of this step.
    fn learn(&mut self, entries: Kept<'_>, rounded: &Rounded, gradient: &mut [f32], rate: f64);
}

/// One site in the flat row of parameters.
#[derive(Debug)]
struct Place {
    range: Range<usize>,
    outputs: usize,
    keep: Option<Vec<bool>>,
    tensor: bool,
    rule: Box<dyn Rule>,
    rounded: Rounded,
    kept: Rounded,
}

impl Place {
    fn entries<'f>(&'f self, flat: &'f [f32]) -> Kept<'f> {
        entries(&flat[self.range.clone()], self.keep.as_deref(), self.outputs, self.tensor)
    }

    fn round(&mut self, flat: &[f32]) {
        let mut rounded = std::mem::take(&mut self.rounded);
        self.rule.round(self.entries(flat), &mut rounded);
        self.rounded = rounded;
    }
}

fn entries<'f>(values: &'f [f32], keep: Option<&'f [bool]>, outputs: usize, tensor: bool) -> Kept<'f> {
    Kept { values, keep, outputs, tensor }
}

/// A serial engine whose parameters are the latent weights and whose gradients are taken at the rounded ones.
#[derive(Debug)]
struct Shadow<'a> {
    serial: Serial,
    places: Vec<Place>,
    used: Vec<f32>,
    tuning: &'a Tuning,
    step: u64,
    steps: u64,
    words: WordDropout,
    seed: Seed,
}

impl Shadow<'_> {
    /// Loss and gradient at the rounded parameters, on rows without some of their words.
    fn at_rounded(&mut self, batch: &Batch<'_>) -> Result<Gradients, TrainError> {
        if self.words.is_off() {
            return self.serial.gradients(&self.used, batch);
        }
        let rows = self.words.thinned(batch.rows, batch.indices, self.seed, self.step);
        let indices: Vec<usize> = (0..rows.len()).collect();
        let objective = Renumbered { objective: batch.objective, indices: batch.indices };
        let batch = Batch { rows: &rows, indices: &indices, dropout: batch.dropout, objective: &objective };
        self.serial.gradients(&self.used, &batch)
    }

    /// The parameters with the selected sites rounded.
    fn rounded(&self, flat: &[f32]) -> Vec<f32> {
        let mut used = flat.to_vec();
        let mut rounded = Rounded::default();
        for place in &self.places {
            place.rule.round(place.entries(flat), &mut rounded);
            rounded.write(place.keep.as_deref(), &mut used[place.range.clone()]);
        }
        used
    }
}

impl Engine for Shadow<'_> {
    fn begin(&mut self, model: &Model, backend: &Backend) -> Result<(), TrainError> {
        self.serial.begin(model, backend)
    }

    fn gradients(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Gradients, TrainError> {
        self.used.clear();
        self.used.extend_from_slice(flat);
        for place in &mut self.places {
            place.round(flat);
            place.rounded.write(place.keep.as_deref(), &mut self.used[place.range.clone()]);
        }
        let mut gradients = self.at_rounded(batch)?;
        let rate = self.tuning.fit().learning_rate(self.step, self.steps);
        for place in &mut self.places {
            let gradient = &mut gradients.flat[place.range.clone()];
            let values = &flat[place.range.clone()];
            let entries = entries(values, place.keep.as_deref(), place.outputs, place.tensor);
            place.rule.learn(entries, &place.rounded, gradient, rate);
        }
        self.step += 1;
        Ok(gradients)
    }

    fn prepare(&self, network: &mut Network) -> Result<(), TrainError> {
        self.serial.prepare(network)
    }

    fn used<'f>(&self, flat: &'f [f32]) -> Cow<'f, [f32]> {
        Cow::Owned(self.rounded(flat))
    }

    fn keep(&mut self, flat: &[f32]) {
        for place in &mut self.places {
            place.round(flat);
            place.kept.clone_from(&place.rounded);
        }
    }

    fn keeps_state(&self) -> bool {
        true
    }
}

/// Makes the rule of a site from its weights before the training.
pub(crate) type Start<'a> = dyn Fn(Kept<'_>) -> Box<dyn Rule> + 'a;

/// The configuration of a quantization-aware training.
#[derive(Clone, Copy)]
pub(crate) struct Course<'a> {
    /// How; only rounding when there is none.
    pub tuning: Option<&'a Tuning>,
    /// What to learn from besides labels.
    pub kd: Option<&'a KdSettings>,
    /// The integers.
    pub grid: Grid,
    /// Whether one scale serves a whole site.
    pub tensor: bool,
    /// Which share of words each step leaves out.
    pub words: WordDropout,
    /// How the activations of the sites are fixed afterwards.
    pub activations: Option<&'a Calibration>,
    /// The rule of each site.
    pub start: &'a Start<'a>,
}

impl Course<'_> {
    /// Trains `model` with the sites `on` rounded. Returns it with its latent weights, and the rounded ones of each
    /// site.
    pub(crate) fn run(
        &self,
        model: Model,
        on: &[SiteId],
        cx: &mut Cx<'_>,
    ) -> Result<(Model, Vec<Rounded>), StepError> {
        let mut places = self.places(&model, on)?;
        let flat = model.flat();
        for place in &mut places {
            place.round(&flat);
            place.kept.clone_from(&place.rounded);
        }
        let Some(tuning) = self.tuning else {
            return Ok((model, places.into_iter().map(|p| p.kept).collect()));
        };
        let steps = u64::from(tuning.fit().epochs()) * cx.train.len().div_ceil(tuning.fit().batch()) as u64;
        let number = |id: &SiteId| model.layers().iter().position(|l| &l.id == id);
        let levels = self.grid.activation_levels();
        let rounded = on.iter().filter_map(number).map(|site| (site, levels)).collect();
        let serial = Serial::rounding(rounded);
        let (words, seed) = (self.words, cx.seed.derive("words"));
        let mut shadow = Shadow { serial, places, used: Vec::new(), tuning, step: 0, steps, words, seed };
        let as_floats = score(&model, cx)?;
        let rounded = score(&model.clone().with_flat(&shadow.rounded(&flat))?, cx)?;
        cx.measure(Measurement::higher("valid_accuracy_as_floats", as_floats, "1"));
        cx.measure(Measurement::higher("valid_accuracy_only_rounded", rounded, "1"));
        let logits = self.kd.map(|l| l.logits(&model, cx)).transpose()?;
        let imitation =
            logits.as_deref().zip(self.kd).map(|(logits, kd)| kd.loss().objective(logits, cx.train));
        let training = Training {
            tuning,
            name: "shadow",
            objective: imitation.as_ref().map(|i| i as &dyn Objective),
            engine: Some(&mut shadow),
        };
        let (model, _) = training.run(model, cx)?;
        let kept: Vec<Rounded> = shadow.places.into_iter().map(|p| p.kept).collect();
        Ok((model, kept))
    }

    /// [`run`](Course::run), and then the selected sites packed as integers of `grid`.
    pub(crate) fn pack(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let grid = self.grid;
        let (model, rounded) = self.run(model, on, cx)?;
        let per = if self.tensor { Per::Tensor } else { Per::Channel };
        let model = sites::pack(model, on, cx, Values::int(grid, per), &|layer, keep, index| {
            let at = on.iter().position(|id| id == &layer.id).unwrap_or_default();
            let Rounded { integers, scales } = &rounded[at];
            let (inputs, outputs) = (layer.shape.inputs, layer.shape.outputs);
            let scales = match self.tensor {
                true => Scales::Tensor(scales[0]),
                false => Scales::Channel(scales.clone()),
            };
            let q: Vec<i32> = integers.iter().map(|q| *q as i32).collect();
            Ok(Matrix::quantized((inputs, outputs), grid, &q, scales, keep, index)?)
        })?;
        let model = Calibration::apply_if(self.activations, model, on, cx)?;
        if self.tuning.is_some() {
            cx.measure(Measurement::higher("valid_accuracy", score(&model, cx)?, "1"));
        }
        Ok(model)
    }

    /// The selected sites, in the order of `on`.
    fn places(&self, model: &Model, on: &[SiteId]) -> Result<Vec<Place>, StepError> {
        let mut at = 0;
        let mut starts = Vec::new();
        for layer in model.layers().iter().filter(|l| l.weight.is_trainable()) {
            starts.push((layer, at));
            at += layer.shape.parameters();
        }
        on.iter()
            .map(|id| {
                let found = starts.iter().find(|(layer, _)| &layer.id == id);
                let missing = || StepError::Failed(format!("site {id}: there is no such site to train"));
                found.map(|(layer, at)| self.place(layer, *at)).ok_or_else(missing)
            })
            .collect()
    }

    fn place(&self, layer: &Layer, at: usize) -> Place {
        let (outputs, tensor) = (layer.shape.outputs, self.tensor);
        let keep = match &layer.weight {
            Weight::Masked { keep, .. } => Some(keep.clone()),
            _ => None,
        };
        let rule = (self.start)(entries(&layer.weight.values(), keep.as_deref(), outputs, tensor));
        let range = at..at + layer.shape.weights();
        let (rounded, kept) = (Rounded::default(), Rounded::default());
        Place { range, outputs, keep, tensor, rule, rounded, kept }
    }
}

/// Accuracy on the validation rows.
pub(crate) fn score(model: &Model, cx: &Cx<'_>) -> Result<f64, StepError> {
    let logits = Network::bind(model, cx.backend).logits_of(cx.valid)?;
    Ok(accuracy(&logits, cx.valid.outputs(), cx.valid.labels()))
}
