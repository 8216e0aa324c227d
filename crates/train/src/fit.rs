//! The training loop.

use nlpress_core::event::{Event, Sink};
use nlpress_core::{Backend, Seed};
use nlpress_model::dataset::accuracy;
use nlpress_model::{Dataset, Dropout, Model, ModelError, Network};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;

use crate::TrainError;
use crate::adam::Adam;
use crate::checkpoint::Progress;
use crate::config::FitConfig;
use crate::engine::{Batch, Engine, Serial, Wire};
use crate::objective::{Labels, Objective, mean_loss};

/// Steps between two looks at whether the run should stop.
const STEPS_A_LOOK: u64 = 20;

/// Everything a training needs besides the model.
pub struct Fit<'a> {
    /// How.
    pub config: &'a FitConfig,
    /// Where.
    pub backend: &'a Backend,
    /// On what.
    pub train: &'a Dataset,
    /// What early stopping and the progress report look at.
    pub valid: Option<&'a Dataset>,
    /// What to reduce; the true labels' cross-entropy when there is none.
    pub objective: Option<&'a dyn Objective>,
    /// Root of data order and dropout.
    pub seed: Seed,
    /// Who listens.
    pub sink: &'a dyn Sink,
    /// How gradients are computed; serially when there is none.
    pub engine: Option<&'a mut dyn Engine>,
    /// What happens to gradients on their way.
    pub wire: Option<&'a mut dyn Wire>,
    /// File to write after each epoch. An engine or a wire that keeps something from step to step is refused
    /// with it, because the file does not hold that; trainings with different objectives need different files.
    pub checkpoint: Option<&'a Path>,
    /// Whether to go on from that file when it is there.
    pub resume: bool,
}

impl<'a> Fit<'a> {
    /// A plain training on labels.
    pub fn new(
        config: &'a FitConfig,
        backend: &'a Backend,
        train: &'a Dataset,
        seed: Seed,
        sink: &'a dyn Sink,
    ) -> Self {
        Self {
            config,
            backend,
            train,
            valid: None,
            objective: None,
            seed,
            sink,
            engine: None,
            wire: None,
            checkpoint: None,
            resume: false,
        }
    }
}

impl std::fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fit {{ {:?}, {:?}, {} rows }}", self.config, self.seed, self.train.len())
    }
}

/// One epoch of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean training loss over its steps, dropout on, penalties left out.
    pub loss: f64,
    /// Loss on the validation rows.
    pub valid_loss: Option<f64>,
    /// Accuracy on the validation rows.
    pub valid_accuracy: Option<f64>,
}

/// What happened in a training.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Epoch by epoch.
    pub epochs: Vec<Epoch>,
    /// The epoch, from 1, whose parameters were kept.
    pub kept: u32,
    /// Optimiser steps.
    pub steps: u64,
}

/// Trains every trainable site of a model.
///
/// With [`FitConfig::patience`], the parameters of the best validation loss are kept; otherwise the last ones.
///
/// # Errors
/// [`TrainError`]; the checkpoint, where there is one, then holds the last whole epoch.
pub fn fit(model: Model, fit: Fit<'_>) -> Result<(Model, History), TrainError> {
    if rayon::current_thread_index().is_some() {
        return run(model, fit);
    }
    // burn hands each of its operations to a thread of the current pool and waits. On a pool's own thread there
    // is nothing to hand over, and one thread is all that a batch of a few rows can use.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|e| TrainError::Engine(format!("its thread could not be started: {e}")))?;
    pool.install(|| run(model, fit))
}

