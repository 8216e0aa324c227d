//! What counts as a token of a text.
//!
//! Words suit languages that put spaces between them; character n-grams suit those that do not (Chinese) and
//! text with many misspellings. Nothing is stemmed, and no word is left out that the caller does not name: the
//! vocabulary limit and the weights do that work with fewer rules.
//!
//! A text is normalized first ([`crate::normalize`]) and cut then. What is cut off without being a token is
//! counted, so that nobody has to find out by a poor accuracy.

mod characters;
mod first;
mod pieces;

use hashbrown::HashSet;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use crate::classes::{Kind, classes};
use crate::error::TextError;
use crate::index::Token;
use crate::normalize::Folded;
use pieces::{Piece, pieces};

/// Tokens longer than this many bytes are no features; a word of a language is never that long.
pub const MAX_TOKEN_BYTES: usize = 255;
/// Most words of a word n-gram.
pub const MAX_WORDS: usize = 5;
/// Most characters of a character n-gram.
pub const MAX_CHARACTERS: usize = 8;

/// A rule that cuts text into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Analyzer {
    /// Words, and emoji beside them.
    Words {
        /// Shorter words are left out; in characters. Emoji and characters of scripts without spaces stay.
        #[serde(default = "one")]
        min_length: usize,
        /// Where words end.
        #[serde(default, skip_serializing_if = "Boundaries::is_default")]
        boundaries: Boundaries,
    },
    /// Every run of `min` to `max` characters of the text, whose white space is first collapsed to single spaces
    /// and trimmed.
    Characters {
        /// Length of the shortest n-gram, at least 1.
        min: usize,
        /// Length of the longest n-gram, at most [`MAX_CHARACTERS`].
        max: usize,
        /// Runs begin and end within a word (anything between white space), which has a space at either end.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        within_words: bool,
    },
}

/// Where words end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundaries {
    /// Where UAX 29 says, with apostrophes between letters or digits inside (`don't`), and with the plus and
    /// number signs of names (`C++`). Scripts without spaces between words give a word for every character.
    #[default]
    Unicode,
    /// At white space alone, for text that was cut into words before; signs stay where they are.
    Spaces,
}

impl Boundaries {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Analyzer {
    fn default() -> Self {
        Self::Words { min_length: 1, boundaries: Boundaries::Unicode }
    }
}

impl Analyzer {
    /// Character n-grams of `min` to `max` characters, across words.
    pub fn characters(min: usize, max: usize) -> Self {
        Self::Characters { min, max, within_words: false }
    }

    /// Checks the bounds of its settings.
    ///
    /// # Errors
    /// [`TextError::Setting`] for a length of zero, `min` above `max`, or a bound passed.
    pub fn check(self) -> Result<(), TextError> {
        let fail = |setting, value: usize, bound: &str| {
            Err(TextError::Setting { setting, value: value.to_string(), bound: bound.into() })
        };
        match self {
            Self::Words { min_length, .. } if !(1..=64).contains(&min_length) => {
                fail("words.min_length", min_length, "must lie between 1 and 64")
            }
            Self::Characters { min: 0, .. } => fail("characters.min", 0, "must be at least 1"),
            Self::Characters { max, .. } if max > MAX_CHARACTERS => {
                fail("characters.max", max, &format!("must be at most {MAX_CHARACTERS}"))
            }
            Self::Characters { min, max, .. } if min > max => {
                fail("characters.min", min, &format!("must not be above characters.max = {max}"))
            }
            _ => Ok(()),
        }
    }

    /// Calls `each` with every token of `text`, from left to right. Allocates nothing once `buffer` has grown, but
    /// for text that is not composed.
    pub fn tokens(self, text: &str, buffer: &mut Buffer, mut each: impl FnMut(&str)) {
        let stop = StopSet::default();
        let analysis =
            Analysis { version: VERSION, analyzer: self, symbols: false, words: [1, 1], stop: &stop };
        analysis.tokens(text, buffer, |token| each(token.text));
    }
}

fn one() -> usize {
    1
}

/// Buffers that an analyzer reuses from text to text.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    folded: Folded,
    token: String,
    starts: Vec<usize>,
    pub(crate) cut: Cut,
}

/// What became of a text when it was cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Tokens.
    pub(crate) tokens: u32,
    /// Runs of signs, and words too short or too long, that became none.
    pub(crate) dropped: u32,
    /// Those of them that look as if they meant something.
    pub(crate) symbols: u32,
    /// Tokens that are a character of a script without spaces.
    pub(crate) singles: u32,
    /// Runs of neighbouring ones.
    pub(crate) single_runs: u32,
}

