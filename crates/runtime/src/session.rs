//! An artifact that answers.

use crate::decision::Decision;
use crate::error::MOST_THREADS;
use crate::network::{Activations, Network, Site};
use crate::takes::Takes;
use crate::{RuntimeError, scores};
use nlpress_artifact::{Artifact, OpenOptions, Provenance};
use nlpress_core::beside;
use nlpress_graph::{Outline, SiteId};
use nlpress_kernels::Crew;
use nlpress_packed::Index;
use nlpress_text::{AnyEncoder, AnyScratch, AsInput, Encode, Example, ExamplesRef, Seen, TextInput};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of an encoder from which on it is read on another thread while this one lays out the network.
const BESIDE: usize = 1 << 16;

/// An artifact that is open for questions: texts, or examples that its encoder made of them.
#[derive(Debug)]
pub struct Session {
    outline: Outline,
    network: Network,
    takes: Takes,
    labels: Vec<String>,
    threshold: Option<f64>,
    encoder: AnyEncoder,
    provenance: Provenance,
    idle: Mutex<Vec<Scratch>>,
    pools: Mutex<BTreeMap<usize, Arc<ThreadPool>>>,
    crews: Mutex<BTreeMap<usize, Arc<Crew>>>,
}

/// Memory for intermediate results, to be used again: once it has grown, answering allocates nothing,
/// but for weights that are laid out once more when the first rows with few zeros, or the first batch, come.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    text: AnyScratch,
    pub(crate) activations: Activations,
    logits: Vec<f32>,
    scores: Vec<f32>,
}

impl Scratch {
    /// What the encoder saw of the text that was answered last.
    pub fn seen(&self) -> Seen {
        self.text.seen()
    }

    pub(crate) fn text(&mut self) -> &mut AnyScratch {
        &mut self.text
    }
}

/// The answer to a text, in memory that is used again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer<'a> {
    /// As [`Prediction::class`].
    pub class: usize,
    /// As [`Prediction::scores`].
    pub scores: &'a [f32],
}

/// The answer to a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction<'s> {
    /// The class, counted from 0: the one with the highest score; of an artifact with a threshold, the second
    /// where its score is above that.
    pub class: usize,
    /// Its label.
    pub label: &'s str,
    /// The score of every class, in the order of the labels: at least 0, together 1.
    pub scores: Vec<f32>,
}

impl Session {
    /// Opens the file, within the default [`OpenOptions`].
    ///
    /// # Errors
    /// [`RuntimeError`] naming the file, when it is not an artifact, or its encoder does not fit its network.
    pub fn open(path: &Path) -> Result<Self, RuntimeError> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// Opens the file, within limits on its bytes and on the memory that its weights take.
    ///
    /// # Errors
    /// As [`open`](Session::open), and for a file beyond the limits.
    pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Self, RuntimeError> {
        let artifact = Artifact::open_with(path, options)?;
        Self::from_artifact(artifact).map_err(|e| e.of(&path.display().to_string()))
    }

    /// Opens the bytes of a file, within the default [`OpenOptions`]; `name` is what errors call them.
    ///
    /// # Errors
    /// As [`open`](Session::open).
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, RuntimeError> {
        Self::from_bytes_with(bytes, name, &OpenOptions::default())
    }

    /// Opens the bytes of a file, within limits; `name` is what errors call them.
    ///
    /// # Errors
    /// As [`open_with`](Session::open_with).
    pub fn from_bytes_with(bytes: &[u8], name: &str, options: &OpenOptions) -> Result<Self, RuntimeError> {
        Self::from_artifact(Artifact::from_bytes_with(bytes, name, options)?).map_err(|e| e.of(name))
    }

    /// Opens an artifact that is in memory.
    ///
    /// # Errors
    /// [`RuntimeError`] when the artifact's encoder is damaged or does not fit its network.
    pub fn from_artifact(artifact: Artifact) -> Result<Self, RuntimeError> {
        let parts = &artifact.encoder;
        let encoder = || AnyEncoder::from_parts(&parts.config, &parts.blob);
        let graph = artifact.outline.graph.clone();
        let takes = Takes::of(&graph);
        let network = || Network::new(graph, artifact.layers, artifact.vectors);
        let (network, encoder) = match parts.blob.len() < BESIDE {
            true => (network(), encoder()),
            false => beside(network, encoder),
        };
        let encoder = encoder?;
        takes.check_encoder(&encoder)?;
        Ok(Self {
            network,
            outline: artifact.outline,
            takes,
            labels: artifact.labels,
            threshold: artifact.threshold,
            encoder,
            provenance: artifact.provenance,
            idle: Mutex::default(),
            pools: Mutex::default(),
            crews: Mutex::default(),
        })
    }

    /// Names of the classes; none for a network that makes embeddings or scores.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// The score above which the second of two classes is the answer, where it is not one half.
    pub fn threshold(&self) -> Option<f64> {
        self.threshold
    }

