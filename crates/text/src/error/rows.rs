//! Rows and labels that cannot be used, told together.

use std::fmt;

use super::Place;
use crate::label;

/// Unseen labels that a message shows.
const SHOWN: usize = 20;

/// An encoding that text may be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looks {
    /// Its name, as the setting takes it.
    pub encoding: String,
    /// A word of the text, read so.
    pub word: String,
}

/// Rows that cannot be used, more than may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadRows {
    /// How many.
    pub count: u64,
    /// Rows read in all, good and bad.
    pub rows: u64,
    /// What is wrong with the first few, each with its place.
    pub first: Vec<String>,
    /// A file, or the files of a split, of which no row can be used.
    pub without: Option<String>,
    /// The encodings that rows which are not UTF-8 may be in, the likeliest first.
    pub encodings: Vec<Looks>,
}

impl fmt::Display for BadRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, rows, first, without, encodings } = self;
        match &first[..] {
            [only] if *count == 1 => f.write_str(only)?,
            _ => {
                write!(f, "{count} of {rows} rows cannot be used:")?;
                for row in first {
                    write!(f, "\n  {row}")?;
                }
                if *count > first.len() as u64 {
                    write!(f, "\n  and {} more", count - first.len() as u64)?;
                }
            }
        }
        let joint = if *count == 1 { "; " } else { "\n" };
        if let [Looks { encoding, .. }] = &encodings[..] {
            return write!(
                f,
                "{joint}the text looks like {encoding}: give `--encoding {encoding}` (in a recipe `read = {{ encoding = \
                 \"{encoding}\" }}`), or convert it, for example with `iconv -f {encoding} -t utf-8`"
            );
        }
        if let [one, other, ..] = &encodings[..] {
            let Looks { encoding, word } = one;
            return write!(
                f,
                "{joint}too few bytes tell what the text is written in: give `--encoding {encoding}` if \"{word}\" reads right, \
                 `--encoding {}` if \"{}\" does (in a recipe `read = {{ encoding = \"{encoding}\" }}`), or convert it likewise, for \
                 example with `iconv -f {encoding} -t utf-8`",
                other.encoding, other.word
            );
        }
        // Leaving all rows out would leave nothing.
        if count == rows {
            return Ok(());
        }
        if let Some(files) = without {
            return write!(f, "{joint}no row of {files} can be used");
        }
        write!(
            f,
            "{joint}`--skip-bad-rows {count}` leaves {} out (in a recipe `read = {{ skip_bad_rows = {count} }}`)",
            if *count == 1 { "such a row" } else { "them" }
        )
    }
}

/// A label of valid or test documents that no training document has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnseenLabel {
    /// The first document with it.
    pub place: Place,
    /// The label.
    pub label: String,
    /// `valid` or `test`.
    pub split: &'static str,
}

/// All such labels of a corpus, in byte order; never none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnseenLabels(pub Vec<UnseenLabel>);

impl fmt::Display for UnseenLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = &self.0;
        if let [UnseenLabel { place, label, split }] = &labels[..] {
            let label = label::shown(label);
            write!(f, "{place}: label {label:?} of the {split} split never occurs in the training split")?;
        } else {
            write!(f, "{} labels never occur in the training split:", labels.len())?;
            for UnseenLabel { place, label, split } in labels.iter().take(SHOWN) {
                write!(f, "\n  {place}: {:?} ({split})", label::shown(label))?;
            }
            if labels.len() > SHOWN {
                write!(f, "\n  and {} more", labels.len() - SHOWN)?;
            }
        }
        let (them, rows) = if labels.len() == 1 { ("it", "its rows") } else { ("them", "their rows") };
        write!(f, "; no model could ever give {them}: add training documents, or leave {rows} out")
    }
}
