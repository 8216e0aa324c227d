//! Makes candidates as rows of recipes, and scores the files that they are written to.
//!
//! A candidate is made by the same code as `nlpress run` makes a row, from the same recipe: the file that is chosen
//! in the end can be made again from its recipe, byte for byte. Quality is that of a session opened on the file, on
//! documents that trained nothing.

use nlpress_core::event::{Event, Flow, Sink};
use nlpress_core::{Backend, Seed, files};
use nlpress_eval::{Pace, Scores};
use nlpress_pipeline::DataError;
use nlpress_pipeline::foresee::{by_norm, frequencies, most_frequent, pooled_width, untrained};
use nlpress_pipeline::made::Rows;
use nlpress_pipeline::measure::{MeasureError, encode, score};
use nlpress_pipeline::recipe::{DataRecipe, TEACHER};
use nlpress_pipeline::ship::ShipError;
use nlpress_pipeline::{
    Asking, Origin, Prepared, Recipe, RunError, RunOptions, Taught, TeacherFile, Teachers, make_rows,
};
use nlpress_runtime::{Scratch, Session};
use nlpress_text::{AsInput, Corpus, Document, Encode, TextInput};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::candidate::{Base, Candidate, FEWEST, ROW, Reads, Student};
use crate::limits::Metric;

/// Texts whose answers are timed, and seconds after which they are not timed again.
const TIMED: usize = 256;
const LONG: f64 = 1.0;

/// Everything that candidates are made from.
pub(crate) struct World<'a> {
    pub(crate) corpus: Arc<Corpus>,
    pub(crate) data: DataRecipe,
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
    pub(crate) backend: &'a Backend,
    pub(crate) metric: &'a Metric,
    pub(crate) class: Option<u32>,
    /// What teaches.
    pub(crate) teacher: Option<GivenTeacher>,
    /// Artifacts that teach, with what they said.
    pub(crate) teachers: Arc<Teachers>,
    /// Encoded splits by encoder, as JSON.
    pub(crate) encoded: Mutex<BTreeMap<String, Arc<Prepared>>>,
}

/// A file or a folder that teaches.
#[derive(Clone)]
pub(crate) struct GivenTeacher {
    pub(crate) file: TeacherFile,
    /// As a table of a recipe.
    pub(crate) table: Value,
    /// Its SHA-256, where it is an encoder, of which there are candidates.
    pub(crate) encoder: Option<String>,
}

/// In which order features stay.
enum Order {
    /// Those first that would be kept first: by the norm of their weights, and by that times the size of their values.
    Norms([Vec<u32>; 2]),
    /// How often training documents have each token.
    Frequencies(Vec<f64>),
}

/// A base that is trained.
pub(crate) struct Opened {
    pub(crate) base: Base,
    pub(crate) prepared: Arc<Prepared>,
    /// Where it was written.
    folder: PathBuf,
    /// Number of its features.
    pub(crate) width: usize,
    order: Order,
    /// Numbers that its network pools a text into, where it pools.
    pub(crate) pooled: usize,
    /// Fewest features that a candidate may keep.
    pub(crate) fewest: usize,
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

impl Opened {
    /// Features that training documents have.
    pub(crate) fn seen(&self) -> usize {
        match &self.order {
            Order::Norms(_) => self.width,
            Order::Frequencies(scores) => scores.iter().filter(|score| **score > 0.0).count(),
        }
    }

    /// The features that stay of a student, ascending; nothing where all do.
    fn kept(&self, student: &Student) -> Result<Option<Vec<u32>>, RunError> {
        if student.keep >= self.width {
            return Ok(None);
        }
        match &self.order {
            Order::Norms(orders) => {
                let mut kept = orders[usize::from(student.contribution)][..student.keep].to_vec();
                kept.sort_unstable();
                Ok(Some(kept))
            }
            Order::Frequencies(scores) => most_frequent(&self.prepared, scores, student.keep).map(Some),
        }
    }
}

impl World<'_> {
    /// What the teacher says of the documents, where there is one.
    pub(crate) fn taught(&self, threads: usize, ear: &Ear<'_>) -> Result<Option<Arc<Taught>>, RunError> {
        let by = Asking { backend: self.backend, threads, sink: ear };
        let ask = |teacher: &GivenTeacher| self.teachers.taught(&teacher.file, &self.corpus, by);
        self.teacher.as_ref().map(ask).transpose()
    }

