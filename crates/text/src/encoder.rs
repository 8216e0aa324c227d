//! A bag of words: a vocabulary with weights, fitted on training text, that turns text into feature rows.
//!
//! Feature `i` is word `i` of the vocabulary in byte order, so the words can be stored by their shared prefixes
//! ([`BagEncoder::to_parts`]); or, of hashed tokens, bucket `i`, and there are no words. An encoder that was written and read back gives the same bits.

mod buckets;
mod config;
mod misses;
mod written;

use rayon::prelude::*;

use crate::analyzer::{Analysis, Analyzer, Buffer, Cut, StopSet};
pub use crate::counting::MAX_DISTINCT;
use crate::counting::{count, parts};
use crate::coverage::{Coverage, Seen};
use crate::error::TextError;
use crate::index::{Index, Token};
use crate::rows::{Row, Rows, check_kept};
use buckets::bucket;
pub use config::{EncoderConfig, MAX_VOCABULARY, Weighting};

/// A fitted bag of words.
#[derive(Clone, Debug)]
pub struct BagEncoder {
    /// Its stop words are in `stop`.
    config: EncoderConfig,
    stop: StopSet,
    documents: u32,
    /// None where tokens are hashed.
    words: Vec<Box<str>>,
    /// Documents with each word; empty unless the weighting is tf-idf.
    frequencies: Vec<u32>,
    /// Weight of each word; empty unless the weighting is tf-idf.
    idf: Vec<f32>,
    index: Index,
}

/// Buffers that [`BagEncoder::encode`] reuses from text to text. One serves any number of encoders.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    buffer: Buffer,
    tally: Vec<u32>, // all zero between calls
    bits: Vec<u64>,  // likewise
    columns: Vec<u32>,
    counts: Vec<u32>,
    values: Vec<f32>,
    seen: Seen,
}

/// Which words of the vocabulary a text has, and how often: `columns[i]` occurs `counts[i]` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts<'a> {
    /// Features, ascending.
    pub columns: &'a [u32],
    /// As many counts, at least 1.
    pub counts: &'a [u32],
}

impl Scratch {
    /// What the encoder saw of the text that was encoded or counted last.
    pub fn seen(&self) -> Seen {
        self.seen
    }
}

