//! The training loop.

use nlpress_core::event::Event;
use nlpress_model::dataset::accuracy;
use nlpress_model::{Dataset, Dropout, Model, ModelError, Network};
use sha2::{Digest, Sha256};
use std::path::Path;

use crate::TrainError;
use crate::adam::Adam;
use crate::checkpoint::Progress;
use crate::config::Loss;
use crate::engine::{Batch, Engine, Serial};
use crate::history::{Epoch, History};
use crate::objective::{Labels, Objective, mean_loss};
use crate::plan::Fit;
use crate::steps::{Steps, Way};

/// Steps between two looks at whether the run should stop.
const STEPS_A_LOOK: u64 = 20;

/// Trains every trainable site of a model.
///
/// With [`FitConfig::patience`](crate::FitConfig::patience), the parameters of the best validation loss are kept; otherwise the last ones.
///
/// # Errors
/// [`TrainError`]; the checkpoint, where there is one, then holds the last whole epoch.
pub fn fit(model: Model, fit: Fit<'_>) -> Result<(Model, History), TrainError> {
    fit_by(model, fit, Way::Cheaper)
}

/// [`fit()`], whose steps go one way.
pub(crate) fn fit_by(model: Model, fit: Fit<'_>, way: Way) -> Result<(Model, History), TrainError> {
    if rayon::current_thread_index().is_some() {
        return run(model, fit, 1, way);
    }
    let threads = rayon::current_num_threads();
    // burn hands each of its operations to a thread of the current pool and waits. On a pool's own thread there
    // is nothing to hand over, and one thread is all that a batch of a few rows can use.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|e| TrainError::Engine(format!("its thread could not be started: {e}")))?;
    pool.install(|| run(model, fit, threads, way))
}

pub(crate) fn run(
    model: Model,
    mut fit: Fit<'_>,
    threads: usize,
    way: Way,
) -> Result<(Model, History), TrainError> {
    let (config, seed) = (fit.config, fit.seed);
    let labels = Labels::of(fit.train).with_loss(config.loss());
    let objective: &dyn Objective = fit.objective.unwrap_or(&labels);
    let mut serial = Serial::default();
    let (engine, given): (&mut dyn Engine, bool) = match fit.engine.take() {
        Some(engine) => (engine, true),
        None => (&mut serial, false),
    };
    check(&model, &fit, engine)?;
    let mut at = start(&model, &fit)?;
    let mut steps = Steps::of(&model, &mut fit, (&mut *engine, given), &mut at, threads, way)?;
    let mut dropout = Dropout::new(model.graph(), seed, 0);
    let in_epoch = fit.train.len().div_ceil(config.batch());
    let total = u64::from(config.epochs()) * in_epoch as u64;
    let mut order: Vec<usize> = Vec::new();

    while at.epoch < config.epochs() && config.patience().is_none_or(|p| at.stale < p) {
        let epoch = at.epoch + 1;
        let diverged = |loss: f64| TrainError::Diverged { epoch, loss };
        order.clear();
        order.extend(0..fit.train.len());
        seed.derive("order").stream(u64::from(at.epoch)).shuffle(&mut order);
        let mut loss = 0.0;
        steps.begin_epoch(at.step, in_epoch, total);
        for indices in order.chunks(config.batch()) {
            dropout = dropout.at(at.step);
            let batch = Batch { rows: fit.train.rows(), indices, dropout: &dropout, objective };
            let rate = config.learning_rate(at.step, total);
            let of_batch = steps.step(engine, &mut at, &batch, rate)?;
            if !of_batch.is_finite() {
                return Err(diverged(of_batch));
            }
            loss += of_batch * indices.len() as f64;
            at.step += 1;
            if at.step.is_multiple_of(STEPS_A_LOOK) {
                fit.sink.say(&Event::Progress { what: "training".into(), done: at.step, total })?;
            }
        }
        steps.end_epoch(&mut at);
        let loss = loss / fit.train.len() as f64;
        if at.flat.iter().any(|x| !x.is_finite()) {
            return Err(diverged(loss));
        }
        let valid = match fit.valid {
            Some(valid) => Some(validate(&model, engine, &at.flat, &fit, valid)?),
            None => None,
        };
        if let Some((valid_loss, _)) = valid.filter(|(loss, _)| !loss.is_finite()) {
            return Err(diverged(valid_loss));
        }
        close_epoch(&mut at, loss, valid, config.patience().is_some());
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

/// Notes a finished epoch, with loss and accuracy on the validation rows, and whether it is the best so far where
/// training may end early.
fn close_epoch(at: &mut Progress, loss: f64, valid: Option<(f64, f64)>, patient: bool) {
    at.epoch += 1;
    at.epochs.push(Epoch { loss, valid_loss: valid.map(|v| v.0), valid_accuracy: valid.map(|v| v.1) });
    let Some((valid_loss, _)) = valid.filter(|_| patient) else { return };
    if at.best.as_ref().is_none_or(|(best, _)| valid_loss < *best) {
        at.best = Some((valid_loss, at.flat.clone()));
        at.stale = 0;
    } else {
        at.stale += 1;
    }
}

/// Refuses what cannot be trained, before anything is.
fn check(model: &Model, fit: &Fit<'_>, engine: &dyn Engine) -> Result<(), TrainError> {
    let outputs = model.graph().outputs();
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
    if fit.objective.is_some() && fit.config.loss() != Loss::CrossEntropy {
        return Err(TrainError::LossGiven(fit.config.loss()));
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
        None => {
            fit.checkpoint.map_or(Ok(()), Progress::may_replace)?;
            let adam = Adam::new(flat.len());
            Ok(Progress { identity, epoch: 0, step: 0, adam, flat, best: None, stale: 0, epochs: Vec::new() })
        }
    }
}

/// Loss and accuracy of a model on validation rows: the loss on labels, also where training reduces another.
fn validate(
    model: &Model,
    engine: &dyn Engine,
    flat: &[f32],
    fit: &Fit<'_>,
    valid: &Dataset,
) -> Result<(f64, f64), TrainError> {
    let model = model.clone().with_flat(&engine.used(flat))?;
    let mut network = Network::bind(&model, fit.backend);
    engine.prepare(&mut network)?;
    let logits = network.logits_of(valid)?;
    let labels = Labels::of(valid).with_loss(fit.config.loss());
    let loss = mean_loss(&labels, &logits, valid.len());
    Ok((loss, accuracy(&logits, valid.outputs(), valid.labels())))
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
