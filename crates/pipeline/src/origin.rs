//! The artifact that a recipe or a training starts from; a folder of a pretrained encoder is the artifact that it is imported as.

use nlpress_artifact::{Artifact, LARGEST_FILE};
use nlpress_core::files;
use nlpress_hub::{Folder, ImportOptions};
use nlpress_model::Model;
use nlpress_text::{AnyEncoder, Encode};
use std::path::Path;

use crate::ship;

/// An artifact, taken apart to be worked on.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Its network and numbers.
    pub model: Model,
    /// What turns texts into its inputs.
    pub encoder: AnyEncoder,
    /// Its classes; none for a network that makes embeddings.
    pub labels: Vec<String>,
    /// Where it decides between two classes, if not at one half.
    pub threshold: Option<f64>,
    /// SHA-256 of the file, in hexadecimal; of a folder, that of the file which `nlpress import` makes of it.
    pub sha256: String,
}

/// An artifact as it was read.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The artifact.
    pub artifact: Artifact,
    /// Bytes of its file.
    pub bytes: u64,
    /// As [`Origin::sha256`].
    pub sha256: String,
}

impl Opened {
    /// Opens a file, or imports a folder.
    ///
    /// # Errors
    /// [`BadOrigin`] when it cannot be read, is no artifact, or no folder of an encoder that can be imported.
    pub fn open(path: &Path) -> Result<Self, BadOrigin> {
        let of_file = |why: &dyn std::fmt::Display| BadOrigin(format!("{}: {why}", path.display()));
        if path.is_dir() {
            let folder = Folder::open(path).and_then(|folder| folder.import(ImportOptions::default()));
            let artifact = folder.map_err(|e| BadOrigin(e.to_string()))?.artifact;
            let bytes = artifact.to_bytes().map_err(|e| of_file(&e))?;
            return Ok(Self { artifact, bytes: bytes.len() as u64, sha256: files::sha256_hex(&bytes) });
        }
        // The bytes that are hashed are the bytes that are opened.
        let bytes = files::read_bounded(path, LARGEST_FILE).map_err(|e| of_file(&e))?;
        let artifact = Artifact::from_bytes(&bytes, &path.display().to_string());
        let artifact = artifact.map_err(|e| BadOrigin(e.to_string()))?;
        Ok(Self { artifact, bytes: bytes.len() as u64, sha256: files::sha256_hex(&bytes) })
    }
}

/// What is said of labels that are not the data's.
pub(crate) fn other_labels(its: &[String], of_data: &[String]) -> String {
    format!("its labels are {}, the data's are {}", its.join(", "), of_data.join(", "))
}

/// An artifact that nothing can start from; the message names the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadOrigin(pub String);

impl Origin {
    /// Opens a file, or imports a folder.
    ///
    /// # Errors
    /// As [`Opened::open`].
    pub fn open(path: &Path) -> Result<Self, BadOrigin> {
        Self::of(Opened::open(path)?).map_err(|why| BadOrigin(format!("{}: {why}", path.display())))
    }

    /// Takes an artifact apart.
    ///
    /// # Errors
    /// A sentence when its numbers or its encoder are damaged.
    pub fn of(opened: Opened) -> Result<Self, String> {
        let Opened { artifact, sha256, .. } = opened;
        let encoder = AnyEncoder::from_parts(&artifact.encoder.config, &artifact.encoder.blob);
        Ok(Self {
            model: ship::unpack(&artifact).map_err(|e| e.to_string())?,
            encoder: encoder.map_err(|e| e.to_string())?,
            labels: artifact.labels,
            threshold: artifact.threshold,
            sha256,
        })
    }

    /// Refuses data that a classifier has other labels than; what makes embeddings gets a classifier of the data's.
    ///
    /// # Errors
    /// A sentence that names both.
    pub fn check_labels(&self, of_data: &[String]) -> Result<(), String> {
        if self.is_classifier() && self.labels != of_data {
            return Err(other_labels(&self.labels, of_data));
        }
        Ok(())
    }

    /// Whether it tells classes apart; else it makes embeddings.
    pub fn is_classifier(&self) -> bool {
        self.model.graph().classes().is_some()
    }
}
