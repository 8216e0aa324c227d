//! Text from files as it may be shown: nothing that steers a terminal, nothing without end.
//!
//! Labels, tensor names and settings of an artifact were written by anyone. What is printed of them goes through
//! [`escaped`] (answers that a program reads back) or [`shown`] (messages). This module refuses to decide what may be in
//! a file: see the readers for that.

use std::fmt::{self, Write as _};

/// Most characters that [`shown`] shows of a text.
pub const LONGEST: usize = 200;

/// The text on one line, without anything that a terminal obeys: tab, line ends and the backslash as `\t`, `\n`, `\r` and
/// `\\`, other control characters, line separators and marks that change the direction of text as `\u{…}`. Two
/// different texts never look the same.
pub fn escaped(text: &str) -> Escaped<'_> {
    Escaped { text, most: usize::MAX }
}

/// As [`escaped`], with an ellipsis after [`LONGEST`] characters.
pub fn shown(text: &str) -> Escaped<'_> {
    Escaped { text, most: LONGEST }
}

/// What an error says, as it may be shown: as [`shown`], but a backslash stays what it is, because messages escape for
/// themselves what they quote.
pub fn message(error: impl fmt::Display) -> String {
    let mut text = Bounded { text: String::new(), left: 4 * LONGEST };
    // It ends with an error where it is full, which is no fault.
    let _ = write!(text, "{error}");
    text.text
}

/// Displays a text from a file; made by [`escaped`] and [`shown`].
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a> {
    text: &'a str,
    most: usize,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, c) in self.text.chars().enumerate() {
            if n == self.most {
                return f.write_char('…');
            }
            if c == '\\' { f.write_str("\\\\")? } else { write_char(f, c)? }
        }
        Ok(())
    }
}

fn write_char(out: &mut impl fmt::Write, c: char) -> fmt::Result {
    if c.is_control() || steers(c) { write!(out, "{}", c.escape_default()) } else { out.write_char(c) }
}

/// Whether a character that is no control character breaks a line or turns the direction of text.
fn steers(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A message up to so many characters.
struct Bounded {
    text: String,
    left: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        for c in more.chars() {
            if self.left == 0 {
                self.text.push('…');
                return Err(fmt::Error);
            }
            self.left -= 1;
            write_char(&mut self.text, c)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_a_terminal() {
        for (text, expected) in [
            ("grün, 你好, 👩\u{200d}🔬", "grün, 你好, 👩\u{200d}🔬"),
            ("a\tb\r\nc", "a\\tb\\r\\nc"),
            ("a\\tb", "a\\\\tb"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("\u{9b}1m\u{7f}\0", "\\u{9b}1m\\u{7f}\\u{0}"),
            ("x\u{202e}y\u{2028}", "x\\u{202e}y\\u{2028}"),
        ] {
            assert_eq!(escaped(text).to_string(), expected);
        }
        assert_eq!(message("C:\\x\u{1b}"), "C:\\x\\u{1b}");
    }

    #[test]
    fn nothing_is_without_end() {
        let long = "ä".repeat(1000);
        assert_eq!(escaped(&long).to_string(), long);
        assert_eq!(shown(&long).to_string(), format!("{}…", "ä".repeat(LONGEST)));
        assert_eq!(shown(&long[..2 * LONGEST]).to_string(), "ä".repeat(LONGEST));
        assert_eq!(message(&long).chars().count(), 4 * LONGEST + 1);
        assert_eq!(message("short"), "short");
    }
}
