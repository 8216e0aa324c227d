//! Where a corpus comes from and how its files are to be read.

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::encoding::TextEncoding;
use super::split::SplitRule;
use crate::error::TextError;

/// The files of a corpus: written as one path, as a list of paths, or as a table with the keys `train`, `valid` and
/// `test`, each a path or a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Source {
    /// One corpus, split by [`SplitRule`].
    One(Files),
    /// Files for the splits.
    Splits {
        /// Training documents.
        train: Files,
        /// Documents to choose models by.
        valid: Option<Files>,
        /// Documents to score models by.
        test: Option<Files>,
    },
}

/// One file or several, read one after the other as if they were one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Files(Vec<PathBuf>);

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// An array of JSON objects, or objects one after the other, over any number of lines.
    Json,
    /// Comma-separated values with quotes (RFC 4180); a quoted field may span lines.
    Csv,
    /// Tab-separated values without quoting: a quotation mark is text like any other.
    Tsv,
    /// fastText: `__label__NAME` and the text on one line.
    FastText,
    /// Apache Parquet, where the feature `parquet` is compiled in.
    Parquet,
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// Counted from zero; for CSV and TSV only.
    Index(usize),
    /// A name in the header, or the key of a JSON object.
    Name(String),
}

/// How the files of a corpus are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorpusOptions {
    /// How the files are written; by their names when not given ([`Format::of`]).
    pub format: Option<Format>,
    /// How characters are written as bytes; when not given, UTF-8, or what a byte order mark says.
    pub encoding: Option<TextEncoding>,
    /// The column of the text.
    pub text: Column,
    /// The column of the label: a string, an integer or a truth value.
    pub label: Column,
    /// Column of the second text, where documents are pairs of texts; none where they are single ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<Column>,
    /// Whether the first line of CSV and TSV holds names. Without, columns must be given by index.
    pub header: bool,
    /// The byte between fields of CSV and TSV, when it is not the usual one.
    pub delimiter: Option<char>,
    /// How one corpus is split. Of files for the splits it divides those for training, when `valid` or `test` is
    /// asked for and has no file.
    pub split: SplitRule,
    /// Rows that may be left out because they cannot be used (no text, no label, a wrong number of fields, …); one
    /// more is an error that counts them all.
    pub skip_bad_rows: u64,
    /// Documents in each split at most, for quick runs. Every class keeps its share (largest remainders, and
    /// at least one document); within a class those stay whose texts have the smallest hashes, so a smaller
    /// limit takes from what a larger one took, and the order stays as it was.
    pub limit: Option<usize>,
    /// Longest line (or quoted CSV record) in bytes.
    pub max_line_bytes: u64,
    /// Largest file in bytes, as it is and decompressed.
    pub max_file_bytes: u64,
}

impl Default for CorpusOptions {
    fn default() -> Self {
        Self {
            format: None,
            encoding: None,
            text: Column::Name("text".into()),
            label: Column::Name("label".into()),
            pair: None,
            header: true,
            delimiter: None,
            split: SplitRule::default(),
            skip_bad_rows: 0,
            limit: None,
            max_line_bytes: 16 << 20,
            max_file_bytes: 4 << 30,
        }
    }
}

impl Files {
    /// The paths, in order; never empty.
    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// Several files; none when the list is empty.
    pub fn several(paths: Vec<PathBuf>) -> Option<Self> {
        (!paths.is_empty()).then_some(Self(paths))
    }

    /// The same files with relative paths below `folder`.
    pub fn below(self, folder: &Path) -> Self {
        Self(self.0.into_iter().map(|path| folder.join(path)).collect())
    }

    /// Whether one of them is standard input, which can be read only once.
    fn reads_standard_input(&self) -> bool {
        self.0.iter().any(|path| path.as_os_str() == STANDARD_INPUT)
    }
}

/// The path that stands for standard input.
pub(super) const STANDARD_INPUT: &str = "-";

impl<P: Into<PathBuf>> From<P> for Files {
    fn from(path: P) -> Self {
        Self(vec![path.into()])
    }
}

impl Source {
    /// What the corpus is called: the name of its first file without extensions, or the name of the folder when the
    /// file is called after its split.
    pub fn name(&self) -> String {
        let (Self::One(files) | Self::Splits { train: files, .. }) = self;
        let Some(path) = files.0.first() else { return "corpus".into() };
        if path.as_os_str() == STANDARD_INPUT {
            return "standard input".into();
        }
        let part = |p: Option<&std::ffi::OsStr>| p.map(|s| s.to_string_lossy().into_owned());
        let plain = without_compression(path);
        let stem = part(plain.file_stem()).unwrap_or_else(|| "corpus".into());
        let folder = path.parent().and_then(Path::file_name);
        if stem == "train" { part(folder).unwrap_or(stem) } else { stem }
    }

