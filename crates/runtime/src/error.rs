//! Why a session cannot be opened, or cannot answer.

use nlpress_artifact::ArtifactError;
use nlpress_core::shown::counted;
use nlpress_text::TextError;

/// Most threads that a session may be asked to use.
pub(crate) const MOST_THREADS: usize = 1024;

/// A session cannot be opened, or a question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// What is wrong with a file whose artifact is whole in itself.
    #[error("{file}: {error}")]
    In {
        /// The file.
        file: String,
        /// The fault.
        #[source]
        error: Box<RuntimeError>,
    },
    /// The artifact is not one.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The artifact's encoder is damaged.
    #[error("the artifact's encoder is damaged: {0}")]
    Encoder(#[from] TextError),
    /// The encoder makes rows that the network does not take.
    #[error(
        "the artifact's encoder makes rows of {}, but its network takes {network}",
        counted(*encoder, "feature")
    )]
    Width {
        /// Features of a row of the encoder.
        encoder: usize,
        /// Inputs of the network.
        network: usize,
    },
    /// A text cannot be made tokens of.
    #[error("the text cannot be encoded: {0}")]
    Text(#[source] TextError),
    /// Feature rows, or an encoder that makes them, for a network of tokens.
    #[error("the artifact's network takes tokens, not feature rows")]
    TakesTokens,
    /// Tokens, or an encoder that makes them, for a network of feature rows.
    #[error("the artifact's network takes feature rows, not tokens")]
    TakesRows,
    /// The vocabulary of tokens is another than the network's.
    #[error("the tokens are of a vocabulary of {found}, the network's has {expected}")]
    Vocabulary {
        /// Its size.
        found: usize,
        /// That of the network's.
        expected: usize,
    },
    /// The tokenizer makes rows that the network does not take.
    #[error(
        "the artifact's tokenizer makes texts of up to {encoder} {what}, but its network takes {network}"
    )]
    Tokenizer {
        /// What there is too much of.
        what: &'static str,
        /// That of the tokenizer.
        encoder: usize,
        /// That of the network.
        network: usize,
    },
    /// A class was asked for, and the network makes embeddings.
    #[error("the artifact's network makes embeddings: it names no class")]
    NoClasses,
    /// A text has tokens that the network does not take.
    #[error("text {row} {why}")]
    Tokens {
        /// Which of the texts, counted from 0.
        row: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Rows have another width than the network takes.
    #[error("the rows have {}, but the network takes {expected}", counted(*found, "feature"))]
    Rows {
        /// Their width.
        found: usize,
        /// Inputs of the network.
        expected: usize,
    },
    /// A row has a column that the network does not have.
    #[error("the row has column {column}, but the network takes {}", counted(*inputs, "feature"))]
    Column {
        /// The column.
        column: u32,
        /// Inputs of the network.
        inputs: usize,
    },
    /// The columns of a row do not ascend.
    #[error("the columns of a row must ascend, each once")]
    Order,
    /// The words that decided cannot be told.
    #[error(
        "which words decided can be told of feature rows that go through linear or hidden layers, not of attention, \
         tokens or hashed words"
    )]
    NotExplained,
    /// A slice has the wrong length.
    #[error("{what} has {}, expected {expected}", counted(*found, "entry"))]
    Length {
        /// Which slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that fits.
        expected: usize,
    },
    /// A logit is infinite or undefined: the numbers of the model are too large to be computed with in single
    /// precision. Nothing is said in its place.
    #[error("logit {class} of row {row} is {value}: the model's numbers are too large to compute with")]
    NotFinite {
        /// Which of the rows or texts, counted from 0.
        row: usize,
        /// Which logit, counted from 0.
        class: usize,
        /// What it came to.
        value: f32,
    },
    /// A number of threads out of bounds.
    #[error("{0} threads asked for, expected 1 to {most}", most = MOST_THREADS)]
    Threads(usize),
    /// The system does not give the threads.
    #[error("cannot start {}: {reason}", counted(*threads, "thread"))]
    Pool {
        /// Threads asked for.
        threads: usize,
        /// What the system said.
        reason: String,
    },
}

impl RuntimeError {
    /// The same for a row that was looked at by itself and is one of several, counted from 0.
    #[must_use]
    pub fn in_row(self, row: usize) -> Self {
        match self {
            Self::NotFinite { class, value, .. } => Self::NotFinite { row, class, value },
            other => other,
        }
    }

    /// The same, of that file.
    pub(crate) fn of(self, file: &str) -> Self {
        Self::In { file: file.to_owned(), error: Box::new(self) }
    }

    /// The same where so many rows come before those that were looked at.
    pub(crate) fn after(self, rows: usize) -> Self {
        match self {
            Self::NotFinite { row, .. } => self.in_row(rows + row),
            other => other,
        }
    }

    /// Whether the system failed, rather than that the file or the question is one that nobody could accept.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::In { error, .. } => error.is_failure(),
            Self::Artifact(error) => error.is_failure(),
            Self::Pool { .. } => true,
            _ => false,
        }
    }
}
