//! The search, from the data to what is found, and what is done with that.

use nlpress_core::event::{Event, Sink};
use nlpress_core::{Backend, files};
use nlpress_pipeline::folder::ANSWERS;
use nlpress_pipeline::prepared::read_corpus;
use nlpress_pipeline::{Lock, TeacherFile, Teachers};
use nlpress_text::Corpus;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::error::SearchError;
use crate::found::Found;
use crate::generations::Search;
use crate::request::Request;
use crate::trial::{GivenTeacher, World};

/// What is made on the way, below the folder of the search.
const TRIALS: &str = "trials";

/// Looks for the best model within the limits.
///
/// # Errors
/// [`SearchError`] when not one candidate could be made.
pub fn fit(request: &Request<'_>, backend: &Backend, sink: &dyn Sink) -> Result<Found, SearchError> {
    let corpus = Arc::new(read_corpus(&request.data, request.data_dir)?);
    for text in corpus.told() {
        sink.say(&Event::Note { text })?;
    }
    let class = request.metric.class(&corpus.labels).map_err(SearchError::Asked)?;
    let (teachers, teacher) = (Arc::new(Teachers::kept_in(&request.folder.join(ANSWERS))), request.teacher);
    let teacher = teacher.map(|path| open_teacher(path, &teachers, &corpus)).transpose()?;
    let folder = request.folder.join(TRIALS);
    if folder.exists() && !Lock::is_in(request.folder) {
        let why = format!("{}: it is there, and no search made it; choose another name", folder.display());
        return Err(SearchError::Asked(why));
    }
    let _alone = Lock::take(request.folder)?;
    if !request.resume && folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|e| SearchError::Write(folder.clone(), e))?;
    }
    let world = World {
        corpus,
        teacher,
        teachers,
        data: request.data.clone(),
        folder,
        seed: request.seed,
        backend,
        metric: &request.metric,
        class,
        encoded: Mutex::default(),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(request.threads.max(1)).build();
    let pool = pool.map_err(|e| SearchError::Asked(format!("{} threads: {e}", request.threads)))?;
    let mut search = Search::new(request, world, sink, pool);
    search.look()?;
    search.finish()
}

/// A file or a folder as teacher, where it can teach the documents.
fn open_teacher(path: &Path, teachers: &Teachers, corpus: &Corpus) -> Result<GivenTeacher, SearchError> {
    // Recipes of candidates lie nowhere, so that a path of theirs must not depend on where that would be.
    let path =
        std::path::absolute(path).map_err(|e| SearchError::Asked(format!("{}: {e}", path.display())))?;
    let named = path.to_str().ok_or_else(|| {
        SearchError::Asked(format!("{}: a recipe cannot name it, because it is not Unicode", path.display()))
    })?;
    let file = TeacherFile { path: path.clone(), sha256: None };
    let sha256 = teachers.open(&file, corpus).map_err(SearchError::Asked)?;
    let is_encoder = teachers.is_encoder(&path).map_err(SearchError::Asked)?;
    let table = json!({ "path": named, "sha256": sha256 });
    Ok(GivenTeacher { file, table, encoder: is_encoder.then_some(sha256) })
}

/// Writes the chosen file and the recipe that makes it again.
///
/// # Errors
/// [`SearchError::Write`].
pub fn write(found: &Found, out: &Path, recipe: &Path, text: &str) -> Result<(), SearchError> {
    let chosen = &found.trials[found.choice.trial].path;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |e| SearchError::Write(path, e)
    };
    let bytes = std::fs::read(chosen).map_err(failed(chosen))?;
    files::write_atomically(out, &bytes).map_err(failed(out))?;
    files::write_atomically(recipe, text.as_bytes()).map_err(failed(recipe))
}

/// Removes what was made on the way.
///
/// # Errors
/// [`SearchError::Write`].
pub fn clean(folder: &Path) -> Result<(), SearchError> {
    let trials: PathBuf = folder.join(TRIALS);
    std::fs::remove_dir_all(&trials).map_err(|e| SearchError::Write(trials, e))
}
