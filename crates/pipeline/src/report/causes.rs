//! What did not shrink, folded by cause: the same sentence about twenty files is said once.

use super::words::bytes;
use super::{Report, Unshrunk};
use std::collections::BTreeMap;

/// Most rows and parts that are named one by one.
const MOST_NAMED: usize = 6;

/// One reason, with everything that it holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// The reason; where it has numbers that differ, from the least to the greatest.
    pub(super) why: String,
    /// The parts, for example `hidden.0.weight`.
    pub(super) parts: String,
    /// The rows.
    pub(super) rows: String,
    /// Bytes in a file, from the least to the greatest.
    pub(super) size: String,
}

/// All causes, the one that costs most bytes first.
pub(super) fn causes(report: &Report) -> Vec<Cause> {
    let mut found: BTreeMap<String, Vec<(&str, &Unshrunk)>> = BTreeMap::new();
    for row in &report.rows {
        for part in &row.size.unshrunk {
            let key: String =
                pieces(&part.why).into_iter().map(|p| if number(p) { "#" } else { p }).collect();
            found.entry(key).or_default().push((&row.id, part));
        }
    }
    let mut folded: Vec<(u64, Cause)> =
        found.values().map(|of| (of.iter().map(|p| p.1.bytes).sum(), fold(of))).collect();
    folded.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    folded.into_iter().map(|(_, cause)| cause).collect()
}

fn fold(of: &[(&str, &Unshrunk)]) -> Cause {
    let mut in_row: BTreeMap<&str, u64> = BTreeMap::new();
    of.iter().for_each(|(row, part)| *in_row.entry(row).or_default() += part.bytes);
    let (least, most) =
        (in_row.values().min().copied().unwrap_or(0), in_row.values().max().copied().unwrap_or(0));
    let size = if least == most { bytes(least) } else { format!("{} to {}", bytes(least), bytes(most)) };
    Cause {
        why: ranges(&of.iter().map(|(_, part)| part.why.as_str()).collect::<Vec<_>>()),
        parts: named(of.iter().map(|(_, part)| part.what.as_str()), "parts"),
        rows: named(of.iter().map(|(row, _)| *row), "rows"),
        size,
    }
}

/// Names in the order in which they come, each once; of many, the first few and how many there are.
fn named<'a>(names: impl Iterator<Item = &'a str>, what: &str) -> String {
    let mut once: Vec<&str> = Vec::new();
    names.for_each(|name| {
        if !once.contains(&name) {
            once.push(name);
        }
    });
    match once.len() {
        0..=MOST_NAMED => once.join(", "),
        all => format!("{}, … ({all} {what})", once[..MOST_NAMED - 2].join(", ")),
    }
}

/// Sentences that differ in their numbers only, as one.
fn ranges(sentences: &[&str]) -> String {
    let all: Vec<Vec<&str>> = sentences.iter().map(|s| pieces(s)).collect();
    let value = |text: &&str| text.parse::<f64>().unwrap_or(0.0);
    let piece = |at: usize| {
        let mut here: Vec<&str> = all.iter().filter_map(|p| p.get(at).copied()).collect();
        here.sort_by(|a, b| value(a).total_cmp(&value(b)));
        match (here.first(), here.last()) {
            (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
            (first, _) => first.copied().unwrap_or_default().to_owned(),
        }
    };
    (0..all.first().map_or(0, Vec::len)).map(piece).collect()
}

/// A sentence cut into numbers and what is between them.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let inside = |c: char| if digits { c.is_ascii_digit() || c == '.' } else { !c.is_ascii_digit() };
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        // A full stop after a number ends the sentence, not the number.
        let end = if digits { rest[..end].trim_end_matches('.').len() } else { end };
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
    pieces
}

fn number(piece: &str) -> bool {
    piece.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn the_same_reason_is_said_once() {
        let mut report = fixture::report();
        for (n, row) in report.rows.iter_mut().enumerate() {
            row.size.unshrunk.push(Unshrunk {
                what: format!("hidden.{}.weight", n % 2),
                bytes: 1000 + n as u64,
                why: format!("left dense: 32-bit floats, {}.5 % of all weights", n + 1),
            });
        }
        let causes = causes(&report);
        assert_eq!(causes.len(), 2, "{causes:?}");
        assert_eq!(causes[0].why, "words are needed as they are");
        assert!(causes[0].rows.ends_with(", … (20 rows)"), "{}", causes[0].rows);
        assert_eq!(causes[0].size, "9.1 KB");
        assert_eq!(causes[1].why, "left dense: 32-bit floats, 1.5 to 22.5 % of all weights");
        assert_eq!(causes[1].parts, "hidden.0.weight, hidden.1.weight");
        assert_eq!(causes[1].size, "1.0 KB to 1.0 KB");
    }

    #[test]
    fn numbers_are_cut_out() {
        assert_eq!(pieces("a 1.25 b 3."), ["a ", "1.25", " b ", "3", "."]);
        assert_eq!(pieces("λ2µ"), ["λ", "2", "µ"]);
        assert!(pieces("").is_empty());
    }
}
