//! Quoted fields that span lines: text of several lines, or a quotation mark that stands alone and swallowed rows
//! until the next one?
//!
//! Both are the same to a parser, so nothing is refused; but swallowed rows are lost without a sign. A field is told
//! when its lines read like rows of the same table, with a label that other rows have, or when hardly any other field
//! of the file spans lines.

use rustc_hash::{FxHashSet, FxHasher};
use std::hash::Hasher;

/// Fields that are remembered; more are only counted.
const KEPT: usize = 1000;
/// Lines of a field that are looked at.
const LINES: usize = 16;
/// Fields that a note shows.
const SHOWN: usize = 3;
/// Files with fewer rows have no "hardly any other".
const FEW: u64 = 100;

/// Where a field stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// First line of its row.
    pub(super) first: u64,
    /// Last line of its row.
    pub(super) last: u64,
    /// Lines of the field.
    pub(super) lines: u64,
}

/// Watches the quoted fields of a file.
#[derive(Default)]
pub(super) struct Quotes {
    rows: u64,
    /// Fields that span lines.
    count: u64,
    /// The first of them, with the labels that their lines would have as rows, and how many lines were looked at.
    fields: Vec<(Span, Vec<u64>, usize)>,
    /// Hashes of the labels of the file.
    labels: FxHashSet<u64>,
}

impl Quotes {
    /// A row ended.
    pub(super) fn row(&mut self) {
        self.rows += 1;
    }

    /// A row has this label.
    pub(super) fn label(&mut self, label: &str) {
        self.labels.insert(hash(label.trim().as_bytes()));
    }

    /// A field spans lines. `label_of` reads a line as a row.
    pub(super) fn field<'t>(
        &mut self,
        span: Span,
        text: &'t [u8],
        label_of: impl Fn(&'t [u8]) -> Option<&'t [u8]>,
    ) {
        self.count += 1;
        if self.fields.len() == KEPT {
            return;
        }
        let lines = text.split(|&b| b == b'\n' || b == b'\r').filter(|line| !line.is_empty()).take(LINES);
        let (mut looked, mut labels) = (0, Vec::new());
        for line in lines {
            looked += 1;
            labels.extend(label_of(line).map(|label| hash(label.trim_ascii())));
        }
        self.fields.push((span, labels, looked));
    }

    /// What is to be said of the fields of the file.
    pub(super) fn finish(self, file: &str) -> Vec<String> {
        let like_rows = |(_, labels, looked): &&(Span, Vec<u64>, usize)| {
            let known = labels.iter().filter(|label| self.labels.contains(label)).count();
            known > 0 && 2 * known + 1 >= *looked
        };
        let swallowed: Vec<Span> = self.fields.iter().filter(like_rows).map(|field| field.0).collect();
        let rare = self.rows >= FEW && self.count * 100 <= self.rows;
        let (what, spans, count) = if !swallowed.is_empty() {
            let count = swallowed.len() as u64;
            ("whose lines read like rows of the table", swallowed, count)
        } else if rare && self.count > 0 {
            let spans = self.fields.iter().map(|field| field.0).collect();
            ("where hardly any other field does", spans, self.count)
        } else {
            return Vec::new();
        };
        let shown: Vec<String> = spans
            .iter()
            .take(SHOWN)
            .map(|span| format!("{file}:{}-{} ({} lines)", span.first, span.last, span.lines))
            .collect();
        let more = if count > shown.len() as u64 {
            format!(" and {} more", count - shown.len() as u64)
        } else {
            String::new()
        };
        let noun = if count == 1 { "a quoted field spans" } else { "quoted fields span" };
        vec![format!(
            "{}{more}: {noun} several lines, {what}: is a quotation mark alone, so that rows were taken for text?",
            shown.join(", ")
        )]
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    hasher.finish()
}
