//! Steps that touch only what a batch has: the first site's weight, a feature at a time.
//!
//! A batch of texts has two or three thousand of tens of thousands of features, and the gradient of all others is
//! zero. Adam moves their weights all the same, by what is left of the first moment, so that a plain step reads and
//! writes the whole weight however little the batch says of it. Here a feature sleeps until a batch has it, and then
//! is brought up to date at once ([`passed`]): up to rounding, the numbers are those of plain steps. After each epoch
//! every feature is woken up, so that a model, a checkpoint and the next epoch never see a sleeping one.
//!
//! With many outputs, threads share them out ([`part`]); the numbers do not depend on how many there are.

mod part;
mod passed;

use nlpress_model::network::Input;
use nlpress_model::{Model, ModelError, Network, Shape, Weight};
use nlpress_text::{ExamplesRef, Row, Rows};
use rayon::prelude::*;

use crate::checkpoint::Progress;
use crate::gradients::Batch;
use crate::plan::Fit;
use crate::{FitConfig, TrainError};
use part::Part;
use passed::Passed;

/// Outputs that are worth a thread.
const OUTPUTS_A_THREAD: usize = 32;
/// What a feature of a batch costs, in plain steps of a feature that no batch has: per output, and per feature.
const COST: (f64, f64) = (3.0, 24.0);
/// The largest ε for which a gradient's size does not matter.
const LARGEST_EPSILON: f64 = 1e-7;
/// Weight decay may leave this much of a weight that sleeps for an epoch, or more.
const LEAST_LEFT: f64 = 1e-20;

/// A training whose first site goes by feature.
#[derive(Debug)]
pub(crate) struct ByFeature<'a> {
    config: &'a FitConfig,
    /// The sites after the first.
    network: Network,
    first: Shape,
    parts: Vec<Part>,
    /// Where the parts are computed, when there are several.
    pool: Option<rayon::ThreadPool>,
    passed: Passed,
    /// Steps done in this epoch.
    now: u32,
    /// For each feature, the step of this epoch in which it was awake the last time.
    lasts: Vec<u32>,
    batch: Batched,
    /// Entries after the first site that a mask holds.
    frozen: Vec<usize>,
    /// Which entries after the first site's weight are weights, where weights decay.
    is_weight: Vec<bool>,
}

