//! Labelled text from the command line, recipes with changes from the command line, and threads.

use nlpress::core::{Backend, files};
use nlpress::pipeline::recipe::DataRecipe;
use nlpress::pipeline::{Prepared, Recipe};
use nlpress::text::corpus::Column;
use nlpress::text::{Corpus, CorpusOptions, EncoderConfig, Source, SplitRule};

use crate::arguments::{Changes, Compute, Labelled};
use crate::outcome::refuse;
use crate::tokens;

/// Documents a split of a quick run.
const QUICK: usize = 300;

/// Opens the backend and sets the number of threads.
pub(crate) fn compute(compute: &Compute) -> anyhow::Result<(Backend, usize)> {
    let backend = compute.backend.open().map_err(refuse)?;
    let threads =
        compute.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    Ok((backend, threads))
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
        said.push(format!("corpus {corpus}"));
    }
    if let Some(file) = &changes.data {
        recipe.data.corpus = None;
        recipe.data.source = Some(Source::One(file.clone()));
        said.push("data".to_owned());
    }
    said.extend(tokens::apply(&changes.tokens, &mut recipe.data.encoder)?);
    if let Some(seeds) = changes.seeds {
        if !(1..=100).contains(&seeds) {
            return Err(refuse(format!("--seeds is {seeds}, but it must be between 1 and 100")));
        }
        recipe.seeds = seeds;
    }
    if changes.quick {
        recipe.seeds = 1;
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
    Prepared::of(&recipe.data, &changes.data_dir).map_err(|e| refuse(format!("{}: {e}", recipe.path)))
}

/// Labelled text for training.
pub(crate) fn labelled(from: &Labelled, encoder: EncoderConfig) -> anyhow::Result<Prepared> {
    let data = DataRecipe {
        corpus: from.corpus.clone(),
        source: from.data.clone().map(Source::One),
        options: options(from)?,
        encoder,
    };
    if data.corpus.is_none() && data.source.is_none() {
        return Err(refuse("give --data FILE or --corpus NAME"));
    }
    Prepared::of(&data, &from.data_dir).map_err(refuse)
}

/// Labelled text for scoring and timing: every document of a file, or the test split of a named corpus.
pub(crate) fn documents(from: &Labelled, otherwise: Option<&str>) -> anyhow::Result<Corpus> {
    let name = from.corpus.as_deref().or(if from.data.is_none() { otherwise } else { None });
    let options = options(from)?;
    match (&from.data, name) {
        (Some(path), _) => {
            let split = SplitRule { train: 100, valid: 0, test: 0 };
            let options = CorpusOptions { split, ..options };
            let mut corpus = Corpus::read(&Source::One(path.clone()), &options).map_err(refuse)?;
            corpus.test = std::mem::take(&mut corpus.train);
            Ok(corpus)
        }
        (None, Some("embedded")) => Corpus::embedded().map_err(refuse),
        (None, Some(name)) => {
            let home = from.data_dir.join(name);
            let file = |split: &str| home.join(format!("{split}.jsonl"));
            let source = Source::Splits { train: file("train"), valid: None, test: Some(file("test")) };
            Corpus::read(&source, &CorpusOptions::default()).map_err(refuse)
        }
        (None, None) => Err(refuse("give --data FILE or --corpus NAME")),
    }
}

fn options(from: &Labelled) -> anyhow::Result<CorpusOptions> {
    let options = CorpusOptions {
        text: column(&from.text_column),
        label: column(&from.label_column),
        header: !from.no_header,
        delimiter: from.delimiter,
        ..CorpusOptions::default()
    };
    if from.data.is_none() && options != CorpusOptions::default() {
        return Err(refuse("--text-column, --label-column, --no-header and --delimiter need --data FILE"));
    }
    Ok(options)
}

fn column(text: &str) -> Column {
    text.parse().map_or_else(|_| Column::Name(text.into()), Column::Index)
}
