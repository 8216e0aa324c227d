//! Runs a recipe: makes every row, then measures what was written.

use nlpress_artifact::Artifact;
use nlpress_core::event::{Event, Sink, Stopped};
use nlpress_core::{Backend, Seed, files};
use nlpress_eval::{Bootstrap, Machine, Pace};
use nlpress_model::{Form, Network, Outline, Spec};
use nlpress_packed::Values;
use nlpress_runtime::Session;
use nlpress_technique::StepError;
use nlpress_text::Encoder;
use nlpress_train::TrainError;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::assemble::{self, Assembly, Scored};
use crate::features::Views;
use crate::integers::Integers;
use crate::make::{Made, Work, Workshop};
use crate::measure::{self, MeasureError};
use crate::plan::Plan;
use crate::prepared::{DataError, Prepared};
use crate::recipe::{Recipe, RecipeError};
use crate::recorder::Recorder;
use crate::report::{self, CorpusInfo, RecipeInfo, Report};
use crate::ship::{self, ShipError};

/// Measures the peak memory in bytes of a process that serves an artifact, where that can be done.
pub type MemoryProbe<'a> = dyn Fn(&Path) -> Option<u64> + 'a;

/// How a recipe is run.
pub struct RunOptions<'a> {
    /// Where tensors live.
    pub backend: &'a Backend,
    /// Threads that training and measuring may use.
    pub threads: usize,
    /// Folder for artifacts and report.
    pub out: &'a Path,
    /// Whether to go on from what an earlier, stopped run left there.
    pub resume: bool,
    /// How thoroughly speed is measured.
    pub pace: Pace,
    /// Measures the peak memory of a process that serves an artifact, where that can be done.
    pub memory: Option<&'a MemoryProbe<'a>>,
}

impl std::fmt::Debug for RunOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunOptions {{ {:?}, {} threads, {} }}", self.backend, self.threads, self.out.display())
    }
}

/// A run that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Asked to stop; what was written stays, and the run can be resumed.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Training the teacher.
    #[error("teacher: {0}")]
    Train(TrainError),
    /// A step.
    #[error("{variant}: {technique}: {source}")]
    Step {
        /// The row.
        variant: String,
        /// The technique.
        technique: &'static str,
        /// Why.
        source: Box<StepError>,
    },
    /// Writing or opening an artifact.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// Measuring.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// A file.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, std::io::Error),
    /// A promise of nlpress itself was broken.
    #[error("{0}; this is a bug in nlpress")]
    Internal(String),
}

impl RunError {
    pub(crate) fn step(variant: &str, technique: &'static str, source: StepError) -> Self {
        match source {
            StepError::Stopped(stopped) => Self::Stopped(stopped),
            source => Self::Step { variant: variant.into(), technique, source: Box::new(source) },
        }
    }
}

impl From<TrainError> for RunError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Stopped(stopped) => Self::Stopped(stopped),
            other => Self::Train(other),
        }
    }
}

/// The first model of a recipe, where it starts from an artifact, with the features that it reads.
///
/// # Errors
/// [`RunError::Ship`] when the file cannot be opened, [`RunError::Data`] when it does not fit the data.
fn start(recipe: &Recipe, prepared: &Prepared) -> Result<Option<Work>, RunError> {
    let Some(path) = &recipe.network.path else { return Ok(None) };
    let artifact = Artifact::open(path).map_err(ShipError::from)?;
    let misfit = |why: String| RunError::Data(DataError::Misfit(format!("{}: {why}", path.display())));
    if artifact.labels != prepared.corpus.labels {
        let (have, want) = (artifact.labels.join(", "), prepared.corpus.labels.join(", "));
        return Err(misfit(format!("its labels are {have}, the data's are {want}")));
    }
    let encoder = Encoder::from_parts(&artifact.encoder.config, &artifact.encoder.blob)
        .map_err(|e| misfit(e.to_string()))?;
    let unknown = || {
        let why = "its vocabulary is neither the one that the data gives nor a part of it; use the data it was made from";
        misfit(why.into())
    };
    let place = |word: &str| prepared.encoder.position(word).map(|i| i as u32);
    let places: Option<Vec<u32>> = encoder.words().iter().map(|word| place(word)).collect();
    let places = places.ok_or_else(unknown)?;
    let narrow = prepared.encoder.narrow(&places).map_err(|e| misfit(e.to_string()))?;
    if encoder.to_parts() != narrow.to_parts() {
        return Err(unknown());
    }
    let features = (places.len() < prepared.encoder.width()).then_some(places);
    Ok(Some(Work { model: ship::unpack(&artifact)?, features }))
}

