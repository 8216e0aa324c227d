//! The first version of the analysis, kept for artifacts that were written with it: their texts must be cut as
//! those were that they were trained on, bit for bit. Nothing here is to be improved but how fast it is.
//!
//! It lower-cases character by character, knows nothing of combining marks (they end a word) and of characters
//! that are written in two ways.

use super::MAX_TOKEN_BYTES;
use super::pieces::past_letters_and_digits;
use crate::index::Token;

/// Calls `each` with every word. All of them are written into `line` first, one behind the other, and where they begin and
/// end into `bounds`: a token that others follow is read faster.
pub(super) fn words(
    text: &str,
    min_length: usize,
    line: &mut String,
    bounds: &mut Vec<usize>,
    mut each: impl FnMut(Token<'_>),
) {
    line.clear();
    bounds.clear();
    match text.is_ascii() {
        true => words_of_ascii(text, min_length, line, bounds),
        false => words_of_any(text, min_length, line, bounds),
    }
    for &[from, to] in bounds.as_chunks().0 {
        each(Token::within(line, from, to));
    }
}

fn words_of_any(text: &str, min_length: usize, line: &mut String, bounds: &mut Vec<usize>) {
    let (mut from, mut length) = (0, 0); // where the word begins; characters of the source text in it
    let mut rest = text.chars();
    loop {
        let c = rest.next();
        match c {
            Some(c) if c.is_ascii_alphanumeric() => {
                line.push(c.to_ascii_lowercase());
                length += 1;
                continue;
            }
            Some(c) if is_ideograph(c) => {
                line.push(c);
                length += 1;
                continue;
            }
            Some(c) if !c.is_ascii() && c.is_alphanumeric() => {
                line.extend(c.to_lowercase());
                length += 1;
                continue;
            }
            Some('\'' | '’') if length > 0 && rest.clone().next().is_some_and(char::is_alphanumeric) => {
                line.push('\'');
                length += 1;
                continue;
            }
            _ => {}
        }
        if length >= min_length.max(1) && line.len() - from <= MAX_TOKEN_BYTES {
            bounds.extend([from, line.len()]);
        }
        (from, length) = (line.len(), 0);
        if c.is_none() {
            return;
        }
    }
}

fn words_of_ascii(text: &str, min_length: usize, line: &mut String, bounds: &mut Vec<usize>) {
    line.push_str(text);
    line.make_ascii_lowercase();
    let bytes = line.as_bytes();
    let mut at = 0;
    loop {
        at += bytes[at..].iter().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
        if at == bytes.len() {
            return;
        }
        let from = at;
        at = past_letters_and_digits(bytes, at);
        while let [b'\'', next, ..] = bytes[at..]
            && next.is_ascii_alphanumeric()
        {
            at = past_letters_and_digits(bytes, at + 1);
        }
        if (min_length..=MAX_TOKEN_BYTES).contains(&(at - from)) {
            bounds.extend([from, at]);
        }
    }
}

/// A letter that has no lower case.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fff}')
}

pub(super) fn characters(
    text: &str,
    min: usize,
    max: usize,
    whole: &mut String,
    starts: &mut Vec<usize>,
    mut each: impl FnMut(Token<'_>),
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
        if is_ideograph(c) {
            starts.push(whole.len());
            whole.push(c);
            continue;
        }
        for lower in c.to_lowercase() {
            starts.push(whole.len());
            whole.push(lower);
        }
    }
    starts.push(whole.len());
    for first in 0..starts.len() - 1 {
        for length in min..=max {
            let Some(&end) = starts.get(first + length) else { break };
            each(Token::within(whole, starts[first], end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Cut = fn(&str, usize, &mut String, &mut Vec<usize>);

    fn cut(by: Cut, text: &str, min_length: usize) -> Vec<String> {
        let (mut line, mut bounds) = Default::default();
        by(text, min_length, &mut line, &mut bounds);
        bounds.as_chunks().0.iter().map(|&[from, to]| line[from..to].to_owned()).collect()
    }

    /// Plainly: character by character.
    fn plain(text: &str, min_length: usize) -> Vec<String> {
        let (mut words, mut word, mut length) = (Vec::new(), String::new(), 0);
        let mut rest = text.chars();
        loop {
            let c = rest.next();
            let next = rest.clone().next();
            match c {
                Some(c) if c.is_alphanumeric() => word.extend(c.to_lowercase()),
                Some('\'' | '’') if length > 0 && next.is_some_and(char::is_alphanumeric) => {
                    word.push('\'')
                }
                _ => {
                    if length >= min_length && !word.is_empty() && word.len() <= MAX_TOKEN_BYTES {
                        words.push(word.clone());
                    }
                    word.clear();
                    length = 0;
                    match c {
                        Some(_) => continue,
                        None => return words,
                    }
                }
            }
            length += 1;
        }
    }

    #[test]
    fn ideographs_are_letters_without_a_lower_case() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32).filter(|&c| is_ideograph(c)) {
            assert!(c.is_alphanumeric() && c.to_lowercase().eq([c]), "{c:?}");
        }
    }

    #[test]
    fn words_that_are_too_long_are_left_out() {
        for letter in ["x", "é", "好", "İ"] {
            let text = format!("a {} b {}", letter.repeat(300), letter.repeat(60));
            assert_eq!(cut(words_of_any, &text, 1), plain(&text, 1));
        }
        assert_eq!(cut(words_of_ascii, &format!("{} {}", "x".repeat(255), "y".repeat(256)), 1).len(), 1);
    }

    proptest! {
        #[test]
        fn short_ways_lead_to_the_same_words(
            ascii in "([a-cXY0-9' ,.\n-]|[ -~]){0,60}",
            mixed in "([a-cX0' ’éÉİß好的９カㄱ\u{301}!，]|\\PC){0,40}",
            min_length in 1usize..4,
        ) {
            let want = plain(&ascii, min_length);
            prop_assert_eq!(&cut(words_of_ascii, &ascii, min_length), &want);
            prop_assert_eq!(&cut(words_of_any, &ascii, min_length), &want);
            prop_assert_eq!(cut(words_of_any, &mixed, min_length), plain(&mixed, min_length));
        }
    }
}
