//! Where a corpus comes from and how its files are to be read.

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::TextError;

/// The files of a corpus: written as one path, or as a table with the keys `train`, `valid` and `test`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Source {
    /// One file, split by [`SplitRule`].
    One(PathBuf),
    /// A file for each split.
    Splits {
        /// Training documents.
        train: PathBuf,
        /// Documents to choose models by.
        valid: Option<PathBuf>,
        /// Documents to score models by.
        test: Option<PathBuf>,
    },
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with quotes (RFC 4180); a quoted field may span lines.
    Csv,
    /// Tab-separated values without quoting: a quotation mark is text like any other.
    Tsv,
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
    /// How the files are written; by their extension (`.jsonl`, `.ndjson`, `.csv`, `.tsv`) when not given.
    pub format: Option<Format>,
    /// The column of the text.
    pub text: Column,
    /// The column of the label: a string, an integer or a truth value.
    pub label: Column,
    /// Whether the first line of CSV and TSV holds names. Without, columns must be given by index.
    pub header: bool,
    /// The byte between fields of CSV and TSV, when it is not the usual one.
    pub delimiter: Option<char>,
    /// How one file is split; files for each split do not use it.
    pub split: SplitRule,
    /// Documents in each split at most, for quick runs. Every class keeps its share (largest remainders, and
    /// at least one document); within a class those stay whose texts have the smallest hashes, so a smaller
    /// limit takes from what a larger one took, and the order stays as it was.
    pub limit: Option<usize>,
    /// Longest line (or quoted CSV record) in bytes.
    pub max_line_bytes: u64,
    /// Largest file in bytes.
    pub max_file_bytes: u64,
}

impl Default for CorpusOptions {
    fn default() -> Self {
        Self {
            format: None,
            text: Column::Name("text".into()),
            label: Column::Name("label".into()),
            header: true,
            delimiter: None,
            split: SplitRule::default(),
            limit: None,
            max_line_bytes: 16 << 20,
            max_file_bytes: 4 << 30,
        }
    }
}

/// Splits documents by a hash of their text, so that a document falls into the same split in every corpus, on
/// every machine, and duplicates stay together.
///
/// Bucket = the first 8 bytes of SHA-256 of the text with its ends trimmed, as a big-endian number, modulo 100.
/// The first `train` buckets are training documents, the next `valid` validation, the next `test` test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitRule {
    /// Percentage of training documents.
    pub train: u8,
    /// Percentage of validation documents.
    pub valid: u8,
    /// Percentage of test documents.
    pub test: u8,
}

impl Default for SplitRule {
    /// 80, 10 and 10 per cent.
    fn default() -> Self {
        Self { train: 80, valid: 10, test: 10 }
    }
}

impl SplitRule {
    /// The split of a text: 0 for train, 1 for valid, 2 for test.
    pub fn split_of(self, text: &str) -> usize {
        let digest = Sha256::digest(text.trim().as_bytes());
        let bucket = digest[..8].iter().fold(0, |n, &b| (n << 8) | u64::from(b)) % 100;
        match bucket {
            b if b < u64::from(self.train) => 0,
            b if b < u64::from(self.train) + u64::from(self.valid) => 1,
            _ => 2,
        }
    }

    /// Checks the percentages.
    ///
    /// # Errors
    /// [`TextError::Setting`] when there is nothing to train on or the parts do not make 100.
    pub fn check(self) -> Result<(), TextError> {
        let sum = u32::from(self.train) + u32::from(self.valid) + u32::from(self.test);
        if sum != 100 || self.train == 0 {
            return Err(TextError::Setting {
                setting: "split",
                value: format!("{}/{}/{}", self.train, self.valid, self.test),
                bound: "train, valid and test must make 100 per cent, and train must not be 0".into(),
            });
        }
        Ok(())
    }

    /// Which splits must have documents.
    pub(crate) fn wanted(self) -> [bool; 3] {
        [true, self.valid > 0, self.test > 0]
    }
}

impl Source {
    /// The stem of the file, or the name of the folder when the file is called after its split.
    pub(crate) fn name(&self) -> String {
        let (Self::One(path) | Self::Splits { train: path, .. }) = self;
        let part = |p: Option<&std::ffi::OsStr>| p.map(|s| s.to_string_lossy().into_owned());
        let stem = part(path.file_stem()).unwrap_or_else(|| "corpus".into());
        let folder = path.parent().and_then(Path::file_name);
        if stem == "train" { part(folder).unwrap_or(stem) } else { stem }
    }
}

impl Format {
    /// The format that a file's extension names.
    ///
    /// # Errors
    /// [`TextError::UnknownFormat`] for any other extension.
    pub fn of(path: &Path) -> Result<Self, TextError> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        match extension.as_str() {
            "jsonl" | "ndjson" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            "tsv" => Ok(Self::Tsv),
            _ => Err(TextError::UnknownFormat(path.into())),
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
        for (setting, column) in [("text", &self.text), ("label", &self.label)] {
            if let (Column::Name(name), false) = (column, self.header) {
                return fail(setting, name.clone(), "without a header, columns are given by index");
            }
        }
        if self.text == self.label {
            return fail("label", self.label.to_string(), "must be another column than the text");
        }
        if self.limit == Some(0) {
            return fail("limit", "0".into(), "must be at least 1");
        }
        if matches!(source, Source::One(_)) {
            self.split.check()?;
        }
        Ok(())
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
        f.write_str("a path, or a table with the paths train, valid and test")
    }

    fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<Source, E> {
        Ok(Source::One(path.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Splits {
            train: PathBuf,
            valid: Option<PathBuf>,
            test: Option<PathBuf>,
        }
        let Splits { train, valid, test } = Splits::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Source::Splits { train, valid, test })
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
