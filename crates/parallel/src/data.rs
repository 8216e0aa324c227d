//! Data parallelism: every worker holds the whole network and takes a share of each batch.
//!
//! The shares are fixed by `workers`, never by how many threads happen to run, and gradients are added in rank
//! order, so the trained numbers do not depend on scheduling: the same shares one after another on one thread give
//! the same bits. Against whole batches they differ by the order in which floats are added.

use nlpress_core::{Backend, Measurement};
use nlpress_model::{Gradients, Model, Network, Outline, SiteId};
use nlpress_quant::gradient::Int8Codec;
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use nlpress_train::{Batch, Engine, FitConfig, TrainError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

use crate::retrain;

/// What workers send each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exchange {
    /// Gradients as 32-bit floats.
    #[default]
    F32,
    /// Gradients as 8-bit integers with error feedback.
    Int8,
}

/// Computes the gradient of a batch on several workers, each of which takes a share.
#[derive(Debug)]
pub struct DataParallel {
    workers: usize,
    exchange: Exchange,
    pool: rayon::ThreadPool,
    ranks: Vec<Rank>,
    sent: u64,
}

/// One worker: its copy of the network and, for integer exchange, what it still owes.
#[derive(Debug)]
struct Rank {
    network: Network,
    codec: Option<Int8Codec>,
    message: Vec<u8>,
}

/// Numbers of a block that share one scale on the wire.
const BLOCK: usize = 256;

impl DataParallel {
    /// An engine of `workers` shares on at most `threads` threads.
    ///
    /// # Errors
    /// [`TrainError::Engine`] when the threads cannot be started.
    pub fn new(workers: usize, threads: usize, exchange: Exchange) -> Result<Self, TrainError> {
        let pool = pool(threads.clamp(1, workers.max(1)))?;
        Ok(Self { workers, exchange, pool, ranks: Vec::new(), sent: 0 })
    }

    /// Bytes that the workers have sent.
    pub fn bytes(&self) -> u64 {
        self.sent
    }
}

/// A pool of that many threads.
pub(crate) fn pool(threads: usize) -> Result<rayon::ThreadPool, TrainError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|e| TrainError::Engine(format!("{threads} threads could not be started: {e}")))
}

impl Engine for DataParallel {
    fn begin(&mut self, model: &Model, backend: &Backend) -> Result<(), TrainError> {
        let numbers = model.flat().len();
        let rank = || {
            let codec = match self.exchange {
                Exchange::F32 => None,
                Exchange::Int8 => Some(Int8Codec::new(numbers, BLOCK).map_err(failed)?),
            };
            Ok(Rank { network: Network::bind(model, backend), codec, message: Vec::new() })
        };
        self.ranks = (0..self.workers).map(|_| rank()).collect::<Result<_, TrainError>>()?;
        Ok(())
    }

