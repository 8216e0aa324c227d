//! Tensor parallelism: every worker holds some columns of a site's weight, and of the next site's the rows that read them
//! (Shoeybi et al. 2019, Megatron-LM).
//!
//! Of a pair of sites with nothing but functions of single numbers between them, each worker computes its columns of the
//! first, what lies between, and what its rows of the second add to every output: only those sums are exchanged, forward,
//! and their derivatives back. They are added in the order of the workers, so the trained numbers do not depend on
//! scheduling; from a serial pass they differ by the order in which floats are added. A site without such a partner is the
//! first worker's alone. The first site of a network on feature rows is an embedding table of the features, and is split by
//! columns as any other.

use nlpress_core::{Backend, BackendKind};
use nlpress_model::graph::Op;
use nlpress_model::network::{Input, Trace};
use nlpress_model::{Dropout, Gradients, Graph, Model, Network, Outline, SiteId};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, TRAINING, Technique, parse, settings,
};
use nlpress_train::record::{Reader, Writer};
use nlpress_train::{Batch, Crew, FitConfig, GradientSource, RoundedInputs, Stateful, TrainError};
use serde::Deserialize;
use std::io;
use std::ops::Range;

use crate::data::{COMPARE, TOLERANCE};
use crate::retrain;

/// Computes the gradient of a batch on workers that share the sites of a chain of layers.
#[derive(Debug)]
pub struct TensorParallel {
    workers: usize,
    threads: usize,
    /// The backend of each worker, from the first again after the last; that of the run where there is none.
    backends: Vec<Backend>,
    crew: Option<Crew>,
    segments: Vec<Segment>,
    shards: Vec<Shard>,
    outputs: usize,
    sent: u64,
}

/// Consecutive sites that are computed between two exchanges.
#[derive(Clone, Debug, PartialEq)]
struct Segment {
    sites: Range<usize>,
    /// Whether all workers have a part; else the first has all.
    is_split: bool,
}

/// What a worker holds: a network of its parts of the sites.
#[derive(Debug)]
struct Shard {
    network: Network,
    /// For each site, where its numbers lie in the flat row of the whole network; none where it has none.
    sites: Vec<Option<Part>>,
    /// For dropout: the columns of each site that is split by columns, of all that it has.
    columns: Vec<Option<(Range<usize>, usize)>>,
}

/// A rectangle of a site's weight, with its bias.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    /// Where the site begins in the flat row, and its outputs.
    start: usize,
    inputs: usize,
    outputs: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    /// Whether the site has a bias.
    biased: bool,
    /// Whether the bias of its columns is this worker's: of a sum over workers, one has it.
    has_bias: bool,
}

impl Part {
    /// Where each row of the rectangle lies in the flat row; the bias, where the site has one, comes last.
    fn rows(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let row = |row: usize| {
            let begin = self.start + row * self.outputs;
            begin + self.columns.start..begin + self.columns.end
        };
        self.rows.clone().map(row)
    }

    fn bias(&self) -> Range<usize> {
        let begin = self.start + self.inputs * self.outputs;
        begin + self.columns.start..begin + self.columns.end
    }

    fn read(&self, flat: &[f32], into: &mut Vec<f32>) {
        self.rows().for_each(|row| into.extend_from_slice(&flat[row]));
        if self.has_bias {
            into.extend_from_slice(&flat[self.bias()]);
        } else if self.biased {
            into.resize(into.len() + self.columns.len(), 0.0);
        }
    }

    /// Puts the numbers of the part into their places, and gives what comes after them.
    fn write<'f>(&self, from: &'f [f32], flat: &mut [f32]) -> &'f [f32] {
        let mut rest = from;
        for row in self.rows() {
            let (now, later) = rest.split_at(row.len());
            flat[row].copy_from_slice(now);
            rest = later;
        }
        let (bias, later) = rest.split_at(if self.biased { self.columns.len() } else { 0 });
        if self.has_bias {
            flat[self.bias()].copy_from_slice(bias);
        }
        later
    }
}

/// What each shard keeps of its pass, by segment.
type Traces = Vec<Vec<Trace>>;

impl TensorParallel {
    /// A source of `workers` workers on at most `threads` threads.
    pub fn new(workers: usize, threads: usize) -> Self {
        let (backends, segments, shards) = (Vec::new(), Vec::new(), Vec::new());
        Self { workers, threads, backends, crew: None, segments, shards, outputs: 0, sent: 0 }
    }

    /// The same with workers on these backends in turn, where there are some.
    #[must_use]
    pub fn on(mut self, backends: Vec<Backend>) -> Self {
        self.backends = backends;
        self
    }

