//! Other processes that work on the same run, as whoever computes with them sees them.
//!
//! All processes do the same things in the same order, and what is done together they do at the same place of it. Who
//! carries the bytes is chosen by the program: MPI in `nlpress-parallel`, nobody by default.

use std::fmt::Debug;

/// The processes of a run.
pub trait Peers: Debug + Send + Sync {
    /// The number of this process, from 0. That of number 0 writes what the run makes.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Hands bytes to all processes, and gives what each of them handed in, by number. It waits for all.
    ///
    /// # Errors
    /// [`PeersError`] when a process cannot be reached any more.
    fn all_gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, PeersError>;

    /// Hands bytes to the process of number 0, and gives it what each of them handed in, by number; the others get nothing. It
    /// waits for all.
    ///
    /// # Errors
    /// [`PeersError`] when a process cannot be reached any more.
    fn gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, PeersError>;

    /// Bytes that this process has sent to others so far.
    fn sent(&self) -> u64;
}

/// The other processes cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other processes of the run cannot be reached: {0}")]
pub struct PeersError(pub String);
