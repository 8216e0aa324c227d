//! Data parallelism: every worker holds the whole network and takes shares of each batch.
//!
//! The shares are a setting, never how many threads or processes happen to run, and gradients are added in the order of the
//! shares, so the trained numbers do not depend on scheduling: the same shares one after another on one thread give
//! the same bits. Against whole batches they differ by the order in which floats are added.
//!
//! Gradients are exchanged as floats or compressed by one of `nlpress_quant`'s codecs. As between machines, each
//! share's gradient is then coded by itself, with its own error-feedback memory and its own random stream, and the decoded
//! gradients are added.

use nlpress_core::Measurement;
use nlpress_model::{Model, Outline, SiteId};
use nlpress_quant::gradient::Coding;
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, TRAINING, Technique, parse, settings,
};
use nlpress_train::{FitConfig, GradientSource, TrainError};
use serde::Deserialize;

use crate::replicas::DataParallel;
use crate::retrain;

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
        /// workers that compute shares of a batch side by side, 1 to 256, of which no more run than the run has
        /// threads; default 2
        workers: usize,
        /// shares that a batch is cut into, 1 to 256 and no fewer than workers; `workers` when left out. What is trained
        /// depends on them alone
        shares: Option<usize>,
        wire: Option<Coding> as WIRE,
        compare: bool as COMPARE,
        tolerance: f64 as TOLERANCE,
        fit: FitConfig as TRAINING,
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            workers: 2,
            shares: None,
            wire: None,
            compare: true,
            tolerance: 1e-4,
            fit: FitConfig::default(),
        }
    }
}

impl TryFrom<Raw> for Data {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        check_workers("workers", raw.workers)?;
        if let Some(shares) = raw.shares {
            check_workers("shares", shares)?;
            if shares < raw.workers {
                let workers = raw.workers;
                return Err(format!("shares is {shares}, but {workers} workers take one each at least"));
            }
        }
        retrain::check(raw.tolerance, &[])?;
        Ok(Self(raw))
    }
}

/// Refuses a number of workers, or of their shares, that there cannot be.
///
/// # Errors
/// A sentence with the setting's name, the number and its bounds.
pub fn check_workers(name: &str, number: usize) -> Result<(), String> {
    match number {
        1..=256 => Ok(()),
        _ => Err(format!("{name} is {number}, but it must be between 1 and 256")),
    }
}

impl Technique for Data {
    fn needs(&self) -> Needs {
        Needs::TRAINING
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        retrain::plan(before, on, problems)
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let Raw { workers, shares, wire, compare, tolerance, fit } = &self.0;
        let source = |threads| -> Result<DataParallel<'_>, TrainError> {
            let source = DataParallel::new(shares.unwrap_or(*workers), threads)?;
            Ok(match wire {
                None => source,
                Some(coding) => source.with_wire(coding.clone(), cx.seed.derive("wire")),
            })
        };
        let (parallel, mut serial) = (source(cx.threads.min(*workers))?, source(1)?);
        let mut parallel = parallel.with_peers(cx.peers);
        let sent_before = cx.peers.map_or(0, |peers| peers.sent());
        let reference = compare.then_some((&mut serial as &mut dyn GradientSource, *tolerance));
        let model = retrain::run(&model, fit, &mut parallel, reference, cx)?;
        if let Some(peers) = cx.peers {
            let own = (peers.sent() - sent_before).to_le_bytes().to_vec();
            let all = peers.all_gather(own).map_err(|e| StepError::Failed(e.to_string()))?;
            let sent = all.iter().filter_map(|bytes| bytes.first_chunk()).map(|b| u64::from_le_bytes(*b));
            let (sent, processes) = (sent.sum::<u64>(), peers.size());
            cx.measure(Measurement::lower("bytes_between_processes", sent as f64, "bytes"));
            cx.note(format!("{processes} processes sent each other {sent} bytes, checkpoints included"));
        }
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
        Ok(model.into())
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
    fn refuses_impossible_settings() {
        assert!(toml::from_str::<Data>("workers = 0").is_err());
        assert!(toml::from_str::<Data>("workers = 4\nshares = 3").is_err());
        assert!(toml::from_str::<Data>("workers = 4\nshares = 257").is_err());
        assert!(toml::from_str::<Data>("workers = 1\nshares = 4").is_ok());
        assert!(toml::from_str::<Data>("tolerance = nan").is_err());
        assert!(toml::from_str::<Data>("worker = 2").is_err());
        assert!(toml::from_str::<Data>("wire = { codec = 'zip' }").is_err());
        assert!(toml::from_str::<Data>("wire = { codec = 'qsgd', bits = 9 }").is_err());
    }
}
