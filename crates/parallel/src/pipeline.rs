//! Pipeline parallelism: every worker holds a range of sites, and micro-batches flow through them.
//!
//! What goes forward from stage to stage is a pre-activation `[rows, outputs]`, what comes back is the loss's
//! derivative by it. A stage that has begun as many micro-batches as there are stages from it to the end takes one forward
//! and one back in turns (one forward, one backward: Narayanan et al. 2019, PipeDream, without its stale weights), so that it
//! holds the intermediate results of no more than that many. Gradients are added in the order of the micro-batches, so the
//! trained numbers do not depend on scheduling. What goes from stage to stage lies in the memory of the process, so stages
//! may be on different backends.

use nlpress_core::{Backend, BackendKind};
use nlpress_model::network::{Input, Trace};
use nlpress_model::{Gradients, Model, ModelError, Network, Outline, SiteId};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, TRAINING, Technique, parse, settings,
};
use nlpress_train::record::{Reader, Writer};
use nlpress_train::{Batch, Crew, FitConfig, GradientSource, RoundedInputs, Stateful, TrainError};
use serde::Deserialize;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::data::{COMPARE, TOLERANCE};
use crate::retrain;

/// Computes the gradient of a batch on a pipeline of stages, each on its own thread, however many processors
/// there are.
#[derive(Debug)]
pub struct ModelParallel {
    stages: usize,
    micro_batches: usize,
    /// The backend of each stage, from the first again after the last; that of the run where there is none.
    backends: Vec<Backend>,
    crew: Option<Crew>,
    placed: Vec<Stage>,
}

/// One worker: the sites it owns and where their numbers lie in the flat row.
#[derive(Debug)]
struct Stage {
    network: Network,
    sites: Range<usize>,
    flat: Range<usize>,
    /// Bytes that it sent to its neighbours.
    sent: u64,
}

impl ModelParallel {
    /// A source of at most `stages` stages that splits each batch into `micro_batches`.
    pub fn new(stages: usize, micro_batches: usize) -> Self {
        Self { stages, micro_batches, backends: Vec::new(), crew: None, placed: Vec::new() }
    }

    /// The same with stages on these backends in turn, where there are some.
    #[must_use]
    pub fn on(mut self, backends: Vec<Backend>) -> Self {
        self.backends = backends;
        self
    }

    /// Bytes that its stages sent to each other so far: pre-activations forward, derivatives back.
    pub fn bytes(&self) -> u64 {
        self.placed.iter().map(|stage| stage.sent).sum()
    }
}

impl GradientSource for ModelParallel {
    fn begin(&mut self, model: &Model, backend: &Backend, rounded: &RoundedInputs) -> Result<(), TrainError> {
        let weights: Vec<usize> = model.layers().iter().map(|l| l.shape.parameters()).collect();
        let mut start = 0;
        let backends = &self.backends;
        let stage = |(number, sites): (usize, Range<usize>)| {
            let backend = retrain::backend_of(backends, number, backend);
            let mut network = Network::bind_sites(model, backend, sites.clone());
            rounded.iter().try_for_each(|(site, levels)| network.round_input(*site, *levels))?;
            let end = start + network.trainable(sites.clone());
            let stage = Stage { network, sites, flat: start..end, sent: 0 };
            start = end;
            Ok(stage)
        };
        let ranges = ranges(&weights, self.stages).into_iter().enumerate();
        self.placed = ranges.map(stage).collect::<Result<_, TrainError>>()?;
        self.crew = Some(Crew::new(self.placed.len())?);
        Ok(())
    }

    fn gradients(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Gradients, TrainError> {
        if batch.objective.taps().is_any() {
            let why = "a loss of hidden states needs the whole network; model parallelism splits it";
            return Err(TrainError::Failed(why.into()));
        }
        let size = batch.indices.len().div_ceil(self.micro_batches.max(1)).max(1);
        let last = self.placed.len().saturating_sub(1);
        let crew = self.crew.as_ref().ok_or(TrainError::NotBegun)?;
        let (mut jobs, mut from_before): (Vec<_>, Option<Link>) = (Vec::new(), None);
        for (i, stage) in self.placed.iter_mut().enumerate() {
            let before = from_before.take();
            let after = (i < last).then(|| {
                let (forward, next_from) = channel();
                let (next_to, back) = channel();
                from_before = Some(Link { from: next_from, to: next_to });
                Link { from: back, to: forward }
            });
            let part = &flat[stage.flat.clone()];
            jobs.push((stage, part, Links { before, after, behind: last - i }));
        }
        // There is a thread for each stage, so that none waits for one that has not begun.
        let run = |(stage, part, links): (&mut Stage, &[f32], Links)| {
            let run = || stage.run(part, batch, size, links);
            catch_unwind(AssertUnwindSafe(run)).unwrap_or(Err(Ended::Panicked))
        };
        let results = crew.map(jobs, run);
        // When a stage ends early, its neighbours do so because of it: its own reason is the one to tell.
        let (mut parts, mut reasons) = (Vec::new(), Vec::new());
        for result in results {
            match result {
                Ok(part) => parts.push(part),
                Err(reason) => reasons.push(reason),
            }
        }
        if let Some(reason) = reasons.into_iter().max_by_key(|r| !matches!(r, Ended::NeighbourLeft)) {
            return Err(reason.into());
        }
        let mut all = Gradients { loss: 0.0, flat: Vec::with_capacity(flat.len()) };
        for (loss, part) in parts {
            all.loss += loss;
            all.flat.extend(part);
        }
        Ok(all)
    }

    fn crew(&self) -> Option<&Crew> {
        self.crew.as_ref()
    }
}

impl Stateful for ModelParallel {
    fn identity(&self) -> String {
        format!(
            "{} stages, {} micro-batches {}",
            self.stages,
            self.micro_batches,
            retrain::named(&self.backends)
        )
    }

    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        self.placed.iter().try_for_each(|stage| to.count(stage.sent))
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        self.placed.iter_mut().try_for_each(|stage| from.count().map(|sent| stage.sent = sent))
    }
}