    fn teacher_table(&self) -> Option<&Value> {
        self.teacher.as_ref().map(|teacher| &teacher.table)
    }

    /// The splits, encoded.
    fn prepared(&self, encoder: &Reads) -> Result<Arc<Prepared>, RunError> {
        let key = serde_json::to_string(encoder).map_err(|e| RunError::Internal(e.to_string()))?;
        let held = |key: &str| self.encoded.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if let Some(found) = held(&key) {
            return Ok(found);
        }
        let corpus = Arc::clone(&self.corpus);
        let prepared = Arc::new(match (encoder, &self.teacher) {
            (Reads::Bag(bag), _) => {
                let data = DataRecipe { encoder: bag.clone().into(), ..self.data.clone() };
                Prepared::of_corpus(corpus, &data)?
            }
            (Reads::Pretrained { .. }, Some(GivenTeacher { file, .. })) => {
                let origin = Origin::open(&file.path).map_err(DataError::from)?;
                Prepared::of_origin(corpus, (&file.path, origin), &self.data)?
            }
            (Reads::Pretrained { .. }, None) => {
                return Err(RunError::Internal("there is no teacher that it is the encoder of".into()));
            }
        });
        self.encoded.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&prepared));
        Ok(prepared)
    }

    /// Trains a base, or opens it where it was trained before.
    pub(crate) fn open(&self, base: &Base, ear: &Ear<'_>) -> Result<Opened, RunError> {
        let prepared = self.prepared(&base.encoder)?;
        let folder = self.folder.join(format!("base-{}", name_of(base)));
        let rows = self.make(&base.recipe(self.seed, self.teacher_table()), &prepared, &folder, ear)?;
        let path = nlpress_pipeline::folder::artifact_path(&folder, TEACHER, 0);
        let (_, scores) = scored(&path, &prepared.corpus.valid, prepared.valid.labels())?;
        let lost = || RunError::Internal("a base is missing".into());
        let model = &rows.made.first().and_then(|row| row.copies.first()).ok_or_else(lost)?.model;
        let width = prepared.encoder.width();
        Ok(Opened {
            base: base.clone(),
            folder,
            width,
            pooled: pooled_width(model),
            order: match base.encoder {
                Reads::Bag(_) => Order::Norms([false, true].map(|by| by_norm(model, &prepared.train, by))),
                Reads::Pretrained { .. } => Order::Frequencies(frequencies(&prepared)),
            },
            fewest: match base.is_hashed() {
                true => width,
                false => FEWEST.max(2 * prepared.encoder.always_kept().len()).min(width),
            },
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
        let kept = opened.kept(&candidate.student)?;
        let mut made = candidate.clone();
        // Of tokens that others are made of, fewer may stay than may.
        made.student.keep = kept.as_ref().map_or(candidate.student.keep, Vec::len);
        let recipe = self.parse(&self.recipe(&made, opened.width))?;
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
        candidate.recipe(self.seed, width, self.teacher_table())
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
    let texts: Vec<TextInput<'_>> = documents.iter().take(TIMED).map(AsInput::as_input).collect();
    let mut scratch = Scratch::default();
    let mut least = f64::INFINITY;
    for _ in 0..=passes {
        let began = Instant::now();
        for text in &texts {
            black_box(session.score(text, &mut scratch).map_err(MeasureError::from)?);
        }
        let seconds = began.elapsed().as_secs_f64();
        least = least.min(seconds);
        if seconds > LONG {
            break;
        }
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
    use crate::pretrained;
    use nlpress_core::BackendKind;
    use nlpress_core::event::Quiet;
    use nlpress_text::{CorpusOptions, EncoderConfig};

    fn data() -> DataRecipe {
        DataRecipe {
            corpus: None,
            source: None,
            unlabelled: None,
            options: CorpusOptions::default(),
            encoder: EncoderConfig::default().into(),
            class_weights: None,
        }
    }

    /// A world in a folder whose teacher is a tiny encoder that `transformers` wrote.
    fn of_encoder<'a>(folder: &Path, (backend, metric): (&'a Backend, &'a Metric)) -> World<'a> {
        let sentence = |i: usize| {
            let words = [["the large model", "large words"], ["a small model is small", "small"]];
            let filler = ["the same word", "a model", "words are the same", "which is cut", "seen"];
            let text = format!("{} {}", words[i % 2][i / 2 % 2], filler[i / 4 % 5]);
            (text, ["wide", "narrow"][i % 2].to_owned())
        };
        let documents: Vec<(String, String)> = (0..90).map(sentence).collect();
        let corpus =
            Corpus::from_splits("two", &documents[..60], &documents[60..75], &documents[75..]).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hub/tests/folders/bert");
        let file = TeacherFile { path: path.clone(), sha256: None };
        let teachers = Arc::new(Teachers::kept_in(&folder.join("answers")));
        let sha256 = teachers.open(&file, &corpus).unwrap();
        let table = serde_json::json!({ "path": path, "sha256": sha256 });
        World {
            corpus: Arc::new(corpus),
            data: data(),
            folder: folder.into(),
            seed: 3,
            backend,
            metric,
            class: None,
            teacher: Some(GivenTeacher { file, table, encoder: Some(sha256) }),
            teachers,
            encoded: Mutex::default(),
        }
    }

    /// Candidates of an encoder take the bytes that were foreseen, are right about what one token decides, and are the same bytes
    /// when another makes them.
    #[test]
    fn candidates_of_an_encoder_are_foreseen_and_made_again() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let backend = BackendKind::Ndarray.open().unwrap();
        let (metric, ear) = (Metric::Accuracy, Ear { outer: &Quiet, until: None });
        let made = [one.path(), other.path()].map(|folder| {
            let world = of_encoder(folder, (&backend, &metric));
            let taught = world.taught(1, &ear).unwrap().unwrap();
            assert_eq!(taught.probed.map(|probe| probe.numbers), Some(8));
            let sha256 = world.teacher.as_ref().and_then(|teacher| teacher.encoder.clone()).unwrap();
            let base = pretrained::base(&sha256, 8.0);
            let opened = world.open(&base, &ear).unwrap();
            assert_eq!((opened.width, opened.pooled), (26, 8));
            assert!(opened.score > 0.8, "{}", opened.score);
            let mut all = Vec::new();
            for usual in pretrained::usual(&opened) {
                for (keep, numbers) in [
                    (opened.width, Numbers::Int8),
                    (opened.seen(), usual.student.numbers),
                    (12, Numbers::Int4),
                ] {
                    let student = Student { keep, numbers, ..usual.student.clone() };
                    let trial =
                        world.attempt(&Candidate { student, ..usual.clone() }, &opened, &ear).unwrap();
                    assert_eq!(trial.foreseen, trial.bytes, "{}", trial.told);
                    // Four bits of eight numbers are few.
                    let is_rough = keep < 15 || numbers != Numbers::Int8;
                    assert!(is_rough || trial.score > 0.7, "{}: {}", trial.told, trial.score);
                    all.push(std::fs::read(&trial.path).unwrap());
                }
            }
            all
        });
        assert!(made[0] == made[1]);
    }

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
        let world = World {
            corpus: Arc::new(corpus()),
            data: data(),
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
        let base = Base { encoder: Reads::Bag(encoder), hidden: Vec::new(), dropout: 0.0, fit: exact };
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