impl BagEncoder {
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
        let none = StopSet::default();
        let analyzer = match config.analyzer {
            Analyzer::Words { boundaries, .. } => Analyzer::Words { min_length: 1, boundaries },
            characters => characters,
        };
        let stop =
            config.stop_words.tokens(Analysis { analyzer, words: [1, 1], ..config.analysis(&none) })?;
        let texts: Vec<&str> = texts.into_iter().collect();
        let mut tokens = count(config.analysis(&stop), &texts)?;
        let documents = texts.len() as u32;
        if config.hashed && !tokens.is_empty() {
            return Ok(Self::assemble(config.clone(), stop, documents, Vec::new(), Vec::new()));
        }
        tokens.retain(|(_, frequency)| *frequency >= config.min_documents);
        // Frequent first; equally frequent in byte order.
        tokens.sort_unstable_by(|(a, fa), (b, fb)| fb.cmp(fa).then_with(|| a.cmp(b)));
        tokens.truncate(config.vocabulary);
        if tokens.is_empty() {
            let hint = config.hint();
            return Err(TextError::EmptyVocabulary { min_documents: config.min_documents, documents, hint });
        }
        tokens.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let (words, frequencies) = tokens.into_iter().unzip();
        Ok(Self::assemble(config.clone(), stop, documents, words, frequencies))
    }

    /// The configuration it was fitted with.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// Number of features: the length of the vocabulary, which may be less than the configured limit, or the buckets.
    pub fn width(&self) -> usize {
        if self.config.hashed { self.config.vocabulary } else { self.words.len() }
    }

    /// The vocabulary: feature `i` is word `i`; in byte order. Hashed tokens have none.
    pub fn words(&self) -> &[Box<str>] {
        &self.words
    }

    /// Number of training documents.
    pub fn documents(&self) -> u32 {
        self.documents
    }

    /// The feature of a token.
    pub fn position(&self, token: &str) -> Option<usize> {
        if self.config.hashed {
            return Some(bucket(token, self.config.vocabulary));
        }
        self.words.binary_search_by(|word| (**word).cmp(token)).ok()
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
        let Scratch { buffer, tally, bits, columns, counts, seen, .. } = scratch;
        if tally.len() < self.width() {
            tally.resize(self.width(), 0);
        }
        columns.clear();
        let mut known = 0;
        let find = |token: Token<'_>| match self.config.hashed {
            true => Some(bucket(token.text, self.config.vocabulary)),
            false => self.index.find(token, &self.words),
        };
        self.config.analysis(&self.stop).tokens(text, buffer, |token| {
            if let Some(i) = find(token) {
                known += 1;
                if tally[i] == 0 {
                    columns.push(i as u32);
                }
                tally[i] = tally[i].saturating_add(1);
            }
        });
        sort(columns, self.width(), bits);
        counts.clear();
        counts.extend(columns.iter().map(|&column| std::mem::take(&mut tally[column as usize])));
        let Cut { tokens, dropped, symbols, singles, single_runs } = buffer.cut;
        *seen = Seen { tokens, known, dropped, symbols, singles, single_runs, cut: false };
    }

    /// Turns every text into a row: `[texts, width]`. The threads of the current pool share the texts out.
    pub fn encode_all<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Rows {
        self.encode_all_seen(texts).0
    }

    /// The same, with what was seen of the texts.
    pub fn encode_all_seen<S: AsRef<str> + Sync>(&self, texts: &[S]) -> (Rows, Coverage) {
        let part = |part: std::ops::Range<usize>| {
            let (mut rows, mut coverage) = (Rows::empty(self.width()), Coverage::default());
            let mut scratch = Scratch::default();
            for text in &texts[part] {
                rows.push(self.encode(text.as_ref(), &mut scratch));
                coverage.add(scratch.seen());
            }
            (rows, coverage)
        };
        let parts: Vec<(Rows, Coverage)> = parts(texts).into_par_iter().map(part).collect();
        let mut parts = parts.into_iter();
        let (mut rows, mut coverage) = parts.next().expect("there is a part, if of no text");
        for (more, seen) in parts {
            rows.append(&more);
            coverage.merge(&seen);
        }
        (rows, coverage)
    }

    /// The same encoder with some of its features only: those at the positions `keep`, which get new positions in
    /// the same order.
    ///
    /// Their document frequencies, and so their weights, stay as they were fitted. A text is encoded by the kept
    /// words alone; with `l2` its row has length 1 over those.
    ///
    /// # Errors
    /// [`TextError::Narrow`] when no position is given, they do not strictly ascend, one is not below
    /// [`width`](Self::width), or tokens are hashed.
    pub fn narrow(&self, keep: &[u32]) -> Result<Self, TextError> {
        self.check_words()?;
        check_kept(keep, self.width())?;
        let words = keep.iter().map(|&i| self.words[i as usize].clone()).collect();
        let frequencies = match self.frequencies.is_empty() {
            true => Vec::new(),
            false => keep.iter().map(|&i| self.frequencies[i as usize]).collect(),
        };
        Ok(Self::assemble(self.config.clone(), self.stop.clone(), self.documents, words, frequencies))
    }

    /// That there are words to choose from.
    pub(crate) fn check_words(&self) -> Result<(), TextError> {
        match self.config.hashed {
            true => Err(TextError::Narrow("hashed tokens have no vocabulary; use fewer buckets".into())),
            false => Ok(()),
        }
    }

    fn assemble(
        config: EncoderConfig,
        stop: StopSet,
        documents: u32,
        words: Vec<Box<str>>,
        mut frequencies: Vec<u32>,
    ) -> Self {
        if config.weighting != Weighting::TfIdf {
            frequencies.clear();
        }
        let n = 1.0 + f64::from(documents);
        let idf = frequencies.iter().map(|&f| ((n / (1.0 + f64::from(f))).ln() + 1.0) as f32).collect();
        let index = Index::of(&words);
        Self { config, stop, documents, words, frequencies, idf, index }
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

/// Sorts different numbers below `width`: through a bit for each number where there are enough of them, which takes no
/// comparison that a processor could not foresee.
fn sort(columns: &mut Vec<u32>, width: usize, bits: &mut Vec<u64>) {
    let words = width.div_ceil(64);
    if words > 4 * columns.len() {
        return columns.sort_unstable();
    }
    if bits.len() < words {
        bits.resize(words, 0);
    }
    for column in columns.drain(..) {
        bits[column as usize / 64] |= 1 << (column % 64);
    }
    for (word, base) in bits[..words].iter_mut().zip((0..).step_by(64)) {
        while *word != 0 {
            columns.push(base + word.trailing_zeros());
            *word &= *word - 1;
        }
    }
}

#[cfg(test)]
mod tests;
