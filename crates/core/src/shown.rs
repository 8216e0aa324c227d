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

/// Whether a character is shown as it is: no control character, none that breaks a line, turns the direction of text or has
/// no width and joins nothing.
pub fn is_plain(c: char) -> bool {
    !c.is_control() && !steers(c) && !is_unseen(c)
}

/// `1 epoch`, `2 epochs`: a number with its noun, which is regular.
pub fn counted(number: impl TryInto<u64> + fmt::Display, noun: &str) -> String {
    let plural = |noun: &str| match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if noun.ends_with(['s', 'x']) || (noun.ends_with("ch") && noun != "epoch") => format!("{noun}es"),
        _ => format!("{noun}s"),
    };
    let text = number.to_string();
    match number.try_into() {
        Ok(1) => format!("{text} {noun}"),
        _ => format!("{text} {}", plural(noun)),
    }
}

/// The text as one word of a command that a shell reads: in quotes where it needs them.
pub fn quoted(word: &str) -> String {
    let bare = |c: char| c.is_alphanumeric() || "_-./:=@%+,".contains(c);
    // What begins with a hyphen would be an option; of a path, this is the same.
    let word = if word.starts_with('-') { format!("./{word}") } else { word.to_owned() };
    if !word.is_empty() && word.chars().all(bare) {
        return word;
    }
    if word.chars().all(is_plain) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    let escaped = |c: char| match c {
        '\\' => "\\\\".into(),
        '\'' => "\\'".into(),
        c if is_plain(c) => c.to_string(),
        c => c.to_string().bytes().map(|byte| format!("\\x{byte:02x}")).collect(),
    };
    format!("$'{}'", word.chars().map(escaped).collect::<String>())
}

fn write_char(out: &mut impl fmt::Write, c: char) -> fmt::Result {
    if is_plain(c) { out.write_char(c) } else { write!(out, "{}", c.escape_default()) }
}

/// Whether a character that is no control character breaks a line or turns the direction of text.
fn steers(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a character looks like none: two labels that differ by it would look the same. The joiners of emoji and of scripts
/// are not among them.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
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
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
        ] {
            assert_eq!(escaped(text).to_string(), expected);
        }
        assert_eq!(message("C:\\x\u{1b}"), "C:\\x\\u{1b}");
    }

    #[test]
    fn one_is_not_several() {
        let all = [
            (0, "epoch", "0 epochs"),
            (1, "epoch", "1 epoch"),
            (2, "class", "2 classes"),
            (3, "query", "3 queries"),
        ];
        for (number, noun, expected) in all {
            assert_eq!(counted(number as usize, noun), expected);
        }
        assert_eq!(counted(1_u64, "day"), "1 day");
        assert_eq!(counted(11_u32, "day"), "11 days");
    }

    #[test]
    fn a_shell_reads_back_what_is_quoted() {
        for word in
            ["plain/a-b_c.csv", "a b", "it's", "$HOME `x` \"y\"", "ü;你", "", "line\nend's \\ \u{1b}é"]
        {
            let shown = quoted(word);
            assert!(shown.chars().all(is_plain), "{shown}");
            let script = format!("printf %s {shown}");
            // Where there is no bash, what needs one is not looked at.
            let shell = if shown.starts_with('$') { "bash" } else { "sh" };
            let Ok(done) = std::process::Command::new(shell).args(["-c", &script]).output() else { continue };
            assert_eq!(String::from_utf8(done.stdout).unwrap(), word, "{shown}");
        }
        assert_eq!(quoted("a/b.csv"), "a/b.csv");
        assert_eq!(quoted("-x"), "./-x");
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
