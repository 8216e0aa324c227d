//! Labelled text from the command line, recipes with changes from the command line, and threads.

use anyhow::Context;
use nlpress::core::shown::counted;
use nlpress::core::{Backend, files};
use nlpress::pipeline::draft::Hints;
use nlpress::pipeline::prepared::{EMBEDDED, read_corpus};
use nlpress::pipeline::recipe::DataRecipe;
use nlpress::pipeline::{DataError, Prepared, Recipe};
use nlpress::text::corpus::{Column, Numbered, NumberedCorpus, Reading};
use nlpress::text::{
    AnyEncoder, Corpus, CorpusOptions, Document, EncoderTable, Files, Scoring, Source, SplitRule, TextError,
    Texts,
};
use nlpress::train::ClassWeights;
use std::path::PathBuf;
use std::sync::Arc;

use crate::arguments::{Changes, Columns, Compute, Form, Labelled, Layout, Rows, Splits};
use crate::outcome::{refuse, tell};
use crate::tokens;

/// Documents a split of a quick run.
const QUICK: usize = 300;

/// Opens the backend and sets the number of threads.
pub(crate) fn compute(compute: &Compute) -> anyhow::Result<(Backend, usize)> {
    let backend = compute.backend.open().map_err(refuse)?;
    let threads = threads(compute.threads);
    start(threads)?;
    Ok((backend, threads))
}

/// Starts the threads that texts are read and encoded on.
pub(crate) fn start(threads: usize) -> anyhow::Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.with_context(|| format!("{} cannot be started: give fewer by --threads", counted(threads, "thread")))
}

/// So many threads, or one for each processor.
pub(crate) fn threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// The files of the splits, those that are given; none without data.
pub(crate) fn source(data: &[PathBuf], splits: &Splits) -> Option<Source> {
    let several = |paths: &[PathBuf]| Files::several(paths.to_vec());
    several(data).map(|train| match (several(&splits.valid), several(&splits.test)) {
        (None, None) => Source::One(train),
        (valid, test) => Source::Splits { train, valid, test },
    })
}

/// What is known of the columns before a file is looked at.
pub(crate) fn hints(columns: &Columns) -> Hints {
    let named = |name: &Option<String>| name.as_deref().map(column);
    Hints {
        text: named(&columns.text_column),
        label: named(&columns.label_column),
        options: form(&columns.form),
    }
}

/// A recipe with the changes that the command line makes. They enter its hash.
pub(crate) fn recipe(path: &std::path::Path, changes: &Changes) -> anyhow::Result<Recipe> {
    let mut recipe = Recipe::open(path).map_err(refuse)?;
    let mut said = Vec::new();
    if let Some(corpus) = &changes.corpus {
        recipe.data.corpus = Some(corpus.clone());
        recipe.data.source = None;
        let limit = recipe.data.options.limit;
        recipe.data.options = CorpusOptions { limit, ..CorpusOptions::default() };
        recipe.forget_data_lines();
        said.push(format!("corpus {corpus}"));
    }
    if let Some(files) = Files::several(changes.data.clone()) {
        recipe.data.corpus = None;
        recipe.data.source = Some(Source::One(files));
        recipe.forget_data_lines();
        said.push("data".to_owned());
    }
    match (recipe.data.encoder.bag_mut(), changes.tokens.given()) {
        (Some(bag), _) => said.extend(tokens::apply(&changes.tokens, bag)?),
        (None, Some(option)) => {
            return Err(refuse(format!(
                "{option} is for a bag of words, but the recipe's encoder makes tokens"
            )));
        }
        (None, None) => {}
    }
    if let Some(seeds) = changes.seeds {
        recipe.seeds = seeds;
    }
    if changes.quick {
        recipe.quick = true;
        recipe.seeds = changes.seeds.unwrap_or(1);
        recipe.data.options.limit = Some(recipe.data.options.limit.map_or(QUICK, |l| l.min(QUICK)));
        said.push("quick".into());
    }
    if !said.is_empty() {
        recipe.sha256 = files::sha256_hex(format!("{} {}", recipe.sha256, said.join(", ")).as_bytes());
    }
    Ok(recipe)
}

/// A recipe's data made ready.
pub(crate) fn prepare(recipe: &Recipe, changes: &Changes) -> anyhow::Result<Prepared> {
    let prepared = Prepared::of_recipe(recipe, &changes.data_dir);
    let prepared = prepared.map_err(|e| refuse(recipe.refuse_data(&e)))?;
    say_read(&prepared.corpus);
    Ok(prepared)
}

