//! What counts as a token of a text.
//!
//! Words suit languages that put spaces between them; character n-grams suit those that do not (Chinese) and
//! text with many misspellings. Nothing is stemmed and no stop word is removed: the vocabulary limit and the
//! weights do that work with fewer rules.

use serde::{Deserialize, Serialize};

use crate::error::TextError;

/// Tokens longer than this many bytes are no features; a word of a language is never that long.
pub const MAX_TOKEN_BYTES: usize = 255;

/// A rule that cuts text into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Analyzer {
    /// Lower-cased words: maximal runs of alphanumeric characters (Unicode), where an apostrophe (`'` or `’`,
    /// both become `'`) between two of them belongs to the word (`don't`).
    Words {
        /// Shorter words are left out; in characters.
        #[serde(default = "one")]
        min_length: usize,
    },
    /// Every run of `min` to `max` characters of the lower-cased text, whose white space is first collapsed
    /// to single spaces and trimmed.
    Characters {
        /// Length of the shortest n-gram, at least 1.
        min: usize,
        /// Length of the longest n-gram, at most 8.
        max: usize,
    },
}

impl Default for Analyzer {
    fn default() -> Self {
        Self::Words { min_length: 1 }
    }
}

/// Buffers that an analyzer reuses from text to text.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    token: String,
    starts: Vec<usize>,
}

impl Analyzer {
    /// Checks the bounds of its settings.
    ///
    /// # Errors
    /// [`TextError::Setting`] for a length of zero, `min` above `max`, or a bound passed.
    pub fn check(self) -> Result<(), TextError> {
        let fail = |setting, value: usize, bound: &str| {
            Err(TextError::Setting { setting, value: value.to_string(), bound: bound.into() })
        };
        match self {
            Self::Words { min_length } if !(1..=64).contains(&min_length) => {
                fail("words.min_length", min_length, "must lie between 1 and 64")
            }
            Self::Characters { min, .. } if min == 0 => fail("characters.min", min, "must be at least 1"),
            Self::Characters { max, .. } if max > 8 => fail("characters.max", max, "must be at most 8"),
            Self::Characters { min, max } if min > max => {
                fail("characters.min", min, &format!("must not be above characters.max = {max}"))
            }
            _ => Ok(()),
        }
    }

    /// Calls `each` with every token of `text`, from left to right. One pass; allocates nothing once `buffer`
    /// has grown.
    pub fn tokens(self, text: &str, buffer: &mut Buffer, each: impl FnMut(&str)) {
        match self {
            Self::Words { min_length } => words(text, min_length, &mut buffer.token, each),
            Self::Characters { min, max } => characters(text, min, max, buffer, each),
        }
    }
}

fn one() -> usize {
    1
}

/// For every ASCII byte: its lower case when it may be part of a word, else zero.
const WORD_BYTE: [u8; 128] = {
    let mut table = [0; 128];
    let mut b = 0;
    while b < 128 {
        if (b as u8).is_ascii_alphanumeric() {
            table[b] = (b as u8).to_ascii_lowercase();
        }
        b += 1;
    }
    table
};

fn words(text: &str, min_length: usize, word: &mut String, mut each: impl FnMut(&str)) {
    word.clear();
    let mut length = 0; // characters of the source text in `word`
    let mut rest = text;
    let mut flush = |word: &mut String, length: &mut usize| {
        if *length >= min_length && !word.is_empty() && word.len() <= MAX_TOKEN_BYTES {
            each(word);
        }
        word.clear();
        *length = 0;
    };
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if let Some(&lower) = WORD_BYTE.get(c as usize) {
            if lower != 0 {
                word.push(lower as char);
                length += 1;
                continue;
            }
        } else if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
            length += 1;
            continue;
        }
        let inner = matches!(c, '\'' | '’') && length > 0;
        if inner && rest.chars().next().is_some_and(char::is_alphanumeric) {
            word.push('\'');
            length += 1;
        } else {
            flush(word, &mut length);
        }
    }
    flush(word, &mut length);
}

