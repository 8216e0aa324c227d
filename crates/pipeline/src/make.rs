//! Makes the rows of a plan: trains the teacher, applies the steps, writes the artifacts.
//!
//! Every row of every repetition is written as soon as it is made, with a small journal beside it, so that a run
//! that was stopped goes on where it was: what is on disk and belongs to the same recipe, data and version is
//! opened in place of being made again.
//!
//! A row may read some of the features only. Whatever looks at data for it then looks at them in those: its later
//! steps, its gates, its descendants, the encoder in its artifact; a distillation's teacher keeps its own.

use nlpress_artifact::{Artifact, Provenance};
use nlpress_core::event::{Event, Sink};
use nlpress_core::{Measurement, Seed, Selectors, files};
use nlpress_model::dataset::accuracy;
use nlpress_model::{Model, Network, Spec};
use nlpress_technique::{Cx, Kind, StepError, Teacher, Technique};
use nlpress_train::{Fit, TrainError, fit};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::controls::{Alone, More};
use crate::features::{Features, Views, kept_of};
use crate::plan::{Plan, selected};
use crate::prepared::Prepared;
use crate::recipe::{Recipe, Step, TEACHER, Variant};
use crate::recorder::Recorder;
use crate::report::Curve;
use crate::run::{RunError, RunOptions};
use crate::ship;

/// A row, made once for every repetition.
#[derive(Debug)]
pub struct Made {
    /// Its name.
    pub id: String,
    /// Its family.
    pub family: String,
    /// The row it started from.
    pub parent: Option<String>,
    /// Its steps, as text.
    pub technique: String,
    /// One for each repetition.
    pub copies: Vec<Copy>,
}

/// A row of one repetition.
#[derive(Debug)]
pub struct Copy {
    /// Seed of the repetition.
    pub seed: u64,
    /// The model in memory.
    pub model: Model,
    /// The features it reads.
    pub features: Features,
    /// Where it was written.
    pub path: PathBuf,
    /// Hash of the file.
    pub sha256: String,
    /// Seconds, sentences and numbers from making it.
    pub journal: Journal,
}

/// What making a row left to say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    /// Which row of which recipe, data, seed and version this is.
    pub identity: String,
    /// Hash of the artifact.
    pub sha256: String,
    /// Seconds it took.
    pub seconds: f64,
    /// Sentences for the report.
    pub notes: Vec<String>,
    /// Numbers for the report.
    pub measured: Vec<Measurement>,
    /// Techniques that their gates rolled back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rolled_back: Vec<String>,
    /// How its trainings went.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<Curve>,
    /// The features that the row reads, where they are not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Features,
}

/// A model on its way through the steps, with the features it reads.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) model: Model,
    pub(crate) features: Features,
}

/// The world in which rows are made.
pub(crate) struct Workshop<'a> {
    pub recipe: &'a Recipe,
    pub prepared: &'a Prepared,
    pub views: &'a Views<'a>,
    pub plan: &'a Plan,
    pub spec: &'a Spec,
    pub start: Option<&'a Work>,
    pub options: &'a RunOptions<'a>,
    pub sink: &'a dyn Sink,
    /// The sink's ear for learning curves.
    pub recorder: &'a Recorder<'a>,
}

