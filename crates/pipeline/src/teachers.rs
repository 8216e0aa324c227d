//! Artifacts that teach: what a file that a recipe names as a teacher answers to the documents.
//!
//! Students learn from logits, so such a file may be of any family and read its own features or tokens: it is opened as
//! whoever uses it would open it, and asked text by text.

use nlpress_artifact::{Artifact, LARGEST_FILE};
use nlpress_core::event::{Event, Sink};
use nlpress_core::files;
use nlpress_runtime::Session;
use nlpress_technique::Answers;
use nlpress_text::{Corpus, Encode, corpus};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::failure::RunError;
use crate::measure::MeasureError;
use crate::origin::other_labels;
use crate::recipe::TeacherFile;

/// Documents that are asked about between two looks at whether to stop.
const DOCUMENTS_A_LOOK: usize = 128;

/// Files that teach: each is opened once, and asked once about the same documents.
#[derive(Debug, Default)]
pub struct Teachers {
    opened: Mutex<BTreeMap<PathBuf, Arc<Opened>>>,
    /// By the hashes of the file and of the documents.
    answers: Mutex<BTreeMap<[String; 2], Arc<Answers>>>,
}

#[derive(Debug)]
struct Opened {
    session: Session,
    sha256: String,
}

impl Teachers {
    /// Opens a file, and gives its SHA-256.
    ///
    /// # Errors
    /// A sentence when it cannot be opened, has another hash than it must have, or has other labels than the documents.
    pub fn open(&self, file: &TeacherFile, corpus: &Corpus) -> Result<String, String> {
        let opened = self.opened(&file.path)?;
        let path = file.path.display();
        if let Some(wanted) = file.sha256.as_ref().filter(|wanted| **wanted != opened.sha256) {
            let found = &opened.sha256;
            return Err(format!("{path}: its SHA-256 is {found}, but the recipe names {wanted}"));
        }
        if opened.session.labels().is_empty() {
            return Err(format!("{path}: it makes embeddings, not classes, so it cannot teach"));
        }
        match places(opened.session.labels(), &corpus.labels) {
            Some(_) => Ok(opened.sha256.clone()),
            None => Err(format!("{path}: {}", other_labels(opened.session.labels(), &corpus.labels))),
        }
    }

    fn opened(&self, path: &Path) -> Result<Arc<Opened>, String> {
        let mut held = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = held.get(path) {
            return Ok(Arc::clone(opened));
        }
        let said = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        // The bytes that are hashed are the bytes that are opened.
        let bytes = files::read_bounded(path, LARGEST_FILE).map_err(|e| said(&e))?;
        let artifact =
            Artifact::from_bytes(&bytes, &path.display().to_string()).map_err(|e| e.to_string())?;
        let session = Session::from_artifact(artifact).map_err(|e| said(&e))?;
        let opened = Arc::new(Opened { session, sha256: files::sha256_hex(&bytes) });
        held.insert(path.to_owned(), Arc::clone(&opened));
        Ok(opened)
    }

    /// What a file that was [opened](Teachers::open) says of the documents of a corpus, but for the test documents.
    ///
    /// # Errors
    /// [`RunError`] when a text cannot be answered, or the sink says to stop.
    pub fn answers(
        &self,
        file: &TeacherFile,
        corpus: &Corpus,
        sink: &dyn Sink,
    ) -> Result<Arc<Answers>, RunError> {
        let broken = |why: String| RunError::Internal(format!("teacher: {why}"));
        let opened = self.opened(&file.path).map_err(broken)?;
        let key = [opened.sha256.clone(), corpus.sha256.clone()];
        // Whoever else wants them waits here, in place of asking too.
        let mut held = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answers) = held.get(&key) {
            return Ok(Arc::clone(answers));
        }
        let places = places(opened.session.labels(), &corpus.labels);
        let places = places.ok_or_else(|| broken("it has other labels than the documents".into()))?;
        let unlabelled = || corpus.unlabelled.iter().map(String::as_str);
        let total = corpus.train.len() + corpus.valid.len() + unlabelled().len();
        let mut asked = Asked { opened: &opened, places, sink, done: 0, total };
        let answers = Arc::new(Answers {
            outputs: asked.outputs(),
            train: asked.about(corpus::texts(&corpus.train))?,
            valid: asked.about(corpus::texts(&corpus.valid))?,
            unlabelled: asked.about(unlabelled())?,
        });
        held.insert(key, Arc::clone(&answers));
        Ok(answers)
    }
}

/// Where each of our labels is among those of a file; nothing where they are not the same.
fn places(its: &[String], ours: &[String]) -> Option<Vec<usize>> {
    let places = ours.iter().map(|label| its.iter().position(|l| l == label)).collect::<Option<Vec<_>>>()?;
    (its.len() == ours.len()).then_some(places)
}

/// A file that is being asked.
struct Asked<'a> {
    opened: &'a Opened,
    places: Vec<usize>,
    sink: &'a dyn Sink,
    done: usize,
    total: usize,
}

impl Asked<'_> {
    /// Logits of our classes: one for two of them, else one each.
    fn outputs(&self) -> usize {
        if self.places.len() == 2 { 1 } else { self.places.len() }
    }

    fn about<'t>(&mut self, texts: impl Iterator<Item = &'t str>) -> Result<Vec<f32>, RunError> {
        let session = &self.opened.session;
        let outputs = session.outline().graph.outputs();
        let (texts, mut all) = (texts.collect::<Vec<_>>(), Vec::new());
        for some in texts.chunks(DOCUMENTS_A_LOOK) {
            let (done, total) = (self.done as u64, self.total as u64);
            self.sink.say(&Event::Progress { what: "asking the teacher".into(), done, total })?;
            let (examples, _) = session.encoder().encode_all(some).map_err(MeasureError::from)?;
            let logits = session.logits(&examples).map_err(MeasureError::from)?;
            logits.chunks_exact(outputs).for_each(|row| all.extend(ours(row, &self.places)));
            self.done += some.len();
        }
        Ok(all)
    }
}

/// A row of logits in the order of our classes, of which two have one logit: that of the second against the first.
fn ours(row: &[f32], places: &[usize]) -> Vec<f32> {
    match (row, places) {
        (&[second], _) => vec![if places == [0, 1] { second } else { -second }],
        (_, &[first, second]) => vec![row[second] - row[first]],
        _ => places.iter().map(|&place| row[place]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_name_and_logits_follow_them() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let of = |its: &[&str], ours: &[&str]| places(&names(its), &names(ours));
        assert_eq!(of(&["a", "b"], &["b", "a"]), Some(vec![1, 0]));
        assert_eq!(of(&["a", "b"], &["a", "c"]), None);
        assert_eq!(of(&["a", "b", "c"], &["a", "b"]), None);
        assert_eq!(ours(&[2.0], &[0, 1]), [2.0]);
        assert_eq!(ours(&[2.0], &[1, 0]), [-2.0]);
        assert_eq!(ours(&[2.0, 5.0], &[0, 1]), [3.0]);
        assert_eq!(ours(&[2.0, 5.0], &[1, 0]), [-3.0]);
        assert_eq!(ours(&[1.0, 2.0, 3.0], &[2, 0, 1]), [3.0, 1.0, 2.0]);
    }
}
