//! Why a folder cannot be read or written.

use nlpress_artifact::ArtifactError;
use nlpress_core::shown::shown;
use nlpress_text::TextError;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// A folder cannot be imported, or a model not exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A file cannot be read.
    #[error("{}: cannot be read: {error}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written: {error}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// Something that a folder must have is not there.
    #[error("{}: {what}", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// What is not there, and what to do about it.
        what: String,
    },
    /// A file is damaged, or not what it is called.
    #[error("{}: {why}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A key of a JSON file has a value that cannot be used.
    #[error("{}: `{key}` {why}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
        /// What it is and what it would have to be.
        why: String,
    },
    /// A tensor is not there, or is not what the configuration says.
    #[error("{}: tensor {}: {why}", file.display(), shown(tensor))]
    Tensor {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong.
        why: String,
    },
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Text(#[from] TextError),
    /// What was read makes no artifact.
    #[error("{}: {error}", folder.display())]
    Artifact {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        error: Box<ArtifactError>,
    },
    /// A model that no folder of this kind can hold.
    #[error("it cannot be exported: {0}")]
    Form(String),
}

impl HubError {
    pub(crate) fn file(file: &Path, why: impl Display) -> Self {
        Self::File { file: file.into(), why: nlpress_core::shown::message(why) }
    }

    pub(crate) fn key(file: &Path, key: &str, why: impl Into<String>) -> Self {
        Self::Key { file: file.into(), key: key.into(), why: why.into() }
    }

    pub(crate) fn missing(folder: &Path, what: impl Into<String>) -> Self {
        Self::Missing { folder: folder.into(), what: what.into() }
    }

    pub(crate) fn tensor(file: &Path, tensor: &str, why: impl Into<String>) -> Self {
        Self::Tensor { file: file.into(), tensor: tensor.into(), why: why.into() }
    }
}
