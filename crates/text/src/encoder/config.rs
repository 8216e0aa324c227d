//! The settings of a bag of words and their bounds.

use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::analyzer::{Analysis, Analyzer, Boundaries, MAX_WORDS, StopSet, VERSION};
use crate::error::TextError;
use crate::stop_words::StopWords;

/// Largest vocabulary.
pub const MAX_VOCABULARY: usize = 1 << 24;

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
    /// frequent ones the first in byte order. Of hashed tokens, the number of buckets.
    pub vocabulary: usize,
    /// Tokens are hashed into `vocabulary` buckets, which are the features (Weinberger et al. 2009): no vocabulary is
    /// stored. Not for [`Weighting::TfIdf`] or with `min_documents`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hashed: bool,
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
            hashed: false,
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
        let of_words = [
            ("weighting", "tf_idf", self.weighting == Weighting::TfIdf),
            ("min_documents", "above 1", self.min_documents > 1),
        ];
        if let Some((setting, value, _)) = of_words.into_iter().find(|(.., given)| self.hashed && *given) {
            return Err(TextError::Setting {
                setting,
                value: value.into(),
                bound: "needs a vocabulary: hashed tokens have no document frequencies (weighting = \"count\" or \
                        \"binary\", min_documents = 1)"
                    .into(),
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
    pub(super) fn analysis<'a>(&self, stop: &'a StopSet) -> Analysis<'a> {
        let Self { version, analyzer, symbols, word_ngrams, .. } = *self;
        Analysis { version, analyzer, symbols, words: word_ngrams, stop }
    }

    /// What may help when no token is frequent enough.
    pub(super) fn hint(&self) -> &'static str {
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