    fn gradients(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Gradients, TrainError> {
        let total = batch.indices.len();
        let shares = shares(total, self.workers);
        let work = |(rank, share): (&mut Rank, &Range<usize>)| -> Result<Gradients, TrainError> {
            rank.network.update(0..rank.network.sites(), flat);
            let indices = &batch.indices[share.clone()];
            if indices.is_empty() {
                return Ok(Gradients { loss: 0.0, flat: vec![0.0; flat.len()] });
            }
            let mut loss =
                |logits: &[f32], gradient: &mut [f32]| batch.objective.loss(indices, total, logits, gradient);
            let mut found =
                rank.network.gradients((batch.rows, indices), Some(batch.dropout), share.start, &mut loss)?;
            if let Some(codec) = &mut rank.codec {
                rank.message.clear();
                codec.encode(&found.flat, &mut rank.message).map_err(failed)?;
                codec.decode(&rank.message, &mut found.flat).map_err(failed)?;
            }
            Ok(found)
        };
        let ranks = &mut self.ranks;
        let found: Vec<Result<Gradients, TrainError>> =
            self.pool.install(|| ranks.par_iter_mut().zip(shares.par_iter()).map(work).collect());
        let mut sum: Option<Gradients> = None;
        for (rank, found) in self.ranks.iter().zip(found) {
            let found = found?;
            self.sent += if rank.codec.is_some() { rank.message.len() } else { 4 * found.flat.len() } as u64;
            match &mut sum {
                None => sum = Some(found),
                Some(sum) => {
                    sum.loss += found.loss;
                    sum.flat.iter_mut().zip(&found.flat).for_each(|(sum, x)| *sum += x);
                }
            }
        }
        sum.ok_or_else(|| TrainError::Engine("it has no worker".into()))
    }

    fn keeps_state(&self) -> bool {
        self.exchange == Exchange::Int8
    }
}

fn failed(error: nlpress_quant::QuantError) -> TrainError {
    TrainError::Engine(error.to_string())
}

/// `n` rows in `workers` contiguous shares, the longer ones first.
fn shares(n: usize, workers: usize) -> Vec<Range<usize>> {
    let mut start = 0;
    (0..workers)
        .map(|rank| {
            let length = n / workers + usize::from(rank < n % workers);
            start += length;
            start - length..start
        })
        .collect()
}

/// `parallel.data`: trains a fresh network with data parallelism.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Data(Raw);

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    workers: usize,
    exchange: Exchange,
    compare: bool,
    tolerance: f64,
    fit: FitConfig,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            workers: 2,
            exchange: Exchange::F32,
            compare: true,
            tolerance: 1e-4,
            fit: FitConfig::default(),
        }
    }
}

impl TryFrom<Raw> for Data {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        if !(1..=256).contains(&raw.workers) {
            return Err(format!("workers is {}, but it must be between 1 and 256", raw.workers));
        }
        if !(raw.tolerance.is_finite() && raw.tolerance > 0.0) {
            return Err(format!("tolerance is {}, but it must be positive", raw.tolerance));
        }
        Ok(Self(raw))
    }
}

impl Technique for Data {
    fn needs(&self) -> Needs {
        Needs { training: true, validation: self.0.compare, teacher: false }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        retrain::plan(before, on, problems)
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let Raw { workers, exchange, compare, tolerance, fit } = &self.0;
        let mut engine = DataParallel::new(*workers, cx.threads, *exchange)?;
        let mut serial = DataParallel::new(*workers, 1, *exchange)?;
        let reference = compare.then_some((&mut serial as &mut dyn Engine, *tolerance));
        let model = retrain::run(&model, fit, &mut engine, reference, cx)?;
        cx.measure(Measurement::lower("exchanged_bytes", engine.bytes() as f64, "bytes"));
        Ok(model)
    }
}

/// Entry in the list of techniques.
pub const KIND: Kind = Kind {
    name: "parallel.data",
    family: Family::Parallel,
    summary: "trains a fresh network with every batch split over workers that each hold the whole network",
    source: "Li et al. 2020, PyTorch Distributed: Experiences on Accelerating Data Parallel Training",
    example: "workers = 2\nfit = { epochs = 2 }",
    on: &["**"],
    settings: &[
        ("workers", "shares of a batch, 1 to 256; default 2"),
        ("exchange", "what workers send: \"f32\" (default) or \"int8\" with error feedback"),
        (
            "compare",
            "train serially as well, in the same parts and plainly, and report speed-ups and difference; default true",
        ),
        (
            "tolerance",
            "largest difference of a validation logit from the same parts on one thread; default 1e-4",
        ),
        ("fit", "how to train: a table of training settings"),
    ],
    parse: parse::<Data>,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_every_row_once() {
        assert_eq!(shares(7, 3), [0..3, 3..5, 5..7]);
        assert_eq!(shares(1, 3), [0..1, 1..1, 1..1]);
    }

    #[test]
    fn refuses_impossible_settings() {
        assert!(toml::from_str::<Data>("workers = 0").is_err());
        assert!(toml::from_str::<Data>("tolerance = nan").is_err());
        assert!(toml::from_str::<Data>("worker = 2").is_err());
    }
}
