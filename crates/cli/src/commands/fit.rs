//! `nlpress fit`.

use nlpress::core::files;
use nlpress::core::shown::escaped;
use nlpress::pipeline::draft::{DraftError, Hints, columns_of, named_from};
use nlpress::pipeline::recipe::DataRecipe;
use nlpress::search::{self, Found, Request, report};
use nlpress::text::{CorpusOptions, EncoderConfig, Files, Source};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

use crate::arguments::Fit;
use crate::data;
use crate::outcome::{missed, refuse, say, searched, sort, tell};
use crate::progress::Progress;

/// The files that a search leaves in its folder.
const RECIPE: &str = "recipe.toml";
const PAGE: &str = "report.html";
const JSON: &str = "report.json";

pub(crate) fn fit(arguments: &Fit) -> anyhow::Result<()> {
    let folder = folder(&arguments.out);
    check_outputs(arguments, &folder)?;
    let data = data_recipe(arguments)?;
    let threads =
        arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let backend = nlpress::core::BackendKind::Ndarray.open().map_err(refuse)?;
    std::fs::create_dir_all(&folder).map_err(|e| crate::outcome::of_file(&folder, e))?;
    let request = Request {
        data: data.clone(),
        data_dir: &arguments.data_dir,
        limits: arguments.limits(),
        metric: arguments.metric.clone(),
        effort: arguments.effort(),
        seed: arguments.seed,
        threads,
        folder: &folder,
        resume: arguments.resume,
    };
    let progress = Progress::start(None)?;
    let found = search::fit(&request, &backend, &progress).map_err(searched)?;
    let name = escaped(&arguments.out.file_stem().unwrap_or_default().to_string_lossy()).to_string();
    write(arguments, &folder, &data, (&found, &name))?;
    say_found(arguments, &folder, &found)?;
    if found.stopped {
        progress.end().map_err(|_| crate::outcome::search_stopped(&arguments.out))?;
    }
    search::clean(&folder).map_err(searched)?;
    match found.choice.missed.as_slice() {
        [] => Ok(()),
        limits => Err(missed(&arguments.out, limits)),
    }
}

/// `model.fit` beside `model.safetensors`.
fn folder(out: &Path) -> PathBuf {
    out.with_extension("fit")
}

fn check_outputs(arguments: &Fit, folder: &Path) -> anyhow::Result<()> {
    if arguments.out.extension().is_some_and(|e| e == "fit") {
        return Err(refuse(
            "--out ends with .fit, which is the name of the folder of the report; use .safetensors",
        ));
    }
    let splits = arguments.splits.valid.iter().chain(&arguments.splits.test);
    if arguments.data.iter().chain(splits).any(|file| file == Path::new("-")) {
        return Err(refuse(
            "the recipe that makes the model again names its files, so none can be standard input",
        ));
    }
    let mut outputs = files::Outputs::new().output("--out", &arguments.out);
    outputs = [RECIPE, PAGE, JSON].iter().fold(outputs, |o, name| o.output("the report", folder.join(name)));
    outputs = arguments.data.iter().fold(outputs, |outputs, file| outputs.input("the data", file));
    let splits = [("--valid", &arguments.splits.valid), ("--test", &arguments.splits.test)];
    for (name, files) in splits {
        outputs = files.iter().fold(outputs, |outputs, file| outputs.input(name, file));
    }
    outputs.check().map_err(sort)
}

/// What to read: columns that are not given are guessed from the first file.
fn data_recipe(arguments: &Fit) -> anyhow::Result<DataRecipe> {
    let several = |paths: &[PathBuf]| Files::several(paths.to_vec());
    let source = several(&arguments.data).map(|train| {
        match (several(&arguments.splits.valid), several(&arguments.splits.test)) {
            (None, None) => Source::One(train),
            (valid, test) => Source::Splits { train, valid, test },
        }
    });
    let column = |name: &Option<String>| name.as_deref().map(data::column);
    let form = CorpusOptions { split: arguments.splits.split, ..data::form(&arguments.form) };
    let hints =
        Hints { text: column(&arguments.text_column), label: column(&arguments.label_column), options: form };
    let options = match arguments.data.first() {
        Some(first) => {
            let mut notes = Vec::new();
            let found = columns_of(first, &hints, &mut notes).map_err(of_columns)?;
            notes.iter().for_each(|note| tell!("{note}"));
            found
        }
        None => hints.options,
    };
    Ok(DataRecipe {
        corpus: arguments.corpus.clone(),
        source,
        options,
        encoder: EncoderConfig::default(),
        class_weights: None,
    })
}

fn of_columns(error: DraftError) -> anyhow::Error {
    match error {
        DraftError::Recipe(_) | DraftError::Plan(_) => error.into(),
        other => sort(other),
    }
}

fn write(
    arguments: &Fit,
    folder: &Path,
    data: &DataRecipe,
    (found, name): (&Found, &str),
) -> anyhow::Result<()> {
    let place = folder.join(RECIPE);
    let table = data_table(data, &place)?;
    let text = report::recipe(found, name, table).map_err(refuse)?;
    search::write(found, &arguments.out, &place, &text).map_err(searched)?;
    let limits = arguments.limits();
    let page = report::html(found, name, &arguments.metric, &limits);
    let json = json!({
        "schema": 1, "limits": limits, "metric": arguments.metric.to_string(), "effort": arguments.effort(),
        "seed": arguments.seed, "artifact": arguments.out.to_string_lossy(), "found": found,
        "optimism_points": report::optimism(found), "advice": report::advice(found, &arguments.metric),
    });
    for (name, text) in [(PAGE, page), (JSON, format!("{json:#}\n"))] {
        let path = folder.join(name);
        files::write_atomically(&path, text.as_bytes()).map_err(|e| crate::outcome::of_file(&path, e))?;
    }
    Ok(())
}

/// The table `data` of the recipe, whose files are named as seen from its folder.
fn data_table(data: &DataRecipe, recipe: &Path) -> anyhow::Result<Value> {
    let Some(source) = &data.source else { return Ok(json!({ "corpus": data.corpus })) };
    let named = |files: &Files| -> anyhow::Result<Value> {
        let names = files.paths().iter().map(|p| named_from(p, recipe).map_err(of_columns));
        Ok(json!(names.collect::<anyhow::Result<Vec<_>>>()?))
    };
    let files = match source {
        Source::One(files) => named(files)?,
        Source::Splits { train, valid, test } => {
            let mut table = json!({ "train": named(train)? });
            for (name, files) in [("valid", valid), ("test", test)] {
                if let Some(files) = files {
                    table[name] = named(files)?;
                }
            }
            table
        }
    };
    Ok(json!({ "files": files, "read": data.options }))
}

fn say_found(arguments: &Fit, folder: &Path, found: &Found) -> anyhow::Result<()> {
    if arguments.json {
        let path = folder.join(JSON);
        let text = std::fs::read_to_string(&path).map_err(|e| crate::outcome::of_file(&path, e))?;
        let value: Value = serde_json::from_str(&text)?;
        say!("{value}");
        return Ok(());
    }
    say!("{}", report::table(found));
    report::facts(found, &arguments.metric).iter().try_for_each(|fact| -> anyhow::Result<()> {
        say!("{fact}");
        Ok(())
    })?;
    say!("\n{}", report::advice(found, &arguments.metric));
    say!(
        "\n{} is written; {} and the recipe that makes it again are in {}",
        arguments.out.display(),
        PAGE,
        folder.display()
    );
    Ok(())
}
