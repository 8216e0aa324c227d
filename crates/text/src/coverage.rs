//! How much of some texts an encoder knows: a model whose texts are mostly unknown words answers all the same,
//! and only these counts show it.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::analyzer::Analyzer;
use crate::encoder::{Encoder, Scratch, Seen};

/// Counts over texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Texts.
    pub documents: u64,
    /// Texts without any known feature: all of them get the same answer.
    pub documents_without: u64,
    /// Tokens.
    pub tokens: u64,
    /// Tokens that are no features.
    pub tokens_unknown: u64,
    /// Runs of symbols and punctuation marks, and words too short or too long, that are no tokens.
    pub dropped: u64,
    /// Texts with a dropped run that looks as if it meant something (`:)`, `<3`).
    pub documents_with_symbols: u64,
    /// Tokens that are one character of a script without spaces between words.
    pub singles: u64,
    /// Runs of such characters.
    pub single_runs: u64,
}

/// From this share of texts without a known feature on, there is advice.
const MANY_DOCUMENTS: f64 = 0.1;
/// From this share of unknown tokens on, there is advice.
const MANY_TOKENS: f64 = 0.7;
/// From this share of tokens on that are single characters, there is advice.
const MANY_SINGLES: f64 = 0.3;
/// From this share of texts with symbols on, there is advice.
const MANY_SYMBOLS: f64 = 0.25;
/// Runs of characters of a script without spaces that are shorter on average are words that somebody cut.
const CUT_BEFORE: f64 = 2.5;

impl Coverage {
    /// Looks at every text.
    pub fn of<S: AsRef<str>>(encoder: &Encoder, texts: impl IntoIterator<Item = S>) -> Self {
        let mut coverage = Self::default();
        let mut scratch = Scratch::default();
        for text in texts {
            encoder.count(text.as_ref(), &mut scratch);
            coverage.add(scratch.seen());
        }
        coverage
    }

    /// Counts one more text.
    pub fn add(&mut self, seen: Seen) {
        self.documents += 1;
        self.documents_without += u64::from(seen.known == 0);
        self.tokens += u64::from(seen.tokens);
        self.tokens_unknown += u64::from(seen.tokens - seen.known);
        self.dropped += u64::from(seen.dropped);
        self.documents_with_symbols += u64::from(seen.symbols > 0);
        self.singles += u64::from(seen.singles);
        self.single_runs += u64::from(seen.single_runs);
    }

    /// Counts the texts that another one counted.
    pub fn merge(&mut self, other: &Self) {
        self.documents += other.documents;
        self.documents_without += other.documents_without;
        self.tokens += other.tokens;
        self.tokens_unknown += other.tokens_unknown;
        self.dropped += other.dropped;
        self.documents_with_symbols += other.documents_with_symbols;
        self.singles += other.singles;
        self.single_runs += other.single_runs;
    }

    /// Share of the texts without a known feature, from 0 to 1.
    pub fn share_without(&self) -> f64 {
        share(self.documents_without, self.documents)
    }

    /// Share of the tokens that are unknown, from 0 to 1.
    pub fn share_unknown(&self) -> f64 {
        share(self.tokens_unknown, self.tokens)
    }

    /// What to say, and what to try, where the encoder misses much of the texts; nothing where it does not.
    pub fn advice(&self, encoder: &Encoder) -> Option<String> {
        let config = encoder.config();
        let words = matches!(config.analyzer, Analyzer::Words { .. });
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let singles = share(self.singles, self.tokens);
        if words && singles >= MANY_SINGLES {
            let unknown = match self.share_without() >= MANY_DOCUMENTS {
                true => format!("{} of the documents have no known word; ", percent(self.share_without())),
                false => String::new(),
            };
            let found = format!(
                "{unknown}{} of the tokens are of a script without spaces between words (as Chinese, Japanese or Thai)",
                percent(singles)
            );
            let cut_before = config.version > 1 && share(self.singles, self.single_runs) < CUT_BEFORE;
            return Some(match cut_before {
                true => format!(
                    "{found} and single characters here; as the text seems to be cut into words by spaces, \
                     try --boundaries spaces, or --ngrams 1-2"
                ),
                false => format!("{found}: try --ngrams 1-2, character n-grams in place of words"),
            });
        }
        let symbols = share(self.documents_with_symbols, self.documents);
        if words && !config.symbols && symbols >= MANY_SYMBOLS {
            return Some(format!(
                "{} of the documents have symbols that are no features (such as :) or <3): try --symbols",
                percent(symbols)
            ));
        }
        if self.share_without() < MANY_DOCUMENTS && self.share_unknown() < MANY_TOKENS {
            return None;
        }
        let remedy = match encoder.width() >= config.vocabulary {
            true => {
                "a larger --vocabulary knows more; or the texts are of another kind than those trained on"
            }
            false => "the texts are of another kind, or in another language, than those trained on",
        };
        Some(format!(
            "{} of the documents have no known feature, {} of the tokens are unknown: {remedy}",
            percent(self.share_without()),
            percent(self.share_unknown())
        ))
    }
}

/// With the shares beside the counts.
impl Serialize for Coverage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Coverage", 7)?;
        object.serialize_field("documents", &self.documents)?;
        object.serialize_field("documents_without", &self.documents_without)?;
        object.serialize_field("share_without", &self.share_without())?;
        object.serialize_field("tokens", &self.tokens)?;
        object.serialize_field("tokens_unknown", &self.tokens_unknown)?;
        object.serialize_field("share_unknown", &self.share_unknown())?;
        object.serialize_field("dropped", &self.dropped)?;
        object.end()
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
