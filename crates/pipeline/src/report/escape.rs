//! Text in HTML.

use nlpress_core::shown::is_plain;

/// Text as HTML text or as a quoted attribute; of what would turn or hide other text, its number.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c if is_plain(c) || matches!(c, '\n' | '\t') => out.push(c),
            c => out.extend(c.escape_default()),
        }
    }
    out
}
