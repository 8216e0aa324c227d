//! Documents to score or to answer: whatever a file has, without the demands of training.

use std::sync::Arc;

use super::assemble::Labels;
use super::options::{Column, CorpusOptions, Files, Source};
use super::sink::{Other, Row, Sink};
use super::{Corpus, Document, Reading, source};
use crate::error::{Place, TextError};

/// Labelled documents to score a model on. One class or one document is enough, and labels may be ones that a model
/// has never heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scoring {
    /// What messages call it.
    pub name: String,
    /// The labels that occur, in byte order and in the form that [`label`](super::label) gives.
    pub labels: Vec<String>,
    /// The documents, in the order of the files; never none. Classes are indices into `labels`.
    pub documents: Vec<Document>,
    /// Where each document stands.
    pub places: Vec<Place>,
    /// What was found beside the documents, and is to be said.
    pub reading: Reading,
}

/// Texts to answer, perhaps with identifiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// The texts, in the order of the files; they may be empty.
    pub texts: Vec<String>,
    /// The second text of each, where rows are pairs; else empty.
    pub pairs: Vec<String>,
    /// The identifier of each text, as it is written; empty without a column for it.
    pub ids: Vec<String>,
    /// Where each text stands.
    pub places: Vec<Place>,
    /// What was found beside the texts, and is to be said.
    pub reading: Reading,
}

impl Scoring {
    /// Reads every document of some files.
    ///
    /// # Errors
    /// [`TextError`] for files, rows and settings; [`TextError::NoDocuments`] when there is none.
    pub fn read(files: &Files, options: &CorpusOptions) -> Result<Self, TextError> {
        let source = Source::One(files.clone());
        options.check(&source)?;
        let (mut labels, mut documents, mut places) = (Labels::default(), Vec::new(), Vec::new());
        let mut take = |row: Row<'_>, file: &Arc<str>| {
            let place = || Place::new(file, row.line);
            row.check_texts(place)?;
            let label = labels.class(row.other, place)?;
            documents.push(row.document(label));
            places.push(place());
            Ok(())
        };
        let mut sink = Sink::new(Other::Label(&options.label), &mut take);
        source::read(&mut sink, files, options)?;
        let mut reading = sink.tally.finish(options.skip_bad_rows)?;
        if documents.is_empty() {
            return Err(TextError::NoDocuments { file: source.name() });
        }
        reading.notes.extend(labels.note());
        let (labels, renumbered) = labels.sorted();
        for document in &mut documents {
            document.label = renumbered[document.label as usize];
        }
        Ok(Self { name: source.name(), labels, documents, places, reading })
    }

    /// The test documents of a corpus.
    ///
    /// # Errors
    /// [`TextError::EmptySplit`] when it has none.
    pub fn of_test(corpus: Corpus) -> Result<Self, TextError> {
        if corpus.test.is_empty() {
            return Err(TextError::EmptySplit { corpus: corpus.name, split: "test" });
        }
        let file = format!("{} (test)", corpus.name).into();
        let places = (1..=corpus.test.len() as u64).map(|line| Place::new(&file, line)).collect();
        let Corpus { name, labels, test: documents, reading, .. } = corpus;
        Ok(Self { name, labels, documents, places, reading })
    }
}

impl Texts {
    /// Reads every text of some files; labels are not looked at.
    ///
    /// # Errors
    /// [`TextError`] for files, rows and settings; [`TextError::NoDocuments`] when there is no row.
    pub fn read(files: &Files, options: &CorpusOptions, id: Option<&Column>) -> Result<Self, TextError> {
        // The label's column is not read, so it cannot contradict anything.
        let label = match (&options.text, options.header) {
            (Column::Index(0), false) => Column::Index(1),
            (_, false) => Column::Index(0),
            (Column::Name(name), true) => Column::Name(format!("not {name}")),
            (Column::Index(_), true) => Column::Name(String::new()),
        };
        let options = CorpusOptions { label, ..options.clone() };
        options.check(&Source::One(files.clone()))?;
        let (mut texts, mut pairs, mut ids, mut places) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut take = |row: Row<'_>, file: &Arc<str>| {
            texts.push(row.text.to_owned());
            pairs.extend(row.pair.map(str::to_owned));
            if id.is_some() {
                ids.push(row.other.to_owned());
            }
            places.push(Place::new(file, row.line));
            Ok(())
        };
        let mut sink = Sink::new(id.map_or(Other::Nothing, Other::Id), &mut take);
        source::read(&mut sink, files, &options)?;
        let reading = sink.tally.finish(options.skip_bad_rows)?;
        Ok(Self { texts, pairs, ids, places, reading })
    }
}