    /// The paths of all files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.all().into_iter().flat_map(|files| files.paths()).map(PathBuf::as_path)
    }

    /// The same source with relative paths below `folder`.
    pub fn below(self, folder: &Path) -> Self {
        match self {
            Self::One(files) => Self::One(files.below(folder)),
            Self::Splits { train, valid, test } => Self::Splits {
                train: train.below(folder),
                valid: valid.map(|files| files.below(folder)),
                test: test.map(|files| files.below(folder)),
            },
        }
    }

    fn all(&self) -> Vec<&Files> {
        match self {
            Self::One(files) => vec![files],
            Self::Splits { train, valid, test } => {
                [Some(train), valid.as_ref(), test.as_ref()].into_iter().flatten().collect()
            }
        }
    }
}

/// The path without `.gz` or `.zst` at its end.
fn without_compression(path: &Path) -> PathBuf {
    match extension(path).as_str() {
        "gz" | "zst" => path.with_extension(""),
        _ => path.into(),
    }
}

fn extension(path: &Path) -> String {
    path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase()
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Ok(Self::Jsonl),
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            "tsv" => Ok(Self::Tsv),
            "fasttext" => Ok(Self::FastText),
            "parquet" => Ok(Self::Parquet),
            _ => Err(format!("{name:?} is no format: csv, tsv, jsonl, json, fasttext or parquet")),
        }
    }
}

impl Format {
    /// The format that a file's name tells, `.gz` and `.zst` aside; none for other names.
    pub fn of(path: &Path) -> Option<Self> {
        match extension(&without_compression(path)).as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "ft" | "fasttext" => Some(Self::FastText),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

impl CorpusOptions {
    /// The byte between fields.
    pub(crate) fn delimiter_byte(&self, format: Format) -> u8 {
        self.delimiter.map_or(if format == Format::Tsv { b'\t' } else { b',' }, |c| c as u8)
    }

    /// Settings that contradict each other or the files.
    pub(crate) fn check(&self, source: &Source) -> Result<(), TextError> {
        let fail = |setting, value: String, bound: &str| {
            Err(TextError::Setting { setting, value, bound: bound.into() })
        };
        if let Some(c) = self.delimiter
            && (!c.is_ascii() || matches!(c, '"' | '\n' | '\r'))
        {
            return fail("delimiter", format!("{c:?}"), "must be one ASCII character, no quote or line end");
        }
        let pair = self.pair.iter().map(|column| ("pair", column));
        for (setting, column) in [("text", &self.text), ("label", &self.label)].into_iter().chain(pair) {
            if let (Column::Name(name), false) = (column, self.header) {
                return fail(setting, name.clone(), "without a header, columns are given by index");
            }
        }
        let all = source.all();
        if all.iter().filter(|files| files.reads_standard_input()).count() > 1
            || all.iter().any(|f| f.0.iter().filter(|p| p.as_os_str() == STANDARD_INPUT).count() > 1)
        {
            return fail("files", "-".into(), "standard input can be read only once");
        }
        if self.text == self.label {
            return fail("label", self.label.to_string(), "must be another column than the text");
        }
        if let Some(pair) = self.pair.as_ref().filter(|pair| [&self.text, &self.label].contains(pair)) {
            return fail("pair", pair.to_string(), "must be another column than the text and the label");
        }
        if self.limit == Some(0) {
            return fail("limit", "0".into(), "must be at least 1");
        }
        self.split.check()
    }
}

/// Read by hand, because an untagged enum would take a table with a misspelt key for one without it.
impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path, a list of paths, or a table with the paths train, valid and test")
    }

    fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<Source, E> {
        FilesVisitor.visit_str(path).map(Source::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, paths: A) -> Result<Source, A::Error> {
        FilesVisitor.visit_seq(paths).map(Source::One)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Splits {
            train: Files,
            valid: Option<Files>,
            test: Option<Files>,
        }
        let Splits { train, valid, test } = Splits::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Source::Splits { train, valid, test })
    }
}

impl<'de> Deserialize<'de> for Files {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FilesVisitor)
    }
}

struct FilesVisitor;

impl<'de> Visitor<'de> for FilesVisitor {
    type Value = Files;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path or a list of paths")
    }

    fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<Files, E> {
        Ok(path.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, paths: A) -> Result<Files, A::Error> {
        let paths = Vec::<PathBuf>::deserialize(SeqAccessDeserializer::new(paths))?;
        Files::several(paths).ok_or_else(|| serde::de::Error::custom("the list of files is empty"))
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(i) => write!(f, "{i}"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}