impl Stage {
    /// Micro-batches forward until the first can come back, then one forward and one back in turns, then back what is left.
    fn run(
        &mut self,
        part: &[f32],
        batch: &Batch<'_>,
        size: usize,
        links: Links,
    ) -> Result<(f64, Vec<f32>), Ended> {
        self.network.update(self.sites.clone(), part);
        let mut done = (0.0, vec![0.0; part.len()]);
        let mut waiting = VecDeque::new();
        for start in (0..batch.indices.len()).step_by(size) {
            let part = batch.part(start..batch.indices.len().min(start + size));
            let arrived = match &links.before {
                Some(link) => link.receive()?,
                None => Vec::new(),
            };
            let input = self.input(&part, &arrived);
            let trace = self.network.forward(self.sites.clone(), input, Some(batch.dropout), part.first)?;
            let output = trace.output()?;
            let floats = |numbers: &[f32]| 4 * numbers.len() as u64;
            // What comes back to the stage before is as much as what came from it.
            self.sent += floats(&arrived) + if links.after.is_some() { floats(&output) } else { 0 };
            let output = match &links.after {
                Some(link) => link.send(output).map(|()| Vec::new())?,
                None => output,
            };
            waiting.push_back(Waiting { part, arrived, trace, output });
            if waiting.len() > links.behind {
                self.back(waiting.pop_front(), &links, &mut done)?;
            }
        }
        while !waiting.is_empty() {
            self.back(waiting.pop_front(), &links, &mut done)?;
        }
        Ok(done)
    }

    fn input<'a>(&self, part: &Batch<'a>, arrived: &'a [f32]) -> Input<'a> {
        match self.sites.start {
            0 => Input::Examples(part.examples, part.indices),
            _ => Input::Activations(arrived),
        }
    }

    /// The way back of a micro-batch, which adds to the loss and the gradient.
    fn back(
        &self,
        waiting: Option<Waiting<'_>>,
        links: &Links,
        (loss, gradient): &mut (f64, Vec<f32>),
    ) -> Result<(), Ended> {
        let Some(Waiting { part, arrived, trace, output }) = waiting else { return Ok(()) };
        let upstream = match &links.after {
            Some(link) => link.receive()?,
            None => {
                let mut upstream = vec![0.0; output.len()];
                *loss += part.loss(&output, &mut upstream);
                upstream
            }
        };
        let (flat, into_input) = self.network.backward(trace, self.input(&part, &arrived), &upstream)?;
        gradient.iter_mut().zip(&flat).for_each(|(sum, x)| *sum += x);
        match &links.before {
            Some(link) => link.send(into_input),
            None => Ok(()),
        }
    }
}

/// A micro-batch that has gone forward through a stage.
struct Waiting<'a> {
    part: Batch<'a>,
    /// What came from the stage before.
    arrived: Vec<f32>,
    trace: Trace,
    /// The logits, in the last stage.
    output: Vec<f32>,
}

/// The ways of a stage to its neighbours.
struct Links {
    before: Option<Link>,
    after: Option<Link>,
    /// Stages behind it.
    behind: usize,
}

/// The way to a neighbour and back.
struct Link {
    from: Receiver<Vec<f32>>,
    to: Sender<Vec<f32>>,
}

impl Link {
    fn send(&self, numbers: Vec<f32>) -> Result<(), Ended> {
        self.to.send(numbers).map_err(|_| Ended::NeighbourLeft)
    }

    fn receive(&self) -> Result<Vec<f32>, Ended> {
        self.from.recv().map_err(|_| Ended::NeighbourLeft)
    }
}

