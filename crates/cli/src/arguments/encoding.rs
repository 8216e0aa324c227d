//! How texts become numbers, and the network on them.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

use super::values::{dropout, widths};
use super::{Tokens, Widths};

/// What encodes texts, and the network that is trained on it.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Encoding {
    /// What texts become: a bag of words, or tokens of a vocabulary that is learned from the training documents.
    #[arg(long, default_value = "bag", value_name = "KIND")]
    pub(crate) encoder: EncoderKind,
    /// A `tokenizer.json` that cuts texts into tokens, in place of a vocabulary that is learned.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["encoder", "vocabulary"])]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Largest vocabulary; 1000 words, or 8000 tokens, when not given. With --hashed, the number of buckets.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) vocabulary: Option<usize>,
    /// Tokens of a text that are read, special ones among them; 128 when not given. For tokens.
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
    /// Widths of the hidden layers, separated by commas; `none` for a linear model. 128,64 for a bag of words when not
    /// given. For tokens 64: the first is the width of their embeddings, whose mean goes through the others.
    #[arg(long, value_name = "WIDTHS", value_parser = widths)]
    pub(crate) hidden: Option<Widths>,
    /// Layers of attention among the tokens, as BERT has them, in place of hidden layers. For tokens.
    #[arg(long, value_name = "N", conflicts_with = "hidden")]
    pub(crate) layers: Option<usize>,
    /// Numbers of a token between layers of attention; their feed-forward blocks are four times as wide.
    #[arg(long, default_value_t = 64, value_name = "N", requires = "layers")]
    pub(crate) width: usize,
    /// Attention heads of a layer; a divisor of the width.
    #[arg(long, default_value_t = 4, value_name = "N", requires = "layers")]
    pub(crate) heads: usize,
    /// Dropout rate after each hidden layer, or of attention and feed-forward blocks; 0.5, and 0.1 of attention, when
    /// not given.
    #[arg(long, value_name = "RATE", value_parser = dropout, allow_negative_numbers = true)]
    pub(crate) dropout: Option<f64>,
    /// Count a word that a text repeats by the logarithm of its count: 1 + ln(count). For a bag of words.
    #[arg(long)]
    pub(crate) sublinear: bool,
    /// Hash words into --vocabulary buckets, of which no list is stored, and count them without inverse document
    /// frequencies. For a bag of words.
    #[arg(long)]
    pub(crate) hashed: bool,
    #[command(flatten)]
    pub(crate) tokens: Tokens,
}

/// What texts become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EncoderKind {
    /// How often each word of a vocabulary occurs, weighted.
    Bag,
    /// Pieces of words, the longest first (BERT).
    Wordpiece,
    /// Bytes, joined in the order of the frequency of pairs (GPT-2).
    Bpe,
    /// The most probable pieces (SentencePiece).
    Unigram,
    /// Whole words.
    Words,
}

impl Tokens {
    /// The first option of these that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let Self { ngrams, within_words, word_ngrams, symbols, stop_words, boundaries } = self;
        let given = [
            ("--ngrams", ngrams.is_some()),
            ("--within-words", *within_words),
            ("--word-ngrams", word_ngrams.is_some()),
            ("--symbols", *symbols),
            ("--stop-words", stop_words.is_some()),
            ("--boundaries", boundaries.is_some()),
        ];
        given.into_iter().find_map(|(name, given)| given.then_some(name))
    }
}