/// Plans a recipe on prepared data, training nothing.
///
/// # Errors
/// [`RunError`] for a network that does not fit the data, and for steps that cannot run.
pub fn plan_of(recipe: &Recipe, prepared: &Prepared) -> Result<Plan, RunError> {
    let base = match start(recipe, prepared)? {
        Some(work) => work.model.outline(),
        None => Outline::dense(&spec_of(recipe, prepared)?),
    };
    Ok(Plan::of(recipe, &base)?)
}

/// The network that a recipe trains first.
fn spec_of(recipe: &Recipe, prepared: &Prepared) -> Result<Spec, RecipeError> {
    prepared.spec(&recipe.network).map_err(|e| recipe.refuse(e))
}

/// Runs a recipe and writes artifacts, `report.json`, `report.md` and `report.html`.
///
/// # Errors
/// [`RunError`]; every file that was written is whole.
pub fn run(
    recipe: &Recipe,
    prepared: &Prepared,
    options: &RunOptions<'_>,
    sink: &dyn Sink,
) -> Result<Report, RunError> {
    let began = Instant::now();
    let start = start(recipe, prepared)?;
    let spec: Spec = match &start {
        Some(work) => work.model.spec().clone(),
        None => spec_of(recipe, prepared)?,
    };
    let base = start.as_ref().map_or_else(|| Outline::dense(&spec), |work| work.model.outline());
    let plan = Plan::of(recipe, &base)?;
    let views = Views::new(prepared);
    let start = start.as_ref();
    let recorder = &Recorder::new(sink);
    let workshop = Workshop {
        recipe,
        prepared,
        views: &views,
        plan: &plan,
        spec: &spec,
        start,
        options,
        sink: recorder,
        recorder,
    };
    sink.say(&Event::RunStarted { name: recipe.name.clone(), total: workshop.total() })?;
    let made = workshop.rows()?;
    let report = measured(recipe, (prepared, &views), options, sink, &made)?;
    for (name, text) in [
        ("report.json", report.json()),
        ("report.md", report::markdown(&report)),
        ("report.html", report::html(&report)),
    ] {
        let path = options.out.join(name);
        files::write_atomically(&path, text.as_bytes()).map_err(|e| RunError::File(path, e))?;
    }
    sink.say(&Event::RunFinished { seconds: began.elapsed().as_secs_f64() })?;
    Ok(report)
}

