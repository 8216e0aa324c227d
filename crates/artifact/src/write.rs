//! Artifacts as bytes and files.

use crate::manifest::{EncoderEntry, KEY, Layout, Manifest, SCHEMA};
use crate::read::LARGEST_MANIFEST;
use crate::{Artifact, ArtifactError};
use nlpress_core::files;
use nlpress_packed::{Dtype, Part};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// The tensor that holds the encoder's vocabulary.
pub(crate) const VOCABULARY: &str = "encoder.vocabulary";

impl Artifact {
    /// The file, in bytes; the same artifact always has the same.
    ///
    /// # Errors
    /// [`ArtifactError::Header`] for a manifest that would be too large to be read back.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArtifactError> {
        let manifest = serde_json::to_string(&self.manifest()).map_err(ArtifactError::Manifest)?;
        let metadata = HashMap::from([(KEY.to_owned(), manifest)]);
        let mut tensors = Vec::new();
        for layer in &self.layers {
            for part in layer.matrix.parts() {
                tensors.push((format!("{}.weight.{}", layer.id, part.name), Tensor(part)));
            }
            let bias: Vec<u8> = layer.bias.iter().flat_map(|b| b.to_le_bytes()).collect();
            tensors.push((format!("{}.bias", layer.id), tensor(Dtype::F32, layer.bias.len(), bias.into())));
        }
        let blob = &self.encoder.blob;
        tensors.push((VOCABULARY.to_owned(), tensor(Dtype::U8, blob.len(), blob.into())));
        let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(ArtifactError::Format)?;
        let header = bytes.first_chunk().map_or(0, |n| u64::from_le_bytes(*n));
        if header > LARGEST_MANIFEST {
            return Err(ArtifactError::Header { found: header, most: LARGEST_MANIFEST });
        }
        Ok(bytes)
    }

    /// Writes the file beside `path`, and renames it over `path` when it is whole.
    ///
    /// # Errors
    /// [`ArtifactError`] naming the file.
    pub fn write(&self, path: &Path) -> Result<(), ArtifactError> {
        let name = path.display().to_string();
        let bytes = self.to_bytes().map_err(|e| e.of(&name))?;
        files::write_atomically(path, &bytes).map_err(|e| ArtifactError::Write(e).of(&name))
    }

    /// SHA-256 of [`to_bytes`](Artifact::to_bytes), in lower-case hexadecimal: of the file that
    /// [`write`](Artifact::write) makes.
    ///
    /// # Errors
    /// As [`to_bytes`](Artifact::to_bytes).
    pub fn sha256(&self) -> Result<String, ArtifactError> {
        Ok(files::sha256_hex(&self.to_bytes()?))
    }

    /// The manifest that the file carries.
    pub fn manifest(&self) -> Manifest {
        let layouts = self.layers.iter();
        Manifest {
            schema: SCHEMA,
            outline: self.outline.clone(),
            layouts: layouts.map(|l| Layout { site: l.id.clone(), scheme: l.matrix.scheme() }).collect(),
            labels: self.labels.clone(),
            threshold: self.threshold,
            encoder: EncoderEntry { config: self.encoder.config.clone() },
            provenance: self.provenance.clone(),
        }
    }
}

struct Tensor<'a>(Part<'a>);

fn tensor(dtype: Dtype, length: usize, bytes: Cow<'_, [u8]>) -> Tensor<'_> {
    Tensor(Part { name: "", dtype, shape: vec![length], bytes })
}

impl safetensors::View for Tensor<'_> {
    fn dtype(&self) -> safetensors::Dtype {
        match self.0.dtype {
            Dtype::F32 => safetensors::Dtype::F32,
            Dtype::F16 => safetensors::Dtype::F16,
            Dtype::Bf16 => safetensors::Dtype::BF16,
            Dtype::I32 => safetensors::Dtype::I32,
            Dtype::I16 => safetensors::Dtype::I16,
            Dtype::I8 => safetensors::Dtype::I8,
            Dtype::U8 => safetensors::Dtype::U8,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0.bytes)
    }

    fn data_len(&self) -> usize {
        self.0.bytes.len()
    }
}
