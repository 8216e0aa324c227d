//! The files in a run's folder, by their names.

use nlpress_core::shown::{counted, shown};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::recipe::Recipe;

/// The files of the report.
pub(crate) const REPORTS: [&str; 3] = ["report.json", "report.md", "report.html"];

/// The folder of the artifacts, below that of the run, and how their names end.
const ARTIFACTS: &str = "artifacts";
const ARTIFACT: &str = "safetensors";
/// The folders of journals and of trainings that are not at their end.
const JOURNAL: &str = "journal";
const CHECKPOINTS: &str = "checkpoints";
/// The folder of what frozen networks answered.
pub const ANSWERS: &str = "answers";
/// Artifacts of other runs that are named.
const NAMED: usize = 5;

/// The files that a run of a recipe writes into a folder.
pub fn writes<'a>(recipe: &'a Recipe, out: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
    let rows = recipe.rows().flat_map(|id| (0..recipe.seeds).map(move |n| (id, n)));
    let of_row = rows.flat_map(|(id, n)| [artifact_path(out, id, n), journal_path(out, id, n)]);
    REPORTS.iter().map(|name| out.join(name)).chain(of_row)
}

/// The artifacts in a folder that are none of these files, by their names: earlier runs, or anyone, left them there.
pub(crate) fn left_over<'a>(out: &Path, of_run: impl IntoIterator<Item = &'a Path>) -> Vec<String> {
    let of_run: BTreeSet<&OsStr> = of_run.into_iter().filter_map(Path::file_name).collect();
    let there = std::fs::read_dir(out.join(ARTIFACTS)).into_iter().flatten().flatten();
    let mut left: Vec<String> = (there.map(|entry| entry.file_name()))
        .filter(|name| Path::new(name).extension().is_some_and(|e| e == ARTIFACT))
        .filter(|name| !of_run.contains(name.as_os_str()))
        .map(|name| shown(&name.to_string_lossy()).to_string())
        .collect();
    left.sort();
    left
}

/// What is said of them, where there are any.
pub(crate) fn not_of_this_run(left: &[String]) -> Option<String> {
    let named = left.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match left.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let artifacts = counted(left.len(), "artifact");
    let says =
        format!("found in {ARTIFACTS}/, not of this run and left as it is: {artifacts}: {named}{more}");
    (!left.is_empty()).then_some(says)
}

/// Where a row of a repetition is written.
pub fn artifact_path(out: &Path, id: &str, n: u32) -> PathBuf {
    out.join(ARTIFACTS).join(format!("{id}.{n}.{ARTIFACT}"))
}

/// Where what making it left to say is written.
pub(crate) fn journal_path(out: &Path, id: &str, n: u32) -> PathBuf {
    out.join(JOURNAL).join(format!("{id}.{n}.json"))
}

/// Where a step's training is written on the way, to go on from.
pub(crate) fn checkpoint_path(out: &Path, id: &str, n: u32, step: usize) -> PathBuf {
    out.join(CHECKPOINTS).join(format!("{id}.{n}.{step}.state"))
}

/// The files in a folder that a run may go on from.
pub(crate) fn of_earlier_run(out: &Path) -> Vec<PathBuf> {
    let of = |folder: &str| std::fs::read_dir(out.join(folder)).into_iter().flatten().flatten();
    let files = [ARTIFACTS, JOURNAL, CHECKPOINTS].into_iter().flat_map(of).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    files.sort();
    files
}