    /// The class that one row of logits names, counted from 0; the same rule as in [`predict`](Session::predict).
    pub fn class(&self, logits: &[f32]) -> usize {
        self.decision().class(logits)
    }

    /// The network and the form of its sites.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// What turns texts into examples.
    pub fn encoder(&self) -> &AnyEncoder {
        &self.encoder
    }

    /// Where the model came from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Bytes of the weights in memory.
    pub fn resident_bytes(&self) -> usize {
        self.network.resident_bytes()
    }

    /// The sites whose weights are sparse in the file and held with their zeros in memory, because they are not sparse
    /// enough to be faster without: they are smaller on disk only.
    pub fn held_with_zeros(&self) -> Vec<&SiteId> {
        let held = |l: &&Site| l.weight.scheme().index != Index::Full && l.weight.held().with_zeros();
        self.network.layers.iter().filter(held).map(|l| &l.id).collect()
    }

    /// Layers of an encoder that run as one kernel: all of them where their weights are integers of up to 8 bits with a
    /// scale for each output or one, widths are multiples of 64, heads of 32 or 64 numbers, and the processor has
    /// instructions for it.
    pub fn fused_layers(&self) -> usize {
        self.network.fused_layers()
    }

    /// Which class a text or a pair of texts is in, and how likely each class is.
    ///
    /// # Errors
    /// As [`answer`](Session::answer).
    pub fn predict(&self, text: &(impl AsInput + ?Sized)) -> Result<Prediction<'_>, RuntimeError> {
        self.with_scratch(1, |scratch| self.predict_with(text.as_input(), scratch))
    }

    /// Memory for calls in which `threads` threads share the tokens of a text: those of layers that run as
    /// [one kernel](Session::fused_layers), where there are enough. The answers are the same bits. Threads are started when a
    /// number of them is first asked for, and kept; while they work for one call, another does without.
    ///
    /// # Errors
    /// [`RuntimeError::Threads`] for none or more than 1024, and [`RuntimeError::Pool`] when they cannot be started.
    pub fn scratch(&self, threads: usize) -> Result<Scratch, RuntimeError> {
        if threads == 1 || self.fused_layers() == 0 {
            check_threads(threads)?;
            return Ok(Scratch::default());
        }
        let crew = of_threads(&self.crews, threads, || Crew::new(threads).map_err(|e| e.to_string()))?;
        Ok(Scratch { activations: Activations::with(crew), ..Scratch::default() })
    }

    /// Does something with memory for so many threads that was used before, where there is any.
    pub(crate) fn with_scratch<R>(
        &self,
        threads: usize,
        work: impl FnOnce(&mut Scratch) -> Result<R, RuntimeError>,
    ) -> Result<R, RuntimeError> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let sharing = if self.fused_layers() == 0 { 1 } else { threads };
        let used = {
            let mut idle = idle();
            let same = |of: &Scratch| of.activations.threads() == sharing;
            idle.iter().position(same).map(|at| idle.swap_remove(at))
        };
        let mut scratch = used.map_or_else(|| self.scratch(threads), Ok)?;
        let result = work(&mut scratch);
        idle().push(scratch);
        result
    }

    /// What the network makes of a text, or of two texts as one example: logits, scores or an embedding. Allocates nothing
    /// for one text once `scratch` has grown.
    ///
    /// # Errors
    /// [`RuntimeError::NotFinite`] when the numbers of the model are so large that a result is infinite or undefined,
    /// and [`RuntimeError::Text`] where a tokenizer from a stranger fails at this text. For a pair also
    /// [`RuntimeError::Text`] for an encoder that takes one text, and [`RuntimeError::Tokens`] where the tokens of the second
    /// text have a type that the network does not know.
    pub fn answer<'a>(
        &self,
        text: &(impl AsInput + ?Sized),
        scratch: &'a mut Scratch,
    ) -> Result<&'a [f32], RuntimeError> {
        let Scratch { text: words, activations, logits, .. } = scratch;
        let input = text.as_input();
        let example = self.encoder.encode_input(input, words).map_err(RuntimeError::Text)?;
        if input.pair.is_some() {
            self.takes.check_one(example)?;
        }
        self.outputs_of(example, logits, activations)
    }

    fn outputs_of<'a>(
        &self,
        example: Example<'_>,
        logits: &'a mut Vec<f32>,
        activations: &mut Activations,
    ) -> Result<&'a [f32], RuntimeError> {
        logits.resize(self.network.outputs, 0.0);
        match example {
            Example::Features(row) => self.network.logits(row.columns, row.values, logits, activations),
            Example::Tokens(row) => self.network.outputs_of(std::iter::once(row), logits, activations),
        }
        finite(logits, 0, logits.len())?;
        Ok(logits)
    }

    /// The scores of a text, in the order of the labels. Allocates nothing once `scratch` has grown.
    ///
    /// # Errors
    /// As [`answer`](Session::answer), and [`RuntimeError::NoClasses`] for a network that makes embeddings.
    pub fn score<'a>(
        &self,
        text: &(impl AsInput + ?Sized),
        scratch: &'a mut Scratch,
    ) -> Result<&'a [f32], RuntimeError> {
        self.check_classes()?;
        self.answer(text, scratch)?;
        scores::from_logits(&scratch.logits, &mut scratch.scores);
        Ok(&scratch.scores)
    }

    /// What [`predict`](Session::predict) answers. Allocates nothing once `scratch` has grown.
    ///
    /// # Errors
    /// As [`score`](Session::score).
    pub fn classify<'a>(
        &self,
        text: &(impl AsInput + ?Sized),
        scratch: &'a mut Scratch,
    ) -> Result<Answer<'a>, RuntimeError> {
        self.score(text, scratch)?;
        Ok(Answer { class: self.class(&scratch.logits), scores: &scratch.scores })
    }

    /// The logits (or the embedding) of one sparse row, or of the tokens of one text, written into `out`. Allocates
    /// nothing once `scratch` has grown.
    ///
    /// # Errors
    /// [`RuntimeError`] when there are not as many values as columns or not as many places in `out` as outputs,
    /// for what the network does not take, and [`RuntimeError::NotFinite`] as in [`answer`](Session::answer).
    #[inline]
    pub fn logits_row<'a>(
        &self,
        example: impl Into<Example<'a>>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), RuntimeError> {
        let example = example.into();
        self.takes.check_one(example)?;
        same_length("out", out.len(), self.network.outputs)?;
        match example {
            Example::Features(row) => {
                self.network.logits(row.columns, row.values, out, &mut scratch.activations);
            }
            Example::Tokens(row) => {
                self.network.outputs_of(std::iter::once(row), out, &mut scratch.activations);
            }
        }
        finite(out, 0, out.len())
    }

    /// Checks that the examples are there and what the network takes, and that so many numbers are what it makes of them.
    pub(crate) fn check(
        &self,
        examples: ExamplesRef<'_>,
        range: &Range<usize>,
        out: usize,
    ) -> Result<(), RuntimeError> {
        self.takes.check(examples, range)?;
        same_length("out", out, range.len() * self.network.outputs)
    }

    /// Checks that an example is what the network takes.
    pub(crate) fn check_one(&self, example: Example<'_>) -> Result<(), RuntimeError> {
        self.takes.check_one(example)
    }

    /// Checks that there are classes to name.
    pub(crate) fn check_classes(&self) -> Result<(), RuntimeError> {
        if self.labels.is_empty() { Err(RuntimeError::NoClasses) } else { Ok(()) }
    }

    pub(crate) fn decision(&self) -> Decision {
        Decision::by(self.threshold)
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    fn predict_with(
        &self,
        input: TextInput<'_>,
        scratch: &mut Scratch,
    ) -> Result<Prediction<'_>, RuntimeError> {
        let Answer { class, scores } = self.classify(&input, scratch)?;
        let scores = scores.to_vec();
        Ok(Prediction { class, label: &self.labels[class], scores })
    }

    /// The pool of that size, started when it is first asked for.
    pub(crate) fn pool(&self, threads: usize) -> Result<Arc<ThreadPool>, RuntimeError> {
        let start = || ThreadPoolBuilder::new().num_threads(threads).build().map_err(|e| e.to_string());
        of_threads(&self.pools, threads, start)
    }
}

