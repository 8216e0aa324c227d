//! What reading finds beside documents: rows that cannot be used, and what a reader should know.

use serde::Serialize;

use super::encoding::Suspect;
use super::split::SPLIT_RULE_VERSION;
use super::{Corpus, Document};
use crate::error::{BadRows, TextError};
use crate::label;

/// Bad rows that a message shows.
const SHOWN: usize = 5;
/// Longest description of one bad row, in characters.
const LONGEST: usize = 300;

/// What was found while a corpus was read, beside its documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// Rows left out because they could not be used.
    pub skipped: u64,
    /// How one file became splits, with the version of the rule; empty when the files are the splits.
    pub split: String,
    /// Documents that stand in two splits.
    pub overlap: Vec<Overlap>,
    /// Sentences for whoever trains on the corpus or reads its report: all of the above, and warnings.
    pub notes: Vec<String>,
}

impl Reading {
    /// The notes as a report has them: each says that it is about the data, and how it was split comes first.
    pub fn report(&self) -> Vec<String> {
        let split = (!self.split.is_empty()).then(|| format!("the data was split by {}", self.split));
        split.into_iter().chain(self.notes.iter().map(|note| format!("data: {note}"))).collect()
    }
}

/// Documents of one split whose text, but for case and white space, stands in another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// The split.
    pub split: &'static str,
    /// The other one.
    pub with: &'static str,
    /// How many of the split's documents.
    pub documents: usize,
    /// All documents of the split.
    pub of: usize,
}

/// Counts rows and keeps what is wrong with the first bad ones.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) bad: BadRows,
    suspect: Suspect,
    pub(super) notes: Vec<String>,
}

impl Tally {
    /// How many rows can be used.
    pub(super) fn usable(&self) -> u64 {
        self.bad.rows - self.bad.count
    }

    /// A row that can be used.
    pub(super) fn good(&mut self) {
        self.bad.rows += 1;
    }

    /// A row that cannot.
    pub(super) fn bad(&mut self, problem: &TextError) {
        self.bad.rows += 1;
        self.bad.count += 1;
        if self.bad.first.len() < SHOWN {
            let mut text = problem.to_string();
            if let Some((at, _)) = text.char_indices().nth(LONGEST) {
                text.truncate(at);
                text.push('…');
            }
            self.bad.first.push(text);
        }
    }

    /// Bytes of a bad row that are not UTF-8.
    pub(super) fn unreadable(&mut self, bytes: &[u8]) {
        self.suspect.add(bytes);
    }

    /// Whether so many bad rows may be left out: what is to be said of them.
    pub(super) fn finish(mut self, allowed: u64) -> Result<Reading, TextError> {
        if self.bad.count > allowed {
            self.bad.encodings = self.suspect.looks();
            return Err(TextError::BadRows(self.bad));
        }
        let mut notes = self.notes;
        if self.bad.count > 0 {
            let BadRows { count, rows, first, .. } = &self.bad;
            let shown = first.join("; ");
            let more = if *count > first.len() as u64 { "; …" } else { "" };
            notes.push(format!("left out {count} of {rows} rows that cannot be used: {shown}{more}"));
        }
        Ok(Reading { skipped: self.bad.count, notes, ..Reading::default() })
    }
}

/// Classes that a line shows.
const CLASSES: usize = 12;

/// Documents of each class, the most frequent first: `good 20, bad 3`.
pub(super) fn class_counts(labels: &[String], documents: &[Document]) -> String {
    let counts = counted(labels, documents);
    let mut order: Vec<usize> = (0..labels.len()).filter(|&class| counts[class] > 0).collect();
    order.sort_by_key(|&class| std::cmp::Reverse(counts[class]));
    let parts: Vec<String> =
        order.iter().map(|&class| format!("{} {}", label::shown(&labels[class]), counts[class])).collect();
    label::list(parts.iter().map(String::as_str), CLASSES)
}

fn counted(labels: &[String], documents: &[Document]) -> Vec<usize> {
    let mut counts = vec![0; labels.len()];
    for document in documents {
        counts[document.label as usize] += 1;
    }
    counts
}

