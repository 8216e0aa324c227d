//! Documents with labels in three splits.
//!
//! A corpus is read once, whole, and never changes: [`Corpus::sha256`] names its content. Labels are sorted by
//! their bytes, so the class numbers do not depend on the order of the documents.

mod assemble;
pub mod columns;
mod delimited;
mod elements;
mod encoding;
mod fasttext;
mod frames;
mod input;
mod json;
mod lines;
mod numbered;
mod options;
mod overlap;
#[cfg(feature = "parquet")]
mod parquet;
mod quotes;
mod reading;
mod scoring;
mod sink;
mod source;
mod split;
#[cfg(feature = "parquet")]
mod thrift;
mod unlabelled;

use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::sync::Arc;

use crate::error::TextError;
use crate::input::{AsInput, TextInput};
use assemble::{Draft, SPLITS};
use sink::{Other, Row, Sink};

pub use crate::error::{BadRows, Looks, UnseenLabel, UnseenLabels};
pub use crate::label::label;
pub use encoding::TextEncoding;
pub use numbered::{Numbered, NumberedCorpus};
pub use options::{Column, CorpusOptions, Files, Format, Source};
pub use reading::{Overlap, Reading};
pub use scoring::{Scoring, Texts};
pub use split::{SPLIT_RULE_VERSION, SplitRule};

/// Most classes of a corpus.
pub const MAX_CLASSES: usize = 65_536;

/// A text, or a pair of texts, with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The text, as it was read.
    pub text: String,
    /// The second text, where documents are pairs; then every document of a corpus has one.
    pub pair: Option<String>,
    /// Class: index into [`Corpus::labels`].
    pub label: u32,
}

impl AsInput for Document {
    fn as_input(&self) -> TextInput<'_> {
        TextInput { text: &self.text, pair: self.pair.as_deref() }
    }
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
    /// Texts without labels, for a teacher to answer; none is the text of a document in a split, case and white space aside.
    pub unlabelled: Vec<String>,
    /// SHA-256 of labels, splits, classes and texts in order, those without labels at the end, in lower-case hexadecimal.
    pub sha256: String,
    /// What was found beside the documents, and is to be said.
    pub reading: Reading,
}

impl Corpus {
    /// Reads a corpus from files. One corpus is split by [`CorpusOptions::split`]; of files for the splits, those that
    /// are not given stay empty.
    ///
    /// # Errors
    /// Everything that [`TextError`] lists for files, rows, labels and settings; nothing is skipped silently, except
    /// blank lines.
    pub fn read(source: &Source, options: &CorpusOptions) -> Result<Self, TextError> {
        let (corpus, one) = Self::read_files(source, options)?;
        let corpus = if one { corpus.filled(options.split, true)? } else { corpus };
        corpus.finished(options.limit)
    }

