//! Everything that can be wrong with a corpus, an encoder or their bytes, in one list.

use std::fmt;
use std::path::{Path, PathBuf};

/// A line of a file, or a document of a list in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or the name of the list.
    pub file: String,
    /// The line, or the number of the document; from 1.
    pub line: u64,
}

impl Place {
    pub(crate) fn new(path: &Path, line: u64) -> Self {
        Self { file: path.display().to_string(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Text, labels, settings or bytes that this crate refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The file system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No format was given and the extension names none.
    #[error("{}: cannot tell the format from the extension: expected .jsonl, .csv or .tsv", .0.display())]
    UnknownFormat(PathBuf),
    /// The file is larger than the limit.
    #[error("{}: larger than the limit of {limit} bytes", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A line, or a quoted CSV record, is longer than the limit.
    #[error("{place}: line longer than the limit of {limit} bytes")]
    LineTooLong {
        /// Where it begins.
        place: Place,
        /// The limit in bytes.
        limit: u64,
    },
    /// Bytes that are not UTF-8.
    #[error("{0}: not valid UTF-8")]
    NotUtf8(Place),
    /// A line that is not a JSON object.
    #[error("{place}: not a JSON object: {problem}")]
    Json {
        /// The line.
        place: Place,
        /// What the parser says.
        problem: String,
    },
    /// A record that is not CSV.
    #[error("{place}: bad CSV: {problem}")]
    Csv {
        /// The line.
        place: Place,
        /// What the parser says.
        problem: String,
    },
    /// A row has more or fewer fields than the first.
    #[error("{place}: {found} fields where the first row has {expected}")]
    Ragged {
        /// The line.
        place: Place,
        /// Fields of the first row.
        expected: u64,
        /// Fields of this row.
        found: u64,
    },
    /// A column that a row or the header does not have.
    #[error("{place}: no column {column}; there are: {found}")]
    MissingColumn {
        /// The line.
        place: Place,
        /// The column that was asked for.
        column: String,
        /// The columns that exist.
        found: String,
    },
    /// A JSON value of a type that cannot be a text or a label.
    #[error("{place}: column {column} holds {found}, expected {expected}")]
    WrongType {
        /// The line.
        place: Place,
        /// The column.
        column: String,
        /// What is there.
        found: String,
        /// What may be there.
        expected: &'static str,
    },
    /// A text of nothing but white space.
    #[error("{0}: empty text")]
    EmptyText(Place),
    /// A label of nothing but white space.
    #[error("{0}: empty label")]
    EmptyLabel(Place),
    /// More classes than a corpus may have.
    #[error(
        "{place}: label {label:?} would be class number {limit} and more than {limit} are not allowed; is this column a label?"
    )]
    TooManyClasses {
        /// Where the label that is one too many stands.
        place: Place,
        /// That label.
        label: String,
        /// The limit.
        limit: usize,
    },
    /// The training split has one class only.
    #[error("{corpus}: every training document has the label {label:?}: at least two classes are needed")]
    OneClass {
        /// Name of the corpus.
        corpus: String,
        /// The only label.
        label: String,
    },
    /// A split without documents.
    #[error("the {split} split of {corpus} is empty{hint}")]
    EmptySplit {
        /// Name of the corpus.
        corpus: String,
        /// `train`, `valid` or `test`.
        split: &'static str,
        /// What may help.
        hint: &'static str,
    },
    /// A label in `valid` or `test` that no training document has.
    #[error("{place}: label {label:?} of the {split} split never occurs in the training split")]
    UnseenLabel {
        /// The first document with it.
        place: Place,
        /// The label.
        label: String,
        /// `valid` or `test`.
        split: &'static str,
    },
    /// A setting outside its bounds.
    #[error("{setting} = {value}: {bound}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        bound: String,
    },
    /// No token is frequent enough to be a feature.
    #[error(
        "the vocabulary is empty: no token occurs in at least {min_documents} of the {documents} training documents{hint}"
    )]
    EmptyVocabulary {
        /// The minimum.
        min_documents: u32,
        /// Number of documents.
        documents: u32,
        /// What may help.
        hint: &'static str,
    },
    /// Stop words that cannot be read, or that are no words.
    #[error("{place}: {problem}")]
    StopWords {
        /// The file, with its line where there is one, or the number of the word in a list.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// More distinct tokens, or documents, than an encoder counts.
    #[error("more than {limit} {what} while fitting the encoder")]
    TooMany {
        /// `distinct tokens` or `documents`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The description of an encoder is not one.
    #[error("bad encoder description: {0}")]
    Description(String),
    /// Bytes of a vocabulary or of an embedded corpus that cannot be what they claim.
    #[error("bad {what} at byte {at}: {problem}")]
    Blob {
        /// `vocabulary` or `embedded corpus`.
        what: &'static str,
        /// Offset of the problem.
        at: usize,
        /// The problem.
        problem: String,
    },
    /// Features to keep that are none, not in order or not there.
    #[error("bad features to keep: {0}")]
    Narrow(String),
    /// A feature matrix whose parts contradict each other.
    #[error("bad rows: {0}")]
    Rows(String),
}
