//! Makes the rows of a plan: trains the teacher, applies the steps, writes the artifacts. In which order, and how many side by
//! side, is for [`rows`](crate::rows) to say.
//!
//! Every row of every repetition is written as soon as it is made, with a small journal beside it, so that a run
//! that was stopped goes on where it was: what is on disk and belongs to the same recipe, data and version is
//! opened in place of being made again.
//!
//! A row may read some of the features only. Whatever looks at data for it then looks at them in those: its later
//! steps, its gates, its descendants, the encoder in its artifact; a distillation's teacher keeps its own.

use nlpress_artifact::{Artifact, Provenance};
use nlpress_core::event::{Event, Sink};
use nlpress_core::shown::counted;
use nlpress_core::{Seed, Selectors, files};
use nlpress_model::{Graph, Model, Network};
use nlpress_technique::{Checkpoint, Cx, Kind, Made, StepError, Teacher, Technique, Unlabelled};
use nlpress_text::{Encode, corpus};
use nlpress_train::{LabelTraining, Loss, Scores, TrainConfig, TrainError};
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use crate::asked::Asking;
use crate::controls::{ALONE, Alone, MORE, More};
use crate::failure::RunError;
use crate::features::{Views, kept_of};
use crate::folder::{self, artifact_path, journal_path};
use crate::identity::Written;
use crate::made::{Copy, Journal, Work};
use crate::options::RunOptions;
use crate::plan::selected;
use crate::prepared::Prepared;
use crate::probe::{self, Training};
use crate::recipe::{self, LINEAR, Recipe, STUDENT, Step, TEACHER, TeacherFile, Teaching, Variant};
use crate::recorder::Recorder;
use crate::ship;
use crate::teachers::Teachers;
use crate::threshold::Threshold;

/// What a run starts from in place of training.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) work: Work,
    /// Whether it is a classifier already. Else one is put behind it, and all of it is trained.
    pub(crate) trained: bool,
    /// Hash of the artifact's file.
    pub(crate) sha256: String,
    /// Where the artifact decides between two classes, if not at one half.
    pub(crate) threshold: Option<f64>,
}

/// The world in which rows are made.
pub(crate) struct Workshop<'a> {
    pub recipe: &'a Recipe,
    pub prepared: &'a Prepared,
    pub views: &'a Views<'a>,
    /// Artifacts that teach, and the SHA-256 of each by the variant that learns from it.
    pub teachers: (&'a Teachers, HashMap<String, String>),
    pub graph: &'a Graph,
    pub start: Option<&'a Start>,
    /// Hash of the data.
    pub data: String,
    pub options: &'a RunOptions<'a>,
    pub sink: &'a dyn Sink,
}

/// A repetition of a row on its way to be made.
pub(crate) struct Repetition<'a> {
    pub(crate) row: &'a RowToMake<'a>,
    /// Its number, from 0.
    pub(crate) number: u32,
    /// Threads that it may use.
    pub(crate) threads: usize,
    pub(crate) sink: &'a dyn Sink,
}

/// What a variant is made from.
#[derive(Clone, Copy)]
pub(crate) struct MadeFrom<'a> {
    pub(crate) variant: &'a Variant,
    pub(crate) parent: &'a Copy,
    pub(crate) taught: Taught<'a>,
}