/// That there is something to split, and a split to take from it; `file` is what the command calls the data.
pub(crate) fn check_splits(splits: &Splits, data: &[PathBuf], file: &str) -> anyhow::Result<()> {
    // Not left to the parser: it waives what an argument requires when that contradicts another, here --corpus.
    let split_asked = splits.split != SplitRule::default();
    if data.is_empty() && (!splits.valid.is_empty() || !splits.test.is_empty() || split_asked) {
        return Err(refuse(format!("--valid, --test and --split need {file}")));
    }
    if split_asked && !splits.valid.is_empty() && !splits.test.is_empty() {
        return Err(refuse(
            "--split has nothing to divide where both --valid and --test are given: leave it out",
        ));
    }
    Ok(())
}

/// What encodes texts.
pub(crate) enum Encoder {
    /// What is fitted to the training documents.
    Fitted(EncoderTable),
    /// What an artifact has.
    Given(AnyEncoder),
}

/// Labelled text for training.
pub(crate) fn labelled(
    from: &Labelled,
    splits: &Splits,
    encoder: Encoder,
    class_weights: Option<ClassWeights>,
) -> anyhow::Result<Prepared> {
    check_splits(splits, &from.data, "--data FILE")?;
    let source = source(&from.data, splits);
    let options = CorpusOptions { split: splits.split, ..options(from)? };
    let (encoder, given) = match encoder {
        Encoder::Fitted(table) => (table, None),
        Encoder::Given(encoder) => (EncoderTable::default(), Some(encoder)),
    };
    let corpus = from.corpus.clone();
    let data = DataRecipe { corpus, source, unlabelled: None, options, encoder, class_weights };
    if data.corpus.is_none() && data.source.is_none() {
        return Err(refuse("give --data FILE or --corpus NAME"));
    }
    let prepared = read_corpus(&data, &from.data_dir).and_then(|corpus| match given {
        Some(encoder) => Prepared::with_encoder(Arc::new(corpus), encoder, &data),
        None => Prepared::of_corpus(Arc::new(corpus), &data),
    });
    let prepared = prepared.map_err(|e| match e {
        DataError::Text(TextError::EmptySplit { .. } | TextError::NoDocuments { .. })
        | DataError::Empty { .. } => refuse(format!("{e}{}", none_left(&data.options))),
        DataError::Text(error) => of_text(error, None),
        other => refuse(other),
    })?;
    say_read(&prepared.corpus);
    Ok(prepared)
}

/// Labelled text for scoring and timing: every document of the files, or the test split of a named corpus.
pub(crate) fn scoring(from: &Labelled) -> anyhow::Result<Scoring> {
    let options = options(from)?;
    if let Some(files) = Files::several(from.data.clone()) {
        return Scoring::read(&files, &options).map_err(|e| match e {
            TextError::NoDocuments { .. } => refuse(format!("{e}{}", none_left(&options))),
            other => of_text(other, None),
        });
    }
    match from.corpus.as_deref() {
        Some(EMBEDDED) => Scoring::of_test(Corpus::embedded().map_err(refuse)?).map_err(refuse),
        Some(name) => {
            let file = from.data_dir.join(name).join("test.jsonl");
            let mut scoring = Scoring::read(&file.into(), &options).map_err(refuse)?;
            scoring.name = name.into();
            Ok(scoring)
        }
        None => Err(refuse("give --data FILE or --corpus NAME")),
    }
}

/// Texts or pairs with numbers, for training.
pub(crate) fn numbered(from: &Labelled, splits: &Splits) -> anyhow::Result<NumberedCorpus> {
    check_splits(splits, &from.data, "--data FILE")?;
    let options = CorpusOptions { split: splits.split, ..options(from)? };
    let source = source(&from.data, splits).ok_or_else(|| refuse("give --data FILE"))?;
    let corpus = NumberedCorpus::read_for_training(&source, &options).map_err(|e| of_text(e, None))?;
    corpus.told().iter().for_each(|line| tell!("{line}"));
    Ok(corpus)
}

/// The same for scoring: every document of the files.
pub(crate) fn numbered_scoring(from: &Labelled) -> anyhow::Result<(Numbered, Reading)> {
    let options = options(from)?;
    let files = Files::several(from.data.clone());
    let files = files.ok_or_else(|| {
        refuse("the network makes scores, and named corpora have classes: give --data FILE, whose labels are numbers")
    })?;
    Numbered::read(&files, &options).map_err(|e| of_text(e, None))
}