/// Opens every artifact, holds it against the model that it was written from, and measures it.
fn measured(
    recipe: &Recipe,
    (prepared, views): (&Prepared, &Views<'_>),
    options: &RunOptions<'_>,
    sink: &dyn Sink,
    made: &[Made],
) -> Result<Report, RunError> {
    let total = made.len() as u64;
    let labels = prepared.test.labels();
    let mut scored: Vec<Scored<'_>> = Vec::new();
    for (done, row) in (1..).zip(made) {
        sink.say(&Event::Progress { what: "scoring artifacts".into(), done, total })?;
        let (mut scores, mut integers, mut first) = (Vec::new(), Vec::new(), None);
        for copy in &row.copies {
            let session = Session::open(&copy.path).map_err(MeasureError::from)?;
            let rows = measure::encode(&session, &prepared.corpus.test);
            let (logits, found) = measure::score(&session, &rows, labels)?;
            let memory = Network::bind(&copy.model, options.backend)
                .logits_of(&views.of(&copy.features)?.test)
                .map_err(TrainError::from)?;
            measure::agree(&memory, &logits, multiplies_integers(&copy.model.outline()))
                .map_err(|why| RunError::Internal(format!("{}: {why}", row.id)))?;
            integers.extend(Integers::of(&session, prepared, &found)?);
            scores.push(found);
            first.get_or_insert(session);
        }
        let session =
            first.ok_or_else(|| RunError::Internal(format!("row {} was made for no seed", row.id)))?;
        scored.push(Scored { made: row, scores, integers, session });
    }
    let bootstrap = Bootstrap::new(Seed(recipe.seed));
    let assembly = Assembly { prepared, options, sink, bootstrap, alike_points: recipe.report.alike_points };
    let (mut rows, floors) = assembly.rows(&scored)?;
    if !options.backend.kind().is_cpu() {
        for (row, made) in rows.iter_mut().zip(made) {
            row.notes.extend(on_device(&Network::bind(&made.copies[0].model, options.backend)));
        }
    }
    let corpus = corpus_info(recipe, prepared);
    let mut notes = assemble::warnings(&rows, corpus.majority.as_ref(), prepared.corpus.test.len());
    notes.push("quality, size and speed come from sessions opened on the written artifact".into());
    let mut report = Report {
        schema: report::SCHEMA,
        machine: Machine::detect(),
        corpus,
        recipe: RecipeInfo {
            path: Path::new(&recipe.path)
                .file_name()
                .map_or_else(String::new, |n| n.to_string_lossy().into()),
            sha256: recipe.sha256.clone(),
            name: recipe.name.clone(),
            seed: recipe.seed,
            seeds: recipe.seeds as usize,
        },
        backend: options.backend.kind().to_string(),
        threads: options.threads,
        rows,
        alike_points: recipe.report.alike_points,
        floors,
        advice: String::new(),
        notes,
    };
    report.advice = report::advice(&report);
    Ok(report)
}

/// What a reader must know of integers on a device: what it held of them is not what is timed.
fn on_device(network: &Network) -> Option<String> {
    let sites = |count| format!("{count} {}", if count == 1 { "site" } else { "sites" });
    let how = match (network.held_as_integers(), network.dequantized()) {
        (0, 0) => return None,
        (0, floats) => format!("the integers of {} were dequantized", sites(floats)),
        (held, 0) => format!("the integers of {} stayed integers", sites(held)),
        (held, floats) => {
            format!(
                "the integers of {} stayed integers, those of {} were dequantized",
                sites(held),
                sites(floats)
            )
        }
    };
    Some(format!(
        "on the device that trained, {how}; what is timed is the session, which multiplies integers on the processor"
    ))
}

fn multiplies_integers(outline: &Outline) -> bool {
    outline.sites.iter().any(|s| matches!(s.form, Form::Packed(scheme) if scheme.values != Values::F32))
}

fn corpus_info(recipe: &Recipe, prepared: &Prepared) -> CorpusInfo {
    let corpus = &prepared.corpus;
    let documents = [("train", &corpus.train), ("validation", &corpus.valid), ("test", &corpus.test)];
    CorpusInfo {
        name: corpus.name.clone(),
        sha256: corpus.sha256.clone(),
        classes: corpus.labels.len(),
        documents: documents.into_iter().map(|(name, d)| (name.to_owned(), d.len())).collect(),
        features: prepared.encoder.width(),
        source: match &recipe.data.corpus {
            Some(name) if name == "embedded" => "built in; see docs/data.md".into(),
            Some(_) => "fetched by `cargo xtask data fetch`; see docs/data.md".into(),
            None => "files of the user".into(),
        },
        majority: assemble::majority(prepared),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::BackendKind;
    use nlpress_model::{MlpSpec, Model, SiteId, Weight};
    use nlpress_packed::{Grid, Index, Matrix, Per, Scales, Scheme};

    #[test]
    fn integers_on_a_device_are_counted() {
        let backend = BackendKind::compiled().into_iter().find(|k| k.is_cpu()).unwrap().open().unwrap();
        let model = Model::init(&Spec::Mlp(MlpSpec::new(4, &[3], 1, 0.0)), Seed(1)).unwrap();
        assert_eq!(on_device(&Network::bind(&model, &backend)), None);
        let scheme = Scheme { values: Values::int(Grid::Int4, Per::Channel), index: Index::Full };
        let scales = Scales::Channel(vec![0.5]);
        let matrix = Matrix::quantized((3, 1), Grid::Int4, &[1, -7, 7], scales, None, Index::Full).unwrap();
        let model = model.with_weight(&SiteId::output(), Weight::Packed { scheme, matrix }).unwrap();
        let note = on_device(&Network::bind(&model, &backend)).unwrap();
        assert!(note.contains("the integers of 1 site were dequantized"), "{note}");
    }
}
