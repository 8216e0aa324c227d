//! Makes candidates as rows of recipes, and scores the files that they are written to.
//!
//! A candidate is made by the same code as `nlpress run` makes a row, from the same recipe: the file that is chosen
//! in the end can be made again from its recipe, byte for byte. Quality is that of a session opened on the file, on
//! documents that trained nothing.

use nlpress_core::event::{Event, Flow, Sink};
use nlpress_core::{Backend, Seed, files};
use nlpress_eval::{Pace, Scores};
use nlpress_pipeline::foresee::{by_norm, untrained};
use nlpress_pipeline::made::Rows;
use nlpress_pipeline::measure::{MeasureError, encode, score};
use nlpress_pipeline::recipe::{DataRecipe, TEACHER};
use nlpress_pipeline::ship::ShipError;
use nlpress_pipeline::{Prepared, Recipe, RunError, RunOptions, Teachers, make_rows};
use nlpress_runtime::{Scratch, Session};
use nlpress_text::{Corpus, Document, Encode, EncoderConfig};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::candidate::{Base, Candidate, ROW, Student};
use crate::limits::Metric;

/// Texts whose answers are timed.
const TIMED: usize = 256;

/// Everything that candidates are made from.
pub(crate) struct World<'a> {
    pub(crate) corpus: Arc<Corpus>,
    pub(crate) data: DataRecipe,
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
    pub(crate) backend: &'a Backend,
    pub(crate) metric: &'a Metric,
    pub(crate) class: Option<u32>,
    /// The artifact that teaches, as a table of a recipe.
    pub(crate) teacher: Option<Value>,
    /// Artifacts that teach, with what they said.
    pub(crate) teachers: Arc<Teachers>,
    /// Encoded splits by encoder, as JSON.
    pub(crate) encoded: Mutex<BTreeMap<String, Arc<Prepared>>>,
}

/// A base that is trained.
pub(crate) struct Opened {
    pub(crate) base: Base,
    pub(crate) prepared: Arc<Prepared>,
    /// Where it was written.
    folder: PathBuf,
    /// Number of its features.
    pub(crate) width: usize,
    /// Its features, those first that would be kept first: by the norm of their weights, and by that times the size of
    /// their values.
    orders: [Vec<u32>; 2],
    /// Quality on the validation documents.
    pub(crate) score: f64,
}

/// A candidate that was made.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// What it is.
    pub candidate: Candidate,
    /// One line of it.
    pub told: String,
    /// Bytes of its file.
    pub bytes: u64,
    /// Bytes that were foreseen before it was made: the same, but where pruned entries are stored.
    pub foreseen: u64,
    /// Quality on validation documents, a share; the mean over the folds that it was tried on.
    pub score: f64,
    /// Folds that it was tried on.
    pub folds: usize,
    /// Microseconds from a text to its answer, the mean over texts on one thread while other candidates were made.
    pub latency_us: f64,
    /// Seconds that it took.
    pub seconds: f64,
    /// 1 for every validation document that is right, 0 for the others.
    #[serde(skip)]
    pub correct: Vec<f64>,
    /// The file.
    #[serde(skip)]
    pub path: PathBuf,
}

/// What is known of a candidate before it is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Foreseen {
    /// Bytes of its file; near where pruned entries are stored, else exact.
    pub(crate) bytes: u64,
    /// Microseconds from a text to its answer, measured on a file of the same form, where that was asked for.
    pub(crate) latency_us: Option<f64>,
}

/// Hears that a run is to stop: because the user says so, or because the time is over.
pub(crate) struct Ear<'a> {
    pub(crate) outer: &'a dyn Sink,
    pub(crate) until: Option<Instant>,
}

impl Sink for Ear<'_> {
    fn push(&self, _event: &Event) -> Flow {
        if self.until.is_some_and(|until| Instant::now() > until) {
            return Flow::Stop;
        }
        // No more than a question: what a single candidate says would drown what the search says.
        ask(self.outer)
    }
}

