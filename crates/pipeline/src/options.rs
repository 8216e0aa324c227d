//! How a recipe is run.

use nlpress_core::Backend;
use nlpress_eval::Pace;
use std::path::Path;

/// Measures the peak memory in bytes of a process that serves an artifact, where that can be done.
pub type MemoryProbe<'a> = dyn Fn(&Path) -> Option<u64> + 'a;

/// How a recipe is run.
pub struct RunOptions<'a> {
    /// Where tensors live.
    pub backend: &'a Backend,
    /// Threads that training and measuring may use.
    pub threads: usize,
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
