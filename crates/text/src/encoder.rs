//! A bag of words: a vocabulary with weights, fitted on training text, that turns text into feature rows.
//!
//! Feature `i` is word `i` of the vocabulary in byte order, so the words can be stored by their shared prefixes
//! ([`Encoder::to_parts`]). An encoder that was written and read back gives the same bits.

use hashbrown::HashTable;
use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};
use std::hash::Hasher;

use crate::analyzer::{Analyzer, Buffer};
use crate::blob::{self, Reader};
use crate::error::TextError;
use crate::rows::{Row, Rows, check_kept};

/// Largest vocabulary.
pub const MAX_VOCABULARY: usize = 1 << 24;
/// Most distinct tokens that [`Encoder::fit`] counts.
pub const MAX_DISTINCT: usize = 1 << 25;

/// How a bag of words is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderConfig {
    /// What a token is.
    pub analyzer: Analyzer,
    /// What the value of a token is.
    pub weighting: Weighting,
    /// Uses `1 + ln(count)` in place of the count; not for [`Weighting::Binary`], which has no counts.
    pub sublinear: bool,
    /// Scales every row to Euclidean length 1.
    pub l2: bool,
    /// Number of features at most: the tokens that occur in the most training documents, and of equally
    /// frequent ones the first in byte order.
    pub vocabulary: usize,
    /// Tokens in fewer training documents are no features.
    pub min_documents: u32,
}

impl Default for EncoderConfig {
    /// 1000 words, tf-idf, Euclidean length 1.
    fn default() -> Self {
        Self {
            analyzer: Analyzer::default(),
            weighting: Weighting::TfIdf,
            sublinear: false,
            l2: true,
            vocabulary: 1000,
            min_documents: 1,
        }
    }
}

/// The value of a token that occurs in a text (one that does not is zero).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// One.
    Binary,
    /// How often it occurs.
    Count,
    /// How often it occurs, times `ln((1 + n) / (1 + df)) + 1` with `n` training documents of which `df` have
    /// the token (scikit-learn's smooth inverse document frequency).
    TfIdf,
}

/// A fitted bag of words.
#[derive(Clone, Debug)]
pub struct Encoder {
    config: EncoderConfig,
    documents: u32,
    words: Vec<Box<str>>,
    /// Documents with each word; empty unless the weighting is tf-idf.
    frequencies: Vec<u32>,
    /// Weight of each word; empty unless the weighting is tf-idf.
    idf: Vec<f32>,
    index: HashTable<u32>,
}

/// Buffers that [`Encoder::encode`] reuses from text to text. One serves any number of encoders.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    buffer: Buffer,
    tally: Vec<u32>, // all zero between calls
    columns: Vec<u32>,
    counts: Vec<u32>,
    values: Vec<f32>,
    seen: Seen,
}

/// What an encoder saw of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Tokens that the analyzer made.
    pub tokens: usize,
    /// Those that the vocabulary has.
    pub known: usize,
    /// What the analyzer dropped.
    pub dropped: usize,
}

impl Scratch {
    /// What the encoder saw of the text that it encoded last.
    pub fn seen(&self) -> Seen {
        self.seen
    }
}

/// Which words of the vocabulary a text has, and how often: `columns[i]` occurs `counts[i]` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts<'a> {
    /// Features, ascending.
    pub columns: &'a [u32],
    /// As many counts, at least 1.
    pub counts: &'a [u32],
}

/// What the artifact says of an encoder beside the blob.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    version: u32,
    config: EncoderConfig,
    documents: u32,
}

const VERSION: u32 = 1;

impl EncoderConfig {
    /// Checks the bounds of its settings.
    ///
    /// # Errors
    /// [`TextError::Setting`] naming the setting, its value and the bound.
    pub fn check(&self) -> Result<(), TextError> {
        self.analyzer.check()?;
        if !(1..=MAX_VOCABULARY).contains(&self.vocabulary) {
            return Err(TextError::Setting {
                setting: "vocabulary",
                value: self.vocabulary.to_string(),
                bound: format!("must lie between 1 and {MAX_VOCABULARY}"),
            });
        }
        if self.min_documents == 0 {
            return Err(TextError::Setting {
                setting: "min_documents",
                value: "0".into(),
                bound: "must be at least 1".into(),
            });
        }
        if self.sublinear && self.weighting == Weighting::Binary {
            return Err(TextError::Setting {
                setting: "sublinear",
                value: "true".into(),
                bound: "does nothing with binary weights".into(),
            });
        }
        Ok(())
    }
}