/// Words that are left out, as tokens.
pub(crate) type StopSet = HashSet<Box<str>, FxBuildHasher>;

/// The newest version of the analysis.
pub(crate) const VERSION: u32 = 2;

/// All that decides which tokens a text has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Analysis<'a> {
    /// 1 for encoders that were written before texts were normalized.
    pub(crate) version: u32,
    pub(crate) analyzer: Analyzer,
    /// Whether runs of signs are tokens.
    pub(crate) symbols: bool,
    /// Fewest and most words of a token.
    pub(crate) words: [usize; 2],
    pub(crate) stop: &'a StopSet,
}

impl Analysis<'_> {
    /// Calls `each` with every token of `text`, from left to right; `buffer.cut` then says what became of it.
    pub(crate) fn tokens(self, text: &str, buffer: &mut Buffer, mut each: impl FnMut(Token<'_>)) {
        buffer.cut = Cut::default();
        if self.version == 1 {
            return self.tokens_of_first(text, buffer, each);
        }
        let Buffer { folded, token, starts, cut } = buffer;
        let folded = folded.fold(text);
        let counted = |token: Token<'_>| {
            cut.tokens += 1;
            each(token);
        };
        match self.analyzer {
            Analyzer::Characters { min, max, within_words: false } => {
                characters::across(folded, [min, max], token, starts, counted);
            }
            Analyzer::Characters { min, max, within_words: true } => {
                characters::within(folded, [min, max], token, starts, counted);
            }
            Analyzer::Words { .. } if self.words == [1, 1] => self.words(folded, cut, each),
            Analyzer::Words { .. } => {
                token.clear();
                starts.clear();
                self.words(folded, cut, |word| {
                    starts.push(token.len());
                    token.push_str(word.text);
                    token.push(' ');
                });
                cut.tokens = 0;
                ngrams(token, starts, self.words, |ngram| {
                    cut.tokens += 1;
                    each(ngram);
                });
            }
        }
    }

    /// Calls `each` with every word of a folded text.
    fn words(self, folded: &str, cut: &mut Cut, mut each: impl FnMut(Token<'_>)) {
        let Analyzer::Words { min_length, boundaries } = self.analyzer else { return };
        let mut word = |piece, token: Token<'_>| {
            let too_short = || min_length > 1 && token.text.chars().nth(min_length - 1).is_none();
            match piece {
                Piece::Signs { telling } if !self.symbols => {
                    cut.dropped += 1;
                    cut.symbols += u32::from(telling);
                    return;
                }
                Piece::Word if too_short() => {
                    cut.dropped += 1;
                    return;
                }
                Piece::Single { first } => {
                    cut.singles += 1;
                    cut.single_runs += u32::from(first);
                }
                _ => {}
            }
            if token.text.len() > MAX_TOKEN_BYTES {
                cut.dropped += 1;
            } else if self.stop.is_empty() || !self.stop.contains(token.text) {
                cut.tokens += 1;
                each(token);
            }
        };
        match boundaries {
            Boundaries::Unicode => pieces(folded, word),
            Boundaries::Spaces => {
                folded.split_whitespace().for_each(|token| word(Piece::Word, Token::of(token)))
            }
        }
    }

    fn tokens_of_first(self, text: &str, buffer: &mut Buffer, mut each: impl FnMut(Token<'_>)) {
        let Buffer { token: line, starts, cut, .. } = buffer;
        let single = |c: char| classes().get(c).kind == Kind::Single;
        match self.analyzer {
            Analyzer::Words { min_length, .. } => first::words(text, min_length, line, starts, |token| {
                let ascii = token.text.as_bytes().first().is_none_or(u8::is_ascii);
                let single = !ascii && token.text.starts_with(single);
                cut.singles += u32::from(single);
                cut.single_runs += u32::from(single);
                cut.tokens += 1;
                each(token);
            }),
            Analyzer::Characters { min, max, .. } => {
                first::characters(text, min, max, line, starts, |token| {
                    cut.tokens += 1;
                    each(token);
                });
            }
        }
    }
}

/// Calls `each` with every run of `min` to `max` words, which lie one behind the other in `line`, each with a
/// space after it; runs that are too long to be features are left out.
fn ngrams(line: &str, starts: &[usize], [min, max]: [usize; 2], mut each: impl FnMut(Token<'_>)) {
    for (first, &from) in starts.iter().enumerate() {
        for length in min..=max.min(starts.len() - first) {
            let end = starts.get(first + length).copied().unwrap_or(line.len()) - 1;
            if end - from <= MAX_TOKEN_BYTES {
                each(Token::within(line, from, end));
            }
        }
    }
}

#[cfg(test)]
#[path = "analyzer/tests.rs"]
mod tests;
