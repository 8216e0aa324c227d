//! The first version of the analysis, kept for artifacts that were written with it: their texts must be cut as
//! those were that they were trained on, bit for bit. Nothing here is to be improved.
//!
//! It lower-cases character by character, knows nothing of combining marks (they end a word) and of characters
//! that are written in two ways.

use super::MAX_TOKEN_BYTES;

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

pub(super) fn words(text: &str, min_length: usize, word: &mut String, mut each: impl FnMut(&str)) {
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

pub(super) fn characters(
    text: &str,
    min: usize,
    max: usize,
    whole: &mut String,
    starts: &mut Vec<usize>,
    mut each: impl FnMut(&str),
) {
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