impl Encoder {
    /// Chooses the vocabulary and the weights from training texts.
    ///
    /// # Errors
    /// [`TextError::Setting`] for a bad configuration, [`TextError::EmptyVocabulary`] when no token is frequent
    /// enough, [`TextError::TooMany`] past [`MAX_DISTINCT`] distinct tokens or `u32::MAX - 1` documents.
    pub fn fit<'a>(
        config: &EncoderConfig,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, TextError> {
        config.check()?;
        let (documents, mut tokens) = count(config.analyzer, texts)?;
        tokens.retain(|(_, frequency)| *frequency >= config.min_documents);
        // Frequent first; equally frequent in byte order.
        tokens.sort_unstable_by(|(a, fa), (b, fb)| fb.cmp(fa).then_with(|| a.cmp(b)));
        tokens.truncate(config.vocabulary);
        if tokens.is_empty() {
            return Err(TextError::EmptyVocabulary { min_documents: config.min_documents, documents });
        }
        tokens.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let (words, frequencies) = tokens.into_iter().unzip();
        Ok(Self::assemble(config.clone(), documents, words, frequencies))
    }

    /// The configuration it was fitted with.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Number of features: the length of the vocabulary, which may be less than the configured limit.
    pub fn width(&self) -> usize {
        self.words.len()
    }

    /// The vocabulary: feature `i` is word `i`; in byte order.
    pub fn words(&self) -> &[Box<str>] {
        &self.words
    }

    /// Number of training documents.
    pub fn documents(&self) -> u32 {
        self.documents
    }

    /// The feature of a token.
    pub fn position(&self, token: &str) -> Option<usize> {
        let found = self.index.find(hash(token), |&i| *self.words[i as usize] == *token);
        found.map(|&i| i as usize)
    }

    /// Turns a text into a feature row, which lies in `scratch` until the next call. A text without any word of
    /// the vocabulary gives an empty row. Allocates nothing once `scratch` has grown.
    pub fn encode<'s>(&self, text: &str, scratch: &'s mut Scratch) -> Row<'s> {
        self.tally(text, scratch);
        let Scratch { columns, counts, values, .. } = scratch;
        values.clear();
        let mut squares = 0.0;
        for (&column, &count) in columns.iter().zip(&*counts) {
            let value = self.value(column as usize, count);
            squares += f64::from(value) * f64::from(value);
            values.push(value);
        }
        if self.config.l2 && squares > 0.0 {
            let scale = squares.sqrt().recip();
            for value in values.iter_mut() {
                *value = (f64::from(*value) * scale) as f32;
            }
        }
        Row { columns, values }
    }

    /// Counts the words of a text, in whole numbers alone. Allocates nothing once `scratch` has grown.
    pub fn count<'s>(&self, text: &str, scratch: &'s mut Scratch) -> Counts<'s> {
        self.tally(text, scratch);
        Counts { columns: &scratch.columns, counts: &scratch.counts }
    }

    fn tally(&self, text: &str, scratch: &mut Scratch) {
        let Scratch { buffer, tally, columns, counts, seen, .. } = scratch;
        *seen = Seen::default();
        if tally.len() < self.width() {
            tally.resize(self.width(), 0);
        }
        columns.clear();
        self.config.analyzer.tokens(text, buffer, |token| {
            seen.tokens += 1;
            if let Some(i) = self.position(token) {
                if tally[i] == 0 {
                    columns.push(i as u32);
                }
                seen.known += 1;
                tally[i] = tally[i].saturating_add(1);
            }
        });
        columns.sort_unstable();
        counts.clear();
        counts.extend(columns.iter().map(|&column| std::mem::take(&mut tally[column as usize])));
    }

    /// Turns every text into a row: `[texts, width]`.
    pub fn encode_all<S: AsRef<str>>(&self, texts: &[S]) -> Rows {
        let mut rows = Rows::empty(self.width());
        let mut scratch = Scratch::default();
        for text in texts {
            rows.push(self.encode(text.as_ref(), &mut scratch));
        }
        rows
    }

    /// The same encoder with some of its features only: those at the positions `keep`, which get new positions in
    /// the same order.
    ///
    /// Their document frequencies, and so their weights, stay as they were fitted. A text is encoded by the kept
    /// words alone; with `l2` its row has length 1 over those.
    ///
    /// # Errors
    /// [`TextError::Narrow`] when no position is given, they do not strictly ascend, or one is not below
    /// [`width`](Self::width).
    pub fn narrow(&self, keep: &[u32]) -> Result<Self, TextError> {
        check_kept(keep, self.width())?;
        let words = keep.iter().map(|&i| self.words[i as usize].clone()).collect();
        let frequencies = match self.frequencies.is_empty() {
            true => Vec::new(),
            false => keep.iter().map(|&i| self.frequencies[i as usize]).collect(),
        };
        Ok(Self::assemble(self.config.clone(), self.documents, words, frequencies))
    }

    /// Its written form: a JSON description (a few settings) and the vocabulary as bytes.
    pub fn to_parts(&self) -> (serde_json::Value, Vec<u8>) {
        let description =
            Description { version: VERSION, config: self.config.clone(), documents: self.documents };
        let json = serde_json::to_value(description).expect("a struct of plain fields is always JSON");
        (json, self.blob())
    }

    /// Reads the written form back.
    ///
    /// # Errors
    /// [`TextError::Description`], [`TextError::Setting`] or [`TextError::Blob`]: the parts may come from a
    /// stranger, and nothing in them is believed unchecked.
    pub fn from_parts(description: &serde_json::Value, blob: &[u8]) -> Result<Self, TextError> {
        let Description { version, config, documents } =
            Description::deserialize(description).map_err(|e| TextError::Description(e.to_string()))?;
        if version != VERSION {
            return Err(TextError::Description(format!("version {version}, this build reads {VERSION}")));
        }
        config.check()?;
        let mut reader = Reader::new("vocabulary", blob);
        let words = reader.words()?;
        if words.is_empty() || words.len() > config.vocabulary {
            return reader.fail(format!("{} words, expected 1 to {}", words.len(), config.vocabulary));
        }
        let mut frequencies = Vec::new();
        if config.weighting == Weighting::TfIdf {
            let least = reader.varint(documents)?;
            if least == 0 {
                return reader.fail("a word that no document has");
            }
            frequencies.reserve_exact(words.len());
            for _ in 0..words.len() {
                frequencies.push(least + reader.varint(documents - least)?);
            }
        }
        reader.end()?;
        Ok(Self::assemble(config, documents, words, frequencies))
    }

    /// Bytes that the vocabulary takes in the artifact.
    pub fn vocabulary_bytes(&self) -> usize {
        self.blob().len()
    }

    fn blob(&self) -> Vec<u8> {
        let mut out = Vec::new();
        blob::push_words(&mut out, self.words.iter().map(|w| &**w));
        if let Some(&least) = self.frequencies.iter().min() {
            blob::push_varint(&mut out, least);
            for frequency in &self.frequencies {
                blob::push_varint(&mut out, frequency - least);
            }
        }
        out
    }

    fn assemble(
        config: EncoderConfig,
        documents: u32,
        words: Vec<Box<str>>,
        mut frequencies: Vec<u32>,
    ) -> Self {
        if config.weighting != Weighting::TfIdf {
            frequencies.clear();
        }
        let n = 1.0 + f64::from(documents);
        let idf = frequencies.iter().map(|&f| ((n / (1.0 + f64::from(f))).ln() + 1.0) as f32).collect();
        let mut index = HashTable::with_capacity(words.len());
        for (i, word) in words.iter().enumerate() {
            index.insert_unique(hash(word), i as u32, |&j| hash(&words[j as usize]));
        }
        Self { config, documents, words, frequencies, idf, index }
    }

    /// The value of word number `word` in a text that has it so often, before the row is scaled.
    ///
    /// # Panics
    /// When there is no such word.
    pub fn value(&self, word: usize, count: u32) -> f32 {
        let term = if self.config.sublinear { 1.0 + (count as f32).ln() } else { count as f32 };
        match self.config.weighting {
            Weighting::Binary => 1.0,
            Weighting::Count => term,
            Weighting::TfIdf => term * self.idf[word],
        }
    }
}

