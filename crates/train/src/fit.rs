//! The training loop.

use nlpress_core::event::Event;
use nlpress_model::graph::Source;
use nlpress_model::{Dataset, Dropout, Model, ModelError, Targets};

use crate::adam::Adam;
use crate::by_feature::ByFeature;
use crate::checkpoint::Progress;
use crate::config::Loss;
use crate::gradients::Batch;
use crate::history::{Epoch, History};
use crate::identity;
use crate::in_place::InPlace;
use crate::objective::{Labels, Objective};
use crate::on_device::OnDevice;
use crate::parts::Parts;
use crate::plan::Fit;
use crate::reparameterization::Step;
use crate::scores::Scores;
use crate::steps::{self, Steps, Way};
use crate::{Distance, Imitation, TrainError, mean_loss};

/// Steps between two looks at whether the run should stop.
const STEPS_A_LOOK: u64 = 20;

/// Trains every trainable site of a model, and gives it back with its latent parameters, which are all there are where
/// nothing is made of them before the network computes with them ([`Fit::with`](crate::With)).
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
    // is nothing to hand over, and one thread is all that a batch of a few feature rows can use. Tokens are many rows.
    let of_tokens = !matches!(model.graph().source, Source::Features { .. });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(if of_tokens { threads } else { 1 }).build();
    let pool = pool.map_err(|e| TrainError::Failed(format!("its threads could not be started: {e}")))?;
    pool.install(|| run(model, fit, threads, way))
}

pub(crate) fn run(
    model: Model,
    mut fit: Fit<'_>,
    threads: usize,
    way: Way,
) -> Result<(Model, History), TrainError> {
    let (config, seed) = (fit.config, fit.seed);
    check(&model, &fit)?;
    let labels = Labels::of(fit.train).with_loss(config.loss());
    let vectors = regression(fit.train);
    let own: &dyn Objective = match &vectors {
        Some(vectors) => vectors,
        None => &labels,
    };
    let objective = fit.objective.unwrap_or(own);
    let (by_feature, on_device) = (steps::by_feature(&model, &fit, way), steps::on_device(&fit, way));
    let mut steps = Steps::whole(&model, config)?;
    let words = fit.with.words;
    let mut parts = Parts::new(std::mem::take(&mut fit.with));
    fit.with.words = words;
    if !by_feature && !on_device {
        parts.begin(&model, fit.backend)?;
    }
    let mut at = start(&model, &fit, &mut parts)?;
    if !by_feature && !on_device && steps::in_place(&fit, &mut parts, way) {
        steps = Steps::InPlace(InPlace::new(&model, config, &mut parts, &at)?);
    }
    if by_feature {
        steps = Steps::ByFeature(Box::new(ByFeature::new(&model, &fit, &mut at, threads)?));
    }
    if on_device {
        steps = Steps::OnDevice(Box::new(OnDevice::new(&model, &fit, &mut at)?));
    }
    let in_epoch = config.steps_of_epoch(fit.train.len());
    let of = u64::from(config.epochs()) * in_epoch as u64;
    let now = |number: u64| Step { number, of, rate: config.learning_rate(number, of) };
    let mut order: Vec<usize> = Vec::new();

    while at.epoch < config.epochs() && config.patience().is_none_or(|p| at.stale < p) {
        order.clear();
        order.extend(0..fit.train.len());
        seed.derive("order").stream(u64::from(at.epoch)).shuffle(&mut order);
        steps.begin_epoch(at.step, in_epoch, of);
        let dropout = Dropout::new(model.graph(), seed, at.step);
        let loss = epoch((&fit, objective), &order, dropout, (&mut steps, &mut parts), (&mut at, &now))?;
        steps.end_epoch(&mut parts, &mut at)?;
        let diverged = |loss: f64| TrainError::Diverged { epoch: at.epoch + 1, loss };
        if at.flat.iter().any(|x| !x.is_finite()) {
            return Err(diverged(loss));
        }
        let now = now(at.step);
        parts.forward(&at.flat, now)?;
        let valid = match fit.valid {
            Some(valid) => Some(validate(&model, &parts, &at.flat, &fit, valid)?),
            None => None,
        };
        if let Some(bad) = valid.filter(|scores| !scores.loss.is_finite()) {
            return Err(diverged(bad.loss));
        }
        close_epoch(&mut at, loss, valid, config.patience().is_some() && parts.settled(now));
        if at.stale == 0 {
            parts.keep();
        }
        if let Some(path) = fit.checkpoint {
            at.save(path, &parts)?;
        }
        fit.sink.say(&Event::EpochFinished {
            epoch: at.epoch,
            epochs: config.epochs(),
            loss,
            valid_accuracy: valid.and_then(|v| v.accuracy),
        })?;
    }
    let kept = at.epoch - at.stale;
    let flat = at.best.map_or(at.flat, |(_, best)| best);
    Ok((model.with_flat(&flat)?, History { epochs: at.epochs, kept, steps: at.step }))
}

