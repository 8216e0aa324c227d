//! The training loop.

use nlpress_core::event::{Event, Sink, Stopped};
use nlpress_core::{Backend, Seed, files};
use nlpress_model::dataset::accuracy;
use nlpress_model::{Dataset, Dropout, Model, ModelError, Network};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

use crate::adam::Adam;
use crate::checkpoint::Progress;
use crate::config::{BadConfig, FitConfig};
use crate::engine::{Batch, Engine, Serial, Wire};
use crate::objective::{Labels, Objective, mean_loss};

/// Steps between two looks at whether the run should stop.
const STEPS_A_LOOK: u64 = 20;

/// Training failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The model, the data or the device.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The engine.
    #[error("the training engine failed: {0}")]
    Engine(String),
    /// The loss is no longer a number.
    #[error("training diverged in epoch {epoch}: the loss is {loss}; lower learning_rate or set clip_norm")]
    Diverged {
        /// Epoch, from 1.
        epoch: u32,
        /// The loss.
        loss: f64,
    },
    /// A checkpoint.
    #[error("checkpoint {}: {}", .0.display(), .1)]
    Checkpoint(PathBuf, String),
}

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
    /// File to write after each epoch.
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
/// With [`FitConfig::patience`] and validation rows, the parameters of the best validation loss are kept;
/// otherwise the last ones.
///
/// # Errors
/// [`TrainError`]; the checkpoint, where there is one, then holds the last whole epoch.
pub fn fit(model: Model, mut fit: Fit<'_>) -> Result<(Model, History), TrainError> {
    let (config, seed) = (fit.config, fit.seed);
    let labels = Labels::of(fit.train);
    let objective: &dyn Objective = fit.objective.unwrap_or(&labels);
    let mut serial = Serial::default();
    let engine: &mut dyn Engine = match fit.engine.take() {
        Some(engine) => engine,
        None => &mut serial,
    };
    let outputs = model.spec().outputs();
    if outputs != fit.train.outputs() {
        let why = format!(
            "{} classes need {} outputs, the network has {outputs}",
            fit.train.classes(),
            fit.train.outputs()
        );
        return Err(ModelError::Data(why).into());
    }
    let start = model.flat();
    if start.is_empty() {
        return Err(TrainError::Engine("no site of the model can be trained: all are packed".into()));
    }
    engine.begin(&model, fit.backend)?;
    let identity = identity(&fit, &start);
    let mut at = match fit.checkpoint.filter(|path| fit.resume && path.exists()) {
        Some(path) => resumed(path, &identity)?,
        None => Progress {
            identity,
            epoch: 0,
            step: 0,
            adam: Adam::new(start.len()),
            flat: start,
            best: None,
            stale: 0,
            epochs: Vec::new(),
        },
    };
    let frozen: Vec<usize> =
        model.flat_keep().iter().enumerate().filter(|(_, k)| !**k).map(|(i, _)| i).collect();
    let is_weight = if config.l1() + config.l2() > 0.0 { model.flat_is_weight() } else { Vec::new() };
    let mut dropout = Dropout::new(model.spec(), seed, 0);
    let steps = u64::from(config.epochs()) * fit.train.len().div_ceil(config.batch()) as u64;
    let mut order: Vec<usize> = Vec::new();

    while at.epoch < config.epochs() && config.patience().is_none_or(|p| at.stale < p) {
        order.clear();
        order.extend(0..fit.train.len());
        seed.derive("order").stream(u64::from(at.epoch)).shuffle(&mut order);
        let mut loss = 0.0;
        for indices in order.chunks(config.batch()) {
            dropout = dropout.at(at.step);
            let batch = Batch { rows: fit.train.rows(), indices, dropout: &dropout, objective };
            let mut gradients = engine.gradients(&at.flat, &batch)?;
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
        at.epoch += 1;
        if !loss.is_finite() {
            return Err(TrainError::Diverged { epoch: at.epoch, loss });
        }
        let valid = match fit.valid {
            Some(valid) => Some(validate(&model, &at.flat, fit.backend, valid)?),
            None => None,
        };
        at.epochs.push(Epoch { loss, valid_loss: valid.map(|v| v.0), valid_accuracy: valid.map(|v| v.1) });
        if let (Some(_), Some((valid_loss, _))) = (config.patience(), valid) {
            if at.best.as_ref().is_none_or(|(best, _)| valid_loss < *best) {
                at.best = Some((valid_loss, at.flat.clone()));
                at.stale = 0;
            } else {
                at.stale += 1;
            }
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

/// Loss and accuracy of a model on validation rows.
fn validate(
    model: &Model,
    flat: &[f32],
    backend: &Backend,
    valid: &Dataset,
) -> Result<(f64, f64), TrainError> {
    let model = model.clone().with_flat(flat)?;
    let logits = Network::bind(&model, backend).logits_of(valid)?;
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

fn identity(fit: &Fit<'_>, start: &[f32]) -> String {
    let mut bytes = format!("{:?} {:?} {:?}", fit.config, fit.seed, fit.train.labels()).into_bytes();
    bytes.extend(start.iter().flat_map(|x| x.to_le_bytes()));
    files::sha256_hex(&bytes)
}

fn resumed(path: &Path, identity: &str) -> Result<Progress, TrainError> {
    let progress = Progress::load(path)?;
    if progress.identity != identity {
        let why = "it belongs to another training (configuration, seed, data or model differ)";
        return Err(TrainError::Checkpoint(path.into(), why.into()));
    }
    Ok(progress)
}