impl Workshop<'_> {
    /// All rows: the teacher, the controls, the variants.
    pub(crate) fn rows(&self) -> Result<Vec<Made>, RunError> {
        let mut made: Vec<Made> = vec![self.teacher()?];
        for variant in self.controls()?.iter().chain(&self.recipe.variants) {
            let row = self.variant(variant, &made)?;
            made.push(row);
        }
        Ok(made)
    }

    /// How many rows times repetitions there are to make.
    pub(crate) fn total(&self) -> u64 {
        let controls = &self.recipe.controls;
        let extra = u64::from(controls.linear)
            + u64::from(controls.more_epochs > 0)
            + u64::from(!controls.student.is_empty());
        (1 + extra + self.recipe.variants.len() as u64) * u64::from(self.recipe.seeds)
    }

    fn teacher(&self) -> Result<Made, RunError> {
        let make = |seed: Seed, _: &mut Journal| {
            if let Some(start) = self.start {
                return Ok(start.clone());
            }
            let fresh = Model::init(self.spec, seed).map_err(TrainError::from)?;
            let mut plan =
                Fit::new(&self.recipe.train, self.options.backend, &self.prepared.train, seed, self.sink);
            plan.valid = Some(&self.prepared.valid);
            let (model, _) = fit(fresh, plan)?;
            Ok(Work { model, features: None })
        };
        self.row(TEACHER, "baseline", None, "train", &make)
    }

    /// The rows that keep everyone honest.
    fn controls(&self) -> Result<Vec<Variant>, RunError> {
        let controls = &self.recipe.controls;
        let mut variants = Vec::new();
        let mut add = |name: &str, kind: &'static str, technique: Box<dyn Technique>| {
            let Some(kind) = crate::kinds::find(kind) else { return };
            variants.push(control(name, kind, technique));
        };
        let train = &self.recipe.train;
        if controls.linear {
            add("control.linear", "train.alone", Box::new(Alone::new(Vec::new(), train.clone())));
        }
        if controls.more_epochs > 0 {
            let more = train.clone().with_epochs(controls.more_epochs).map_err(TrainError::from)?;
            add("control.more", "train.more", Box::new(More::new(more)));
        }
        if !controls.student.is_empty() {
            add(
                "control.student",
                "train.alone",
                Box::new(Alone::new(controls.student.clone(), train.clone())),
            );
        }
        Ok(variants)
    }

    fn variant(&self, variant: &Variant, made: &[Made]) -> Result<Made, RunError> {
        let find = |id: &str| {
            made.iter()
                .find(|m| m.id == id)
                .ok_or_else(|| RunError::Internal(format!("row {id} was not made")))
        };
        let (parent, teacher) = (find(&variant.parent)?, find(&variant.teacher)?);
        let make = |seed: Seed, journal: &mut Journal| {
            let nth = parent.copies.iter().position(|c| c.seed == seed.0).unwrap_or(0);
            let mut work = parent.copies[nth].work();
            for (i, step) in variant.steps.iter().enumerate() {
                let seed = seed.derive(&variant.id).derive(&i.to_string());
                work = self.step(variant, step, work, &teacher.copies[nth], seed, journal)?;
            }
            Ok(work)
        };
        let technique = variant.steps.iter().map(|s| s.kind.name).collect::<Vec<_>>().join(" → ");
        self.row(&variant.id, &variant.family, Some(&variant.parent), &technique, &make)
    }

    /// One step, rolled back when it misses its gate.
    fn step(
        &self,
        variant: &Variant,
        step: &Step,
        before: Work,
        teacher: &Copy,
        seed: Seed,
        journal: &mut Journal,
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
        let (data, of_teacher) = (self.views.of(&before.features)?, self.views.of(&teacher.features)?);
        let teacher = Teacher { model: &teacher.model, train: &of_teacher.train, valid: &of_teacher.valid };
        let mut cx = Cx {
            threads: self.options.threads,
            teacher: Some(teacher),
            words: data.encoder.words(),
            unit_rows: data.encoder.config().l2,
            ..Cx::new(seed, self.options.backend, (&data.train, &data.valid), self.sink)
        };
        let start = step.max_drop.map(|_| before.clone());
        let model = step.technique.apply(before.model, &on, &mut cx).map_err(fail)?;
        let made = model.outline();
        if made != planned && (step.technique.exact() || !made.fits_within(&planned)) {
            return Err(broken("made another outline than it planned".into()));
        }
        let features = match cx.kept_features.take() {
            None => before.features,
            Some(kept) => kept_of(&before.features, kept).map_err(broken)?,
        };
        journal.notes.append(&mut cx.notes);
        journal.measured.append(&mut cx.measured);
        let after = Work { model, features };
        let width = self.views.of(&after.features)?.encoder.width();
        if width != made.spec.inputs() {
            let inputs = made.spec.inputs();
            return Err(broken(format!("left a network of {inputs} inputs and {width} features")));
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
        Ok(accuracy(&logits, data.valid.outputs(), data.valid.labels()))
    }

    /// Makes and writes a row for every repetition, or opens what an earlier run wrote.
    fn row(
        &self,
        id: &str,
        family: &str,
        parent: Option<&str>,
        technique: &str,
        make: &dyn Fn(Seed, &mut Journal) -> Result<Work, RunError>,
    ) -> Result<Made, RunError> {
        let mut copies = Vec::new();
        for n in 0..self.recipe.seeds {
            let seed = Seed(self.recipe.seed).derive(&format!("repetition {n}"));
            self.sink.say(&Event::StepStarted {
                variant: id.into(),
                step: technique.into(),
                seed: seed.0,
            })?;
            let start = Instant::now();
            let copy = match self.kept(id, seed, n)? {
                Some(copy) => copy,
                None => {
                    let mut journal = Journal { identity: self.identity(id, seed), ..Journal::default() };
                    self.recorder.take();
                    let work = make(seed, &mut journal)?;
                    journal.curves = self.recorder.take();
                    journal.seconds = start.elapsed().as_secs_f64();
                    self.write(id, technique, seed, n, work, journal)?
                }
            };
            copies.push(copy);
            let seconds = start.elapsed().as_secs_f64();
            self.sink.say(&Event::StepFinished {
                variant: id.into(),
                step: technique.into(),
                seed: seed.0,
                seconds,
            })?;
        }
        Ok(Made {
            id: id.into(),
            family: family.into(),
            parent: parent.map(Into::into),
            technique: technique.into(),
            copies,
        })
    }

    fn write(
        &self,
        id: &str,
        technique: &str,
        seed: Seed,
        n: u32,
        work: Work,
        mut journal: Journal,
    ) -> Result<Copy, RunError> {
        let Work { model, features } = work;
        let provenance = Provenance {
            recipe_sha256: self.recipe.sha256.clone(),
            data_sha256: self.prepared.corpus.sha256.clone(),
            seed: seed.0,
            technique: technique.into(),
            nlpress: env!("CARGO_PKG_VERSION").into(),
        };
        let data = self.views.of(&features)?;
        let artifact = ship::pack(&model, &data.encoder, &self.prepared.corpus.labels, provenance)?;
        let path = artifact_path(self.options.out, id, n);
        artifact.write(&path).map_err(ship::ShipError::from)?;
        let bytes = std::fs::read(&path).map_err(|e| RunError::File(path.clone(), e))?;
        journal.sha256 = files::sha256_hex(&bytes);
        journal.features = features.clone();
        let text = serde_json::to_vec_pretty(&journal).map_err(|e| RunError::Internal(e.to_string()))?;
        let beside = journal_path(self.options.out, id, n);
        files::write_atomically(&beside, &text).map_err(|e| RunError::File(beside, e))?;
        Ok(Copy { seed: seed.0, model, features, path, sha256: journal.sha256.clone(), journal })
    }

    /// What an earlier run wrote of this row, if it is the same row.
    fn kept(&self, id: &str, seed: Seed, n: u32) -> Result<Option<Copy>, RunError> {
        if !self.options.resume {
            return Ok(None);
        }
        let path = artifact_path(self.options.out, id, n);
        let Ok(text) = std::fs::read(journal_path(self.options.out, id, n)) else { return Ok(None) };
        let Ok(journal) = serde_json::from_slice::<Journal>(&text) else { return Ok(None) };
        let Ok(bytes) = std::fs::read(&path) else { return Ok(None) };
        if journal.identity != self.identity(id, seed) || journal.sha256 != files::sha256_hex(&bytes) {
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

    fn identity(&self, id: &str, seed: Seed) -> String {
        let (recipe, data) = (&self.recipe.sha256, &self.prepared.corpus.sha256);
        let backend = self.options.backend.kind();
        let planned = self.plan.row(id).map(|r| serde_json::to_string(&r.outline).unwrap_or_default());
        // What the steps read from other files is in their settings, but not in the recipe's text.
        let steps = self.recipe.variants.iter().flat_map(|v| &v.steps);
        let steps =
            files::sha256_hex(format!("{:?}", steps.map(|s| &s.technique).collect::<Vec<_>>()).as_bytes());
        let version = env!("CARGO_PKG_VERSION");
        let text = format!("{recipe} {data} {backend} {id} {} {version} {steps} {planned:?}", seed.0);
        files::sha256_hex(text.as_bytes())
    }
}

impl Copy {
    fn work(&self) -> Work {
        Work { model: self.model.clone(), features: self.features.clone() }
    }
}

/// A control as a variant of one step.
fn control(id: &str, kind: &'static Kind, technique: Box<dyn Technique>) -> Variant {
    let step = Step { kind, on: Selectors::everything(), technique, max_drop: None, line: 0 };
    Variant {
        id: id.into(),
        family: "control".into(),
        parent: TEACHER.into(),
        teacher: TEACHER.into(),
        steps: vec![step],
        line: 0,
    }
}

/// Where a row of a repetition is written.
pub fn artifact_path(out: &Path, id: &str, n: u32) -> PathBuf {
    out.join("artifacts").join(format!("{id}.{n}.safetensors"))
}

fn journal_path(out: &Path, id: &str, n: u32) -> PathBuf {
    out.join("journal").join(format!("{id}.{n}.json"))
}