impl World<'_> {
    /// The splits, encoded.
    fn prepared(&self, encoder: &EncoderConfig) -> Result<Arc<Prepared>, RunError> {
        let key = serde_json::to_string(encoder).map_err(|e| RunError::Internal(e.to_string()))?;
        let held = |key: &str| self.encoded.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if let Some(found) = held(&key) {
            return Ok(found);
        }
        let data = DataRecipe { encoder: encoder.clone().into(), ..self.data.clone() };
        let prepared = Arc::new(Prepared::of_corpus(Arc::clone(&self.corpus), &data)?);
        self.encoded.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Trains a base, or opens it where it was trained before.
    pub(crate) fn open(&self, base: &Base, ear: &Ear<'_>) -> Result<Opened, RunError> {
        let prepared = self.prepared(&base.encoder)?;
        let folder = self.folder.join(format!("base-{}", name_of(base)));
        let rows = self.make(&base.recipe(self.seed), &prepared, &folder, ear)?;
        let path = nlpress_pipeline::folder::artifact_path(&folder, TEACHER, 0);
        let (_, scores) = scored(&path, &prepared.corpus.valid, prepared.valid.labels())?;
        let lost = || RunError::Internal("a base is missing".into());
        let model = &rows.made.first().and_then(|row| row.copies.first()).ok_or_else(lost)?.model;
        Ok(Opened {
            base: base.clone(),
            folder,
            width: prepared.encoder.width(),
            orders: [false, true].map(|contribution| by_norm(model, &prepared.train, contribution)),
            score: self.quality(&scores, prepared.valid.labels()),
            prepared,
        })
    }

    /// What is known of a candidate before it is made.
    pub(crate) fn foresee(
        &self,
        candidate: &Candidate,
        opened: &Opened,
        timed: bool,
    ) -> Result<Foreseen, RunError> {
        let recipe = self.parse(&self.recipe(candidate, opened.width))?;
        let Student { keep, contribution, .. } = candidate.student;
        let kept = (keep < opened.width).then(|| {
            let mut kept = opened.orders[usize::from(contribution)][..keep].to_vec();
            kept.sort_unstable();
            kept
        });
        let artifact = untrained(&recipe, ROW, &opened.prepared, kept.as_deref())?;
        let bytes = artifact.to_bytes().map_err(ShipError::from)?.len() as u64;
        let latency_us = match timed {
            true => {
                let session = Session::from_artifact(artifact).map_err(MeasureError::from)?;
                Some(latency(&session, &opened.prepared.corpus.valid, 3)?)
            }
            false => None,
        };
        Ok(Foreseen { bytes, latency_us })
    }

    /// Makes a candidate from its base.
    pub(crate) fn attempt(
        &self,
        candidate: &Candidate,
        opened: &Opened,
        ear: &Ear<'_>,
    ) -> Result<Trial, RunError> {
        let began = Instant::now();
        let foreseen = self.foresee(candidate, opened, false)?.bytes;
        let folder = self.folder.join(format!("trial-{}", name_of(candidate)));
        lend(&opened.folder, &folder)?;
        let _ = self.make(&self.recipe(candidate, opened.width), &opened.prepared, &folder, ear)?;
        let path = nlpress_pipeline::folder::artifact_path(&folder, ROW, 0);
        let (valid, labels) = (&opened.prepared.corpus.valid, opened.prepared.valid.labels());
        let (session, scores) = scored(&path, valid, labels)?;
        let bytes = std::fs::metadata(&path).map_err(|e| RunError::File(path.clone(), e))?.len();
        Ok(Trial {
            candidate: candidate.clone(),
            told: candidate.told(),
            bytes,
            foreseen,
            score: self.quality(&scores, labels),
            folds: 1,
            latency_us: latency(&session, valid, 3)?,
            seconds: began.elapsed().as_secs_f64(),
            correct: scores.correct,
            path,
        })
    }

    /// The recipe of a candidate whose encoder has so many features.
    pub(crate) fn recipe(&self, candidate: &Candidate, width: usize) -> Value {
        candidate.recipe(self.seed, width, self.teacher.as_ref())
    }

    pub(crate) fn quality(&self, scores: &Scores, labels: &[u32]) -> f64 {
        self.metric.of(scores, labels, self.class)
    }

    /// The rows of a recipe, in a folder; what is there of the same recipe is opened.
    fn make(
        &self,
        recipe: &Value,
        prepared: &Prepared,
        folder: &Path,
        ear: &Ear<'_>,
    ) -> Result<Rows, RunError> {
        let recipe = self.parse(recipe)?;
        let options = RunOptions {
            backend: self.backend,
            threads: 1,
            workers: None,
            budget: None,
            peers: None,
            out: folder,
            resume: true,
            pace: Pace::quick(),
            memory: None,
        };
        let rows = make_rows(&recipe, (prepared, &self.teachers), &options, ear)?;
        match rows.failed.first() {
            Some(failed) => Err(RunError::Internal(failed.to_string())),
            None => Ok(rows),
        }
    }

    /// The recipe, on data that are in memory already.
    fn parse(&self, recipe: &Value) -> Result<Recipe, RunError> {
        let mut recipe = recipe.clone();
        recipe["data"]["corpus"] = Value::from(nlpress_pipeline::prepared::EMBEDDED);
        let text = toml::to_string(&recipe).map_err(|e| RunError::Internal(e.to_string()))?;
        Ok(Recipe::parse(&text, "fit")?)
    }

    /// The same world with other documents to train and to choose by: fold `n` of `folds` of all that are not test.
    pub(crate) fn fold(&self, n: usize, folds: usize) -> Self {
        let mut corpus = Corpus::clone(&self.corpus);
        let mut all: Vec<Document> = corpus.train.drain(..).chain(corpus.valid.drain(..)).collect();
        Seed(self.seed).derive("folds").stream(0).shuffle(&mut all);
        let mut of_class = vec![0_usize; corpus.labels.len()];
        for document in all {
            let place = &mut of_class[document.label as usize];
            // A class with fewer documents than folds trains with what it has.
            let held = *place % folds == n;
            *place += 1;
            if held { corpus.valid.push(document) } else { corpus.train.push(document) }
        }
        corpus.sha256 = files::sha256_hex(format!("{} fold {n} of {folds}", corpus.sha256).as_bytes());
        World {
            corpus: Arc::new(corpus),
            data: self.data.clone(),
            folder: self.folder.join(format!("fold-{n}")),
            encoded: Mutex::default(),
            teacher: self.teacher.clone(),
            teachers: Arc::clone(&self.teachers),
            ..*self
        }
    }
}