fn characters(text: &str, min: usize, max: usize, buffer: &mut Buffer, mut each: impl FnMut(&str)) {
    let Buffer { token: whole, starts } = buffer;
    whole.clear();
    starts.clear();
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() {
            gap = true;
            continue;
        }
        if gap && !whole.is_empty() {
            starts.push(whole.len());
            whole.push(' ');
        }
        gap = false;
        for lower in c.to_lowercase() {
            starts.push(whole.len());
            whole.push(lower);
        }
    }
    starts.push(whole.len());
    for first in 0..starts.len() - 1 {
        for length in min..=max {
            let Some(&end) = starts.get(first + length) else { break };
            each(&whole[starts[first]..end]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(analyzer: Analyzer, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        analyzer.tokens(text, &mut Buffer::default(), |t| out.push(t.to_owned()));
        out
    }

    fn words(text: &str) -> Vec<String> {
        tokens(Analyzer::default(), text)
    }

    #[test]
    fn words_are_lower_cased_runs_of_letters_and_digits() {
        assert_eq!(words("Hello, World-wide 3D!"), ["hello", "world", "wide", "3d"]);
        assert_eq!(words("ÉCOLE Straße ПРИВЕТ"), ["école", "straße", "привет"]);
        assert!(words(" ...!? ").is_empty());
        assert!(words("").is_empty());
    }

    #[test]
    fn apostrophes_belong_to_a_word_only_between_letters() {
        assert_eq!(
            words("don't 'quote' it’s rock'n'roll dogs' x''y"),
            ["don't", "quote", "it's", "rock'n'roll", "dogs", "x", "y"]
        );
    }

    #[test]
    fn short_and_overlong_words_are_left_out() {
        let two = Analyzer::Words { min_length: 2 };
        assert_eq!(tokens(two, "a I am é éa"), ["am", "éa"]);
        assert!(words(&"x".repeat(MAX_TOKEN_BYTES + 1)).is_empty());
        assert_eq!(words(&"x".repeat(MAX_TOKEN_BYTES)).len(), 1);
    }

    #[test]
    fn character_ngrams_count_characters_and_collapse_white_space() {
        let a = Analyzer::Characters { min: 1, max: 2 };
        assert_eq!(tokens(a, " 质量\n\t好 "), ["质", "质量", "量", "量 ", " ", " 好", "好"]);
        assert!(tokens(a, " \n ").is_empty());
        let three = Analyzer::Characters { min: 3, max: 3 };
        assert_eq!(tokens(three, "ABCD"), ["abc", "bcd"]);
        assert!(tokens(three, "ab").is_empty());
    }

    #[test]
    fn settings_are_bounded() {
        for bad in [
            Analyzer::Words { min_length: 0 },
            Analyzer::Words { min_length: 65 },
            Analyzer::Characters { min: 0, max: 2 },
            Analyzer::Characters { min: 3, max: 2 },
            Analyzer::Characters { min: 1, max: 9 },
        ] {
            assert!(matches!(bad.check(), Err(TextError::Setting { .. })), "{bad:?}");
        }
        assert!(Analyzer::Characters { min: 1, max: 8 }.check().is_ok());
    }

    proptest! {
        #[test]
        fn words_of_words_are_the_same_words(text in ".{0,80}") {
            let once = words(&text);
            // Lower-casing twice is the same as once except for letters whose lower case has a combining mark.
            prop_assume!(!text.contains('İ'));
            prop_assert_eq!(words(&once.join(" ")), once);
        }

        #[test]
        fn any_text_has_tokens_of_the_asked_lengths(text in any::<String>(), min in 1usize..4, more in 0usize..4) {
            for token in tokens(Analyzer::Characters { min, max: min + more }, &text) {
                prop_assert!((min..=min + more).contains(&token.chars().count()));
            }
        }
    }
}
