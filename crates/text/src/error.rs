//! Everything that can be wrong with a corpus, an encoder or their bytes, in one list.

mod rows;

use nlpress_core::shown::counted;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use rows::{BadRows, Looks, UnseenLabel, UnseenLabels};

/// A line of a file, or a document of a list in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or the name of the list; shared by all places of a file.
    pub file: Arc<str>,
    /// The line, or the number of the document; from 1.
    pub line: u64,
}

impl Place {
    pub(crate) fn new(file: &Arc<str>, line: u64) -> Self {
        Self { file: Arc::clone(file), line }
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
    /// No format was given and the name of the file tells none.
    #[error(
        "{file}: its name does not tell the format (.jsonl, .json, .csv, .tsv, .ft or .parquet do); \
         give `--format`{}",
        guess.map_or_else(String::new, |g| format!("; it looks like `--format {g}`"))
    )]
    UnknownFormat {
        /// The file.
        file: String,
        /// The format that its first bytes look like.
        guess: Option<&'static str>,
    },
    /// This build has no reader for the format.
    #[error(
        "{file}: this build cannot read Parquet: build nlpress with `--features parquet`, or convert the file \
         to CSV or JSONL"
    )]
    NoParquet {
        /// The file.
        file: String,
    },
    /// A Parquet file that is damaged, or whose columns cannot be read.
    #[error("{file}: bad Parquet: {problem}")]
    Parquet {
        /// The file.
        file: String,
        /// The problem.
        problem: String,
    },
    /// A compressed file whose content is far larger than itself.
    #[error(
        "{file}: expands to more than {ratio} times its size, as a decompression bomb does; decompress it \
         first if it is what you want"
    )]
    Bomb {
        /// The file.
        file: String,
        /// The limit.
        ratio: u64,
    },
    /// The whole file is in an encoding that was not asked for, or in another than was.
    #[error("{file}: {problem}")]
    Encoding {
        /// The file.
        file: String,
        /// What it looks like and what to do.
        problem: String,
    },
    /// Bytes that the encoding which was asked for does not have.
    #[error("{place}: not valid {encoding}; is `--encoding {encoding}` right?")]
    Malformed {
        /// The line.
        place: Place,
        /// The encoding.
        encoding: &'static str,
    },
    /// A file without a document.
    #[error("{file} has no documents")]
    NoDocuments {
        /// The file.
        file: String,
    },
    /// A file for texts without labels that has none to learn from.
    #[error("{}: every text is empty or stands among the labelled documents", .0.display())]
    NothingNew(PathBuf),
    /// Rows that cannot be used, more than may be left out.
    #[error("{0}")]
    BadRows(BadRows),
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
    /// A quotation mark that begins a field and is never closed.
    #[error(
        "{place}: a quotation mark opens here and {what}: close it, write it twice (\"\") if it is text, or \
         read the file as `--format tsv` with its delimiter if it has no quoting"
    )]
    OpenQuote {
        /// Where the quotation mark stands.
        place: Place,
        /// How far it was looked for.
        what: String,
    },
    /// Something between a closing quotation mark and the end of its field.
    #[error(
        "{place}: text after the closing quotation mark of a field{}: a quotation mark in a quoted text is written \
         twice (\"\")",
        if *opened < place.line { format!(" that opened on line {opened}") } else { String::new() }
    )]
    AfterQuote {
        /// Where the quotation mark stands.
        place: Place,
        /// The line on which the field began.
        opened: u64,
    },
    /// A row has more or fewer fields than the first.
    #[error("{place}: {} where the first row has {expected}{hint}", counted(*found, "field"))]
    Ragged {
        /// The line.
        place: Place,
        /// Fields of the first row.
        expected: u64,
        /// Fields of this row.
        found: u64,
        /// What may be the cause.
        hint: &'static str,
    },
    /// A column that a row or the header does not have.
    #[error("{place}: no column {column}; there are: {found}{hint}")]
    MissingColumn {
        /// The line.
        place: Place,
        /// The column that was asked for.
        column: String,
        /// The columns that exist.
        found: String,
        /// What may be the cause.
        hint: String,
    },
    /// A name of a column that two columns have.
    #[error(
        "{place}: two columns are called {name}: give one by number (`{option} {}` or `{option} {}`)",
        numbers[0],
        numbers[1]
    )]
    TwoColumns {
        /// The header's line.
        place: Place,
        /// The name.
        name: String,
        /// The setting that names the column.
        option: &'static str,
        /// Their numbers, from 0.
        numbers: [usize; 2],
    },
    /// A key that a JSON object has twice.
    #[error("{place}: the object has the key {key:?} twice: which one is meant?")]
    TwoKeys {
        /// The line.
        place: Place,
        /// The key.
        key: String,
    },
    /// A line of fastText without a label.
    #[error("{0}: no `__label__`: every line of a fastText file has one")]
    NoLabel(Place),
    /// A line of fastText with several labels.
    #[error(
        "{place}: {count} labels on one line: nlpress gives a text one label; keep one of them, or train a \
         model for each label"
    )]
    SeveralLabels {
        /// The line.
        place: Place,
        /// How many.
        count: usize,
    },
    /// A label with a tab, a line end or another control character.
    #[error(
        "{place}: label {label:?} holds {what}: labels are one line of plain text; is this column the label, \
         and the delimiter the right one?"
    )]
    ControlInLabel {
        /// The line.
        place: Place,
        /// The label, cut to a readable length.
        label: String,
        /// The character's name.
        what: String,
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
    #[error("the {split} split of {corpus} is empty")]
    EmptySplit {
        /// Name of the corpus.
        corpus: String,
        /// `train`, `valid` or `test`.
        split: &'static str,
    },
    /// Labels in `valid` or `test` that no training document has.
    #[error("{0}")]
    UnseenLabels(UnseenLabels),
    /// Too few documents to train, to choose and to score.
    #[error(
        "{corpus}: {documents} documents were read ({classes}){}, too few to train, to choose between models and to \
         score them: some class needs a second and a third document (better are ten or more of each); or give files \
         of their own: `--valid FILE`, `--test FILE`",
        if different < documents {
            format!(" of {different} different texts, and copies stay together")
        } else {
            String::new()
        }
    )]
    TooFewDocuments {
        /// Name of the corpus.
        corpus: String,
        /// Documents in all.
        documents: usize,
        /// Texts among them that are no copies of each other.
        different: usize,
        /// Documents of each class.
        classes: String,
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
    /// A tokenizer that cannot be used, or that fails at a text.
    #[error("{file}: bad tokenizer: {problem}")]
    Tokenizer {
        /// The file, or what else it came from.
        file: String,
        /// The problem.
        problem: String,
    },
    /// A pair of texts, for an encoder that takes one.
    #[error("a bag of words takes one text: a pretrained encoder takes pairs")]
    Pair,
    /// Features to keep that are none, not in order or not there.
    #[error("bad features to keep: {0}")]
    Narrow(String),
    /// A feature matrix whose parts contradict each other.
    #[error("bad rows: {0}")]
    Rows(String),
}

impl TextError {
    /// Whether one row is to blame, so that the rest of its file can be read.
    pub(crate) fn is_of_a_row(&self) -> bool {
        matches!(
            self,
            Self::NotUtf8(_)
                | Self::Json { .. }
                | Self::AfterQuote { .. }
                | Self::Ragged { .. }
                | Self::MissingColumn { .. }
                | Self::TwoKeys { .. }
                | Self::WrongType { .. }
                | Self::EmptyText(_)
                | Self::EmptyLabel(_)
                | Self::NoLabel(_)
                | Self::SeveralLabels { .. }
                | Self::ControlInLabel { .. }
        )
    }
}