fn run(model: Model, mut fit: Fit<'_>) -> Result<(Model, History), TrainError> {
    let (config, seed) = (fit.config, fit.seed);
    let labels = Labels::of(fit.train);
    let objective: &dyn Objective = fit.objective.unwrap_or(&labels);
    let mut serial = Serial::default();
    let engine: &mut dyn Engine = match fit.engine.take() {
        Some(engine) => engine,
        None => &mut serial,
    };
    check(&model, &fit, engine)?;
    engine.begin(&model, fit.backend)?;
    let mut at = start(&model, &fit)?;
    let frozen: Vec<usize> =
        model.flat_keep().iter().enumerate().filter(|(_, k)| !**k).map(|(i, _)| i).collect();
    let is_weight = if config.l1() + config.l2() > 0.0 { model.flat_is_weight() } else { Vec::new() };
    let mut dropout = Dropout::new(model.spec(), seed, 0);
    let steps = u64::from(config.epochs()) * fit.train.len().div_ceil(config.batch()) as u64;
    let mut order: Vec<usize> = Vec::new();

    while at.epoch < config.epochs() && config.patience().is_none_or(|p| at.stale < p) {
        let diverged = |loss: f64| TrainError::Diverged { epoch: at.epoch + 1, loss };
        order.clear();
        order.extend(0..fit.train.len());
        seed.derive("order").stream(u64::from(at.epoch)).shuffle(&mut order);
        let mut loss = 0.0;
        for indices in order.chunks(config.batch()) {
            dropout = dropout.at(at.step);
            let batch = Batch { rows: fit.train.rows(), indices, dropout: &dropout, objective };
            let mut gradients = engine.gradients(&at.flat, &batch)?;
            if !gradients.loss.is_finite() {
                return Err(diverged(gradients.loss));
            }
            loss += gradients.loss * indices.len() as f64;
            if let Some(wire) = fit.wire.as_mut() {
                wire.send(&mut gradients.flat);
            }
            penalise(&mut gradients.flat, &at.flat, &is_weight, config);
            frozen.iter().for_each(|&i| gradients.flat[i] = 0.0);
            clip(&mut gradients.flat, config.clip_norm());
            let rate = config.learning_rate(at.step, steps);
            at.adam.step(&mut at.flat, &gradients.flat, rate, config.adam());
            at.step += 1;
            if at.step.is_multiple_of(STEPS_A_LOOK) {
                fit.sink.say(&Event::Progress { what: "training".into(), done: at.step, total: steps })?;
            }
        }
        let loss = loss / fit.train.len() as f64;
        if at.flat.iter().any(|x| !x.is_finite()) {
            return Err(diverged(loss));
        }
        let valid = match fit.valid {
            Some(valid) => Some(validate(&model, engine, &at.flat, fit.backend, valid)?),
            None => None,
        };
        if let Some((valid_loss, _)) = valid.filter(|(loss, _)| !loss.is_finite()) {
            return Err(diverged(valid_loss));
        }
        at.epoch += 1;
        at.epochs.push(Epoch { loss, valid_loss: valid.map(|v| v.0), valid_accuracy: valid.map(|v| v.1) });
        if let (Some(_), Some((valid_loss, _))) = (config.patience(), valid) {
            if at.best.as_ref().is_none_or(|(best, _)| valid_loss < *best) {
                at.best = Some((valid_loss, at.flat.clone()));
                at.stale = 0;
            } else {
                at.stale += 1;
            }
        }
        if at.stale == 0 {
            engine.keep(&at.flat);
        }
        if let Some(path) = fit.checkpoint {
            at.save(path)?;
        }
        fit.sink.say(&Event::EpochFinished {
            epoch: at.epoch,
            epochs: config.epochs(),
            loss,
            valid_accuracy: valid.map(|v| v.1),
        })?;
    }
    let kept = at.epoch - at.stale;
    let flat = at.best.map_or(at.flat, |(_, best)| best);
    Ok((model.with_flat(&flat)?, History { epochs: at.epochs, kept, steps: at.step }))
}

