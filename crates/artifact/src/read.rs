//! Opening artifacts that anyone may have written.

use crate::artifact::{check_labels, check_layout, check_sites};
use crate::manifest::{KEY, Manifest, SCHEMA};
use crate::write::VOCABULARY;
use crate::{Artifact, ArtifactError, EncoderParts, Layer};
use nlpress_core::files;
use nlpress_outline::{Site, SiteId};
use nlpress_packed::{Dtype, Matrix, PackError, Part, Scheme};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// The largest file that is opened: 1 GiB.
pub const LARGEST_FILE: u64 = 1 << 30;
/// The largest header, which holds the manifest: 16 MiB.
pub const LARGEST_MANIFEST: u64 = 1 << 24;

impl Artifact {
    /// Opens the file, which may have up to [`LARGEST_FILE`] bytes.
    ///
    /// # Errors
    /// [`ArtifactError`] naming the file, and the tensor where one is at fault.
    pub fn open(path: &Path) -> Result<Self, ArtifactError> {
        let name = path.display().to_string();
        let bytes = files::read_bounded(path, LARGEST_FILE).map_err(|e| ArtifactError::Read(e).of(&name))?;
        Self::from_bytes(&bytes, &name)
    }

    /// Reads an artifact from bytes; `name` is what errors call them.
    ///
    /// # Errors
    /// As [`Artifact::open`].
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, ArtifactError> {
        read(bytes).map_err(|e| e.of(name))
    }
}

fn read(bytes: &[u8]) -> Result<Artifact, ArtifactError> {
    let (manifest, tensors) = open_header(bytes)?;
    check_sites(&manifest.outline)?;
    check_labels(&manifest.outline, &manifest.labels)?;
    let mut tensors = Tensors(tensors);
    let mut layers = Vec::new();
    let sites = &manifest.outline.sites;
    if manifest.layouts.len() != sites.len() {
        let (found, expected) = (manifest.layouts.len(), sites.len());
        return Err(ArtifactError::Sites(format!("{found} layouts for {expected} sites")));
    }
    for (site, layout) in sites.iter().zip(&manifest.layouts) {
        if site.id != layout.site {
            let (expected, found) = (site.id.to_string(), layout.site.to_string());
            return Err(ArtifactError::Layer { expected, found });
        }
        check_layout(site, layout.scheme)?;
        let matrix = tensors.take_matrix(site, layout.scheme)?;
        let bias = tensors.take_vector(&format!("{}.bias", site.id), Dtype::F32, Some(site.shape.outputs))?;
        let bias = bias.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        layers.push(Layer { id: site.id.clone(), matrix, bias });
    }
    let blob = tensors.take_vector(VOCABULARY, Dtype::U8, None)?.to_vec();
    if let Some(name) = tensors.0.keys().next() {
        return Err(ArtifactError::Unknown(name.clone()));
    }
    let encoder = EncoderParts { config: manifest.encoder.config, blob };
    let artifact = Artifact::new(manifest.outline, layers, manifest.labels, encoder, manifest.provenance)?;
    artifact.with_threshold(manifest.threshold)
}

/// The manifest and the tensors by name, their places checked against the bytes.
fn open_header(bytes: &[u8]) -> Result<(Manifest, BTreeMap<String, TensorView<'_>>), ArtifactError> {
    let found = bytes.first_chunk().map_or(0, |n| u64::from_le_bytes(*n));
    // A claim beyond the end of the file is an error of the format, below; this bounds what is parsed.
    if found > LARGEST_MANIFEST {
        return Err(ArtifactError::Header { found, most: LARGEST_MANIFEST });
    }
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(ArtifactError::Format)?;
    let text = header.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or(ArtifactError::NoManifest)?;
    let Version { schema } = serde_json::from_str(text).map_err(ArtifactError::Manifest)?;
    if schema != SCHEMA {
        return Err(ArtifactError::Schema { found: schema, known: SCHEMA });
    }
    let manifest = serde_json::from_str(text).map_err(ArtifactError::Manifest)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(ArtifactError::Format)?;
    Ok((manifest, tensors.tensors().into_iter().collect()))
}

/// The schema alone, so that a later manifest is told from a broken one.
#[derive(Deserialize)]
struct Version {
    schema: u64,
}

/// The tensors that nothing has taken yet.
struct Tensors<'a>(BTreeMap<String, TensorView<'a>>);

impl<'a> Tensors<'a> {
    fn take_matrix(&mut self, site: &Site, scheme: Scheme) -> Result<Matrix, ArtifactError> {
        let mut odd = None;
        let shape = site.shape;
        let matrix = Matrix::from_parts(shape.inputs, shape.outputs, scheme, |part| {
            let name = format!("{}.weight.{part}", site.id);
            let view = self.0.remove(&name)?;
            let Some(dtype) = dtype(view.dtype()) else {
                odd = Some(ArtifactError::Tensor {
                    name,
                    found: describe(&view),
                    expected: "of a type that a layout has".into(),
                });
                return None;
            };
            let bytes = Cow::Borrowed(view.data());
            Some(Part { name: part, dtype, shape: view.shape().to_vec(), bytes })
        });
        matrix.map_err(|error| odd.unwrap_or_else(|| weight_error(&site.id, error)))
    }

    fn take_vector(
        &mut self,
        name: &str,
        expected: Dtype,
        length: Option<usize>,
    ) -> Result<&'a [u8], ArtifactError> {
        let view = self.0.remove(name).ok_or_else(|| ArtifactError::Missing(name.into()))?;
        let fits = match (view.shape(), length) {
            ([found], Some(expected)) => *found == expected,
            (shape, _) => shape.len() == 1,
        };
        if fits && dtype(view.dtype()) == Some(expected) {
            return Ok(view.data());
        }
        let expected = match length {
            Some(length) => format!("{expected} [{length}]"),
            None => format!("{expected} [any]"),
        };
        Err(ArtifactError::Tensor { name: name.into(), found: describe(&view), expected })
    }
}

fn weight_error(site: &SiteId, error: PackError) -> ArtifactError {
    match error {
        PackError::Missing(part) => ArtifactError::Missing(format!("{site}.weight.{part}")),
        error => ArtifactError::Weight { site: site.clone(), error },
    }
}

fn dtype(dtype: safetensors::Dtype) -> Option<Dtype> {
    match dtype {
        safetensors::Dtype::F32 => Some(Dtype::F32),
        safetensors::Dtype::F16 => Some(Dtype::F16),
        safetensors::Dtype::BF16 => Some(Dtype::Bf16),
        safetensors::Dtype::I32 => Some(Dtype::I32),
        safetensors::Dtype::I16 => Some(Dtype::I16),
        safetensors::Dtype::I8 => Some(Dtype::I8),
        safetensors::Dtype::U8 => Some(Dtype::U8),
        _ => None,
    }
}

fn describe(view: &TensorView<'_>) -> String {
    match dtype(view.dtype()) {
        Some(dtype) => format!("{dtype} {:?}", view.shape()),
        None => format!("{:?} {:?}", view.dtype(), view.shape()),
    }
}
