//! Data parallelism: every worker holds the whole network and takes a share of each batch.
//!
//! The shares are fixed by `workers`, never by how many threads happen to run, and gradients are added in rank
//! order, so the trained numbers do not depend on scheduling: the same shares one after another on one thread give
//! the same bits. Against whole batches they differ by the order in which floats are added.
//!
//! Workers exchange gradients as floats or compressed by one of `nlpress_quant`'s codecs. As between machines, each
//! worker then codes its own gradient, with its own error-feedback memory and its own random stream, and the decoded
//! gradients are added.

use nlpress_core::{Backend, Measurement, Seed};
use nlpress_model::{Gradients, Model, Network, Outline, SiteId};
use nlpress_quant::gradient::{Coding, Layout, Sender};
use nlpress_technique::{
    Cx, Family, Kind, Needs, Problem, Settings, StepError, TRAINING, Technique, parse, settings,
};
use nlpress_train::gradients::bind;
use nlpress_train::record::{Reader, Writer};
use nlpress_train::{Batch, FitConfig, GradientSource, RoundedInputs, Stateful, TrainError};
use rayon::prelude::*;
use serde::Deserialize;
use std::io;
use std::ops::Range;

use crate::retrain;

/// Computes the gradient of a batch on several workers, each of which takes a share.
#[derive(Debug)]
pub struct DataParallel {
    workers: usize,
    wire: Option<(Coding, Seed)>,
    pool: rayon::ThreadPool,
    ranks: Vec<Rank>,
    sent: u64,
    sent_as_f32: u64,
}

/// One worker: its copy of the network and, where gradients are coded, its sending end.
#[derive(Debug)]
struct Rank {
    network: Network,
    sender: Option<Sender>,
    message: Vec<u8>,
}

impl DataParallel {
    /// A source of `workers` shares on at most `threads` threads, whose workers send floats.
    ///
    /// # Errors
    /// [`TrainError::Failed`] when the threads cannot be started.
    pub fn new(workers: usize, threads: usize) -> Result<Self, TrainError> {
        let pool = pool(threads.clamp(1, workers.max(1)))?;
        Ok(Self { workers, wire: None, pool, ranks: Vec::new(), sent: 0, sent_as_f32: 0 })
    }

    /// The same with gradient compression; `seed` is the root of its stochastic rounding.
    #[must_use]
    pub fn with_wire(mut self, coding: Coding, seed: Seed) -> Self {
        self.wire = Some((coding, seed));
        self
    }

    /// Bytes that the workers have sent.
    pub fn bytes(&self) -> u64 {
        self.sent
    }

    /// Bytes that the same gradients take as floats.
    pub fn bytes_as_f32(&self) -> u64 {
        self.sent_as_f32
    }
}

/// A pool of that many threads.
pub(crate) fn pool(threads: usize) -> Result<rayon::ThreadPool, TrainError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|e| TrainError::Failed(format!("{threads} threads could not be started: {e}")))
}

impl GradientSource for DataParallel {
    fn begin(&mut self, model: &Model, backend: &Backend, rounded: &RoundedInputs) -> Result<(), TrainError> {
        let rank = |rank| {
            let sender = match &self.wire {
                None => None,
                Some((coding, seed)) => {
                    let layout = Layout::of(coding, model, |_| true).map_err(failed)?;
                    Some(Sender::new(layout, seed.derive(&format!("worker {rank}"))))
                }
            };
            Ok(Rank { network: bind(model, backend, rounded)?, sender, message: Vec::new() })
        };
        self.ranks = (0..self.workers).map(rank).collect::<Result<_, TrainError>>()?;
        Ok(())
    }

    fn gradients(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Gradients, TrainError> {
        let shares = shares(batch.indices.len(), self.workers);
        let work = |(rank, share): (&mut Rank, &Range<usize>)| -> Result<Gradients, TrainError> {
            let mut found = batch.part(share.clone()).gradients(&mut rank.network, flat)?;
            if let Some(sender) = &mut rank.sender {
                rank.message.clear();
                sender.send(&mut found.flat, &mut rank.message).map_err(failed)?;
            }
            Ok(found)
        };
        let ranks = &mut self.ranks;
        let found: Vec<Result<Gradients, TrainError>> =
            self.pool.install(|| ranks.par_iter_mut().zip(shares.par_iter()).map(work).collect());
        let mut sum: Option<Gradients> = None;
        for (rank, found) in self.ranks.iter().zip(found) {
            let found = found?;
            let as_f32 = 4 * found.flat.len() as u64;
            self.sent += if rank.sender.is_some() { rank.message.len() as u64 } else { as_f32 };
            self.sent_as_f32 += as_f32;
            match &mut sum {
                None => sum = Some(found),
                Some(sum) => {
                    sum.loss += found.loss;
                    sum.flat.iter_mut().zip(&found.flat).for_each(|(sum, x)| *sum += x);
                }
            }
        }
        sum.ok_or_else(|| TrainError::Failed("it has no worker".into()))
    }
}

impl Stateful for DataParallel {
    fn identity(&self) -> String {
        format!("{} workers, {:?}", self.workers, self.wire)
    }

    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.count(self.sent)?;
        to.count(self.sent_as_f32)?;
        self.ranks.iter().filter_map(|rank| rank.sender.as_ref()).try_for_each(|sender| sender.save(to))
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        self.sent = from.count()?;
        self.sent_as_f32 = from.count()?;
        let mut senders = self.ranks.iter_mut().filter_map(|rank| rank.sender.as_mut());
        senders.try_for_each(|sender| sender.restore(from))
    }
}