impl Workshop<'_> {
    /// Where every row decides: as the recipe says, or else as the artifact that the run starts from.
    pub(crate) fn threshold(&self) -> Option<Threshold> {
        let of_start = self.start.and_then(|start| start.threshold).map(Threshold::Fixed);
        self.recipe.threshold.or(of_start)
    }

    /// How many rows times repetitions there are to make.
    pub(crate) fn total(&self) -> u64 {
        self.recipe.rows().count() as u64 * u64::from(self.recipe.seeds)
    }

    fn asking<'s>(&'s self, threads: usize, sink: &'s dyn Sink) -> Asking<'s> {
        Asking { backend: self.options.backend, threads, sink }
    }

    fn teacher(&self, seed: Seed, threads: usize, sink: &dyn Sink) -> Result<Work, RunError> {
        if let (Some(start), TrainConfig::CoordinateDescent(_)) = (self.start, &self.recipe.train)
            && !start.trained
        {
            return self.probed(start, seed, self.asking(threads, sink));
        }
        let (fresh, features) = match self.start {
            Some(start) if start.trained => return Ok(start.work.clone()),
            Some(start) => (start.work.model.moved_to(self.graph, seed), start.work.features.clone()),
            None => (Model::init(self.graph, seed), None),
        };
        let data = self.views.of(&features)?;
        let data = (&data.train, &data.valid);
        let training = LabelTraining::new(&self.recipe.train, self.options.backend, data, seed, sink);
        let (model, _) = training.run(fresh.map_err(TrainError::from)?)?;
        Ok(Work { model, features })
    }

    /// What the run starts from, frozen, and a linear classifier behind it.
    fn probed(&self, start: &Start, seed: Seed, by: Asking<'_>) -> Result<Work, RunError> {
        let view = self.views.of(&start.work.features)?;
        let texts = corpus::inputs(&self.prepared.corpus.train);
        let none = || RunError::Internal("a probe of nothing".into());
        let path = self.recipe.network.path.as_deref().ok_or_else(none)?;
        let fresh = start.work.model.moved_to(self.graph, seed).map_err(TrainError::from)?;
        let numbers = self.teachers.0.embeddings(path, &texts, by)?;
        let data = (&view.train, &numbers[..]);
        let model = probe::behind(fresh, data, &self.recipe.train, Training::new(seed, by))?;
        Ok(Work { model, features: start.work.features.clone() })
    }

    /// The rows that keep everyone honest.
    pub(crate) fn controls(&self) -> Vec<Variant> {
        let (recipe, controls) = (self.recipe, &self.recipe.controls);
        let mut variants = Vec::new();
        let mut add =
            |id: &str, kind: &'static Kind, technique: Box<dyn Technique>, settings: &dyn ToString| {
                variants.push(control(id, kind, technique, settings.to_string()));
            };
        if controls.linear {
            let train = recipe.linear_train();
            let settings = json!({ "hidden": [], "fit": &train });
            add(LINEAR, &ALONE, Box::new(Alone::new(Vec::new(), train)), &settings);
        }
        if let Some(more) = recipe.training_on() {
            let settings = json!({ "fit": &more });
            add(recipe::MORE, &MORE, Box::new(More::new(more.into())), &settings);
        }
        if !controls.student.is_empty() {
            let train = recipe.student_train();
            let settings = json!({ "hidden": &controls.student, "fit": &train });
            add(STUDENT, &ALONE, Box::new(Alone::new(controls.student.clone(), train)), &settings);
        }
        variants
    }

    fn variant(
        &self,
        MadeFrom { variant, parent, taught }: MadeFrom<'_>,
        seed: Seed,
        repetition: &Repetition<'_>,
        journal: &mut Journal,
    ) -> Result<Work, RunError> {
        let mut work = parent.work();
        for (i, step) in variant.steps.iter().enumerate() {
            let derived = seed.derive(&variant.id).derive(&i.to_string());
            let checkpoint = folder::checkpoint_path(self.options.out, &variant.id, repetition.number, i);
            let at = (derived, checkpoint.as_path());
            work = self.step(variant, step, (work, taught), at, (repetition, &mut *journal))?;
        }
        Ok(work)
    }

    /// One step, rolled back when it misses its gate.
    fn step(
        &self,
        variant: &Variant,
        step: &Step,
        (before, taught): (Work, Taught<'_>),
        (seed, checkpoint): (Seed, &Path),
        (repetition, journal): (&Repetition<'_>, &mut Journal),
    ) -> Result<Work, RunError> {
        let fail = |error: StepError| RunError::step(&variant.id, step.kind.name, error);
        let broken = |why: String| RunError::Internal(format!("{}: {} {why}", variant.id, step.kind.name));
        let outline = before.model.outline();
        let on = selected(step, &outline);
        let mut problems = Vec::new();
        let planned = step.technique.plan(&outline, &on, &mut problems);
        if let Some(problem) = problems.first() {
            return Err(fail(StepError::Failed(problem.to_string())));
        }
        let data = self.views.of(&before.features)?;
        let of_teacher = match taught {
            Taught::By(copy) => self.views.of(&copy.features)?,
            Taught::ByFile(_) => data.clone(),
        };
        let (teacher, taught_by) = match taught {
            Taught::By(Copy { model, .. }) => {
                (Some(Teacher { model, train: &of_teacher.train, valid: &of_teacher.valid }), None)
            }
            Taught::ByFile(file) if step.technique.needs().teacher => {
                let by = self.asking(repetition.threads, repetition.sink);
                (None, Some(self.teachers.0.taught(file, &self.prepared.corpus, by)?))
            }
            Taught::ByFile(_) => (None, None),
        };
        let unlabelled = data.unlabelled.as_ref().zip(of_teacher.unlabelled.as_ref());
        let mut cx = Cx {
            threads: repetition.threads,
            peers: self.options.peers,
            checkpoint: self.checkpoint(checkpoint)?,
            teacher,
            answers: taught_by.as_ref().map(|taught| &taught.answers),
            store: Some(self.teachers.0.store()),
            unlabelled: unlabelled.map(|(own, of_teacher)| Unlabelled { own, of_teacher }),
            encoder: Some(&data.encoder),
            ..Cx::new(seed, self.options.backend, (&data.train, &data.valid), repetition.sink)
        };
        let start = step.max_drop.map(|_| before.clone());
        let Made { model, features } = step.technique.apply(before.model, &on, &mut cx).map_err(fail)?;
        let made = model.outline();
        if made != planned && (step.technique.exact() || !made.fits_within(&planned)) {
            return Err(broken("made another outline than it planned".into()));
        }
        let features = match features {
            None => before.features,
            Some(kept) => kept_of(&before.features, kept).map_err(broken)?,
        };
        journal.notes.append(&mut cx.notes);
        journal.measured.append(&mut cx.measured);
        let after = Work { model, features };
        let width = self.views.of(&after.features)?.encoder.width();
        if width != made.graph.inputs() {
            let inputs = made.graph.inputs();
            let (inputs, features) = (counted(inputs, "input"), counted(width, "feature"));
            return Err(broken(format!("left a network of {inputs} and {features}")));
        }
        if let (Some(bound), Some(before)) = (step.max_drop, start) {
            let drop = 100.0 * (self.valid_accuracy(&before)? - self.valid_accuracy(&after)?);
            if drop > bound {
                journal.rolled_back.push(step.kind.name.into());
                journal.notes.push(format!(
                    "{} was rolled back: validation accuracy fell by {drop:.2} points, its gate allows {bound}",
                    step.kind.name
                ));
                return Ok(before);
            }
        }
        Ok(after)
    }

    fn valid_accuracy(&self, work: &Work) -> Result<f64, RunError> {
        let data = self.views.of(&work.features)?;
        let network = Network::bind(&work.model, self.options.backend);
        let logits = network.logits_of(&data.valid).map_err(TrainError::from)?;
        let scores = Scores::of(&logits, &data.valid, Loss::CrossEntropy);
        Ok(scores.map_err(TrainError::from)?.accuracy)
    }

    /// Where a step may write its training on the way: in a run of several processes, of which one may be lost, and where such
    /// a run left one to go on from.
    fn checkpoint<'p>(&self, path: &'p Path) -> Result<Option<Checkpoint<'p>>, RunError> {
        let resume = self.options.resume;
        if self.options.peers.is_none() && !(resume && path.exists()) {
            return Ok(None);
        }
        let folder = path.parent().unwrap_or(self.options.out);
        std::fs::create_dir_all(folder).map_err(|e| RunError::Write(folder.to_owned(), e))?;
        Ok(Some(Checkpoint { path, resume }))
    }

    /// The seed of a repetition.
    pub(crate) fn seed(&self, number: u32) -> Seed {
        Seed(self.recipe.seed).derive(&format!("repetition {number}"))
    }

    /// Makes and writes a repetition of a row, from another row unless it is the first, or opens what an earlier run wrote.
    pub(crate) fn copy(
        &self,
        repetition: &Repetition<'_>,
        from: Option<MadeFrom<'_>>,
    ) -> Result<Copy, RunError> {
        let &Repetition { row, number, sink, .. } = repetition;
        let (variant, step, seed) = (row.id.to_owned(), row.technique.to_owned(), self.seed(number));
        sink.say(&Event::StepStarted { variant: variant.clone(), step: step.clone(), seed: seed.0 })?;
        let start = Instant::now();
        let identity = row.written.identity(row.id, &self.data, self.options.backend.kind(), seed.0);
        let earlier = self.kept(row.id, seed, number, &identity)?;
        let kept = earlier.is_some();
        let copy = match earlier {
            Some(copy) => copy,
            None => {
                let mut journal = Journal { identity, ..Journal::default() };
                let recorder = Recorder::new(sink);
                let heard = Repetition { sink: &recorder, ..*repetition };
                let work = match from {
                    Some(from) => self.variant(from, seed, &heard, &mut journal)?,
                    None => self.teacher(seed, repetition.threads, &recorder)?,
                };
                journal.curves = recorder.take();
                journal.seconds = start.elapsed().as_secs_f64();
                let copy = self.write(row, seed, number, work, journal)?;
                for step in 0..from.map_or(0, |from| from.variant.steps.len()) {
                    // What is not there need not go.
                    let _ =
                        std::fs::remove_file(folder::checkpoint_path(self.options.out, row.id, number, step));
                }
                copy
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        sink.say(&Event::StepFinished { variant, step, seed: seed.0, seconds, kept })?;
        Ok(copy)
    }

    fn write(
        &self,
        row: &RowToMake<'_>,
        seed: Seed,
        n: u32,
        work: Work,
        mut journal: Journal,
    ) -> Result<Copy, RunError> {
        let RowToMake { id, technique, .. } = *row;
        let Work { model, features } = work;
        let provenance = Provenance {
            recipe_sha256: row.written.of(id).to_owned(),
            start_sha256: self.start.map(|start| start.sha256.clone()),
            data_sha256: self.prepared.corpus.sha256.clone(),
            seed: seed.0,
            technique: technique.into(),
            nlpress: env!("CARGO_PKG_VERSION").into(),
        };
        let data = self.views.of(&features)?;
        let mut artifact = ship::pack(&model, &data.encoder, &self.prepared.corpus.labels, provenance)?;
        if let Some(threshold) = self.threshold() {
            let (decided, note) = threshold.set(artifact, &data.valid)?;
            artifact = decided;
            journal.notes.push(note);
        }
        let path = artifact_path(self.options.out, id, n);
        artifact.write(&path).map_err(ship::ShipError::from)?;
        let bytes = std::fs::read(&path).map_err(|e| RunError::File(path.clone(), e))?;
        journal.sha256 = files::sha256_hex(&bytes);
        journal.features = features.clone();
        let text = serde_json::to_vec_pretty(&journal).map_err(|e| RunError::Internal(e.to_string()))?;
        let beside = journal_path(self.options.out, id, n);
        files::write_atomically(&beside, &text).map_err(|e| RunError::Write(beside, e))?;
        Ok(Copy { seed: seed.0, model, features, path, sha256: journal.sha256.clone(), journal })
    }

    /// What an earlier run wrote of this row, if it is the same row.
    fn kept(&self, id: &str, seed: Seed, n: u32, identity: &str) -> Result<Option<Copy>, RunError> {
        if !self.options.resume {
            return Ok(None);
        }
        let path = artifact_path(self.options.out, id, n);
        let Ok(text) = std::fs::read(journal_path(self.options.out, id, n)) else { return Ok(None) };
        let Ok(journal) = serde_json::from_slice::<Journal>(&text) else { return Ok(None) };
        let Ok(bytes) = std::fs::read(&path) else { return Ok(None) };
        if journal.identity != identity || journal.sha256 != files::sha256_hex(&bytes) {
            return Ok(None);
        }
        let Ok(artifact) = Artifact::from_bytes(&bytes, &path.display().to_string()) else { return Ok(None) };
        let model = ship::unpack(&artifact)?;
        let Ok(data) = self.views.of(&journal.features) else { return Ok(None) };
        let (config, blob) = data.encoder.to_parts();
        if model.outline() != artifact.outline
            || (config, blob) != (artifact.encoder.config, artifact.encoder.blob)
        {
            return Ok(None);
        }
        let features = journal.features.clone();
        Ok(Some(Copy { seed: seed.0, model, features, path, sha256: journal.sha256.clone(), journal }))
    }
}

/// What a row learns from: another row, or an artifact.
#[derive(Clone, Copy)]
pub(crate) enum Taught<'a> {
    By(&'a Copy),
    ByFile(&'a TeacherFile),
}

/// A row on its way to be made.
pub(crate) struct RowToMake<'a> {
    pub(crate) id: &'a str,
    pub(crate) technique: &'a str,
    pub(crate) written: &'a Written,
}

/// A control as a variant of one step.
fn control(id: &str, kind: &'static Kind, technique: Box<dyn Technique>, settings: String) -> Variant {
    let step =
        Step { kind, on: Selectors::everything(), technique, settings, file: None, max_drop: None, line: 0 };
    Variant {
        id: id.into(),
        family: kind.family.into(),
        parent: TEACHER.into(),
        teacher: Teaching::default(),
        steps: vec![step],
        line: 0,
    }
}
