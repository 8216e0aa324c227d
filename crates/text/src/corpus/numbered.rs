//! Texts or pairs of texts with a number in place of a class: how alike two texts are, how good a review is.

use sha2::{Digest, Sha256};
use std::sync::Arc;

use super::options::{CorpusOptions, Files, Source};
use super::reading::{self, Reading};
use super::sink::{Other, Row, Sink};
use super::{Document, source, split};
use crate::error::{Place, TextError};
use crate::input::AsInput;

/// Documents with numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbered {
    /// The documents; all are of class 0.
    pub documents: Vec<Document>,
    /// The number of each.
    pub numbers: Vec<f32>,
}

/// Documents with numbers in three splits.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberedCorpus {
    /// What messages call it.
    pub name: String,
    /// To train on; never empty.
    pub train: Numbered,
    /// To choose between models; never empty.
    pub valid: Numbered,
    /// To score models; never empty.
    pub test: Numbered,
    /// SHA-256 of texts and numbers of the splits, in order, in lower-case hexadecimal.
    pub sha256: String,
    /// What was found beside the documents, and is to be said.
    pub reading: Reading,
}

impl Numbered {
    /// Reads every document of some files, whose numbers stand in the column of the label; and what is to be said of them.
    ///
    /// # Errors
    /// [`TextError`] for files, rows and settings; [`TextError::NoDocuments`] when there is none.
    pub fn read(files: &Files, options: &CorpusOptions) -> Result<(Self, Reading), TextError> {
        let source = Source::One(files.clone());
        options.check(&source)?;
        if let Some(limit) = options.limit {
            return Err(TextError::Setting {
                setting: "limit",
                value: limit.to_string(),
                bound: "is for labels that are classes".into(),
            });
        }
        let mut found = Self::default();
        let mut take = |row: Row<'_>, file: &Arc<str>| {
            let place = || Place::new(file, row.line);
            row.check_texts(place)?;
            let number = row.other.trim().parse::<f32>().ok().filter(|number| number.is_finite());
            found.numbers.push(number.ok_or_else(|| TextError::WrongType {
                place: place(),
                column: options.label.to_string(),
                found: format!("{:?}", crate::label::shown(row.other)),
                expected: "a finite number",
            })?);
            found.documents.push(row.document(0));
            Ok(())
        };
        let mut sink = Sink::new(Other::Number(&options.label), &mut take);
        source::read(&mut sink, files, options)?;
        let reading = sink.tally.finish(options.skip_bad_rows)?;
        match found.documents.is_empty() {
            true => Err(TextError::NoDocuments { file: source.name() }),
            false => Ok((found, reading)),
        }
    }

    /// Those of some places.
    fn at(&self, places: impl Iterator<Item = usize>) -> Self {
        let of = |i: usize| (self.documents[i].clone(), self.numbers[i]);
        let (documents, numbers) = places.map(of).unzip();
        Self { documents, numbers }
    }
}

impl NumberedCorpus {
    /// Reads files; a split that has none takes its share of the training documents by the split rule, copies staying
    /// together.
    ///
    /// # Errors
    /// As [`Numbered::read`], and [`TextError::TooFewDocuments`] where a split would stay empty.
    pub fn read_for_training(source: &Source, options: &CorpusOptions) -> Result<Self, TextError> {
        options.check(source)?;
        let (files, one) = match source {
            Source::One(files) => ([Some(files), None, None], true),
            Source::Splits { train, valid, test } => ([Some(train), valid.as_ref(), test.as_ref()], false),
        };
        let mut reading = Reading::default();
        let mut splits = [const { None }; 3];
        for (split, files) in splits.iter_mut().zip(files) {
            let Some(files) = files else { continue };
            let (read, Reading { skipped, notes, .. }) = Numbered::read(files, options)?;
            reading.skipped += skipped;
            reading.notes.extend(notes);
            *split = Some(read);
        }
        let [train, valid, test] = splits;
        let all = train.unwrap_or_default();
        let mut parts = options.split.parts();
        for (part, given) in parts[1..].iter_mut().zip([&valid, &test]) {
            if given.is_some() {
                *part = 0;
            }
        }
        let mut buffer = String::new();
        let keys: Vec<_> = all.documents.iter().map(|d| split::key(d.as_input(), &mut buffer)).collect();
        let of = split::assign(&keys, &vec![0; keys.len()], &[0], parts);
        let taken = |split: u8| all.at((0..of.len()).filter(|i| of[*i] == split));
        let [train, valid, test] =
            [taken(0), valid.unwrap_or_else(|| taken(1)), test.unwrap_or_else(|| taken(2))];
        let name = source.name();
        if [&train, &valid, &test].iter().any(|split| split.documents.is_empty()) {
            let different = keys.iter().collect::<std::collections::HashSet<_>>().len();
            let (documents, classes) = (keys.len(), "with numbers".into());
            return Err(TextError::TooFewDocuments { corpus: name, documents, different, classes });
        }
        if parts[1] + parts[2] > 0 {
            let taken = [valid.documents.len(), test.documents.len()];
            reading::note_split(&mut reading, parts, one, all.documents.len(), taken);
        }
        let sha256 = hash([&train, &valid, &test]);
        Ok(Self { name, train, valid, test, sha256, reading })
    }

