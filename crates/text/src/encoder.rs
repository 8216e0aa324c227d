//! A bag of words: a vocabulary with weights, fitted on training text, that turns text into feature rows.
//!
//! Feature `i` is word `i` of the vocabulary in byte order, so the words can be stored by their shared prefixes
//! ([`Encoder::to_parts`]). An encoder that was written and read back gives the same bits.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::analyzer::{Analysis, Analyzer, Boundaries, Buffer, Cut, MAX_WORDS, StopSet, VERSION};
use crate::blob::{self, Reader};
use crate::counting::{count, parts};
use crate::coverage::Coverage;
use crate::error::TextError;
use crate::index::{Index, Token};
use crate::rows::{Row, Rows, check_kept};
use crate::stop_words::StopWords;

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
    /// Runs of symbols and punctuation marks (`:)`, `!!!`, `->`) are tokens, too; for words. Emoji always are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub symbols: bool,
    /// Fewest and most neighbouring words of a token; for words.
    #[serde(skip_serializing_if = "is_single", deserialize_with = "two")]
    pub word_ngrams: [usize; 2],
    /// Words that are left out before n-grams are made; for words.
    #[serde(skip_serializing_if = "StopWords::is_empty")]
    pub stop_words: StopWords,
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
    /// Version of the analysis: 2, or 1 for what nlpress did before texts were normalized.
    #[serde(skip_serializing_if = "is_newest")]
    pub version: u32,
}

fn is_single(words: &[usize; 2]) -> bool {
    *words == [1, 1]
}

/// Two numbers and no more: of a longer list, an array would take the first two in silence.
fn two<'de, D: serde::Deserializer<'de>>(from: D) -> Result<[usize; 2], D::Error> {
    let numbers = Vec::<usize>::deserialize(from)?;
    let length = numbers.len();
    numbers.try_into().map_err(|_| {
        serde::de::Error::custom(format!(
            "word_ngrams has {length} numbers, but must have two, such as [1, 2]"
        ))
    })
}

fn is_newest(version: &u32) -> bool {
    *version == VERSION
}

impl Default for EncoderConfig {
    /// 1000 words, tf-idf, Euclidean length 1.
    fn default() -> Self {
        Self {
            analyzer: Analyzer::default(),
            symbols: false,
            word_ngrams: [1, 1],
            stop_words: StopWords::default(),
            weighting: Weighting::TfIdf,
            sublinear: false,
            l2: true,
            vocabulary: 1000,
            min_documents: 1,
            version: VERSION,
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
    /// Its stop words are in `stop`.
    config: EncoderConfig,
    stop: StopSet,
    documents: u32,
    words: Vec<Box<str>>,
    /// Documents with each word; empty unless the weighting is tf-idf.
    frequencies: Vec<u32>,
    /// Weight of each word; empty unless the weighting is tf-idf.
    idf: Vec<f32>,
    index: Index,
}

/// Buffers that [`Encoder::encode`] reuses from text to text. One serves any number of encoders.
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

/// What an encoder saw of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Tokens that the analyzer found.
    pub tokens: u32,
    /// Those that are features.
    pub known: u32,
    /// What the analyzer left out: runs of symbols and punctuation marks that are no tokens, words that are too
    /// short or too long. Not counted by encoders of version 1.
    pub dropped: u32,
    /// Those of the runs that look as if they meant something: with a symbol (`<3`, `->`), or an emoticon.
    pub symbols: u32,
    /// Tokens that are one character of a script without spaces between words (Chinese, Thai).
    pub singles: u32,
    /// Runs of such characters without anything between them.
    pub single_runs: u32,
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
    /// Of the analysis; the same as in the configuration, where it is not written.
    version: u32,
    config: EncoderConfig,
    documents: u32,
    /// Whether stop words follow the vocabulary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    stop_words: bool,
}

impl Scratch {
    /// What the encoder saw of the text that was encoded or counted last.
    pub fn seen(&self) -> Seen {
        self.seen
    }
}

impl EncoderConfig {
    /// Checks the bounds of its settings.
    ///
    /// # Errors
    /// [`TextError::Setting`] naming the setting, its value and the bound.
    pub fn check(&self) -> Result<(), TextError> {
        self.analyzer.check()?;
        self.check_words()?;
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

    /// Checks the settings and reads the files that they name, which lie relative to `folder`.
    ///
    /// # Errors
    /// As [`check`](Self::check), and those of [`StopWords::read`].
    pub fn read(self, folder: &Path) -> Result<Self, TextError> {
        self.check()?;
        Ok(Self { stop_words: self.stop_words.read(folder)?, ..self })
    }

    /// Checks the settings of words, and those that version 1 does not have.
    fn check_words(&self) -> Result<(), TextError> {
        let fail = |setting, value: String, bound: String| Err(TextError::Setting { setting, value, bound });
        let [fewest, most] = self.word_ngrams;
        if fewest == 0 || fewest > most || most > MAX_WORDS {
            let bound = format!("must be two numbers from 1 to {MAX_WORDS}, the first not above the second");
            return fail("word_ngrams", format!("[{fewest}, {most}]"), bound);
        }
        if !(1..=VERSION).contains(&self.version) {
            return fail("version", self.version.to_string(), format!("must be 1 or {VERSION}"));
        }
        let ngrams = format!("[{fewest}, {most}]");
        let of_words = [
            ("symbols", self.symbols, "true".to_owned()),
            ("word_ngrams", !is_single(&self.word_ngrams), ngrams),
            ("stop_words", !self.stop_words.is_empty(), "given".to_owned()),
        ];
        let characters = matches!(self.analyzer, Analyzer::Characters { .. });
        let spaces = matches!(self.analyzer, Analyzer::Words { boundaries: Boundaries::Spaces, .. });
        for (setting, _, value) in of_words.into_iter().filter(|(_, given, _)| *given) {
            if characters {
                return fail(setting, value, "is for the analyzer `words`, not for `characters`".into());
            }
            if self.version == 1 {
                return fail(setting, value, "needs version 2 of the analysis".into());
            }
            if spaces && setting == "symbols" {
                return fail(
                    setting,
                    value,
                    "does nothing where words end at spaces: signs stay in them".into(),
                );
            }
        }
        let newer = match self.analyzer {
            Analyzer::Words { boundaries, .. } => boundaries != Boundaries::Unicode,
            Analyzer::Characters { within_words, .. } => within_words,
        };
        match self.version == 1 && newer {
            true => fail("version", "1".into(), "does not know this analyzer; leave it out".into()),
            false => Ok(()),
        }
    }

    /// Which tokens a text has, but for stop words.
    fn analysis<'a>(&self, stop: &'a StopSet) -> Analysis<'a> {
        let Self { version, analyzer, symbols, word_ngrams, .. } = *self;
        Analysis { version, analyzer, symbols, words: word_ngrams, stop }
    }

