//! fastText: the label stands in the line, as `__label__NAME`.

use super::lines::Lines;
use super::options::Column;
use super::sink::{Other, Row, Sink};
use crate::error::TextError;

const MARK: &str = "__label__";

/// Every line is a document; words are separated by white space, and the one with the mark is the label, wherever it
/// stands. Columns are not used.
pub(super) fn read(mut lines: Lines, pair: Option<&Column>, sink: &mut Sink<'_>) -> Result<(), TextError> {
    if let Some(column) = pair {
        return Err(TextError::Setting {
            setting: "pair",
            value: column.to_string(),
            bound: "a line of fastText is one text".into(),
        });
    }
    let mut line = Vec::new();
    let mut text = String::new();
    loop {
        line.clear();
        let number = lines.next();
        if !lines.append(&mut line, number)? {
            return Ok(());
        }
        let content = lines.content(&line);
        let Some(content) = sink.utf8(content, || lines.place(number)) else { continue };
        let content = content.trim();
        if content.is_empty() {
            continue;
        }
        let labels: Vec<&str> =
            content.split_whitespace().filter_map(|word| word.strip_prefix(MARK)).take(100).collect();
        let problem = match (&labels[..], sink.other) {
            ([label], _) => {
                text.clear();
                without_label(content, &mut text);
                sink.row(Row { text: &text, pair: None, other: label, line: number })?;
                continue;
            }
            ([], Other::Nothing) => {
                sink.row(Row { text: content, pair: None, other: "", line: number })?;
                continue;
            }
            ([], _) => TextError::NoLabel(lines.place(number)),
            (several, _) => TextError::SeveralLabels { place: lines.place(number), count: several.len() },
        };
        sink.tally.bad(&problem);
    }
}

/// The line but for its label. White space elsewhere stays.
fn without_label(content: &str, text: &mut String) {
    let at = content.match_indices(MARK).map(|(at, _)| at);
    let begins = |at: &usize| content[..*at].chars().next_back().is_none_or(char::is_whitespace);
    let Some(at) = at.into_iter().find(begins) else { return text.push_str(content) };
    let (before, rest) = content.split_at(at);
    let after = rest.find(char::is_whitespace).map_or("", |end| &rest[end..]);
    let (before, after) = (before.trim_end(), after.trim_start());
    text.push_str(before);
    if !before.is_empty() && !after.is_empty() {
        text.push(' ');
    }
    text.push_str(after);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_leaves_the_text_wherever_it_stands() {
        for (line, want) in [
            ("__label__a good  film", "good  film"),
            ("good __label__a film", "good film"),
            ("good film __label__a", "good film"),
            ("x__label__b __label__a film", "x__label__b film"),
            ("__label__a", ""),
        ] {
            let mut text = String::new();
            without_label(line, &mut text);
            assert_eq!(text, want);
        }
    }
}
