//! Documents with labels in three splits.
//!
//! A corpus is read once, whole, and never changes: [`Corpus::sha256`] names its content. Labels are sorted by
//! their bytes, so the class numbers do not depend on the order of the documents.

mod assemble;
mod delimited;
mod json_lines;
mod options;
mod source;

use nlpress_core::Seed;
use sha2::{Digest, Sha256};
use std::path::Path;

use crate::error::{Place, TextError};
use assemble::{Draft, SPLITS};

pub use options::{Column, CorpusOptions, Format, Source, SplitRule};

/// Most classes of a corpus.
pub const MAX_CLASSES: usize = 65_536;

/// A text with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The text, as it was read.
    pub text: String,
    /// Class: index into [`Corpus::labels`].
    pub label: u32,
}

/// Labelled documents in three splits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    /// What the report calls it.
    pub name: String,
    /// Names of the classes, in byte order; every one occurs in `train`, and there are at least two.
    pub labels: Vec<String>,
    /// To fit encoders and models; never empty.
    pub train: Vec<Document>,
    /// To choose between models; may be empty.
    pub valid: Vec<Document>,
    /// To score models; may be empty.
    pub test: Vec<Document>,
    /// SHA-256 of labels, splits, classes and texts in order, in lower-case hexadecimal.
    pub sha256: String,
}

impl Corpus {
    /// Reads a corpus from files.
    ///
    /// # Errors
    /// Everything that [`TextError`] lists for files, lines, labels and settings; nothing is skipped silently,
    /// except blank lines of JSONL and CSV.
    pub fn read(source: &Source, options: &CorpusOptions) -> Result<Self, TextError> {
        options.check(source)?;
        let mut draft = Draft::default();
        match source {
            Source::One(path) => {
                let rule = options.split;
                source::read(path, options, &mut |text, label, place| {
                    draft.add(rule.split_of(text), text, label, place)
                })?;
            }
            Source::Splits { train, valid, test } => {
                for (split, path) in [Some(train), valid.as_ref(), test.as_ref()].into_iter().enumerate() {
                    let Some(path) = path else { continue };
                    source::read(path, options, &mut |text, label, place| {
                        draft.add(split, text, label, place)
                    })?;
                }
            }
        }
        let wanted = match source {
            Source::One(_) => options.split.wanted(),
            Source::Splits { valid, test, .. } => [true, valid.is_some(), test.is_some()],
        };
        let hint = match source {
            Source::One(_) => {
                "; the split rule left nothing for it: give a file for each split, or other percentages"
            }
            Source::Splits { .. } => "",
        };
        draft.finish(source.name(), wanted, hint, options.limit)
    }

    /// The corpus that is compiled in: 10,000 movie-review snippets as word counts (see `docs/data.md`).
    ///
    /// Texts are pseudo-texts: every word of the vocabulary as often as the snippet has it, in byte order. They
    /// tokenise (words, any minimum length that the snippet's own words have) to the snippet's counts.
    ///
    /// # Errors
    /// [`TextError::Blob`] when the compiled-in bytes are damaged.
    pub fn embedded() -> Result<Self, TextError> {
        crate::embedded::corpus()
    }

    /// A corpus from documents in memory, already split: pairs of text and label.
    ///
    /// # Errors
    /// As for files; places name the split and the number of the document.
    pub fn from_splits<T: AsRef<str>, L: AsRef<str>>(
        name: &str,
        train: &[(T, L)],
        valid: &[(T, L)],
        test: &[(T, L)],
    ) -> Result<Self, TextError> {
        let mut draft = Draft::default();
        for (split, documents) in [train, valid, test].into_iter().enumerate() {
            let file = Path::new(SPLITS[split]);
            for (line, (text, label)) in (1..).zip(documents) {
                draft.add(split, text.as_ref(), label.as_ref(), Place::new(file, line))?;
            }
        }
        draft.finish(name.into(), [true, !valid.is_empty(), !test.is_empty()], "", None)
    }

    /// A corpus from documents in memory, split by `rule`.
    ///
    /// # Errors
    /// As for one file; places name the number of the document.
    pub fn from_documents<T: AsRef<str>, L: AsRef<str>>(
        name: &str,
        documents: &[(T, L)],
        rule: SplitRule,
    ) -> Result<Self, TextError> {
        rule.check()?;
        let mut draft = Draft::default();
        for (line, (text, label)) in (1..).zip(documents) {
            let place = Place::new(Path::new("document"), line);
            draft.add(rule.split_of(text.as_ref()), text.as_ref(), label.as_ref(), place)?;
        }
        draft.finish(name.into(), rule.wanted(), "; the split rule left nothing for it", None)
    }

    /// The same corpus with at most `limit` documents in each split, as [`CorpusOptions::limit`] takes them.
    ///
    /// # Errors
    /// [`TextError::Setting`] when `limit` is below the number of classes.
    pub fn limited(mut self, limit: usize) -> Result<Self, TextError> {
        assemble::check_limit(limit, self.labels.len())?;
        for split in [&mut self.train, &mut self.valid, &mut self.test] {
            assemble::thin(split, self.labels.len(), limit);
        }
        self.sha256 = self.hash();
        Ok(self)
    }

    /// A random order of the training documents: one for each seed and epoch.
    pub fn train_order(&self, seed: Seed, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.train.len()).collect();
        seed.derive("corpus.order").stream(epoch).shuffle(&mut order);
        order
    }

    /// The three splits with their names, in the order train, valid, test.
    pub fn splits(&self) -> [(&'static str, &[Document]); 3] {
        [(SPLITS[0], &self.train), (SPLITS[1], &self.valid), (SPLITS[2], &self.test)]
    }

    /// Hash over everything that a reader can see of the content; lengths go before texts, so that no two
    /// contents give the same bytes.
    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let text = |hash: &mut Sha256, t: &str| {
            hash.update((t.len() as u64).to_le_bytes());
            hash.update(t.as_bytes());
        };
        hash.update(b"nlpress corpus 1\n");
        hash.update((self.labels.len() as u64).to_le_bytes());
        for label in &self.labels {
            text(&mut hash, label);
        }
        for (_, documents) in self.splits() {
            hash.update((documents.len() as u64).to_le_bytes());
            for document in documents {
                hash.update(document.label.to_le_bytes());
                text(&mut hash, &document.text);
            }
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// The texts of documents, as [`Encoder::fit`](crate::Encoder::fit) takes them.
pub fn texts(documents: &[Document]) -> impl ExactSizeIterator<Item = &str> + Clone {
    documents.iter().map(|d| d.text.as_str())
}

#[cfg(test)]
#[path = "corpus_tests.rs"]
mod tests;