/// What there is for so many threads, started when it is first asked for.
fn of_threads<T>(
    all: &Mutex<BTreeMap<usize, Arc<T>>>,
    threads: usize,
    start: impl FnOnce() -> Result<T, String>,
) -> Result<Arc<T>, RuntimeError> {
    check_threads(threads)?;
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(started) = all.get(&threads) {
        return Ok(Arc::clone(started));
    }
    let started = Arc::new(start().map_err(|reason| RuntimeError::Pool { threads, reason })?);
    all.insert(threads, Arc::clone(&started));
    Ok(started)
}

fn check_threads(threads: usize) -> Result<(), RuntimeError> {
    if (1..=MOST_THREADS).contains(&threads) { Ok(()) } else { Err(RuntimeError::Threads(threads)) }
}

/// Checks logits, `outputs` for each row, of which the first is row `first`.
pub(crate) fn finite(logits: &[f32], first: usize, outputs: usize) -> Result<(), RuntimeError> {
    match logits.iter().position(|logit| !logit.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let (row, class) = (first + at / outputs, at % outputs);
            Err(RuntimeError::NotFinite { row, class, value: logits[at] })
        }
    }
}

pub(crate) fn same_length(what: &'static str, found: usize, expected: usize) -> Result<(), RuntimeError> {
    if found == expected { Ok(()) } else { Err(RuntimeError::Length { what, found, expected }) }
}