/// Texts to time: every row of the files, whatever its label, or the test split of a named corpus.
pub(crate) fn timing(from: &Labelled) -> anyhow::Result<Scoring> {
    let options = options(from)?;
    if options.label != CorpusOptions::default().label {
        return Err(refuse("bench looks at no labels: leave --label-column out"));
    }
    let Some(files) = Files::several(from.data.clone()) else { return scoring(from) };
    let Texts { texts, pairs, places, reading, .. } =
        Texts::read(&files, &options, None).map_err(|e| of_text(e, None))?;
    let mut pairs = pairs.into_iter();
    let documents = texts.into_iter().map(|text| Document { text, pair: pairs.next(), label: 0 }).collect();
    Ok(Scoring { name: Source::One(files).name(), labels: Vec::new(), documents, places, reading })
}

/// Texts to answer, where files were given.
pub(crate) fn texts(from: &Rows) -> anyhow::Result<Option<Texts>> {
    let options = layout(&from.layout);
    let id = from.id_column.as_deref().map(column);
    match Files::several(from.data.clone()) {
        Some(files) => {
            check_id(&options, id.as_ref())?;
            let read = Texts::read(&files, &options, id.as_ref());
            Ok(Some(read.map_err(|e| of_text(e, id.as_ref()))?))
        }
        None if id.is_some() || options != CorpusOptions::default() => Err(refuse(
            "--id-column, --text-column, --pair-column, --format, --encoding, --no-header, --delimiter and --skip-bad-rows need --data FILE",
        )),
        None => Ok(None),
    }
}

/// The column of ids names something beside the text.
fn check_id(options: &CorpusOptions, id: Option<&Column>) -> anyhow::Result<()> {
    match id {
        Some(id) if *id == options.text => Err(id_is_text(id)),
        Some(id) if options.pair.as_ref() == Some(id) => Err(refuse(format!(
            "--id-column is {id}, the column of the second text; --with-text prints the texts"
        ))),
        Some(Column::Name(name)) if !options.header => {
            Err(refuse(format!("--id-column is {name:?}: without a header, columns are given by index")))
        }
        _ => Ok(()),
    }
}

fn id_is_text(id: &Column) -> anyhow::Error {
    refuse(format!("--id-column is {id}, the column of the text; --with-text prints the text"))
}

/// Why there may be nothing left of files that have rows.
fn none_left(options: &CorpusOptions) -> &'static str {
    match options.skip_bad_rows {
        0 => "",
        _ => ": bad rows were left out, and a smaller --skip-bad-rows says what is wrong with them",
    }
}

/// An error of reading, in which settings are called as the command line calls them; labels are looked at unless there
/// are ids or nothing in their place.
fn of_text(error: TextError, id: Option<&Column>) -> anyhow::Error {
    let TextError::Setting { setting, value, bound } = error else { return refuse(error) };
    match (setting, id) {
        // One column may be given by its name and by its number.
        ("label", Some(id)) => id_is_text(id),
        ("text" | "label" | "pair", _) => {
            let value = value.trim_matches('"');
            let value = value.parse::<usize>().map_or_else(|_| format!("{value:?}"), |n| n.to_string());
            refuse(format!("--{setting}-column is {value}: {bound}"))
        }
        ("files", _) => refuse(format!("--data is {value}: {bound}")),
        (setting, _) => refuse(format!("--{setting} is {value}: {bound}")),
    }
}

/// Says on standard error what was read for training.
fn say_read(corpus: &Corpus) {
    corpus.told().iter().for_each(|line| tell!("{line}"));
}

/// Says on standard error what reading found beside the documents.
pub(crate) fn say_notes(reading: &Reading) {
    reading.notes.iter().for_each(|text| tell!("note: {text}"));
}

fn options(from: &Labelled) -> anyhow::Result<CorpusOptions> {
    let options = CorpusOptions { label: column(&from.label_column), ..layout(&from.layout) };
    if from.data.is_empty() && options != CorpusOptions::default() {
        return Err(refuse(
            "--text-column, --pair-column, --label-column, --format, --encoding, --no-header, --delimiter and --skip-bad-rows \
             need --data FILE",
        ));
    }
    Ok(options)
}

/// How files are read; the label's column is the usual one.
fn layout(layout: &Layout) -> CorpusOptions {
    CorpusOptions {
        text: column(&layout.text_column),
        pair: layout.pair_column.as_deref().map(column),
        ..form(&layout.form)
    }
}

/// How files are read; their columns are the usual ones.
pub(crate) fn form(form: &Form) -> CorpusOptions {
    CorpusOptions {
        format: form.format,
        encoding: form.encoding,
        header: !form.no_header,
        delimiter: form.delimiter,
        skip_bad_rows: form.skip_bad_rows,
        ..CorpusOptions::default()
    }
}

/// A column by number, or else by name.
pub(crate) fn column(text: &str) -> Column {
    text.parse().map_or_else(|_| Column::Name(text.into()), Column::Index)
}