/// Asks who listens whether to stop, and says nothing.
pub(crate) fn ask(sink: &dyn Sink) -> Flow {
    sink.push(&Event::Progress { what: String::new(), done: 1, total: 0 })
}

/// The opened base that a candidate is made from.
pub(crate) fn base_of<'o>(
    opened: impl IntoIterator<Item = &'o Opened>,
    candidate: &Candidate,
) -> Option<&'o Opened> {
    opened.into_iter().find(|o| o.base == candidate.base)
}

/// Opens a written file and scores what it says of documents.
pub(crate) fn scored(
    path: &Path,
    documents: &[Document],
    labels: &[u32],
) -> Result<(Session, Scores), RunError> {
    let session = Session::open(path).map_err(MeasureError::from)?;
    let (_, scores) = score(&session, &encode(&session, documents)?, labels)?;
    Ok((session, scores))
}

/// Gives a folder the files of a base, so that it is not trained again there.
fn lend(base: &Path, folder: &Path) -> Result<(), RunError> {
    for (part, name) in
        [("artifacts", format!("{TEACHER}.0.safetensors")), ("journal", format!("{TEACHER}.0.json"))]
    {
        let (from, to) = (base.join(part).join(&name), folder.join(part).join(&name));
        let failed = |e| RunError::Write(to.clone(), e);
        std::fs::create_dir_all(folder.join(part)).map_err(failed)?;
        // One file under two names: nothing is ever written into it, only put in its place.
        if to.exists() || std::fs::hard_link(&from, &to).is_ok() {
            continue;
        }
        let bytes = std::fs::read(&from).map_err(|e| RunError::File(from, e))?;
        files::write_atomically(&to, &bytes).map_err(failed)?;
    }
    Ok(())
}

