//! `nlpress fit`.

use nlpress::core::files;
use nlpress::core::shown::escaped;
use nlpress::pipeline::draft::{columns_of, named_from};
use nlpress::pipeline::recipe::DataRecipe;
use nlpress::search::{self, Found, Request, report};
use nlpress::text::{EncoderTable, Files, Source};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

use crate::arguments::Fit;
use crate::data;
use crate::outcome::{missed, of_draft, of_file, refuse, say, search_stopped, searched, sort, tell};
use crate::progress::Progress;

/// The files that a search leaves in its folder.
const RECIPE: &str = "recipe.toml";
const PAGE: &str = "report.html";
const JSON: &str = "report.json";

pub(crate) fn fit(arguments: &Fit) -> anyhow::Result<()> {
    let folder = folder(&arguments.out);
    check_outputs(arguments, &folder)?;
    let data = data_recipe(arguments)?;
    // A path that no recipe can name is refused before anything is trained.
    let table = data_table(&data, &folder.join(RECIPE))?;
    let threads = data::threads(arguments.threads);
    let backend = nlpress::core::BackendKind::Ndarray.open().map_err(refuse)?;
    let request = Request {
        data: data.clone(),
        data_dir: &arguments.data_dir,
        teacher: arguments.teacher.as_deref(),
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
    let json = write(arguments, &folder, table, (&found, &name))?;
    match arguments.json {
        true => say!("{json}"),
        false => say_found(arguments, &folder, &found)?,
    }
    if found.stopped {
        progress.end().map_err(|_| search_stopped(&arguments.out))?;
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
    let splits = || arguments.splits.files();
    let mut read = arguments.data.iter().chain(&arguments.unlabelled).chain(splits().map(|(_, file)| file));
    if read.any(|file| file == Path::new("-")) {
        return Err(refuse(
            "the recipe that makes the model again names its files, so none can be standard input",
        ));
    }
    let mut read = arguments.data.iter().chain(&arguments.unlabelled).chain(splits().map(|(_, file)| file));
    // A pipe would be waited for, and could not be read again by the recipe.
    if let Some(odd) = read.find(|file| file.metadata().is_ok_and(|of| !of.is_file() && !of.is_dir())) {
        return Err(refuse(format!(
            "{}: it is no regular file, which the recipe could read again",
            odd.display()
        )));
    }
    let mut outputs = files::Outputs::new().output("--out", &arguments.out);
    outputs = [RECIPE, PAGE, JSON].iter().fold(outputs, |o, name| o.output("the report", folder.join(name)));
    outputs = arguments.data.iter().fold(outputs, |outputs, file| outputs.input("the data", file));
    outputs = splits().fold(outputs, |outputs, (name, file)| outputs.input(name, file));
    outputs = arguments.unlabelled.iter().fold(outputs, |o, file| o.input("--unlabelled", file));
    outputs = arguments.teacher.iter().fold(outputs, |o, file| o.input("--teacher", file));
    // Of a folder, what lies in it.
    let inside = arguments.teacher.iter().filter_map(|path| path.read_dir().ok()).flatten().flatten();
    outputs = inside.fold(outputs, |o, file| o.input("a file of --teacher", file.path()));
    outputs.check().map_err(sort)
}

/// What to read: columns that are not given are guessed from the first file.
fn data_recipe(arguments: &Fit) -> anyhow::Result<DataRecipe> {
    data::check_splits(&arguments.splits, &arguments.data, "FILE, which --corpus takes the place of")?;
    let mut hints = data::hints(&arguments.columns);
    hints.options.split = arguments.splits.split;
    let options = match arguments.data.first() {
        Some(first) => {
            let mut notes = Vec::new();
            let found = columns_of(first, &hints, &mut notes).map_err(of_draft)?;
            notes.iter().for_each(|note| tell!("{note}"));
            found
        }
        None => hints.options,
    };
    Ok(DataRecipe {
        corpus: arguments.corpus.clone(),
        source: data::source(&arguments.data, &arguments.splits),
        unlabelled: Files::several(arguments.unlabelled.clone()),
        options,
        encoder: EncoderTable::default(),
        class_weights: None,
    })
}

fn write(
    arguments: &Fit,
    folder: &Path,
    table: Value,
    (found, name): (&Found, &str),
) -> anyhow::Result<Value> {
    let place = folder.join(RECIPE);
    let teacher = arguments.teacher.as_deref().map(|path| named_from(path, &place).map_err(of_draft));
    let text = report::recipe(found, name, table, teacher.transpose()?).map_err(refuse)?;
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
        files::write_atomically(&path, text.as_bytes()).map_err(|e| of_file(&path, e))?;
    }
    Ok(json)
}

/// The table `data` of the recipe, whose files are named as seen from its folder.
fn data_table(data: &DataRecipe, recipe: &Path) -> anyhow::Result<Value> {
    let named = |files: &Files| -> anyhow::Result<Value> {
        let names = files.paths().iter().map(|p| named_from(p, recipe).map_err(of_draft));
        Ok(json!(names.collect::<anyhow::Result<Vec<_>>>()?))
    };
    let unlabelled = data.unlabelled.as_ref().map(named).transpose()?;
    let Some(source) = &data.source else {
        return Ok(json!({ "corpus": data.corpus, "unlabelled": unlabelled }));
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
    Ok(json!({ "files": files, "read": data.options, "unlabelled": unlabelled }))
}

fn say_found(arguments: &Fit, folder: &Path, found: &Found) -> anyhow::Result<()> {
    say!("{}", report::table(found));
    report::facts(found, &arguments.metric, &arguments.limits()).iter().try_for_each(
        |fact| -> anyhow::Result<()> {
            say!("{fact}");
            Ok(())
        },
    )?;
    say!("\n{}", report::advice(found, &arguments.metric));
    say!(
        "\n{} is written; {} and the recipe that makes it again are in {}",
        arguments.out.display(),
        PAGE,
        folder.display()
    );
    Ok(())
}
