//! A run by several processes: all make the same rows in the same order, and share out the training that can be.
//!
//! The process of number 0 writes into the run's folder, measures and reports. The others work in folders of their own, which
//! are thrown away; so nothing must be on a disk that all of them see. Where a run goes on, they get what is in its
//! folder, so that all find the same rows made, and trainings where they stood.

use nlpress_core::event::Sink;
use nlpress_core::{Peers, files};
use std::path::{Component, Path, PathBuf};

use crate::failure::RunError;
use crate::folder;
use crate::options::RunOptions;
use crate::prepared::Prepared;
use crate::recipe::Recipe;
use crate::run::make_rows;
use crate::teachers::Teachers;

/// Largest file of a run's folder that is handed to other processes.
const LARGEST: u64 = 1 << 32;

/// Hands the files that a run goes on from to the other processes: that of number 0 reads them in `out`, the others write
/// them there.
///
/// # Errors
/// [`RunError`] when a process cannot be reached, or a file neither read nor written.
pub fn share(peers: &dyn Peers, out: &Path) -> Result<(), RunError> {
    let mut own = Vec::new();
    if peers.rank() == 0 {
        for path in folder::of_earlier_run(out) {
            let bytes = files::read_bounded(&path, LARGEST).map_err(|e| RunError::File(path.clone(), e))?;
            let name = path.strip_prefix(out).unwrap_or(&path).to_string_lossy().into_owned();
            own.push(name.into_bytes());
            own.push(bytes);
        }
    }
    let arrived = peers.all_gather(nlpress_parallel::framed(&own)).map_err(RunError::Peers)?;
    if peers.rank() == 0 {
        return Ok(());
    }
    let first = arrived.first().map(Vec::as_slice).unwrap_or_default();
    let files = nlpress_parallel::unframed(first).map_err(RunError::Internal)?;
    for pair in files.chunks_exact(2) {
        let name = PathBuf::from(String::from_utf8_lossy(&pair[0]).into_owned());
        if !name.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(RunError::Internal(format!("{} is no file of a run", name.display())));
        }
        let path = out.join(name);
        let folder = path.parent().unwrap_or(out);
        std::fs::create_dir_all(folder).map_err(|e| RunError::Write(folder.to_owned(), e))?;
        std::fs::write(&path, &pair[1]).map_err(|e| RunError::Write(path, e))?;
    }
    Ok(())
}

/// Makes the rows of a recipe together with the process of number 0, and keeps nothing of them.
///
/// # Errors
/// As [`make_rows`].
pub fn follow(
    recipe: &Recipe,
    prepared: &Prepared,
    options: &RunOptions<'_>,
    sink: &dyn Sink,
) -> Result<(), RunError> {
    make_rows(recipe, (prepared, &Teachers::default()), options, sink).map(drop)
}
