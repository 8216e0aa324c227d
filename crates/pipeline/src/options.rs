//! How a recipe is run.

use nlpress_core::{Backend, Peers};
use nlpress_eval::Pace;
use std::path::Path;

/// Measures the peak memory in bytes of a process that serves an artifact, where that can be done.
pub type MemoryProbe<'a> = dyn Fn(&Path) -> Option<u64> + Sync + 'a;

/// How a recipe is run.
pub struct RunOptions<'a> {
    /// Where tensors live.
    pub backend: &'a Backend,
    /// Threads that training and measuring may use.
    pub threads: usize,
    /// Rows that may be made side by side; as many as there are threads when there is none.
    pub workers: Option<usize>,
    /// Bytes that they may take together, by an estimate of each; four fifths of what is free when there is none. A row for
    /// which there is no room beside others waits.
    pub budget: Option<u64>,
    /// Other processes that make the same rows at the same time, where there are some: training that is shared out among
    /// processes is.
    pub peers: Option<&'a dyn Peers>,
    /// Folder for artifacts and report.
    pub out: &'a Path,
    /// Whether to go on from what an earlier, stopped run left there.
    pub resume: bool,
    /// How thoroughly speed is measured.
    pub pace: Pace,
    /// Measures the peak memory of a process that serves an artifact, where that can be done.
    pub memory: Option<&'a MemoryProbe<'a>>,
}

impl std::fmt::Debug for RunOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunOptions {{ {:?}, {} threads, {} }}", self.backend, self.threads, self.out.display())
    }
}