/// Why a stage ended before its gradients were complete.
enum Ended {
    Failed(TrainError),
    Panicked,
    NeighbourLeft,
}

impl From<ModelError> for Ended {
    fn from(error: ModelError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Ended> for TrainError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Failed(error) => error,
            Ended::Panicked => Self::Failed("a stage of the pipeline panicked".into()),
            Ended::NeighbourLeft => Self::Failed("a stage of the pipeline ended early".into()),
        }
    }
}

/// Contiguous ranges of sites whose weights are as even as a greedy split gets them; no range is empty.
fn ranges(weights: &[usize], stages: usize) -> Vec<Range<usize>> {
    let stages = stages.clamp(1, weights.len().max(1));
    let mut ranges = Vec::new();
    let mut start = 0;
    let mut left: usize = weights.iter().sum();
    for stage in 0..stages {
        let share = left as f64 / (stages - stage) as f64;
        let most = weights.len() - (stages - stage - 1);
        let mut end = start + 1;
        let mut held = weights.get(start).copied().unwrap_or(0);
        while end < most && (stage + 1 == stages || (held + weights[end]) as f64 <= share) {
            held += weights[end];
            end += 1;
        }
        left -= held;
        ranges.push(start..end);
        start = end;
    }
    ranges
}

/// `parallel.model`: trains a fresh network with model parallelism.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Raw")]
pub struct ByModel(Raw);

settings! {
    #[derive(Clone, Debug)]
    #[serde(default)]
    struct Raw {
        /// workers, each with a range of sites, 1 to 64 and at most the sites there are; default 2
        stages: usize,
        /// parts of a batch that flow through the stages, 1 to 64; default 2
        micro_batches: usize,
        /// backends of the stages, from the first again after the last, at most 64; that of the run for all when left out
        backends: Vec<BackendKind>,
        compare: bool as COMPARE,
        tolerance: f64 as TOLERANCE,
        fit: FitConfig as TRAINING,
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            stages: 2,
            micro_batches: 2,
            backends: Vec::new(),
            compare: true,
            tolerance: 1e-4,
            fit: FitConfig::default(),
        }
    }
}

impl TryFrom<Raw> for ByModel {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        for (name, value) in [("stages", raw.stages), ("micro_batches", raw.micro_batches)] {
            if !(1..=retrain::MOST).contains(&value) {
                return Err(format!("{name} is {value}, but it must be between 1 and {}", retrain::MOST));
            }
        }
        retrain::check(raw.tolerance, &raw.backends)?;
        Ok(Self(raw))
    }
}

impl Technique for ByModel {
    fn needs(&self) -> Needs {
        Needs::TRAINING
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        if self.0.stages > 1 && !before.graph.is_chain() {
            problems.push(Problem::of_step(
                "a network on tokens, or one with attention, runs as a whole, so that its sites cannot be split over stages: \
                 set stages = 1",
            ));
        }
        if self.0.stages > before.sites.len() {
            let why =
                format!("stages is {}, but the network has {} sites", self.0.stages, before.sites.len());
            problems.push(Problem::of_step(why));
        }
        retrain::plan(before, on, problems)
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let Raw { stages, micro_batches, backends, compare, tolerance, fit } = &self.0;
        let split = ModelParallel::new(*stages, *micro_batches).on(retrain::opened(backends)?);
        let serial = ModelParallel::new(1, *micro_batches);
        let how = (fit, compare.then_some(*tolerance));
        Ok(retrain::split(&model, how, [split, serial], ModelParallel::bytes, cx)?.into())
    }
}

/// Entry in the list of techniques.
pub const KIND: Kind = Kind {
    name: "parallel.model",
    family: Family::Parallel,
    summary: "pipeline-parallel training (one forward, one backward): splits the sites into stages, through which \
              micro-batches flow, and trains a fresh network",
    source: "Huang et al. 2019, GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism; the order of \
             passes: Narayanan et al. 2019, PipeDream: Generalized Pipeline Parallelism for DNN Training",
    example: "stages = 2\nmicro_batches = 2\nfit = { epochs = 2 }",
    on: &["**"],
    settings: &[Raw::SETTINGS],
    parse: parse::<ByModel>,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_site_once_and_none_is_empty() {
        assert_eq!(ranges(&[128_128, 8256, 65], 2), [0..1, 1..3]);
        assert_eq!(ranges(&[1, 1, 1, 1], 2), [0..2, 2..4]);
        assert_eq!(ranges(&[1, 1, 100], 3), [0..1, 1..2, 2..3]);
        assert_eq!(ranges(&[5], 4), vec![Range { start: 0, end: 1 }]);
    }

    #[test]
    fn refuses_impossible_settings() {
        for bad in ["stages = 0", "stages = 65", "micro_batches = 0", "tolerance = 0.0", "stage = 2"] {
            assert!(toml::from_str::<ByModel>(bad).is_err(), "{bad}");
        }
    }
}
