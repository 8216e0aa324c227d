//! Where text and labels come from.

use clap::Args;
use nlpress::pipeline::prepared::fetched_files;
use nlpress::text::{Format, SplitRule, TextEncoding};
use std::path::PathBuf;

use super::values::delimiter;

/// Where labelled text comes from.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Labelled {
    /// A file of labelled text: .csv, .tsv, .jsonl, .json or fastText's .ft, perhaps compressed (.gz, .zst), or `-` for
    /// standard input. Given several times, the files are read as one.
    #[arg(long, value_name = "FILE", conflicts_with = "corpus")]
    pub(crate) data: Vec<PathBuf>,
    /// `embedded`, or the name of a corpus fetched by `cargo xtask data fetch`.
    #[arg(long, value_name = "NAME")]
    pub(crate) corpus: Option<String>,
    /// Folder with fetched corpora.
    #[arg(long, default_value = "data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Column of the label: a name, or a number from 0.
    #[arg(long, default_value = "label", value_name = "COLUMN")]
    pub(crate) label_column: String,
    #[command(flatten)]
    pub(crate) layout: Layout,
}

/// How the files of a command are written, and which columns are the text or texts.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Layout {
    /// Column of the text: a name, or a number from 0.
    #[arg(long, default_value = "text", value_name = "COLUMN")]
    pub(crate) text_column: String,
    /// Column of the second text, where a row is a pair of texts, as cross-encoders take them.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) pair_column: Option<String>,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// How files are written.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Form {
    /// How the files are written, when their names do not tell: csv, tsv, jsonl, json, fasttext or parquet.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// Encoding of the files: utf-8, utf-16le, utf-16be, latin-1, windows-1252, gbk, shift_jis, …; UTF-8, or what the
    /// byte order mark says, when not given.
    #[arg(long, value_name = "NAME")]
    pub(crate) encoding: Option<TextEncoding>,
    /// The CSV or TSV file has no header line; give columns by number.
    #[arg(long)]
    pub(crate) no_header: bool,
    /// Character between fields, when it is not the usual one; `\t` is a tab. `new-recipe` finds out.
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    pub(crate) delimiter: Option<char>,
    /// Leave out up to this many rows that cannot be used (no text, no label, a wrong number of fields, …).
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) skip_bad_rows: u64,
}

/// The columns of a file, which are guessed where they are not given, and how it is written.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Columns {
    /// Column of the text: a name, or a number from 0; guessed when not given.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) text_column: Option<String>,
    /// Column of the label: a name, or a number from 0; guessed when not given.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label_column: Option<String>,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// Which documents train, choose and score.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Splits {
    /// A file of documents to choose by: between epochs, or between models; taken from the data when not given.
    #[arg(long, value_name = "FILE", requires = "data")]
    pub(crate) valid: Vec<PathBuf>,
    /// A file of documents to score on; taken from the data when not given.
    #[arg(long, value_name = "FILE", requires = "data")]
    pub(crate) test: Vec<PathBuf>,
    /// Percentages of the data that train, validate and test.
    #[arg(long, default_value = "80/10/10", value_name = "TRAIN/VALID/TEST", requires = "data")]
    pub(crate) split: SplitRule,
}

/// A file of texts to answer.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Rows {
    /// A file whose rows have a text each, in the formats that `train` reads; labels are not looked at. Given several
    /// times, the files are read as one.
    #[arg(long, value_name = "FILE", conflicts_with = "texts")]
    pub(crate) data: Vec<PathBuf>,
    /// Column to print before each answer: a name, or a number from 0.
    #[arg(long, value_name = "COLUMN", requires = "data")]
    pub(crate) id_column: Option<String>,
    #[command(flatten)]
    pub(crate) layout: Layout,
}

impl Splits {
    /// The files that are read, each with the option that names it.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let valid = self.valid.iter().map(|file| ("--valid", file));
        valid.chain(self.test.iter().map(|file| ("--test", file)))
    }
}

impl Labelled {
    /// The files that are read, each with the option that names it.
    pub(crate) fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let data = self.data.iter().map(|file| ("--data", file.clone()));
        let fetched = self.corpus.iter().flat_map(|name| fetched_files(name, &self.data_dir));
        data.chain(fetched.map(|file| ("--corpus", file))).collect()
    }
}
