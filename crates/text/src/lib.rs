#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! - [`corpus`]: documents with labels in three splits, read from JSONL, CSV or TSV, from memory, or built in.
//! - [`analyzer`]: what counts as a token of a text: words or character n-grams.
//! - [`normalize`]: one form for texts that mean the same characters.
//! - [`encoder`]: a vocabulary with weights, fitted on training text, that turns text into feature rows.
//! - [`coverage`]: how much of some texts an encoder knows.
//! - [`rows`]: the feature rows, sparse, in plain memory.

pub mod analyzer;
mod blob;
mod classes;
pub mod corpus;
mod counting;
pub mod coverage;
mod embedded;
pub mod encoder;
pub mod error;
mod index;
pub mod normalize;
pub mod rows;
pub mod stop_words;
#[allow(dead_code)] // what tokenizers use of it comes with them
mod token_rows;

pub use analyzer::{Analyzer, Boundaries};
pub use corpus::{
    Column, Corpus, CorpusOptions, Document, Files, Format, Scoring, Source, SplitRule, TextEncoding, Texts,
};
pub use coverage::Coverage;
pub use embedded::embed;
pub use encoder::{Counts, Encoder, EncoderConfig, Scratch, Seen, Weighting};
pub use error::{Place, TextError};
pub use rows::{Row, Rows};
pub use stop_words::StopWords;
pub use token_rows::{MAX_TOKENS, TokenRow, TokenRows};