fn failed(error: nlpress_quant::QuantError) -> TrainError {
    TrainError::Failed(error.to_string())
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

/// The description of `wire`.
pub const WIRE: &str = "gradient compression between workers: a table of codec, bits, clip, share, block, error_feedback \
     and plain_steps, as quant.gradients takes them; floats when left out";
/// The description of `compare`.
pub(crate) const COMPARE: &str = "train serially as well, in the same parts and plainly, and report speed-ups and difference; default true";
/// The description of `tolerance`.
pub(crate) const TOLERANCE: &str =
    "largest difference of a validation logit from the same parts on one thread; default 1e-4";

settings! {
    #[derive(Clone, Debug)]
    #[serde(default)]
    struct Raw {
        /// shares of a batch, 1 to 256; default 2
        workers: usize,
        wire: Option<Coding> as WIRE,
        compare: bool as COMPARE,
        tolerance: f64 as TOLERANCE,
        fit: FitConfig as TRAINING,
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self { workers: 2, wire: None, compare: true, tolerance: 1e-4, fit: FitConfig::default() }
    }
}

impl TryFrom<Raw> for Data {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        check_workers(raw.workers)?;
        if !(raw.tolerance.is_finite() && raw.tolerance > 0.0) {
            return Err(format!("tolerance is {}, but it must be positive", raw.tolerance));
        }
        Ok(Self(raw))
    }
}

/// Refuses a number of workers that there cannot be.
///
/// # Errors
/// A sentence with the number and its bounds.
pub fn check_workers(workers: usize) -> Result<(), String> {
    match workers {
        1..=256 => Ok(()),
        _ => Err(format!("workers is {workers}, but it must be between 1 and 256")),
    }
}

impl Technique for Data {
    fn needs(&self) -> Needs {
        Needs::TRAINING
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        retrain::plan(before, on, problems)
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let Raw { workers, wire, compare, tolerance, fit } = &self.0;
        let source = |threads| -> Result<DataParallel, TrainError> {
            let source = DataParallel::new(*workers, threads)?;
            Ok(match wire {
                None => source,
                Some(coding) => source.with_wire(coding.clone(), cx.seed.derive("wire")),
            })
        };
        let (mut parallel, mut serial) = (source(cx.threads)?, source(1)?);
        let reference = compare.then_some((&mut serial as &mut dyn GradientSource, *tolerance));
        let model = retrain::run(&model, fit, &mut parallel, reference, cx)?;
        let (sent, as_f32) = (parallel.bytes(), parallel.bytes_as_f32());
        let ratio = as_f32 as f64 / sent.max(1) as f64;
        cx.measure(Measurement::lower("exchanged_bytes", sent as f64, "bytes"));
        cx.measure(Measurement::lower("exchanged_bytes_as_f32", as_f32 as f64, "bytes"));
        cx.measure(Measurement::higher("exchange_ratio", ratio, "1"));
        if let Some(coding) = wire {
            cx.note(format!(
                "the workers sent {sent} bytes as {coding}, which as floats are {as_f32} bytes ({ratio:.2} times as many)"
            ));
        }
        Ok(model)
    }
}

/// Entry in the list of techniques.
pub const KIND: Kind = Kind {
    name: "parallel.data",
    family: Family::Parallel,
    summary: "data-parallel training (synchronous): splits every batch over workers that each hold the whole \
              network, and trains a fresh network",
    source: "Li et al. 2020, PyTorch Distributed: Experiences on Accelerating Data Parallel Training",
    example: "workers = 2\nwire = { codec = \"int8\" }\nfit = { epochs = 2 }",
    on: &["**"],
    settings: &[Raw::SETTINGS],
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
        assert!(toml::from_str::<Data>("wire = { codec = 'zip' }").is_err());
        assert!(toml::from_str::<Data>("wire = { codec = 'qsgd', bits = 9 }").is_err());
    }
}
