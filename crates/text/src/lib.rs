#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! - [`corpus`]: documents with labels in three splits, read from JSONL, CSV or TSV, from memory, or built in.
//! - [`analyzer`]: what counts as a token of a text: words or character n-grams.
//! - [`normalize`]: one form for texts that mean the same characters.
//! - [`encoder`]: a vocabulary with weights, fitted on training text, that turns text into feature rows.
//! - [`tokens`]: a tokenizer, opened or learned, that turns text into token ids.
//! - [`input`]: what is encoded as one example, a text or a pair of texts.
//! - [`encode`]: what both encoders can do, and an encoder of either kind.
//! - [`coverage`]: how much of some texts an encoder knows.
//! - [`rows`]: feature rows, sparse, in plain memory.
//! - [`token_rows`]: rows of token ids, ragged, in plain memory.
//! - [`examples`]: rows of either kind.

pub mod analyzer;
mod blob;
mod classes;
mod coding;
pub mod corpus;
mod counting;
pub mod coverage;
mod embedded;
pub mod encode;
pub mod encoder;
pub mod error;
pub mod examples;
mod index;
pub mod input;
mod label;
pub mod normalize;
mod offsets;
pub mod rows;
pub mod stop_words;
pub mod token_rows;
pub mod tokens;

pub use analyzer::{Analyzer, Boundaries};
pub use corpus::{
    Column, Corpus, CorpusOptions, Document, Files, Format, Scoring, Source, SplitRule, TextEncoding, Texts,
};
pub use coverage::{Coverage, Seen};
pub use embedded::embed;
pub use encode::{AnyEncoder, AnyScratch, Encode, EncoderPlan, EncoderTable};
pub use encoder::{BagEncoder, Counts, EncoderConfig, Scratch, Weighting};
pub use error::{Place, TextError};
pub use examples::{Example, Examples, ExamplesRef};
pub use input::{AsInput, TextInput};
pub use rows::{Row, Rows};
pub use stop_words::StopWords;
pub use token_rows::{TokenRow, TokenRows};
pub use tokens::{Algorithm, TokenEncoder, TokenScratch, TokensConfig, TokensTable};
