//! Why a search found nothing.

use nlpress_core::event::Stopped;
use nlpress_pipeline::{DataError, RunError};
use std::path::PathBuf;

/// A search that found nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// Asked to stop before anything was found.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The data cannot be made ready.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What was asked for cannot be, such as a label that is not there.
    #[error("{0}")]
    Asked(String),
    /// The first model could not be made.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file that cannot be written.
    #[error("{}: cannot be written: {}", .0.display(), .1)]
    Write(PathBuf, #[source] std::io::Error),
    /// No candidate could be made; the reason of the first.
    #[error("no candidate could be made: {0}")]
    Nothing(String),
}
