//! A file looked at as a file.

use crate::read::{Opened, read, read_file};
use crate::{Artifact, ArtifactError, OpenOptions, Sizes};
use nlpress_core::files;
use std::path::Path;

/// An artifact with what only its file tells: sizes and hash are those of the bytes that are there, which may have been
/// written by an earlier version.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Inspection {
    /// The artifact.
    pub artifact: Artifact,
    /// The schema of its manifest.
    pub schema: u64,
    /// Whether the file has checksums, which then agree: files written before schema 3 have none.
    pub has_checksums: bool,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
    /// What its bytes are.
    pub sizes: Sizes,
    /// Bytes of the weight of each layer in the file.
    pub weight_bytes: Vec<u64>,
}

impl Inspection {
    /// Opens the file, within limits.
    ///
    /// # Errors
    /// As [`Artifact::open_with`].
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, ArtifactError> {
        let name = path.display().to_string();
        let inspect = |bytes: Vec<u8>| Self::of(&bytes, options);
        read_file(path, options).and_then(inspect).map_err(|e| e.of(&name))
    }

    /// The same for a file that is given as bytes; `name` is what errors call them.
    ///
    /// # Errors
    /// As [`Artifact::from_bytes_with`].
    pub fn from_bytes(bytes: &[u8], name: &str, options: &OpenOptions) -> Result<Self, ArtifactError> {
        Self::of(bytes, options).map_err(|e| e.of(name))
    }

    fn of(bytes: &[u8], options: &OpenOptions) -> Result<Self, ArtifactError> {
        let Opened { artifact, schema, has_checksums, weight_bytes } = read(bytes, options)?;
        let sizes = Sizes::of(&artifact, bytes.len() as u64, &weight_bytes);
        Ok(Self { artifact, schema, has_checksums, sha256: files::sha256_hex(bytes), sizes, weight_bytes })
    }
}
