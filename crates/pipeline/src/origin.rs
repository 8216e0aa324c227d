//! The artifact that a recipe or a training starts from.

use nlpress_artifact::{Artifact, LARGEST_FILE};
use nlpress_core::files;
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
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
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
    /// Opens a file.
    ///
    /// # Errors
    /// [`BadOrigin`] when it cannot be read, or is no artifact.
    pub fn open(path: &Path) -> Result<Self, BadOrigin> {
        let of_file = |why: &dyn std::fmt::Display| BadOrigin(format!("{}: {why}", path.display()));
        // The bytes that are hashed are the bytes that are opened.
        let bytes = files::read_bounded(path, LARGEST_FILE).map_err(|e| of_file(&e))?;
        let artifact = Artifact::from_bytes(&bytes, &path.display().to_string());
        let artifact = artifact.map_err(|e| BadOrigin(e.to_string()))?;
        let encoder = AnyEncoder::from_parts(&artifact.encoder.config, &artifact.encoder.blob);
        Ok(Self {
            model: ship::unpack(&artifact).map_err(|e| of_file(&e))?,
            encoder: encoder.map_err(|e| of_file(&e))?,
            labels: artifact.labels,
            threshold: artifact.threshold,
            sha256: files::sha256_hex(&bytes),
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