    /// Bytes that the workers have sent to each other: what each adds to the outputs of a pair, and its derivatives.
    pub fn bytes(&self) -> u64 {
        self.sent
    }
}

/// The segments of a network whose sites have these outputs: pairs that can be split, and single sites.
fn segments(graph: &Graph, workers: usize) -> Vec<Segment> {
    let sites = graph.sites();
    let node_of = |site: usize| {
        let id = &sites[site].0;
        graph.nodes.iter().position(|node| node.op.site() == Some(id)).unwrap_or(0)
    };
    let can_be_split = |first: usize| {
        let between = node_of(first) + 1..node_of(first + 1);
        sites[first].1.outputs >= workers
            && graph.nodes[between].iter().all(|node| matches!(node.op, Op::Activate(_) | Op::Dropout { .. }))
    };
    let (mut segments, mut site) = (Vec::new(), 0);
    while site < sites.len() {
        let is_split = workers > 1 && site + 1 < sites.len() && can_be_split(site);
        let end = site + 1 + usize::from(is_split);
        segments.push(Segment { sites: site..end, is_split });
        site = end;
    }
    segments
}

/// The part of `len` that is a worker's.
fn part_of(len: usize, worker: usize, workers: usize) -> Range<usize> {
    len * worker / workers..len * (worker + 1) / workers
}

/// What a worker holds of a model.
fn shard(
    model: &Model,
    segments: &[Segment],
    (worker, workers): (usize, usize),
    backend: &Backend,
) -> Result<Shard, TrainError> {
    let mut graph = model.graph().clone();
    let (mut sites, mut columns) = (Vec::new(), vec![None; model.layers().len()]);
    let mut start = 0;
    for (i, layer) in model.layers().iter().enumerate() {
        let (inputs, outputs, biased) = (layer.shape.inputs, layer.shape.outputs, layer.shape.bias);
        let segment = segments.iter().find(|segment| segment.sites.contains(&i));
        let segment = segment.ok_or_else(|| TrainError::Failed("a site is in no segment".into()))?;
        let all =
            Part { start, inputs, outputs, rows: 0..inputs, columns: 0..outputs, biased, has_bias: biased };
        start += layer.shape.parameters();
        sites.push(match (segment.is_split, segment.sites.start == i) {
            (false, _) => (worker == 0).then_some(all),
            (true, true) => {
                let own = part_of(outputs, worker, workers);
                columns[i] = Some((own.clone(), outputs));
                narrow(&mut graph, &layer.id, own.len());
                Some(Part { columns: own, ..all })
            }
            (true, false) => {
                Some(Part { rows: part_of(inputs, worker, workers), has_bias: biased && worker == 0, ..all })
            }
        });
    }
    // Its numbers are replaced before each pass.
    let model = Model::init(&graph, nlpress_core::Seed(0))?;
    Ok(Shard { network: Network::bind(&model, backend), sites, columns })
}

/// Leaves a site this many outputs.
fn narrow(graph: &mut Graph, id: &SiteId, width: usize) {
    for node in &mut graph.nodes {
        if let Op::Features { site, outputs } | Op::Linear { site, outputs, .. } = &mut node.op
            && site == id
        {
            *outputs = width;
        }
    }
}

impl Shard {
    /// Puts its numbers in place.
    fn update(&mut self, flat: &[f32]) {
        for (site, part) in self.sites.iter().enumerate() {
            if let Some(part) = part {
                let mut own = Vec::with_capacity(self.network.trainable(site..site + 1));
                part.read(flat, &mut own);
                self.network.update(site..site + 1, &own);
            }
        }
    }
}

/// A segment on its way forward on a worker.
struct Forward {
    trace: Trace,
    output: Vec<f32>,
}

impl TensorParallel {
    /// The shards that compute a segment.
    fn of(&self, segment: &Segment) -> &[Shard] {
        if segment.is_split { &self.shards } else { &self.shards[..1] }
    }

    /// All segments forward: the traces of each, and what went into it.
    fn forward(
        &self,
        batch: &Batch<'_>,
        dropout: &[Dropout],
        crew: &Crew,
    ) -> Result<(Traces, Vec<Vec<f32>>), TrainError> {
        let (mut traces, mut values) = (Vec::new(), vec![Vec::new()]);
        for segment in &self.segments {
            let input = input(segment, batch, values.last().map_or(&[][..], Vec::as_slice));
            let work = |(shard, dropout): (&Shard, &Dropout)| -> Result<Forward, TrainError> {
                let trace =
                    shard.network.forward(segment.sites.clone(), input, Some(dropout), batch.first)?;
                Ok(Forward { output: trace.output()?, trace })
            };
            let done = crew.map(self.of(segment).iter().zip(dropout).collect(), work);
            let (mut of_segment, mut sum) = (Vec::new(), Vec::new());
            for done in done {
                let Forward { trace, output } = done?;
                of_segment.push(trace);
                add(&mut sum, output);
            }
            traces.push(of_segment);
            values.push(sum);
        }
        Ok((traces, values))
    }
}