/// The steps of an epoch over the rows in this order; gives their mean loss.
fn epoch(
    (fit, objective): (&Fit<'_>, &dyn Objective),
    order: &[usize],
    mut dropout: Dropout,
    (steps, parts): (&mut Steps<'_>, &mut Parts<'_>),
    (at, now): (&mut Progress, &dyn Fn(u64) -> Step),
) -> Result<f64, TrainError> {
    let mut loss = 0.0;
    for indices in order.chunks(fit.config.rows_of_step()) {
        dropout = dropout.at(at.step);
        let batch = Batch::whole((fit.train.examples(), indices), &dropout, objective);
        let now = now(at.step);
        let of_batch = steps.step(parts, at, &batch, now)?;
        if !of_batch.is_finite() {
            return Err(TrainError::Diverged { epoch: at.epoch + 1, loss: of_batch });
        }
        loss += of_batch * indices.len() as f64;
        at.step += 1;
        if at.step.is_multiple_of(STEPS_A_LOOK) {
            fit.sink.say(&Event::Progress { what: "training".into(), done: at.step, total: now.of })?;
        }
    }
    Ok(loss / order.len() as f64)
}

/// Notes a finished epoch, with loss and accuracy on the validation rows, and whether it is the best so far where
/// training may end early.
fn close_epoch(at: &mut Progress, loss: f64, valid: Option<Validated>, patient: bool) {
    at.epoch += 1;
    let valid_loss = valid.map(|v| v.loss);
    at.epochs.push(Epoch { loss, valid_loss, valid_accuracy: valid.and_then(|v| v.accuracy) });
    let Some(valid_loss) = valid_loss.filter(|_| patient) else { return };
    if at.best.as_ref().is_none_or(|(best, _)| valid_loss < *best) {
        at.best = Some((valid_loss, at.flat.clone()));
        at.stale = 0;
    } else {
        at.stale += 1;
    }
}

/// Refuses what cannot be trained, before anything is.
fn check(model: &Model, fit: &Fit<'_>) -> Result<(), TrainError> {
    check_data(model, [Some(fit.train), fit.valid])?;
    let judged = fit.valid.into_iter().chain(fit.objective.is_none().then_some(fit.train));
    for data in judged.filter(|data| *data.targets() == Targets::None) {
        data.labelled()?;
    }
    if !model.layers().iter().any(|l| l.weight.is_trainable()) {
        return Err(TrainError::Failed("no site of the model can be trained: all are packed".into()));
    }
    let given = fit.objective.is_some() || matches!(fit.train.targets(), Targets::Vectors { .. });
    if given && fit.config.loss() != Loss::CrossEntropy {
        return Err(TrainError::LossGiven(fit.config.loss()));
    }
    if fit.objective.is_some_and(|o| o.taps().is_any()) && fit.with.words.is_some_and(|(w, _)| !w.is_off()) {
        let why = "a loss of hidden states and word dropout do not go together: the teacher reads all words";
        return Err(TrainError::Failed(why.into()));
    }
    if let (Some(patience), None) = (fit.config.patience(), fit.valid) {
        return Err(TrainError::NoValidation(patience));
    }
    Ok(())
}

/// Refuses data whose targets need other outputs than the model has.
pub(crate) fn check_data(model: &Model, data: [Option<&Dataset>; 2]) -> Result<(), TrainError> {
    let outputs = model.graph().outputs();
    for data in data.into_iter().flatten() {
        let Some(needed) = data.outputs().filter(|needed| *needed != outputs) else { continue };
        let why = match data.targets() {
            Targets::Vectors { .. } => {
                format!("vectors of {needed} need as many outputs, the network has {outputs}")
            }
            _ => {
                let classes = data.classes();
                format!("{classes} classes need {needed} outputs, the network has {outputs}")
            }
        };
        return Err(ModelError::Data(why).into());
    }
    Ok(())
}

/// The mean squared difference from the vectors of the rows, where they have vectors.
fn regression(data: &Dataset) -> Option<Imitation<'_>> {
    match data.targets() {
        Targets::Vectors { values, .. } => Some(Imitation::of(values, Distance::Mse)),
        _ => None,
    }
}

/// How good what was trained is on validation rows.
#[derive(Clone, Copy)]
struct Validated {
    loss: f64,
    /// Of rows with labels.
    accuracy: Option<f64>,
}

/// Where the training starts: at the checkpoint, if there is one to go on from, else at the beginning.
fn start(model: &Model, fit: &Fit<'_>, parts: &mut Parts<'_>) -> Result<Progress, TrainError> {
    let flat = model.flat();
    let identity = fit.checkpoint.map(|_| identity::of(model, fit, parts, &flat)).unwrap_or_default();
    match fit.checkpoint.filter(|path| fit.resume && path.exists()) {
        Some(path) => Progress::resume(path, &identity, parts),
        None => {
            fit.checkpoint.map_or(Ok(()), Progress::may_replace)?;
            let adam = Adam::new(flat.len());
            Ok(Progress { identity, epoch: 0, step: 0, adam, flat, best: None, stale: 0, epochs: Vec::new() })
        }
    }
}

/// Loss and accuracy on validation rows of what the network computes with: the loss on their labels or vectors, also where
/// training reduces another.
fn validate(
    model: &Model,
    parts: &Parts<'_>,
    flat: &[f32],
    fit: &Fit<'_>,
    valid: &Dataset,
) -> Result<Validated, TrainError> {
    let logits = parts.network(model, flat, fit.backend)?.logits_of(valid)?;
    if let Some(vectors) = regression(valid) {
        return Ok(Validated { loss: mean_loss(&vectors, &logits, valid.len()), accuracy: None });
    }
    let Scores { loss, accuracy } = Scores::of(&logits, valid, fit.config.loss())?;
    Ok(Validated { loss, accuracy: Some(accuracy) })
}
