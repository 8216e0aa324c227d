//! Character n-grams of a folded text, across words or within them.

use crate::index::Token;

/// Calls `each` with every run of `min` to `max` characters of the text, whose white space counts as one space
/// between words and as none at the ends.
pub(super) fn across(
    folded: &str,
    [min, max]: [usize; 2],
    line: &mut String,
    starts: &mut Vec<usize>,
    each: impl FnMut(Token<'_>),
) {
    line.clear();
    starts.clear();
    for word in folded.split_whitespace() {
        if !line.is_empty() {
            starts.push(line.len());
            line.push(' ');
        }
        push(word, line, starts);
    }
    starts.push(line.len());
    runs(line, starts, [min, max], each);
}

/// Calls `each` with every run of `min` to `max` characters of each word between white space, which has a space at
/// either end; a word that is too short for a length is given whole, once (scikit-learn's `char_wb`).
pub(super) fn within(
    folded: &str,
    [min, max]: [usize; 2],
    padded: &mut String,
    starts: &mut Vec<usize>,
    mut each: impl FnMut(Token<'_>),
) {
    for word in folded.split_whitespace() {
        padded.clear();
        starts.clear();
        starts.push(0);
        padded.push(' ');
        push(word, padded, starts);
        starts.push(padded.len());
        padded.push(' ');
        let characters = starts.len();
        starts.push(padded.len());
        for length in min..=max {
            if length >= characters {
                each(Token::of(padded));
                break;
            }
            runs(padded, starts, [length; 2], &mut each);
        }
    }
}

/// Appends a word and where its characters begin.
fn push(word: &str, out: &mut String, starts: &mut Vec<usize>) {
    let from = out.len();
    out.push_str(word);
    let begins = |(_, byte): &(usize, u8)| byte & 0xc0 != 0x80; // no later byte of a character
    starts.extend(word.bytes().enumerate().filter(begins).map(|(at, _)| from + at));
}

/// The runs of characters that begin at `starts`, whose last entry is the end of the text.
fn runs(text: &str, starts: &[usize], [min, max]: [usize; 2], mut each: impl FnMut(Token<'_>)) {
    for first in 0..starts.len().saturating_sub(1) {
        for length in min..=max {
            let Some(&end) = starts.get(first + length) else { break };
            each(Token::within(text, starts[first], end));
        }
    }
}