    /// What may help when no token is frequent enough.
    fn hint(&self) -> &'static str {
        match self.analyzer {
            Analyzer::Words { .. } if self.min_documents > 1 => "; min_documents may be too high",
            Analyzer::Words { .. } if !self.symbols => {
                "; to make features of symbols and punctuation marks use symbols = true (--symbols), of any \
                 characters --ngrams 1-2"
            }
            _ => "",
        }
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
        self.index.find(Token::of(token), &self.words)
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
        self.config.analysis(&self.stop).tokens(text, buffer, |token| {
            if let Some(i) = self.index.find(token, &self.words) {
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
        *seen = Seen { tokens, known, dropped, symbols, singles, single_runs };
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
    /// [`TextError::Narrow`] when no position is given, they do not strictly ascend, or one is not below
    /// [`width`](Self::width).
    pub fn narrow(&self, keep: &[u32]) -> Result<Self, TextError> {
        check_kept(keep, self.width())?;
        let words = keep.iter().map(|&i| self.words[i as usize].clone()).collect();
        let frequencies = match self.frequencies.is_empty() {
            true => Vec::new(),
            false => keep.iter().map(|&i| self.frequencies[i as usize]).collect(),
        };
        Ok(Self::assemble(self.config.clone(), self.stop.clone(), self.documents, words, frequencies))
    }

    /// Its written form: a JSON description (a few settings) and the vocabulary as bytes.
    pub fn to_parts(&self) -> (serde_json::Value, Vec<u8>) {
        let config =
            EncoderConfig { version: VERSION, stop_words: StopWords::default(), ..self.config.clone() };
        let Self { documents, ref stop, .. } = *self;
        let version = self.config.version;
        let description = Description { version, config, documents, stop_words: !stop.is_empty() };
        let json = serde_json::to_value(description).expect("a struct of plain fields is always JSON");
        (json, self.blob())
    }

    /// Reads the written form back.
    ///
    /// # Errors
    /// [`TextError::Description`], [`TextError::Setting`] or [`TextError::Blob`]: the parts may come from a
    /// stranger, and nothing in them is believed unchecked.
    pub fn from_parts(description: &serde_json::Value, blob: &[u8]) -> Result<Self, TextError> {
        let Description { version, mut config, documents, stop_words } =
            Description::deserialize(description)
                .map_err(|e| TextError::Description(nlpress_core::shown::message(e)))?;
        if !(1..=VERSION).contains(&version) {
            return Err(TextError::Description(format!(
                "version {version}, this build reads 1 to {VERSION}"
            )));
        }
        if config.version != VERSION || !config.stop_words.is_empty() {
            return Err(TextError::Description("version or stop_words in the configuration".into()));
        }
        config.version = version;
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
        let mut stop = StopSet::default();
        if stop_words {
            let words = reader.words()?;
            if words.is_empty() || version == 1 || matches!(config.analyzer, Analyzer::Characters { .. }) {
                return reader.fail("stop words where none can be");
            }
            config.stop_words = StopWords::Words(words.iter().map(|w| w.to_string()).collect());
            stop = words.into_iter().collect();
        }
        reader.end()?;
        Ok(Self::assemble(config, stop, documents, words, frequencies))
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
        if !self.stop.is_empty() {
            let mut stop: Vec<&str> = self.stop.iter().map(|w| &**w).collect();
            stop.sort_unstable();
            blob::push_words(&mut out, stop.into_iter());
        }
        out
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
#[path = "encoder_tests.rs"]
mod tests;