/// Refuses what cannot be trained, before anything is.
fn check(model: &Model, fit: &Fit<'_>, engine: &dyn Engine) -> Result<(), TrainError> {
    let outputs = model.spec().outputs();
    for data in std::iter::once(fit.train).chain(fit.valid) {
        if outputs != data.outputs() {
            let (classes, needed) = (data.classes(), data.outputs());
            let why = format!("{classes} classes need {needed} outputs, the network has {outputs}");
            return Err(ModelError::Data(why).into());
        }
    }
    if !model.layers().iter().any(|l| l.weight.is_trainable()) {
        return Err(TrainError::Engine("no site of the model can be trained: all are packed".into()));
    }
    if let (Some(patience), None) = (fit.config.patience(), fit.valid) {
        return Err(TrainError::NoValidation(patience));
    }
    let keeps_state = engine.keeps_state() || fit.wire.as_ref().is_some_and(|w| w.keeps_state());
    if let (Some(path), true) = (fit.checkpoint, keeps_state) {
        let why =
            "the exchange of gradients keeps rounding errors from step to step, which it would not hold";
        return Err(TrainError::Checkpoint(path.into(), why.into()));
    }
    Ok(())
}

/// Where the training starts: at the checkpoint, if there is one to go on from, else at the beginning.
fn start(model: &Model, fit: &Fit<'_>) -> Result<Progress, TrainError> {
    let flat = model.flat();
    let identity = fit.checkpoint.map(|_| identity(model, fit, &flat)).unwrap_or_default();
    match fit.checkpoint.filter(|path| fit.resume && path.exists()) {
        Some(path) => resumed(path, &identity),
        None => Ok(Progress {
            identity,
            epoch: 0,
            step: 0,
            adam: Adam::new(flat.len()),
            flat,
            best: None,
            stale: 0,
            epochs: Vec::new(),
        }),
    }
}

/// Loss and accuracy of a model on validation rows.
fn validate(
    model: &Model,
    engine: &dyn Engine,
    flat: &[f32],
    backend: &Backend,
    valid: &Dataset,
) -> Result<(f64, f64), TrainError> {
    let model = model.clone().with_flat(&engine.used(flat))?;
    let mut network = Network::bind(&model, backend);
    engine.prepare(&mut network)?;
    let logits = network.logits_of(valid)?;
    let loss = mean_loss(&Labels::of(valid), &logits, valid.len());
    Ok((loss, accuracy(&logits, valid.outputs(), valid.labels())))
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

/// A hash over all that decides what a training gives: network, first numbers, configuration, seed, and both
/// data sets with their rows. What has fields is hashed in its serialized form, in which none can be left out.
fn identity(model: &Model, fit: &Fit<'_>, start: &[f32]) -> String {
    let mut hash = Sha256::new();
    let form = serde_json::to_vec(&(model.outline(), fit.config, fit.seed));
    hash.update(form.expect("numbers, texts and text keys are JSON"));
    start.iter().for_each(|x| hash.update(x.to_le_bytes()));
    for keep in model.flat_keep() {
        hash.update([u8::from(keep)]);
    }
    for data in std::iter::once(fit.train).chain(fit.valid) {
        let rows = data.rows();
        hash.update(format!("{} × {} of {}", data.len(), rows.width(), data.classes()));
        data.labels().iter().for_each(|x| hash.update(x.to_le_bytes()));
        data.class_weights().iter().for_each(|x| hash.update(x.to_le_bytes()));
        rows.offsets().iter().for_each(|x| hash.update((*x as u64).to_le_bytes()));
        rows.columns().iter().for_each(|x| hash.update(x.to_le_bytes()));
        rows.values().iter().for_each(|x| hash.update(x.to_le_bytes()));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn resumed(path: &Path, identity: &str) -> Result<Progress, TrainError> {
    let progress = Progress::load(path)?;
    if progress.identity != identity {
        let why = "it belongs to another training (configuration, seed, data or model differ)";
        return Err(TrainError::Checkpoint(path.into(), why.into()));
    }
    Ok(progress)
}