    /// What to say of the corpus when it was read.
    pub fn told(&self) -> Vec<String> {
        let splits = [("train", &self.train), ("valid", &self.valid), ("test", &self.test)];
        let sizes = splits.map(|(name, split)| format!("{name} {}", split.documents.len()));
        let all: usize = splits.iter().map(|(_, split)| split.documents.len()).sum();
        let numbers = &self.train.numbers;
        let [least, most] = [f32::min, f32::max].map(|of| numbers.iter().copied().fold(numbers[0], of));
        let first = format!(
            "{}: {all} documents: {}; training numbers from {least} to {most}",
            self.name,
            sizes.join(", ")
        );
        let notes = self.reading.notes.iter().map(|note| format!("note: {note}"));
        std::iter::once(first).chain(notes).collect()
    }
}

/// Lengths go before texts, so that no two contents give the same bytes.
fn hash(splits: [&Numbered; 3]) -> String {
    let mut hash = Sha256::new_with_prefix(b"nlpress numbers 1\n");
    for Numbered { documents, numbers } in splits {
        hash.update((documents.len() as u64).to_le_bytes());
        for (document, number) in documents.iter().zip(numbers) {
            hash.update(number.to_bits().to_le_bytes());
            hash.update([u8::from(document.pair.is_some())]);
            for text in [Some(&document.text), document.pair.as_ref()].into_iter().flatten() {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
        }
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Column;
    use std::path::PathBuf;

    fn written(folder: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn numbers_are_read_from_csv_and_json() {
        let folder = tempfile::tempdir().unwrap();
        let options = CorpusOptions { pair: Some(Column::Name("b".into())), ..CorpusOptions::default() };
        let csv = written(&folder, "a.csv", "text,b,label\nx,y,4.25\nz,w,-1e-1\n");
        let json =
            "{\"text\":\"x\",\"b\":\"y\",\"label\":4.25}\n{\"b\":\"w\",\"label\":\"-0.1\",\"text\":\"z\"}\n";
        let json = written(&folder, "a.jsonl", json);
        let (csv, _) = Numbered::read(&csv.into(), &options).unwrap();
        assert_eq!(
            (csv.numbers.as_slice(), csv.documents[1].pair.as_deref()),
            (&[4.25, -0.1][..], Some("w"))
        );
        assert_eq!(Numbered::read(&json.into(), &options).unwrap().0, csv);
        for (content, says) in [
            ("text,label\nx,good\n", "a.csv:2: column \"label\" holds \"good\", expected a finite number"),
            ("text,label\nx,inf\n", "holds \"inf\""),
            ("text,label\nx,1e39\n", "holds \"1e39\""),
            ("text,label\n,1\n", "a.csv:2: empty text"),
            ("text,label\n", "no documents"),
        ] {
            let path = written(&folder, "a.csv", content);
            let error = Numbered::read(&path.into(), &CorpusOptions::default()).unwrap_err().to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
    }

    #[test]
    fn one_file_becomes_three_splits_and_copies_stay_together() {
        let folder = tempfile::tempdir().unwrap();
        let rows: String = (0..100).map(|n| format!("Text {},{}.5\n", n / 2, n % 2)).collect();
        let path = written(&folder, "all.csv", &format!("text,label\n{rows}"));
        let read = |source| NumberedCorpus::read_for_training(&source, &CorpusOptions::default());
        let corpus = read(Source::One(path.clone().into())).unwrap();
        let sizes = [&corpus.train, &corpus.valid, &corpus.test].map(|split| split.documents.len());
        assert_eq!(sizes, [80, 10, 10]);
        for document in corpus.valid.documents.iter().chain(&corpus.test.documents) {
            assert!(!corpus.train.documents.contains(document));
        }
        assert_eq!(
            corpus.told()[0],
            "all: 100 documents: train 80, valid 10, test 10; training numbers from 0.5 to 1.5"
        );
        let given = Source::Splits { train: path.clone().into(), valid: Some(path.into()), test: None };
        let corpus = read(given).unwrap();
        assert_eq!((corpus.valid.documents.len(), corpus.test.documents.len()), (100, 12));
        let few = written(&folder, "few.csv", "text,label\na,1\nb,2\n");
        assert!(read(Source::One(few.into())).unwrap_err().to_string().contains("too few to train"));
    }
}