/// What goes into a segment.
fn input<'a>(segment: &Segment, batch: &Batch<'a>, before: &'a [f32]) -> Input<'a> {
    match segment.sites.start {
        0 => Input::Examples(batch.examples, batch.indices),
        _ => Input::Activations(before),
    }
}

/// Adds numbers to a sum, which they become where there is none.
fn add(sum: &mut Vec<f32>, more: Vec<f32>) {
    if sum.is_empty() {
        *sum = more;
    } else {
        sum.iter_mut().zip(&more).for_each(|(sum, x)| *sum += x);
    }
}

impl GradientSource for TensorParallel {
    fn begin(&mut self, model: &Model, backend: &Backend, rounded: &RoundedInputs) -> Result<(), TrainError> {
        let why = "tensor parallelism splits chains of layers on feature rows whose inputs are not rounded";
        if !model.graph().is_chain() || !model.vectors().is_empty() || !rounded.is_empty() {
            return Err(TrainError::Failed(why.into()));
        }
        self.segments = segments(model.graph(), self.workers);
        let backend_of = |worker| retrain::backend_of(&self.backends, worker, backend);
        let shard = |worker| shard(model, &self.segments, (worker, self.workers), backend_of(worker));
        self.shards = (0..self.workers).map(shard).collect::<Result<_, _>>()?;
        self.outputs = model.graph().outputs();
        self.crew = Some(Crew::new(self.threads.clamp(1, self.workers.max(1)))?);
        Ok(())
    }

    fn gradients(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Gradients, TrainError> {
        if batch.objective.taps().is_any() {
            let why = "a loss of hidden states needs the whole network; tensor parallelism splits it";
            return Err(TrainError::Failed(why.into()));
        }
        let crew = self.crew.take().ok_or(TrainError::NotBegun)?;
        let gradients = self.with_crew(flat, batch, &crew);
        self.crew = Some(crew);
        gradients
    }

    fn crew(&self) -> Option<&Crew> {
        self.crew.as_ref()
    }
}

impl TensorParallel {
    fn with_crew(&mut self, flat: &[f32], batch: &Batch<'_>, crew: &Crew) -> Result<Gradients, TrainError> {
        crew.map(self.shards.iter_mut().collect(), |shard: &mut Shard| shard.update(flat));
        let dropout: Vec<Dropout> =
            self.shards.iter().map(|shard| batch.dropout.of_parts(shard.columns.clone())).collect();
        let (mut traces, mut values) = self.forward(batch, &dropout, crew)?;
        let logits = values.pop().unwrap_or_default();
        let mut upstream = vec![0.0; logits.len()];
        let loss = batch.loss(&logits, &mut upstream);
        let (mut all, mut sent) = (vec![0.0; flat.len()], 0);
        for segment in self.segments.iter().rev() {
            let (of_segment, before) = (traces.pop().unwrap_or_default(), values.pop().unwrap_or_default());
            let input = input(segment, batch, &before);
            let shards = self.of(segment);
            sent += (shards.len() - 1) * (upstream.len() + before.len());
            let work = |(shard, trace): (&Shard, Trace)| shard.network.backward(trace, input, &upstream);
            let done = crew.map(shards.iter().zip(of_segment).collect(), work);
            let mut into = Vec::new();
            for (shard, done) in shards.iter().zip(done) {
                let (gradient, into_input) = done?;
                add(&mut into, into_input);
                let mut rest = &gradient[..];
                for part in shard.sites[segment.sites.clone()].iter().flatten() {
                    rest = part.write(rest, &mut all);
                }
            }
            upstream = into;
        }
        self.sent += 4 * sent as u64;
        Ok(Gradients { loss, flat: all })
    }
}

impl Stateful for TensorParallel {
    fn identity(&self) -> String {
        format!("{} workers by columns and rows {}", self.workers, retrain::named(&self.backends))
    }

    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.count(self.sent)
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        self.sent = from.count()?;
        Ok(())
    }
}

/// `parallel.tensor`: trains a fresh network with tensor parallelism.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Tensors(Raw);

