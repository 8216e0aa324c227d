//! Texts without labels beside the documents of a corpus.

use std::collections::HashSet;

use super::options::{CorpusOptions, Files};
use super::split::key;
use super::{Corpus, Texts};
use crate::TextError;
use crate::input::AsInput;

impl Corpus {
    /// The same corpus with the texts of some files, whose labels are not looked at. A text that a document of a split has,
    /// case and white space aside, is left out: of validation and test documents nothing may be learnt, and what trains
    /// has its label. So are texts that came before, and empty ones; how many, the notes say.
    ///
    /// # Errors
    /// [`TextError`] for files, rows and settings; [`TextError::NothingNew`] when no text is left.
    pub fn with_unlabelled(mut self, files: &Files, options: &CorpusOptions) -> Result<Self, TextError> {
        if let Some(column) = &options.pair {
            return Err(TextError::Setting {
                setting: "pair",
                value: column.to_string(),
                bound: "texts without labels are single ones".into(),
            });
        }
        let read = Texts::read(files, options, None)?;
        let mut buffer = String::new();
        let documents = self.splits().into_iter().flat_map(|(_, documents)| documents);
        let labelled: HashSet<_> = documents.map(|document| key(document.as_input(), &mut buffer)).collect();
        let (mut seen, mut known, mut copies, mut empty) = (HashSet::new(), 0, 0, 0);
        for text in read.texts {
            let key = key((&text).into(), &mut buffer);
            if buffer.is_empty() {
                empty += 1;
            } else if labelled.contains(&key) {
                known += 1;
            } else if seen.insert(key) {
                self.unlabelled.push(text);
            } else {
                copies += 1;
            }
        }
        if self.unlabelled.is_empty() {
            return Err(TextError::NothingNew(files.paths()[0].clone()));
        }
        self.reading.notes.extend(read.reading.notes);
        let mut note = format!("{} texts without labels", self.unlabelled.len());
        for (count, why) in [
            (known, "stand among the labelled documents (case and white space aside)"),
            (copies, "came before"),
            (empty, "are empty"),
        ] {
            if count > 0 {
                note += &format!("; left out {count} that {why}");
            }
        }
        self.reading.notes.push(note);
        self.finished(options.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_join_that_are_new_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| {
            let path = folder.path().join("more.csv");
            std::fs::write(&path, text).unwrap();
            Files::from(path)
        };
        let corpus = || {
            let train = [("good film", "pos"), ("bad film", "neg")];
            Corpus::from_splits("films", &train, &[("fine", "pos")], &[("poor show", "neg")]).unwrap()
        };
        let options = CorpusOptions::default();
        let files = write("id,text\n1,new\n2,  POOR   show\n3,fine\n4,\n5,newer\n6,New\n7,bad film\n");
        let with = corpus().with_unlabelled(&files, &options).unwrap();
        assert_eq!(with.unlabelled, ["new", "newer"]);
        let note = with.reading.notes.last().unwrap();
        assert_eq!(
            note,
            "2 texts without labels; left out 3 that stand among the labelled documents (case and white space aside); \
             left out 1 that came before; left out 1 that are empty"
        );
        assert!(with.sha256 != corpus().sha256 && with.train == corpus().train);
        let few = CorpusOptions { limit: Some(2), ..options.clone() };
        assert_eq!(corpus().with_unlabelled(&files, &few).unwrap().unlabelled.len(), 2);
        let nothing = corpus().with_unlabelled(&write("text\nFINE\n"), &options).unwrap_err().to_string();
        assert!(nothing.contains("more.csv: every text is empty or stands among"), "{nothing}");
        assert!(corpus().with_unlabelled(&folder.path().join("none.csv").into(), &options).is_err());
    }
}
