//! The settings of a tokenizer, and their bounds.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

use crate::error::TextError;

/// Longest row, in tokens.
pub const MAX_LENGTH: usize = 1 << 16;
/// Largest vocabulary that is learned.
const MAX_LEARNED: usize = 1 << 20;
/// Smallest vocabulary that is learned: the special tokens, and room for some more.
const MIN_LEARNED: usize = 16;
/// Smallest vocabulary of BPE: the special tokens and every byte.
const MIN_BYTES: usize = 5 + 256;

/// How words are cut into pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// The longest piece first, from the left; a word without pieces is unknown (Wu et al. 2016; BERT).
    #[default]
    Wordpiece,
    /// Pairs of pieces are joined in the order of their frequency in training, from bytes on (Sennrich et al. 2016).
    Bpe,
    /// The most probable pieces (Kudo 2018; SentencePiece).
    Unigram,
    /// Whole words.
    Words,
}

/// A tokenizer as a configuration file writes it: a file to open, or how to learn one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokensTable {
    /// A `tokenizer.json` to open; then nothing is learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// How words are cut; `wordpiece` where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// Tokens at most, 8000 where it is not given; special tokens are among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<usize>,
    /// Whether upper case counts as lower case; it does where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lowercase: Option<bool>,
    /// Words, and pairs that are joined, occur at least so often in the training texts; 2 where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_count: Option<u64>,
    /// Most tokens of a row, special ones among them; 128 where it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<usize>,
}

/// A checked [`TokensTable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokensConfig {
    /// Opens a file.
    Open {
        /// A `tokenizer.json`.
        file: PathBuf,
        /// Most tokens of a row.
        max_tokens: usize,
    },
    /// Learns a vocabulary.
    Learn(Learn),
}

/// How a vocabulary is learned; within its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learn {
    pub(super) algorithm: Algorithm,
    pub(super) vocabulary: usize,
    pub(super) lowercase: bool,
    pub(super) min_count: u64,
    pub(super) max_tokens: usize,
}

impl TryFrom<&TokensTable> for TokensConfig {
    type Error = TextError;

    fn try_from(table: &TokensTable) -> Result<Self, TextError> {
        let TokensTable { file, algorithm, vocabulary, lowercase, min_count, max_tokens } = table;
        let max_tokens = within("max_tokens", max_tokens.unwrap_or(128), 3, MAX_LENGTH)?;
        let Some(file) = file else {
            let algorithm = algorithm.unwrap_or_default();
            let least = if algorithm == Algorithm::Bpe { MIN_BYTES } else { MIN_LEARNED };
            let vocabulary = within("vocabulary", vocabulary.unwrap_or(8000), least, MAX_LEARNED)?;
            let min_count = within("min_count", min_count.unwrap_or(2), 1, u64::from(u32::MAX))?;
            let lowercase = lowercase.unwrap_or(true);
            return Ok(Self::Learn(Learn { algorithm, vocabulary, lowercase, min_count, max_tokens }));
        };
        let given = [
            ("algorithm", algorithm.map(|of| format!("{of:?}").to_lowercase())),
            ("vocabulary", vocabulary.map(|n| n.to_string())),
            ("lowercase", lowercase.map(|yes| yes.to_string())),
            ("min_count", min_count.map(|n| n.to_string())),
        ];
        match given.into_iter().find_map(|(setting, value)| Some((setting, value?))) {
            Some((setting, value)) => {
                let bound = format!("is for a vocabulary that is learned, not for {}", file.display());
                Err(TextError::Setting { setting, value, bound })
            }
            None => Ok(Self::Open { file: file.clone(), max_tokens }),
        }
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    setting: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<T, TextError> {
    if value < least || value > most {
        let bound = format!("must lie between {least} and {most}");
        return Err(TextError::Setting { setting, value: value.to_string(), bound });
    }
    Ok(value)
}
