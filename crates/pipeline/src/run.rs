//! Runs a recipe: makes every row, then measures what was written.

use nlpress_core::event::{Event, Sink};
use nlpress_core::shown::{counted, shown};
use nlpress_core::{Backend, Seed, files};
use nlpress_eval::{Bootstrap, Machine};
use nlpress_model::graph::Output;
use nlpress_model::{Graph, Network, Outline};
use nlpress_runtime::Session;
use nlpress_text::{AnyEncoder, Encode};
use nlpress_train::{TrainConfig, TrainError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::assemble::{self, Assembly, Scored};
use crate::failure::RunError;
use crate::features::{Features, Views};
use crate::folder;
use crate::identity;
use crate::integers::Integers;
use crate::lock::Lock;
use crate::made::{Made, Rows, Work};
use crate::make::{Start, Workshop};
use crate::measure::{self, MeasureError, Rounding};
use crate::options::RunOptions;
use crate::origin::Origin;
use crate::plan::Plan;
use crate::prepared::{EMBEDDED, Prepared};
use crate::recipe::{Recipe, RecipeError, TEACHER, TeacherFile, Variant};
use crate::report::{self, CorpusInfo, FailedRow, RecipeInfo, Report};
use crate::rows;
use crate::teachers::Teachers;

/// What the report of a quick run says first.
const QUICK: &str = "a quick run: few documents a split and short timings, to see that everything runs; its numbers \
                     are no measurement of the recipe";
/// Largest report of an earlier run that is looked at.
const LARGEST_REPORT: u64 = 1 << 26;

/// The first model of a recipe, where it starts from an artifact, with the features that it reads.
///
/// # Errors
/// [`RecipeError`] when the file cannot be opened or does not fit the data.
fn start(recipe: &Recipe, prepared: &Prepared) -> Result<Option<Start>, RecipeError> {
    let Some(path) = &recipe.network.path else { return Ok(None) };
    let refuse = |why: String| recipe.refuse(recipe.lines.model, why);
    let misfit = |why: String| refuse(format!("{}: {why}", path.display()));
    let origin = match prepared.origin.as_ref().filter(|(of, _)| of == path) {
        Some((_, origin)) => origin.clone(),
        None => Origin::open(path).map_err(|e| refuse(e.0))?,
    };
    origin.check_labels(&prepared.corpus.labels).map_err(misfit)?;
    let trained = origin.is_classifier();
    let Origin { model, encoder, threshold, sha256, .. } = origin;
    let unknown = || {
        let [its, ours] =
            [&encoder, &prepared.encoder].map(|e| e.bag().map_or(0, |bag| bag.config().version));
        misfit(match its == ours || its.min(ours) == 0 {
            true => format!(
                "its vocabulary is neither the one that the data gives nor a part of it; {}",
                match recipe.quick {
                    true => "--quick reads a part of the data, so leave that out",
                    false => "use the data it was made from",
                }
            ),
            false => format!(
                "its texts are cut by version {its} of the analysis and those of the recipe by {ours}: \
                 set encoder = {{ version = {its} }}"
            ),
        })
    };
    let features = features_of(&encoder, &prepared.encoder).ok_or_else(unknown)?;
    Ok(Some(Start { work: Work { model, features }, trained, sha256, threshold }))
}

/// The features of an encoder that another one, which is a part of it, has; nothing where it is no part.
fn features_of(part: &AnyEncoder, whole: &AnyEncoder) -> Option<Features> {
    let parts = part.to_parts();
    if parts == whole.to_parts() {
        return Some(None);
    }
    let words = whole.vocabulary();
    let places: HashMap<&str, u32> =
        words.iter().zip(0..).filter_map(|(word, place)| Some(((*word)?, place))).collect();
    let kept: Vec<u32> =
        part.vocabulary().into_iter().map(|word| places.get(word?).copied()).collect::<Option<_>>()?;
    let (narrow, _) = whole.narrowed(&kept).ok()?;
    (narrow.to_parts() == parts).then_some(Some(kept))
}

/// Plans a recipe on prepared data, training nothing.
///
/// # Errors
/// [`RunError`] for a network, a threshold or a teacher that does not fit the data, and for steps that cannot run.
pub fn plan_of(recipe: &Recipe, prepared: &Prepared) -> Result<Plan, RunError> {
    check_teachers(recipe, prepared, &Teachers::default())?;
    planned(recipe, prepared)
}

/// The plan of a recipe whose teachers are not looked at.
pub(crate) fn planned(recipe: &Recipe, prepared: &Prepared) -> Result<Plan, RunError> {
    laid_out(recipe, prepared).map(|(.., plan)| plan)
}

/// Opens the artifacts that teach; the SHA-256 of each by the variant that learns from it.
fn check_teachers(
    recipe: &Recipe,
    prepared: &Prepared,
    teachers: &Teachers,
) -> Result<HashMap<String, String>, RecipeError> {
    let open = |(variant, file): (&Variant, &TeacherFile)| {
        let refuse =
            |why: String| recipe.refuse(Some(variant.line), format!("{}: teacher: {why}", variant.id));
        Ok((variant.id.clone(), teachers.open(file, &prepared.corpus).map_err(refuse)?))
    };
    recipe.teachers().map(open).collect()
}

/// Everything that is refused before anything is made: the first model where there is one, the network, and the plan.
fn laid_out(recipe: &Recipe, prepared: &Prepared) -> Result<(Option<Start>, Graph, Plan), RunError> {
    let start = start(recipe, prepared)?;
    let (graph, base) = match &start {
        Some(start) if start.trained => (start.work.model.graph().clone(), start.work.model.outline()),
        Some(start) => {
            let origin = start.work.model.graph();
            if let (TrainConfig::CoordinateDescent(_), Output::Scores) = (&recipe.train, origin.output) {
                let why =
                    "the network makes scores: a linear classifier can be trained behind embeddings alone";
                return Err(recipe.refuse(recipe.lines.train, why).into());
            }
            let graph = origin.clone().with_classifier(prepared.outputs());
            let base = Outline::dense(&graph);
            (graph, base)
        }
        None => {
            let graph = spec_of(recipe, prepared)?;
            let base = Outline::dense(&graph);
            recipe.train.check(&base).map_err(|e| recipe.refuse(recipe.lines.train, e))?;
            (graph, base)
        }
    };
    if let Some(threshold) = recipe.threshold {
        threshold.check(&prepared.valid).map_err(|e| recipe.refuse(recipe.lines.threshold, e))?;
    }
    let plan = Plan::of(recipe, &base)?;
    check_narrowing(recipe, prepared, &plan)?;
    Ok((start, graph, plan))
}

/// Refuses steps that would leave out tokens which always stay, or buckets of hashed ones, of which there is no list.
fn check_narrowing(recipe: &Recipe, prepared: &Prepared, plan: &Plan) -> Result<(), RecipeError> {
    let encoder = &prepared.encoder;
    let is_hashed = encoder.bag().is_some_and(|bag| bag.config().hashed);
    let always = if is_hashed { encoder.width() } else { encoder.always_kept().len() };
    for variant in &recipe.variants {
        let Some(made) = plan.rows.iter().find(|row| row.id == variant.id) else { continue };
        for (step, planned) in variant.steps.iter().zip(&made.steps) {
            let after = planned.outline.graph.inputs();
            if after < always {
                let (id, kind) = (&variant.id, step.kind.name);
                let why = match is_hashed {
                    true => format!(
                        "{id}: {kind}: words that are hashed cannot be chosen among; use fewer buckets"
                    ),
                    false => {
                        format!(
                            "{id}: {kind}: {after} tokens are to stay, but {always} special ones always do"
                        )
                    }
                };
                return Err(RecipeError { file: recipe.path.clone(), line: Some(step.line), why });
            }
        }
    }
    Ok(())
}

/// The network that a recipe trains first.
fn spec_of(recipe: &Recipe, prepared: &Prepared) -> Result<Graph, RecipeError> {
    prepared.graph(&recipe.network).map_err(|e| {
        let (network, lines) = (&recipe.network, &recipe.lines);
        let line = match (network.inputs, network.outputs) {
            (Some(inputs), _) if inputs != prepared.encoder.width() => lines.inputs,
            (_, Some(outputs)) if outputs != prepared.outputs() => lines.outputs,
            _ => lines.model,
        };
        recipe.refuse(line, e)
    })
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
    let views = Views::new(prepared);
    let teachers = Teachers::kept_in(&options.out.join(folder::ANSWERS));
    let (_alone, rows) = made(recipe, (prepared, &views, &teachers), options, sink)?;
    let report = measured(recipe, (prepared, &views), options, sink, &rows)?;
    let texts = [report.json(), report::markdown(&report), report::html(&report)];
    for (name, text) in folder::REPORTS.into_iter().zip(texts) {
        let path = options.out.join(name);
        files::write_atomically(&path, text.as_bytes()).map_err(|e| RunError::Write(path, e))?;
    }
    sink.say(&Event::RunFinished { seconds: began.elapsed().as_secs_f64() })?;
    Ok(report)
}

/// Makes the rows of a recipe and writes their artifacts, as [`run`] does, but measures and reports nothing. Files that
/// teach are opened, and asked about the documents, if they were not before.
///
/// # Errors
/// [`RunError`]; every file that was written is whole.
pub fn make_rows(
    recipe: &Recipe,
    (prepared, teachers): (&Prepared, &Teachers),
    options: &RunOptions<'_>,
    sink: &dyn Sink,
) -> Result<Rows, RunError> {
    Ok(made(recipe, (prepared, &Views::new(prepared), teachers), options, sink)?.1)
}

/// The rows, and the folder that nobody else writes into until this is dropped.
fn made(
    recipe: &Recipe,
    (prepared, views, teachers): (&Prepared, &Views<'_>, &Teachers),
    options: &RunOptions<'_>,
    sink: &dyn Sink,
) -> Result<(Lock, Rows), RunError> {
    let files = check_teachers(recipe, prepared, teachers)?;
    let (start, graph, _) = laid_out(recipe, prepared)?;
    let alone = Lock::take(options.out)?;
    let (start, data) = (start.as_ref(), identity::of_data(prepared));
    let teachers = (teachers, files);
    let workshop = Workshop { recipe, prepared, views, teachers, graph: &graph, start, data, options, sink };
    sink.say(&Event::RunStarted { name: recipe.name.clone(), total: workshop.total() })?;
    // Said before hours of work, and again by what a reader of the folder sees.
    let planned: Vec<PathBuf> = folder::writes(recipe, options.out).collect();
    let left = folder::left_over(options.out, planned.iter().map(PathBuf::as_path));
    for text in folder::not_of_this_run(&left).into_iter().chain(earlier_report(recipe, options.out)) {
        sink.say(&Event::Note { text: format!("note: {text}") })?;
    }
    Ok((alone, rows::all(&workshop)?))
}

/// What is said of a report that another recipe left in the folder: it stands there until this run ends.
fn earlier_report(recipe: &Recipe, out: &Path) -> Option<String> {
    let report = files::read_bounded(&out.join(folder::REPORTS[0]), LARGEST_REPORT).ok()?;
    let report: serde_json::Value = serde_json::from_slice(&report).ok()?;
    let of = report["recipe"]["sha256"].as_str().filter(|sha256| *sha256 != recipe.sha256)?;
    let (name, of) = (report["recipe"]["name"].as_str().unwrap_or_default(), of.get(..12).unwrap_or(of));
    Some(format!(
        "{} is of another recipe (\"{}\", SHA-256 {}) until this run ends and replaces it",
        folder::REPORTS[0],
        shown(name),
        shown(of)
    ))
}

/// Opens a row's artifacts, scores them, and holds them against the models that they were written from.
fn scored<'a>(
    row: &'a Made,
    (prepared, views): (&Prepared, &Views<'_>),
    backend: &Backend,
) -> Result<Scored<'a>, RunError> {
    let (mut scores, mut integers, mut first) = (Vec::new(), Vec::new(), None);
    for copy in &row.copies {
        let of_file = |e: MeasureError| RunError::Artifact(copy.path.clone(), Box::new(e));
        let session = Session::open(&copy.path).map_err(MeasureError::from)?;
        let rows = measure::encode(&session, &prepared.corpus.test).map_err(of_file)?;
        let (logits, found) = measure::score(&session, &rows, prepared.test.labels()).map_err(of_file)?;
        let memory = Network::bind(&copy.model, backend)
            .logits_of(&views.of(&copy.features)?.test)
            .map_err(TrainError::from)?;
        measure::agree(&memory, &logits, Rounding::of(&copy.model.outline()))
            .map_err(|why| RunError::Internal(format!("{}: {why}", copy.path.display())))?;
        integers.extend(Integers::of(&session, prepared, &found).map_err(of_file)?);
        scores.push(found);
        first.get_or_insert(session);
    }
    let Some(session) = first else {
        return Err(RunError::Internal(format!("row {} was made for no seed", row.id)));
    };
    Ok(Scored { made: row, scores, integers, session })
}

/// Opens every artifact and measures it. A row whose artifact cannot be measured is left out with the reason.
fn measured(
    recipe: &Recipe,
    (prepared, views): (&Prepared, &Views<'_>),
    options: &RunOptions<'_>,
    sink: &dyn Sink,
    all: &Rows,
) -> Result<Report, RunError> {
    let total = all.made.len() as u64;
    let (mut found, mut failed): (Vec<Scored<'_>>, _) = (Vec::new(), all.failed.clone());
    for (done, row) in (1..).zip(&all.made) {
        sink.say(&Event::Progress { what: "scoring artifacts".into(), done, total })?;
        match scored(row, (prepared, views), options.backend) {
            Ok(of_row) => found.push(of_row),
            // All others are compared with it.
            Err(error) if row.id == TEACHER => return Err(error),
            Err(error) => {
                let row = FailedRow { id: row.id.clone(), why: error.of_one_row()? };
                sink.say(&Event::Note { text: row.to_string() })?;
                failed.push(row);
            }
        }
    }
    let bootstrap = Bootstrap::new(Seed(recipe.seed));
    let assembly = Assembly { prepared, options, sink, bootstrap, alike_points: recipe.report.alike_points };
    let (mut rows, floors) = assembly.rows(&found)?;
    if !options.backend.kind().is_cpu() {
        for (row, of) in rows.iter_mut().zip(&found) {
            row.notes.extend(on_device(&Network::bind(&of.made.copies[0].model, options.backend)));
        }
    }
    let corpus = corpus_info(recipe, prepared);
    let mut notes: Vec<String> = recipe.quick.then(|| QUICK.to_owned()).into_iter().collect();
    notes.extend(failed.iter().map(ToString::to_string));
    notes.extend(assemble::warnings(&rows, &corpus));
    notes.extend(assemble::unknown_text(prepared));
    notes.push("quality, size and speed come from sessions opened on the written artifact".into());
    notes.extend(prepared.corpus.reading.report());
    let made = all.made.iter().flat_map(|row| &row.copies).map(|copy| copy.path.as_path());
    notes.extend(folder::not_of_this_run(&folder::left_over(options.out, made)));
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
            quick: recipe.quick,
        },
        backend: options.backend.kind().to_string(),
        threads: options.threads,
        rows,
        alike_points: recipe.report.alike_points,
        floors,
        advice: String::new(),
        failed,
        notes,
    };
    report.advice = report::advice(&report);
    Ok(report)
}

/// What a reader must know of integers on a device: what it held of them is not what is timed.
fn on_device(network: &Network) -> Option<String> {
    let sites = |count: usize| counted(count, "site");
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
            Some(name) if name == EMBEDDED => "built in; see docs/data.md".into(),
            Some(_) => "fetched by `cargo xtask data fetch`; see docs/data.md".into(),
            None => "files of the user".into(),
        },
        majority: assemble::majority(prepared),
        known: Some(assemble::known(prepared)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::BackendKind;
    use nlpress_model::{MlpSpec, Model, SiteId, Weight};
    use nlpress_packed::{Grid, Index, Matrix, Per, Scales, Scheme, Values};

    #[test]
    fn integers_on_a_device_are_counted() {
        let backend = BackendKind::compiled().into_iter().find(|k| k.is_cpu()).unwrap().open().unwrap();
        let model = Model::init(&Graph::from(MlpSpec::new(4, &[3], 1, 0.0)), Seed(1)).unwrap();
        assert_eq!(on_device(&Network::bind(&model, &backend)), None);
        let scheme = Scheme { values: Values::int(Grid::Int4, Per::Channel), index: Index::Full };
        let scales = Scales::Channel(vec![0.5]);
        let matrix = Matrix::quantized((3, 1), Grid::Int4, &[1, -7, 7], scales, None, Index::Full).unwrap();
        let model = model.with_weight(&SiteId::output(), Weight::Packed { scheme, matrix }).unwrap();
        let note = on_device(&Network::bind(&model, &backend)).unwrap();
        assert!(note.contains("the integers of 1 site were dequantized"), "{note}");
    }
}
