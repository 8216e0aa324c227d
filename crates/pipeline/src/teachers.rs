//! Artifacts that teach: what a file or a folder that a recipe names as a teacher answers to the documents.
//!
//! Students learn from logits, so a teacher may be of any family and read its own features or tokens: it is opened as whoever uses
//! it would open it, and asked text by text. What makes embeddings teaches by a linear probe of them ([`probe`]).

use nlpress_artifact::Artifact;
use nlpress_core::Seed;
use nlpress_graph::{Form, Op, Outline, Output, Source};
use nlpress_model::Model;
use nlpress_model::dataset::accuracy;
use nlpress_runtime::Session;
use nlpress_technique::{AnswerStore, Answers};
use nlpress_text::{Corpus, TextInput, corpus};
use nlpress_train::{TrainConfig, TrainError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::asked::{Asked, Asking, Frozen, Taught};
use crate::data_error::DataError;
use crate::failure::RunError;
use crate::origin::{self, Origin, other_labels};
use crate::prepared::Prepared;
use crate::probe;
use crate::recipe::TeacherFile;

/// Files and folders that teach: each is opened once, and asked once about the same text.
#[derive(Debug, Default)]
pub struct Teachers {
    opened: Mutex<BTreeMap<PathBuf, Arc<Opened>>>,
    /// By the hashes of the file and of the documents.
    taught: Mutex<BTreeMap<[String; 2], Arc<Taught>>>,
    asked: Asked,
}

#[derive(Debug)]
struct Opened {
    /// What makes embeddings does not make them of length 1 here: as a classifier behind it would read them.
    session: Session,
    sha256: String,
}

impl Teachers {
    /// Teachers whose answers are kept in a folder, by hashes of the teacher and of the text: whoever asks the same again, in
    /// another search or another run, finds them there.
    pub fn kept_in(folder: &Path) -> Self {
        Self { asked: Asked::kept_in(folder), ..Self::default() }
    }

    /// Where its answers, and those of networks that steps ask, are kept.
    pub(crate) fn store(&self) -> &dyn AnswerStore {
        &self.asked
    }

    /// Opens a teacher, and gives its SHA-256.
    ///
    /// # Errors
    /// A sentence when it cannot be opened, has another hash than it must have, has other labels than the documents, or makes
    /// scores.
    pub fn open(&self, file: &TeacherFile, corpus: &Corpus) -> Result<String, String> {
        let opened = self.opened(&file.path)?;
        let path = file.path.display();
        if let Some(wanted) = file.sha256.as_ref().filter(|wanted| **wanted != opened.sha256) {
            let found = &opened.sha256;
            return Err(format!("{path}: its SHA-256 is {found}, but the recipe names {wanted}"));
        }
        match opened.session.outline().graph.output {
            Output::Embedding => return Ok(opened.sha256.clone()),
            Output::Scores => {
                return Err(format!("{path}: it makes scores, not classes, so it cannot teach"));
            }
            Output::Logits => {}
        }
        match places(opened.session.labels(), &corpus.labels) {
            Some(_) => Ok(opened.sha256.clone()),
            None => Err(format!("{path}: {}", other_labels(opened.session.labels(), &corpus.labels))),
        }
    }

    /// Whether a teacher is an encoder that can be made smaller: a network of tokens that attend to each other, none of whose
    /// weights is packed.
    ///
    /// # Errors
    /// A sentence when it cannot be opened.
    pub fn is_encoder(&self, path: &Path) -> Result<bool, String> {
        let opened = self.opened(path)?;
        let Outline { graph, sites, .. } = opened.session.outline();
        let attends = graph.nodes.iter().any(|node| matches!(node.op, Op::Attend { .. }));
        let is_dense = sites.iter().all(|site| site.form == Form::Dense);
        Ok(matches!(graph.source, Source::Tokens { .. }) && attends && is_dense)
    }

    fn opened(&self, path: &Path) -> Result<Arc<Opened>, String> {
        let mut held = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = held.get(path) {
            return Ok(Arc::clone(opened));
        }
        let said = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let origin::Opened { artifact, sha256, .. } = origin::Opened::open(path).map_err(|e| e.0)?;
        let artifact = without_normalization(artifact).map_err(|e| said(&e))?;
        let session = Session::from_artifact(artifact).map_err(|e| said(&e))?;
        let opened = Arc::new(Opened { session, sha256 });
        held.insert(path.to_owned(), Arc::clone(&opened));
        Ok(opened)
    }

    /// What a teacher that was [opened](Teachers::open) says of the documents of a corpus.
    ///
    /// # Errors
    /// [`RunError`] when a text cannot be answered, answers cannot be written, or the sink says to stop.
    pub fn taught(
        &self,
        file: &TeacherFile,
        corpus: &Corpus,
        by: Asking<'_>,
    ) -> Result<Arc<Taught>, RunError> {
        let broken = |why: String| RunError::Internal(format!("teacher: {why}"));
        let opened = self.opened(&file.path).map_err(broken)?;
        let key = [opened.sha256.clone(), corpus.sha256.clone()];
        // Whoever else wants them waits here, in place of asking too.
        let mut held = self.taught.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taught) = held.get(&key) {
            return Ok(Arc::clone(taught));
        }
        let [train, valid] = [&corpus.train, &corpus.valid].map(|documents| corpus::inputs(documents));
        let unlabelled: Vec<TextInput<'_>> = corpus.unlabelled.iter().map(TextInput::from).collect();
        // All at once: texts of like lengths go through a network together.
        let all = [&train[..], &valid, &unlabelled].concat();
        let frozen = Frozen { session: &opened.session, sha256: &opened.sha256, threads: by.threads };
        let numbers = self.asked.ask(frozen, &all, by.sink)?;
        let width = opened.session.outline().graph.outputs();
        let (of_train, rest) = numbers.split_at(train.len() * width);
        let splits = [of_train, &rest[..valid.len() * width], &rest[valid.len() * width..]];
        let taught = match opened.session.labels() {
            [] => probe::taught(corpus, width, splits, (by.backend, by.sink))?,
            labels => {
                let places = places(labels, &corpus.labels);
                let places = places.ok_or_else(|| broken("it has other labels than the documents".into()))?;
                let [train, valid, unlabelled] = splits.map(|logits| -> Vec<f32> {
                    logits.chunks_exact(width).flat_map(|row| ours(row, &places)).collect()
                });
                let outputs = if places.len() == 2 { 1 } else { places.len() };
                let labels: Vec<u32> = corpus.valid.iter().map(|d| d.label).collect();
                let right = accuracy(&valid, outputs, &labels);
                Taught { answers: Answers { outputs, train, valid, unlabelled }, right, probed: None }
            }
        };
        let taught = Arc::new(taught);
        held.insert(key, Arc::clone(&taught));
        Ok(taught)
    }

    /// The embeddings of texts by a file or a folder whose network makes some, `[texts, width]`: as a classifier behind it
    /// reads them.
    ///
    /// # Errors
    /// As [`taught`](Teachers::taught).
    pub(crate) fn embeddings(
        &self,
        path: &Path,
        texts: &[TextInput<'_>],
        by: Asking<'_>,
    ) -> Result<Vec<f32>, RunError> {
        let opened = self.opened(path).map_err(RunError::Internal)?;
        let frozen = Frozen { session: &opened.session, sha256: &opened.sha256, threads: by.threads };
        self.asked.ask(frozen, texts, by.sink)
    }
}

/// The classifier that is a linear probe of what an opened artifact or folder makes of texts.
///
/// # Errors
/// As [`Teachers::taught`], and for what makes no embeddings.
pub fn probed(
    (path, origin): (&Path, &Origin),
    prepared: &Prepared,
    how: &TrainConfig,
    (seed, by): (Seed, Asking<'_>),
) -> Result<Model, RunError> {
    let graph = origin.model.graph();
    if graph.output != Output::Embedding {
        let why = "it makes no embeddings: a linear classifier can be trained behind such alone";
        return Err(DataError::Misfit(format!("{}: {why}", path.display())).into());
    }
    let graph = graph.clone().with_classifier(prepared.outputs());
    let fresh = origin.model.moved_to(&graph, seed).map_err(TrainError::from)?;
    let texts = corpus::inputs(&prepared.corpus.train);
    let numbers = Teachers::default().embeddings(path, &texts, by)?;
    probe::behind(fresh, (&prepared.train, &numbers), how, probe::Training::new(seed, by))
}

/// The same artifact, whose embeddings are not made of length 1.
fn without_normalization(artifact: Artifact) -> Result<Artifact, nlpress_artifact::ArtifactError> {
    let graph = &artifact.outline.graph;
    if graph.output != Output::Embedding || graph.nodes.last().is_none_or(|node| node.op != Op::Normalize) {
        return Ok(artifact);
    }
    let mut outline = artifact.outline;
    outline.graph.nodes.pop();
    let Artifact { layers, vectors, labels, encoder, provenance, .. } = artifact;
    Artifact::new(outline, layers, vectors, labels, encoder, provenance)
}

/// Where each of our labels is among those of a file; nothing where they are not the same.
fn places(its: &[String], ours: &[String]) -> Option<Vec<usize>> {
    let places = ours.iter().map(|label| its.iter().position(|l| l == label)).collect::<Option<Vec<_>>>()?;
    (its.len() == ours.len()).then_some(places)
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