fn hash(token: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(token.as_bytes());
    hasher.finish()
}

/// Number of documents, and every distinct token with the number of documents that have it; in no order.
#[allow(clippy::type_complexity)] // a pair of a number and a list of pairs needs no name of its own
fn count<'a>(
    analyzer: Analyzer,
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<(u32, Vec<(Box<str>, u32)>), TextError> {
    struct Seen {
        token: Box<str>,
        documents: u32,
        last: u32,
    }
    let mut seen: Vec<Seen> = Vec::new();
    let mut index: HashTable<u32> = HashTable::new();
    let mut buffer = Buffer::default();
    let mut documents = 0u32;
    for text in texts {
        if documents == u32::MAX - 1 {
            return Err(TextError::TooMany { what: "documents", limit: documents as usize });
        }
        documents += 1;
        let mut full = false;
        analyzer.tokens(text, &mut buffer, |token| {
            let key = hash(token);
            match index.find(key, |&i| *seen[i as usize].token == *token) {
                Some(&i) => {
                    let s = &mut seen[i as usize];
                    s.documents += u32::from(s.last != documents);
                    s.last = documents;
                }
                None if seen.len() == MAX_DISTINCT => full = true,
                None => {
                    let at = seen.len() as u32;
                    seen.push(Seen { token: token.into(), documents: 1, last: documents });
                    index.insert_unique(key, at, |&i| hash(&seen[i as usize].token));
                }
            }
        });
        if full {
            return Err(TextError::TooMany { what: "distinct tokens", limit: MAX_DISTINCT });
        }
    }
    Ok((documents, seen.into_iter().map(|s| (s.token, s.documents)).collect()))
}

#[cfg(test)]
#[path = "encoder_tests.rs"]
mod tests;