/// Says what was split, and how.
pub(super) fn note_split(
    reading: &mut Reading,
    parts: [u32; 3],
    one: bool,
    before: usize,
    taken: [usize; 2],
) {
    let [train, valid, test] = parts;
    let rule = format!("split rule {SPLIT_RULE_VERSION}, {train}/{valid}/{test}");
    if !one {
        let part = |name: &str, count: usize| format!("{name} ({count} documents)");
        let names = match (valid > 0, test > 0) {
            (true, true) => format!("{} and {}", part("valid", taken[0]), part("test", taken[1])),
            (true, false) => part("valid", taken[0]),
            _ => part("test", taken[1]),
        };
        reading.notes.push(format!(
            "no file was given for {names}: taken from the {before} training documents ({rule})"
        ));
    }
    reading.split = rule;
}

/// Says which classes have too few documents for every split.
pub(super) fn note_small_classes(corpus: &mut Corpus, parts: [u32; 3]) {
    let mut missing = vec![false; corpus.labels.len()];
    for (part, documents) in parts[1..].iter().zip([&corpus.valid, &corpus.test]) {
        if *part > 0 {
            let counts = counted(&corpus.labels, documents);
            missing.iter_mut().zip(counts).for_each(|(missing, count)| *missing |= count == 0);
        }
    }
    let small: Vec<&str> = corpus
        .labels
        .iter()
        .zip(&missing)
        .filter(|(_, missing)| **missing)
        .map(|(label, _)| label.as_str())
        .collect();
    if small.is_empty() {
        return;
    }
    let count = small.len();
    let what = if count == 1 { "1 class has".to_owned() } else { format!("{count} classes have") };
    corpus.reading.notes.push(format!(
        "{what} too few documents to stand in every split, so that scores say little of them; what there is trains \
         first: {} (three documents of a class fill train, valid and test)",
        label::list(small.into_iter(), CLASSES)
    ));
}

/// Lines for whoever reads a corpus.
pub(super) fn told(corpus: &Corpus) -> Vec<String> {
    let splits = corpus.splits();
    let all: usize = splits.iter().map(|(_, documents)| documents.len()).sum();
    let parts: Vec<String> = splits
        .iter()
        .filter(|(_, documents)| !documents.is_empty())
        .map(|(name, documents)| {
            format!("{name} {} ({})", documents.len(), class_counts(&corpus.labels, documents))
        })
        .collect();
    let rule = &corpus.reading.split;
    let how = if rule.is_empty() { String::new() } else { format!("; {rule}") };
    let mut lines = vec![format!("{}: {all} documents: {}{how}", corpus.name, parts.join(", "))];
    lines.extend(corpus.reading.notes.iter().map(|note| format!("note: {note}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Place;

    fn tally(bad: u64) -> Tally {
        let mut tally = Tally::default();
        tally.good();
        for line in 1..=bad {
            tally.bad(&TextError::EmptyText(Place::new(&"f.csv".into(), line)));
        }
        tally
    }

    #[test]
    fn one_bad_row_is_told_plainly_and_many_are_counted() {
        let said = |bad| tally(bad).finish(0).unwrap_err().to_string();
        assert!(said(1).starts_with("f.csv:1: empty text; `--skip-bad-rows 1`"), "{}", said(1));
        let many = said(9);
        assert!(many.starts_with("9 of 10 rows cannot be used:\n  f.csv:1: empty text\n  f.csv:2"), "{many}");
        assert!(many.contains("\n  and 4 more\n`--skip-bad-rows 9`"), "{many}");
    }

    #[test]
    fn as_many_as_allowed_are_left_out_and_said() {
        assert!(tally(0).finish(0).unwrap().notes.is_empty());
        let reading = tally(7).finish(7).unwrap();
        assert_eq!(reading.skipped, 7);
        assert!(
            reading.notes[0].contains("7 of 8") && reading.notes[0].contains("f.csv:5"),
            "{:?}",
            reading.notes
        );
        assert!(tally(7).finish(6).is_err());
    }

    #[test]
    fn unreadable_rows_name_the_encoding() {
        let mut tally = Tally::default();
        tally.bad(&TextError::NotUtf8(Place::new(&"f.csv".into(), 3)));
        tally.unreadable(b"un caf\xe9 tr\xe8s d\xe9licieux");
        let said = tally.finish(0).unwrap_err().to_string();
        assert!(said.contains("f.csv:3") && said.contains("--encoding windows-1252"), "{said}");
    }
}