/// The rows of a batch over the features that it has.
#[derive(Debug, Default)]
struct Batched {
    /// The features, in the order in which they are met.
    features: Vec<u32>,
    /// When each was awake the last time.
    lasts: Vec<u32>,
    /// For every feature there is, its place in `features`; outdated unless `features` agrees.
    places: Vec<u32>,
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

/// Whether a training's first site goes by feature: where that gives the same and costs less.
pub(crate) fn pays(model: &Model, fit: &Fit<'_>) -> bool {
    possible(model, fit) && {
        let Ok(rows) = fit.train.features() else { return false };
        let Shape { inputs, outputs, .. } = model.layers()[0].shape;
        let (of_output, of_feature) = COST;
        let outputs = outputs as f64;
        let here = expected_features(rows, fit.config.batch()) * (of_output * outputs + of_feature);
        here < inputs as f64 * outputs
    }
}

/// Whether a training's first site can go by feature.
pub(crate) fn possible(model: &Model, fit: &Fit<'_>) -> bool {
    let config = fit.config;
    let (b1, b2, epsilon) = config.adam();
    let steps = fit.train.len().div_ceil(config.batch()) as f64;
    let left = (1.0 - config.peak_rate() * config.weight_decay()).powf(steps);
    fit.with.is_plain()
        && fit.objective.is_none_or(|objective| !objective.taps().is_any())
        && config.groups().is_empty()
        && config.rows_of_step() == config.batch()
        && fit.backend.kind().is_cpu()
        && model.graph().is_chain()
        && model.layers()[0].weight.is_trainable()
        && config.l1() + config.l2() == 0.0
        && b1 < b2.sqrt()
        && epsilon <= LARGEST_EPSILON
        && left >= LEAST_LEFT
}

/// Features that a batch of rows drawn from these has, on average.
fn expected_features(data: &Rows, batch: usize) -> f64 {
    let mut documents = vec![0u32; data.width()];
    data.columns().iter().for_each(|&column| documents[column as usize] += 1);
    let (rows, batch) = (data.len() as f64, batch.min(data.len()) as i32);
    documents.into_iter().map(|n| 1.0 - (1.0 - f64::from(n) / rows).powi(batch)).sum()
}

impl<'a> ByFeature<'a> {
    /// A training from its current state, on at most `threads` threads.
    ///
    /// # Errors
    /// [`TrainError::Failed`] when the threads cannot be started.
    pub(crate) fn new(
        model: &Model,
        fit: &Fit<'a>,
        at: &mut Progress,
        threads: usize,
    ) -> Result<Self, TrainError> {
        let layers = model.layers();
        let first = layers[0].shape;
        let Shape { inputs, outputs, .. } = first;
        let keep = match &layers[0].weight {
            Weight::Masked { keep, .. } => Some(&keep[..]),
            _ => None,
        };
        let count = threads.min(outputs / OUTPUTS_A_THREAD).max(1);
        let bounds: Vec<usize> = (0..=count).map(|n| outputs * n / count / 8 * 8).collect();
        let ends =
            bounds.windows(2).enumerate().map(|(n, w)| (w[0], if n + 1 == count { outputs } else { w[1] }));
        let weight = &at.flat[..first.weights()];
        let parts = ends.map(|(a, b)| Part::new(a..b, outputs, weight, &mut at.adam, keep)).collect();
        let pool =
            match count {
                1 => None,
                count => {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
                    Some(pool.map_err(|e| {
                        TrainError::Failed(format!("{count} threads could not be started: {e}"))
                    })?)
                }
            };
        let rest = first.weights()..;
        let frozen = model.flat_keep().split_off(rest.start);
        let frozen = frozen.into_iter().enumerate().filter(|(_, keep)| !*keep).map(|(i, _)| i);
        Ok(Self {
            config: fit.config,
            network: Network::bind_sites(model, fit.backend, 1..layers.len()),
            first,
            parts,
            pool,
            passed: Passed::default(),
            now: 0,
            lasts: vec![0; inputs],
            batch: Batched { places: vec![0; inputs], ..Batched::default() },
            frozen: frozen.collect(),
            is_weight: model.flat_is_weight()[rest].to_vec(),
        })
    }

    /// Prepares for an epoch of `steps` steps, in a training of `total`.
    pub(crate) fn begin_epoch(&mut self, done: u64, steps: usize, total: u64) {
        self.passed = Passed::of(self.config, done, steps, total);
        self.now = 0;
        self.lasts.fill(0);
    }