settings! {
    #[derive(Clone, Debug)]
    #[serde(default)]
    struct Raw {
        /// workers, each with some columns of one site and the rows of the next that read them, 1 to 64; default 2
        workers: usize,
        /// backends of the workers, from the first again after the last, at most 64; that of the run for all when left out
        backends: Vec<BackendKind>,
        compare: bool as COMPARE,
        tolerance: f64 as TOLERANCE,
        fit: FitConfig as TRAINING,
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self { workers: 2, backends: Vec::new(), compare: true, tolerance: 1e-4, fit: FitConfig::default() }
    }
}

impl TryFrom<Raw> for Tensors {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        if !(1..=retrain::MOST).contains(&raw.workers) {
            return Err(format!(
                "workers is {}, but it must be between 1 and {}",
                raw.workers,
                retrain::MOST
            ));
        }
        retrain::check(raw.tolerance, &raw.backends)?;
        Ok(Self(raw))
    }
}

impl Technique for Tensors {
    fn needs(&self) -> Needs {
        Needs::TRAINING
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        if !before.graph.is_chain() {
            problems.push(Problem::of_step(
                "a network on tokens, or one with attention, is not split by columns and rows; parallel.data trains it on \
                 several threads",
            ));
        } else if self.0.workers > 1 && !segments(&before.graph, self.0.workers).iter().any(|s| s.is_split) {
            let workers = self.0.workers;
            problems.push(Problem::of_step(format!(
                "no two sites can be split over {workers} workers: two neighbours are, with an activation and dropout \
                 between them and as many outputs of the first as workers"
            )));
        }
        retrain::plan(before, on, problems)
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let Raw { workers, backends, compare, tolerance, fit } = &self.0;
        let backends = retrain::opened(backends)?;
        let split = TensorParallel::new(*workers, cx.threads).on(backends.clone());
        let serial = TensorParallel::new(*workers, 1).on(backends);
        let how = (fit, compare.then_some(*tolerance));
        Ok(retrain::split(&model, how, [split, serial], TensorParallel::bytes, cx)?.into())
    }
}

/// Entry in the list of techniques.
pub const KIND: Kind = Kind {
    name: "parallel.tensor",
    family: Family::Parallel,
    summary: "tensor-parallel training: splits the weights of neighbouring sites by columns and by rows over workers, and \
              trains a fresh network",
    source: "Shoeybi et al. 2019, Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism",
    example: "workers = 2\nfit = { epochs = 2 }",
    on: &["**"],
    settings: &[Raw::SETTINGS],
    parse: parse::<Tensors>,
};

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_model::MlpSpec;

    #[test]
    fn neighbours_are_split_in_pairs() {
        let of = |hidden: &[usize], workers| {
            let found = segments(&Graph::from(MlpSpec::new(9, hidden, 1, 0.5)), workers);
            found.into_iter().map(|s| (s.sites, s.is_split)).collect::<Vec<_>>()
        };
        assert_eq!(of(&[8, 8], 2), [(0..2, true), (2..3, false)]);
        assert_eq!(of(&[8], 2), [(0..2, true)]);
        assert_eq!(of(&[1, 8], 2), [(0..1, false), (1..3, true)]);
        assert_eq!(of(&[8], 1), [(0..1, false), (1..2, false)]);
        assert_eq!(of(&[], 2), [(0..1, false)]);
    }

    #[test]
    fn parts_are_read_and_written_back() {
        // A weight [2, 3] at 1, then its bias.
        let flat: Vec<f32> = (0..11).map(|x| x as f32).collect();
        let all =
            Part { start: 1, inputs: 2, outputs: 3, rows: 0..2, columns: 0..3, biased: true, has_bias: true };
        let of_columns = Part { columns: 1..3, ..all.clone() };
        let of_rows = Part { rows: 1..2, has_bias: false, ..all.clone() };
        let read = |part: &Part| {
            let mut own = Vec::new();
            part.read(&flat, &mut own);
            own
        };
        assert_eq!(read(&of_columns), [2.0, 3.0, 5.0, 6.0, 8.0, 9.0]);
        assert_eq!(read(&of_rows), [4.0, 5.0, 6.0, 0.0, 0.0, 0.0]);
        let mut back = vec![0.0; 11];
        assert!(of_columns.write(&[2.0, 3.0, 5.0, 6.0, 8.0, 9.0], &mut back).is_empty());
        assert_eq!(of_rows.write(&[4.0, 5.0, 6.0, 7.0, 7.0, 7.0, 1.0], &mut back), [1.0]);
        assert_eq!(back, [0.0, 0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 8.0, 9.0, 0.0]);
    }

    #[test]
    fn refuses_impossible_settings() {
        for bad in ["workers = 0", "workers = 65", "tolerance = 0.0", "stages = 2", "backends = ['cuda']"] {
            assert!(toml::from_str::<Tensors>(bad).is_err(), "{bad}");
        }
    }
}
