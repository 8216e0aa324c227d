//! Artifacts as bytes and files.

use crate::manifest::{CHECKSUMS, EncoderEntry, KEY, LARGEST_MANIFEST, Layout, Manifest, SCHEMA, VOCABULARY};
use crate::{Artifact, ArtifactError, checksum};
use nlpress_core::files;
use nlpress_core::shown::message;
use nlpress_packed::{Dtype, Part};
use safetensors::tensor::TensorInfo;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// Headers are filled up with spaces to a multiple of so many bytes, so that numbers are aligned as `safetensors` has it.
const ALIGNMENT: usize = 8;

impl Artifact {
    /// The file, in bytes; the same artifact always has the same.
    ///
    /// # Errors
    /// [`ArtifactError::Header`] for a manifest that would be too large to be read back.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArtifactError> {
        let json = |e: serde_json::Error| ArtifactError::Manifest(message(e));
        let manifest = serde_json::to_string(&self.manifest()).map_err(json)?;
        let tensors = self.tensors();
        let digits = checksum::blank(tensors.len());
        let mut header = HeaderText {
            metadata: BTreeMap::from([(KEY, manifest.as_str()), (CHECKSUMS, digits.as_str())]),
            tensors: Vec::new(),
        };
        let mut end = 0;
        for (name, dtype, part) in &tensors {
            let start = end;
            end += part.bytes.len();
            let info = TensorInfo { dtype: *dtype, shape: part.shape.clone(), data_offsets: (start, end) };
            header.tensors.push((name, info));
        }
        let mut header = serde_json::to_vec(&header).map_err(json)?;
        header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
        if header.len() as u64 > LARGEST_MANIFEST {
            return Err(ArtifactError::Header { found: header.len() as u64, most: LARGEST_MANIFEST });
        }
        let mut bytes = Vec::with_capacity(8 + header.len() + end);
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.append(&mut header);
        let start = bytes.len();
        tensors.iter().for_each(|(.., part)| bytes.extend_from_slice(&part.bytes));
        checksum::fill_in(&mut bytes, start, tensors.iter().map(|(.., part)| part.bytes.len()));
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

    /// All tensors in the order of the file: by type, the widest first, so that all are aligned, then by name.
    fn tensors(&self) -> Vec<(String, safetensors::Dtype, Part<'_>)> {
        let vector = |dtype, length, bytes| Part { name: "", dtype, shape: vec![length], bytes };
        let mut tensors = Vec::new();
        for layer in &self.layers {
            for part in layer.matrix.parts() {
                tensors.push((format!("{}.weight.{}", layer.id, part.name), dtype(part.dtype), part));
            }
        }
        let biases = self.layers.iter().filter(|l| !l.bias.is_empty());
        let biases = biases.map(|l| (format!("{}.bias", l.id), &l.bias));
        let vectors = self.vectors.iter().map(|v| (v.id.to_string(), &v.values));
        for (name, values) in biases.chain(vectors) {
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            let part = vector(Dtype::F32, values.len(), bytes.into());
            tensors.push((name, dtype(part.dtype), part));
        }
        let blob = &self.encoder.blob;
        let part = vector(Dtype::U8, blob.len(), Cow::Borrowed(&blob[..]));
        tensors.push((VOCABULARY.to_owned(), dtype(part.dtype), part));
        tensors.sort_by(|(a, wide, _), (b, narrow, _)| narrow.cmp(wide).then_with(|| a.cmp(b)));
        tensors
    }
}

/// A header as it is written: keys of the metadata in byte order, tensors in the order of their bytes.
struct HeaderText<'a> {
    metadata: BTreeMap<&'a str, &'a str>,
    tensors: Vec<(&'a str, TensorInfo)>,
}

impl Serialize for HeaderText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.tensors.len()))?;
        map.serialize_entry("__metadata__", &self.metadata)?;
        for (name, info) in &self.tensors {
            map.serialize_entry(name, info)?;
        }
        map.end()
    }
}

fn dtype(dtype: Dtype) -> safetensors::Dtype {
    match dtype {
        Dtype::F32 => safetensors::Dtype::F32,
        Dtype::F16 => safetensors::Dtype::F16,
        Dtype::Bf16 => safetensors::Dtype::BF16,
        Dtype::I32 => safetensors::Dtype::I32,
        Dtype::I16 => safetensors::Dtype::I16,
        Dtype::I8 => safetensors::Dtype::I8,
        Dtype::U8 => safetensors::Dtype::U8,
    }
}
