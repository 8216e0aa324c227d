//! What a bag of words misses of some texts, and what may help.

use super::{BagEncoder, Scratch};
use crate::analyzer::Analyzer;
use crate::coverage::{Coverage, share};

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
    pub fn of<S: AsRef<str>>(encoder: &BagEncoder, texts: impl IntoIterator<Item = S>) -> Self {
        let mut coverage = Self::default();
        let mut scratch = Scratch::default();
        for text in texts {
            encoder.count(text.as_ref(), &mut scratch);
            coverage.add(scratch.seen());
        }
        coverage
    }

    /// What to say, and what to try, where the encoder misses much of the texts; nothing where it does not.
    pub fn advice(&self, encoder: &BagEncoder) -> Option<String> {
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
