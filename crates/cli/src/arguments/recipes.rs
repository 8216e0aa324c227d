//! What runs and plans recipes, and changes them.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

use super::values::{mebibytes, place, seeds, threads};
use super::{Columns, Compute};

/// How texts are cut into tokens.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Tokens")]
pub(crate) struct Tokens {
    /// Character n-grams of these lengths in place of words, for example `1-2` for Chinese.
    #[arg(long, value_name = "MIN-MAX", conflicts_with_all = ["word_ngrams", "symbols", "stop_words", "boundaries"])]
    pub(crate) ngrams: Option<String>,
    /// Character n-grams begin and end within a word, with a space at either end.
    #[arg(long, requires = "ngrams")]
    pub(crate) within_words: bool,
    /// Runs of so many neighbouring words, for example `1-2` for words and pairs of words.
    #[arg(long, value_name = "MIN-MAX")]
    pub(crate) word_ngrams: Option<String>,
    /// Runs of symbols and punctuation marks such as `:)` are tokens, too; emoji always are.
    #[arg(long)]
    pub(crate) symbols: bool,
    /// File of words that are no features, one a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) stop_words: Option<PathBuf>,
    /// Where words end; `unicode` when neither this nor a recipe says anything.
    #[arg(long, value_name = "WHERE")]
    pub(crate) boundaries: Option<WordEnds>,
}

/// Where words end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WordEnds {
    /// Where Unicode says (UAX 29).
    Unicode,
    /// At white space alone, for text that was cut into words before.
    Spaces,
}

/// Changes to a recipe.
#[derive(Clone, Debug, Args)]
pub(crate) struct Changes {
    /// Corpus in place of the recipe's: `embedded`, or one fetched by `cargo xtask data fetch`.
    #[arg(long, value_name = "NAME")]
    pub(crate) corpus: Option<String>,
    /// File in place of the recipe's corpus, read as the recipe says (columns `text` and `label` unless it names
    /// others). Given several times, the files are read as one.
    #[arg(long, value_name = "FILE", conflicts_with = "corpus")]
    pub(crate) data: Vec<PathBuf>,
    /// Folder with fetched corpora.
    #[arg(long, default_value = "data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) tokens: Tokens,
    /// Repetitions with different seeds, in place of the recipe's.
    #[arg(long, value_name = "N", value_parser = seeds)]
    pub(crate) seeds: Option<u32>,
    /// At most 300 documents a split, one seed (or as many as --seeds says) and short timings: to see that everything
    /// runs.
    #[arg(long)]
    pub(crate) quick: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The recipe.
    pub(crate) recipe: PathBuf,
    /// Folder for artifacts and report.
    #[arg(long, default_value = "out", value_name = "DIR", value_parser = place())]
    pub(crate) out: PathBuf,
    /// Go on from what an earlier, stopped run left in that folder.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print report.json to standard output in place of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Append every event of the run to this file, one JSON object a line.
    #[arg(long, value_name = "FILE", value_parser = place())]
    pub(crate) events: Option<PathBuf>,
    /// Models to make side by side, at most one a thread; as many as there are threads when not given. Results do not depend
    /// on it.
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) workers: Option<usize>,
    /// Memory that models made side by side may take together, by an estimate of each; four fifths of what is free when not
    /// given. A model for which there is no room beside others waits. Results do not depend on it.
    #[arg(long, value_name = "MIB", value_parser = mebibytes)]
    pub(crate) memory: Option<u64>,
    #[command(flatten)]
    pub(crate) changes: Changes,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The recipe.
    pub(crate) recipe: PathBuf,
    /// Print the plan as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) changes: Changes,
}

#[derive(Debug, Args)]
pub(crate) struct Summary {
    /// An artifact (.safetensors) or a recipe (.toml).
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) changes: Changes,
}

#[derive(Debug, Args)]
pub(crate) struct NewRecipe {
    /// A file of labelled text, as `train` reads it.
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// Where to write the recipe; a file that is there is left alone. `-` prints it.
    #[arg(long, default_value = "recipe.toml", value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) columns: Columns,
}