    /// As [`read`](Self::read), but a split that has no file takes its share of the training documents.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn read_for_training(source: &Source, options: &CorpusOptions) -> Result<Self, TextError> {
        let (corpus, one) = Self::read_files(source, options)?;
        corpus.filled(options.split, one)?.finished(options.limit)
    }

    /// The documents of every file; and whether they are one corpus, all of it in `train` for now.
    fn read_files(source: &Source, options: &CorpusOptions) -> Result<(Self, bool), TextError> {
        options.check(source)?;
        let mut draft = Draft::default();
        let split = Cell::new(0);
        let mut take = |row: Row<'_>, file: &Arc<str>| draft.add(split.get(), row, file);
        let mut sink = Sink::new(Other::Label(&options.label), &mut take);
        let (files, one) = match source {
            Source::One(files) => ([Some(files), None, None], true),
            Source::Splits { train, valid, test } => ([Some(train), valid.as_ref(), test.as_ref()], false),
        };
        for (i, files) in files.iter().enumerate() {
            split.set(i);
            if let Some(files) = files {
                source::read(&mut sink, files, options)?;
            }
        }
        let reading = sink.tally.finish(options.skip_bad_rows)?;
        let mut corpus = draft.finish(source.name(), files.map(|files| files.is_some()), reading)?;
        if !one {
            overlap::find(&mut corpus);
        }
        Ok((corpus, one))
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
            add_all(&mut draft, split, SPLITS[split], documents)?;
        }
        let wanted = [true, !valid.is_empty(), !test.is_empty()];
        draft.finish(name.into(), wanted, Reading::default())?.finished(None)
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
        add_all(&mut draft, 0, "document", documents)?;
        let corpus = draft.finish(name.into(), [true, false, false], Reading::default())?;
        corpus.filled(rule, true)?.finished(None)
    }

    /// Gives `valid` and `test`, where they are empty, their share of the training documents, by the split rule.
    /// `one` says that the documents are one corpus: then that is no news.
    fn filled(mut self, rule: SplitRule, one: bool) -> Result<Self, TextError> {
        let mut parts = rule.parts();
        for (part, given) in parts[1..].iter_mut().zip([&self.valid, &self.test]) {
            if !given.is_empty() {
                *part = 0;
            }
        }
        if parts[1] + parts[2] == 0 {
            return Ok(self);
        }
        let mut buffer = String::new();
        let keys: Vec<_> = self.train.iter().map(|d| split::key(d.as_input(), &mut buffer)).collect();
        let classes: Vec<u32> = self.train.iter().map(|d| d.label).collect();
        let rank: Vec<u32> = (0..self.labels.len() as u32).collect(); // labels are sorted by name
        let splits = split::assign(&keys, &classes, &rank, parts);
        let before = self.train.len();
        let mut taken = [Vec::new(), Vec::new(), Vec::new()];
        for (document, split) in std::mem::take(&mut self.train).into_iter().zip(splits) {
            taken[usize::from(split)].push(document);
        }
        let [train, valid, test] = taken;
        if (parts[1] > 0 && valid.is_empty()) || (parts[2] > 0 && test.is_empty()) {
            let all = [train, valid, test].concat();
            let classes = reading::class_counts(&self.labels, &all);
            let different = keys.iter().collect::<std::collections::HashSet<_>>().len();
            return Err(TextError::TooFewDocuments {
                corpus: self.name,
                documents: all.len(),
                different,
                classes,
            });
        }
        reading::note_split(&mut self.reading, parts, one, before, [valid.len(), test.len()]);
        self.train = train;
        if parts[1] > 0 {
            self.valid = valid;
        }
        if parts[2] > 0 {
            self.test = test;
        }
        reading::note_small_classes(&mut self, parts);
        Ok(self)
    }

    /// Cuts to the limit, and names the content.
    fn finished(mut self, limit: Option<usize>) -> Result<Self, TextError> {
        if let Some(limit) = limit {
            return self.limited(limit);
        }
        self.sha256 = self.hash();
        Ok(self)
    }

    /// What to say of the corpus when it was read: documents, by split and by class, and the notes.
    pub fn told(&self) -> Vec<String> {
        reading::told(self)
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
        self.unlabelled.truncate(limit);
        self.sha256 = self.hash();
        Ok(self)
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
        if self.train.iter().any(|document| document.pair.is_some()) {
            hash.update(b"pairs\n");
        }
        hash.update((self.labels.len() as u64).to_le_bytes());
        for label in &self.labels {
            text(&mut hash, label);
        }
        for (_, documents) in self.splits() {
            hash.update((documents.len() as u64).to_le_bytes());
            for document in documents {
                hash.update(document.label.to_le_bytes());
                text(&mut hash, &document.text);
                document.pair.iter().for_each(|pair| text(&mut hash, pair));
            }
        }
        if !self.unlabelled.is_empty() {
            hash.update(b"unlabelled\n");
            self.unlabelled.iter().for_each(|unlabelled| text(&mut hash, unlabelled));
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

fn add_all<T: AsRef<str>, L: AsRef<str>>(
    draft: &mut Draft,
    split: usize,
    name: &str,
    documents: &[(T, L)],
) -> Result<(), TextError> {
    let name = Arc::from(name);
    for (line, (text, label)) in (1..).zip(documents) {
        draft.add(split, Row { text: text.as_ref(), pair: None, other: label.as_ref(), line }, &name)?;
    }
    Ok(())
}

/// The texts of documents, as [`BagEncoder::fit`](crate::BagEncoder::fit) takes them.
pub fn texts(documents: &[Document]) -> impl ExactSizeIterator<Item = &str> + Clone {
    documents.iter().map(|d| d.text.as_str())
}

/// The texts of documents, or their pairs of texts.
pub fn inputs(documents: &[Document]) -> Vec<TextInput<'_>> {
    documents.iter().map(AsInput::as_input).collect()
}

#[cfg(test)]
#[path = "corpus_tests.rs"]
mod tests;
