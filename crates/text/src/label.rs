//! The one written form of a label: what makes two labels the same class.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Longest piece of a label that a message repeats, in characters.
const SHOWN: usize = 60;

/// A label as a corpus knows it: without white space at its ends, canonically composed (NFC), and a whole number
/// that was written with a fraction of zeros (`0.0`, as pandas writes a column of integers with a gap) as the
/// integer. Everything else stays as it is: `NA`, `null`, `01` and `1` are four classes.
///
/// # Errors
/// The name of a control character in it: a label is one line of text, and prints as such.
pub fn label(raw: &str) -> Result<Cow<'_, str>, String> {
    let label = crate::normalize::label(raw);
    if let Some(control) = label.chars().find(|c| c.is_control()) {
        return Err(named(control));
    }
    Ok(match whole(&label) {
        Some(whole) => Cow::Owned(whole.to_owned()),
        None => label,
    })
}

/// Whether the label is a whole number with a fraction of zeros.
pub(crate) fn is_whole_float(label: &str) -> bool {
    whole(label).is_some()
}

/// The integer of `-12.00`; none when it is no such number.
fn whole(label: &str) -> Option<&str> {
    let (integer, fraction) = label.split_once('.')?;
    let digits = integer.strip_prefix('-').unwrap_or(integer);
    let number = digits == "0" || (digits.starts_with(|c: char| matches!(c, '1'..='9')));
    let zeros = !fraction.is_empty() && fraction.bytes().all(|b| b == b'0');
    if !number || !zeros || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(if digits == "0" { digits } else { integer })
}

/// A label in a message: its beginning when it is long.
pub(crate) fn shown(label: &str) -> String {
    match label.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &label[..at]),
        None => label.to_owned(),
    }
}

/// Labels for a message: at most `most` of them, and how many more there are.
pub(crate) fn list<'a>(labels: impl ExactSizeIterator<Item = &'a str>, most: usize) -> String {
    let count = labels.len();
    let mut text = String::new();
    for (i, label) in labels.take(most).enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{}", shown(label)); // writing to a string cannot fail
    }
    if count > most {
        let _ = write!(text, " and {} more", count - most);
    }
    text
}

fn named(control: char) -> String {
    match control {
        '\t' => "a tab".into(),
        '\n' => "a line end".into(),
        '\r' => "a carriage return".into(),
        '\u{1b}' => "an escape character".into(),
        other => format!("the control character U+{:04X}", u32::from(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_floats_are_integers_and_nothing_else_changes() {
        for (raw, want) in [
            ("0.0", "0"),
            ("1.0", "1"),
            (" 12.000 ", "12"),
            ("-3.0", "-3"),
            ("-0.0", "0"),
            ("0", "0"),
            ("01", "01"),
            ("01.0", "01.0"),
            ("1.5", "1.5"),
            ("1.", "1."),
            (".0", ".0"),
            ("1.0.0", "1.0.0"),
            ("v1.0", "v1.0"),
            ("1e0", "1e0"),
            ("NA", "NA"),
            ("--1.0", "--1.0"),
            ("+1.0", "+1.0"),
            ("", ""),
        ] {
            assert_eq!(label(raw).unwrap(), want, "{raw:?}");
        }
    }

    #[test]
    fn control_characters_have_names() {
        for (raw, what) in [
            ("top\tshelf", "a tab"),
            ("two\nlines", "a line end"),
            ("a\rb", "a carriage return"),
            ("\u{1b}[31mred", "an escape character"),
            ("a\u{0}b", "U+0000"),
            ("a\u{9b}b", "U+009B"),
            ("a\u{7f}", "U+007F"),
        ] {
            assert!(label(raw).unwrap_err().contains(what), "{raw:?}");
        }
        // At the ends they are white space like any other.
        assert_eq!(label("\tgood\r\n").unwrap(), "good");
    }

    #[test]
    fn long_labels_are_cut_in_messages() {
        assert_eq!(shown(&"é".repeat(100)).chars().count(), SHOWN + 1);
        assert_eq!(list(["a", "b", "c"].into_iter(), 2), "a, b and 1 more");
    }
}