/// Microseconds from a text to its answer on one thread: the least mean over texts of so many passes.
pub(crate) fn latency(session: &Session, documents: &[Document], passes: usize) -> Result<f64, RunError> {
    let texts: Vec<&str> = documents.iter().take(TIMED).map(|d| d.text.as_str()).collect();
    let mut scratch = Scratch::default();
    let mut least = f64::INFINITY;
    for _ in 0..=passes {
        let began = Instant::now();
        for text in &texts {
            black_box(session.score(text, &mut scratch).map_err(MeasureError::from)?);
        }
        least = least.min(began.elapsed().as_secs_f64());
    }
    Ok(1e6 * least / texts.len().max(1) as f64)
}

/// A name that no other has.
fn name_of(of: &impl Serialize) -> String {
    let text = serde_json::to_vec(of).expect("numbers, texts and text keys are JSON");
    files::sha256_hex(&text)[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::{How, Loss, Numbers, Steps, Training};
    use nlpress_core::BackendKind;
    use nlpress_core::event::Quiet;
    use nlpress_text::CorpusOptions;

    /// Documents of eight classes, each with words of its own among words of all.
    fn corpus() -> Corpus {
        let document = |i: usize| {
            let class = i % 8;
            let text = format!("word{} own{class} other{} thing{class}{}", i % 13, i % 7, i % 3);
            (text, format!("class {class}"))
        };
        let documents: Vec<(String, String)> = (0..160).map(document).collect();
        Corpus::from_splits("eight", &documents[..120], &documents[120..140], &documents[140..]).unwrap()
    }

    /// For every form in the space, what is foreseen is what the file takes; near it, where connections are pruned.
    #[test]
    fn bytes_are_foreseen_for_every_form() {
        let folder = tempfile::tempdir().unwrap();
        let backend = BackendKind::Ndarray.open().unwrap();
        let metric = Metric::Accuracy;
        let data = DataRecipe {
            corpus: None,
            source: None,
            unlabelled: None,
            options: CorpusOptions::default(),
            encoder: EncoderConfig::default().into(),
            class_weights: None,
        };
        let world = World {
            corpus: Arc::new(corpus()),
            data,
            folder: folder.path().into(),
            seed: 3,
            backend: &backend,
            metric: &metric,
            class: None,
            teacher: None,
            teachers: Arc::default(),
            encoded: Mutex::default(),
        };
        let ear = Ear { outer: &Quiet, until: None };
        let fit = Steps { epochs: 1, learning_rate: 5e-3, weight_decay: 0.1, loss: Loss::SquaredHinge };
        let (exact, steps) = (Training::Optimum { cost: 1.0 }, Training::Steps(fit));
        let encoder = EncoderConfig { vocabulary: 60, sublinear: true, ..EncoderConfig::default() };
        let base = Base { encoder, hidden: Vec::new(), dropout: 0.0, fit: exact };
        let opened = world.open(&base, &ear).unwrap();
        let taught = |hidden: &[usize]| How::Distilled {
            hidden: hidden.to_vec(),
            temperature: 2.0,
            alpha: 0.5,
            by_file: false,
            fit: Steps { loss: Loss::CrossEntropy, ..fit },
        };
        let ways = [
            (How::Tuned(exact), None),
            (How::Tuned(steps), Some(3)),
            (taught(&[]), None),
            (taught(&[5]), None),
        ];
        for (how, rank) in ways {
            for numbers in Numbers::ALL {
                for (keep, contribution, sparsity) in
                    [(17, true, 0.0), (30, false, 0.0), (opened.width, true, 0.0), (30, true, 0.7)]
                {
                    let student = Student { keep, contribution, how: how.clone(), rank, sparsity, numbers };
                    let candidate = Candidate { base: base.clone(), student };
                    let trial = world.attempt(&candidate, &opened, &ear).unwrap();
                    let (foreseen, bytes) = (trial.foreseen as f64, trial.bytes as f64);
                    if candidate.is_exact() {
                        assert_eq!(trial.foreseen, trial.bytes, "{}", trial.told);
                    } else {
                        assert!((foreseen / bytes - 1.0).abs() < 0.1, "{}: {foreseen} {bytes}", trial.told);
                    }
                }
            }
        }
    }
}