    /// Does a step; gives the loss of the batch.
    ///
    /// # Errors
    /// [`TrainError`] when the rows are not as wide as the network, or the device fails.
    pub(crate) fn step(
        &mut self,
        at: &mut Progress,
        batch: &Batch<'_>,
        rate: f64,
    ) -> Result<f64, TrainError> {
        let ExamplesRef::Features(rows) = batch.examples else {
            return Err(ModelError::Data("the network takes feature rows, not tokens".into()).into());
        };
        if rows.width() != self.first.inputs {
            let (have, takes) = (rows.width(), self.first.inputs);
            let why = format!("rows have {have} features, the network takes {takes}");
            return Err(ModelError::Data(why).into());
        }
        self.batch.fill(rows, batch.indices, &self.lasts);
        let weights = self.first.weights();
        let (loss, upstream, rest) = self.pass(&at.flat[weights..], batch)?;
        if !loss.is_finite() {
            return Ok(loss);
        }
        let outputs = self.first.outputs;
        let mut gradient = vec![0.0; outputs];
        for row in upstream.chunks_exact(outputs) {
            gradient.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        gradient.extend(rest);
        self.frozen.iter().for_each(|&i| gradient[i] = 0.0);
        let features = &self.batch;
        each(&self.pool, &mut self.parts, |part| part.gradient(features, &upstream, outputs));
        let shorter = self.config.clip_norm().map_or(1.0, |bound| shorter(bound, &self.parts, &gradient));
        gradient.iter_mut().for_each(|g| *g *= shorter);

        let update = at.adam.next(rate, self.config.adam());
        let decay = (1.0 - rate * self.config.weight_decay()) as f32;
        each(&self.pool, &mut self.parts, |part| part.step(&features.features, shorter, decay, update));
        let rest = &mut at.flat[weights..];
        if decay != 1.0 {
            rest.iter_mut().zip(&self.is_weight).filter(|(_, w)| **w).for_each(|(x, _)| *x *= decay);
        }
        let (first, second) = at.adam.moments(weights..weights + rest.len());
        update.apply(rest, &gradient, first, second);
        self.now += 1;
        for &feature in &self.batch.features {
            self.lasts[feature as usize] = self.now;
        }
        Ok(loss)
    }

    /// The loss, its derivative by what the first site makes `[rows, outputs]`, and by the numbers of later sites.
    /// `flat` begins with the first site's bias.
    fn pass(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<(f64, Vec<f32>, Vec<f32>), TrainError> {
        let outputs = self.first.outputs;
        let (bias, rest) = flat.split_at(outputs);
        let (features, passed, now) = (&self.batch, &self.passed, self.now);
        each(&self.pool, &mut self.parts, |part| part.product(features, bias, passed, now));
        let mut pre = vec![0.0; batch.indices.len() * outputs];
        self.parts.iter().for_each(|part| part.write(&mut pre, outputs));
        let objective = |logits: &[f32], gradient: &mut [f32]| {
            batch.objective.loss(batch.indices, batch.indices.len(), logits, gradient)
        };
        let sites = 1..self.network.sites();
        if sites.is_empty() {
            let mut upstream = vec![0.0; pre.len()];
            let loss = objective(&pre, &mut upstream);
            return Ok((loss, upstream, Vec::new()));
        }
        self.network.update(sites.clone(), rest);
        let trace = self.network.forward(sites, Input::Activations(&pre), Some(batch.dropout), 0)?;
        let logits = trace.output()?;
        let mut upstream = vec![0.0; logits.len()];
        let loss = objective(&logits, &mut upstream);
        let (rest, upstream) = self.network.backward(trace, Input::Activations(&pre), &upstream)?;
        Ok((loss, upstream, rest))
    }

    /// Wakes every feature up after the last step of an epoch, and puts all numbers where they belong.
    pub(crate) fn end_epoch(&mut self, at: &mut Progress) {
        let (lasts, passed) = (&self.lasts, &self.passed);
        each(&self.pool, &mut self.parts, |part| part.wake(lasts, passed));
        let weight = &mut at.flat[..self.first.weights()];
        self.parts.iter().for_each(|part| part.settle(weight, &mut at.adam, self.first.outputs));
    }
}

/// Does something to each part, on the pool where there is one.
fn each(pool: &Option<rayon::ThreadPool>, parts: &mut [Part], work: impl Fn(&mut Part) + Send + Sync) {
    match pool {
        None => parts.iter_mut().for_each(work),
        Some(pool) => pool.install(|| parts.par_iter_mut().for_each(work)),
    }
}

/// What a gradient is multiplied with so that its norm stays within a bound (Pascanu et al. 2013). Squares are added
/// by output and then over outputs, so that the sum does not depend on how outputs were shared out.
fn shorter(bound: f64, parts: &[Part], rest: &[f32]) -> f32 {
    let sum: f64 = parts.iter().flat_map(Part::squares).sum();
    let norm = rest.iter().fold(sum, |sum, g| sum + f64::from(*g).powi(2)).sqrt();
    if norm > bound { (bound / norm) as f32 } else { 1.0 }
}

impl Batched {
    /// Takes in the rows of a batch.
    fn fill(&mut self, rows: &Rows, indices: &[usize], lasts: &[u32]) {
        self.features.clear();
        self.lasts.clear();
        self.columns.clear();
        self.values.clear();
        self.offsets.clear();
        self.offsets.push(0);
        for &i in indices {
            let row = rows.row(i);
            for &feature in row.columns {
                let mut place = self.places[feature as usize];
                if self.features.get(place as usize) != Some(&feature) {
                    place = self.features.len() as u32;
                    self.places[feature as usize] = place;
                    self.features.push(feature);
                    self.lasts.push(lasts[feature as usize]);
                }
                self.columns.push(place);
            }
            self.values.extend_from_slice(row.values);
            self.offsets.push(self.values.len());
        }
    }

    /// Number of rows.
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The rows, with places in `features` as columns.
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.offsets.windows(2).map(|bounds| {
            let range = bounds[0]..bounds[1];
            Row { columns: &self.columns[range.clone()], values: &self.values[range] }
        })
    }
}

#[cfg(test)]
mod tests;
