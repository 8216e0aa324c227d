//! The short way for words of ASCII, where a tokenizer has the steps of BERT: no copy of the text, no alignments.
//!
//! It gives the ids that the crate `tokenizers` gives. Words are what spaces, tabs and line ends separate; a run of words
//! with other characters goes through the crate. That cuts nothing: no step of BERT looks past a space.

use serde_json::Value;
use std::ops::Range;

use super::config::Algorithm;
use super::plain::Plain;
use crate::index::{Index, Token};

/// What is needed to cut words of ASCII.
#[derive(Clone, Debug)]
pub(super) struct Ascii {
    lowercase: bool,
    /// Longest word in characters; a longer one is unknown.
    longest: usize,
    unknown: u32,
    /// Whole words, or pieces that begin one.
    first: Pieces,
    /// Pieces that continue a word; none where words are not cut.
    later: Option<Pieces>,
    /// Added tokens, which the crate looks for; and the bytes with which they begin.
    added: Vec<Box<str>>,
    begins: [bool; 256],
}

/// Pieces with their ids.
#[derive(Clone, Debug)]
struct Pieces {
    words: Vec<Box<str>>,
    ids: Vec<u32>,
    index: Index,
    /// Bytes of the longest.
    longest: usize,
}

/// A part of a text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// A word of ASCII.
    Word(&'a str),
    /// Words that have other characters, and what is between them.
    Other(&'a str),
}

impl Ascii {
    /// The short way of a tokenizer, if there is one.
    pub(super) fn of(plain: &Plain) -> Option<Self> {
        let (rest, model) = (&plain.rest, &plain.rest["model"]);
        let normalizer = &rest["normalizer"];
        let steps = [&normalizer["type"], &rest["pre_tokenizer"]["type"]];
        if steps != ["BertNormalizer", "BertPreTokenizer"] || normalizer["clean_text"] != true {
            return None;
        }
        let normalized = |token: &Value| token["normalized"] != false;
        if rest["added_tokens"].as_array().is_some_and(|all| all.iter().any(normalized)) {
            return None;
        }
        let all = || plain.words.iter().map(|word| &**word).zip(plain.ids.iter().copied());
        let (longest, later) = match plain.algorithm {
            Algorithm::Words => (usize::MAX, None),
            Algorithm::Wordpiece => {
                let prefix = model["continuing_subword_prefix"].as_str()?;
                let later = all().filter_map(|(word, id)| Some((word.strip_prefix(prefix)?, id)));
                let longest = model["max_input_chars_per_word"].as_u64()?;
                (usize::try_from(longest).ok()?, Some(Pieces::of(later)))
            }
            Algorithm::Bpe | Algorithm::Unigram => return None,
        };
        let added: Vec<Box<str>> = plain.added.iter().map(|(word, _)| word.clone()).collect();
        let mut begins = [false; 256];
        added.iter().for_each(|word| begins[usize::from(word.as_bytes()[0])] = true);
        let lowercase = normalizer["lowercase"].as_bool()?;
        let first = Pieces::of(all());
        Some(Self { lowercase, longest, unknown: plain.unknown?, first, later, added, begins })
    }

    /// Whether a text has an added token, so that the crate must see it whole.
    pub(super) fn has_added(&self, text: &str) -> bool {
        text.bytes().any(|byte| self.begins[usize::from(byte)])
            && self.added.iter().any(|word| text.contains(&**word))
    }

    /// Appends the ids of a word of ASCII, without white space but with any other character. `buffer` is for its
    /// normalized form.
    pub(super) fn cut(&self, word: &str, buffer: &mut String, ids: &mut Vec<u32>) {
        buffer.clear();
        for byte in word.bytes().filter(|byte| !byte.is_ascii_control()) {
            let byte = if self.lowercase { byte.to_ascii_lowercase() } else { byte };
            buffer.push(char::from(byte));
        }
        let mut from = 0;
        for (at, byte) in buffer.bytes().enumerate() {
            if byte.is_ascii_punctuation() {
                self.pieces(buffer, from..at, ids);
                self.pieces(buffer, at..at + 1, ids);
                from = at + 1;
            }
        }
        self.pieces(buffer, from..buffer.len(), ids);
    }

    /// Appends the pieces of a normalized word: the longest first, or one unknown.
    fn pieces(&self, text: &str, word: Range<usize>, ids: &mut Vec<u32>) {
        if word.is_empty() {
            return;
        }
        let before = ids.len();
        let mut at = word.start;
        let mut pieces = Some(&self.first).filter(|_| word.len() <= self.longest);
        while at < word.end {
            let whole = self.later.is_none();
            let Some((id, end)) = pieces.and_then(|pieces| pieces.longest(text, at..word.end, whole)) else {
                ids.truncate(before);
                ids.push(self.unknown);
                return;
            };
            ids.push(id);
            at = end;
            pieces = self.later.as_ref();
        }
    }
}

impl Pieces {
    fn of<'a>(all: impl Iterator<Item = (&'a str, u32)>) -> Self {
        // Only ASCII is ever looked for; and an empty piece would be found everywhere.
        let ascii = all.filter(|(word, _)| word.is_ascii() && !word.is_empty());
        let (words, ids): (Vec<Box<str>>, Vec<u32>) = ascii.map(|(word, id)| (Box::from(word), id)).unzip();
        let longest = words.iter().map(|word| word.len()).max().unwrap_or(0);
        Self { index: Index::of(&words), words, ids, longest }
    }

    /// The id of the longest piece with which a range of a text begins, and its end.
    fn longest(&self, text: &str, range: Range<usize>, whole: bool) -> Option<(u32, usize)> {
        let find = |end: usize| {
            let token = Token::within(text, range.start, end);
            self.index.find(token, &self.words).map(|i| (self.ids[i], end))
        };
        if whole {
            return find(range.end);
        }
        (range.start + 1..=range.end.min(range.start + self.longest)).rev().find_map(find)
    }
}

/// The parts of a text in order, without what is between them.
pub(super) fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let bytes = text.as_bytes();
    let mut at = 0;
    // The next word and whether it is of ASCII.
    let word = move |from: usize| -> Option<(Range<usize>, bool)> {
        let start = from + bytes[from..].iter().position(|byte| !is_space(byte))?;
        let end = bytes[start..].iter().position(is_space).map_or(bytes.len(), |n| start + n);
        Some((start..end, bytes[start..end].is_ascii()))
    };
    std::iter::from_fn(move || {
        let (mut range, ascii) = word(at)?;
        at = range.end;
        if ascii {
            return Some(Part::Word(&text[range]));
        }
        while let Some((more, false)) = word(at) {
            range.end = more.end;
            at = more.end;
        }
        Some(Part::Other(&text[range]))
    })
}
