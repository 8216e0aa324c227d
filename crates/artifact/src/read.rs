//! Opening artifacts that anyone may have written.

use crate::artifact::{check_labels, check_layout, check_sites};
use crate::header::{self, Entry, Header, LENGTH_BYTES};
use crate::manifest::{Manifest, OLDEST_SCHEMA, SCHEMA, VOCABULARY};
use crate::{Artifact, ArtifactError, EncoderParts, Layer, OpenOptions, Vector, checksum, label};
use nlpress_core::shown::{counted, message, shown};
use nlpress_core::{beside, files};
use nlpress_graph::{Site, SiteId};
use nlpress_packed::{Dtype, Matrix, PackError, Part, Scheme};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::channel;

/// The first schema whose files have checksums, and labels that differ after composition.
const CHECKED_SCHEMA: u64 = 3;
/// Bytes from which on checksums are computed on another thread while this one reads.
const BESIDE: usize = 1 << 20;

impl Artifact {
    /// Opens the file, within the default [`OpenOptions`].
    ///
    /// # Errors
    /// [`ArtifactError`] naming the file, and the tensor where one is at fault.
    pub fn open(path: &Path) -> Result<Self, ArtifactError> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// Opens the file, within limits. What it is, how large it is, and how its first bytes look is known before the rest
    /// is read.
    ///
    /// # Errors
    /// As [`Artifact::open`].
    pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Self, ArtifactError> {
        read_tensor_by_tensor(path, options).map_err(|e| e.of(&path.display().to_string()))
    }

    /// Reads an artifact from bytes, within the default [`OpenOptions`]; `name` is what errors call them.
    ///
    /// # Errors
    /// As [`Artifact::open`].
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, ArtifactError> {
        Self::from_bytes_with(bytes, name, &OpenOptions::default())
    }

    /// Reads an artifact from bytes, within limits; `name` is what errors call them.
    ///
    /// # Errors
    /// As [`Artifact::open`].
    pub fn from_bytes_with(bytes: &[u8], name: &str, options: &OpenOptions) -> Result<Self, ArtifactError> {
        read(bytes, options).map(|opened| opened.artifact).map_err(|e| e.of(name))
    }
}

/// An artifact that was read, and what its file said besides.
pub(crate) struct Opened {
    pub(crate) artifact: Artifact,
    pub(crate) schema: u64,
    pub(crate) has_checksums: bool,
    /// Bytes of each layer's weight in the file.
    pub(crate) weight_bytes: Vec<u64>,
}

/// The bytes of a file, read when its kind, its size and its first bytes are those of an artifact.
pub(crate) fn read_file(path: &Path, options: &OpenOptions) -> Result<Vec<u8>, ArtifactError> {
    let (file, size, start, _) = open(path, options)?;
    files::read_rest(file, start, size, options.largest_file_bytes).map_err(ArtifactError::Read)
}

/// A file whose kind, size and first bytes are those of an artifact; its size, its first bytes, and where its header is.
fn open(path: &Path, options: &OpenOptions) -> Result<(File, u64, Vec<u8>, Range<usize>), ArtifactError> {
    let (mut file, size) = files::open_regular(path).map_err(ArtifactError::Read)?;
    let mut start = Vec::new();
    // One more than the length of the header: the first byte of the header itself.
    let most = LENGTH_BYTES as u64 + 1;
    (&mut file).take(most).read_to_end(&mut start).map_err(ArtifactError::Read)?;
    let header = header::range(&start, size.max(start.len() as u64))?;
    files::check_size(size, options.largest_file_bytes).map_err(ArtifactError::Read)?;
    Ok((file, size, start, header))
}

/// The artifact of a file. Each tensor is read into memory of its own, which becomes the weight or is given back, so that
/// the file and what becomes of it are never held both.
fn read_tensor_by_tensor(path: &Path, options: &OpenOptions) -> Result<Artifact, ArtifactError> {
    let (mut file, size, mut start, header) = open(path, options)?;
    let size = usize::try_from(size).map_err(|_| ArtifactError::Memory(size))?;
    let left = header.end.saturating_sub(start.len());
    start.extend(read_exactly(&mut file, left).map_err(ArtifactError::Read)?);
    let next = |entry: &Entry| -> Result<Cow<'static, [u8]>, ArtifactError> {
        let bytes = read_exactly(&mut file, entry.bytes.len()).map_err(ArtifactError::Read)?;
        Ok(Cow::Owned(bytes))
    };
    let opened = read_tensors(&start, size.saturating_sub(header.end), next, options)?;
    match file.read(&mut [0]).map_err(ArtifactError::Read)? {
        0 => Ok(opened.artifact),
        _ => Err(ArtifactError::Format("it grew while it was read".into())),
    }
}

/// The next `count` bytes of a file that is known to have so many.
fn read_exactly(file: &mut File, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(count).map_err(|_| io::ErrorKind::OutOfMemory)?;
    file.take(count as u64).read_to_end(&mut bytes)?;
    if bytes.len() == count { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The artifact of a whole file.
pub(crate) fn read(bytes: &[u8], options: &OpenOptions) -> Result<Opened, ArtifactError> {
    let header = header::range(bytes, bytes.len() as u64)?;
    let (start, data) = bytes.split_at(header.end);
    read_tensors(start, data.len(), |entry| Ok(Cow::Borrowed(&data[entry.bytes.clone()])), options)
}

/// The artifact of a file that begins with `start`, which ends with the header; `data` bytes follow it, of which `next` gives
/// those of each tensor, one after the other.
fn read_tensors<'a>(
    start: &[u8],
    data: usize,
    mut next: impl FnMut(&Entry) -> Result<Cow<'a, [u8]>, ArtifactError>,
    options: &OpenOptions,
) -> Result<Opened, ArtifactError> {
    let sums = checksum::check_header(start)?;
    let header = Header::parse(&start[LENGTH_BYTES..], data)?;
    // The digits were looked for in the bytes; where JSON sees them otherwise, the key was damaged.
    if sums.is_some() != header.checksums.is_some() {
        return Err(ArtifactError::Damaged("the header".into()));
    }
    let sums = sums.map(|sums| checksum::of_tensors(sums, header.tensors.len())).transpose()?;
    let (to, from) = channel();
    let read = || -> Result<(), ArtifactError> {
        let to = to;
        for (n, entry) in header.tensors.into_iter().enumerate() {
            let bytes = next(&entry)?;
            if to.send((n, entry, bytes)).is_err() {
                break; // one before it is damaged
            }
        }
        Ok(())
    };
    let check = || -> Result<_, ArtifactError> {
        let mut tensors = BTreeMap::new();
        for (n, Entry { name, dtype, shape, .. }, bytes) in from {
            if let Some(sums) = &sums {
                checksum::check_tensor(&sums[n], &name, &bytes)?;
            }
            tensors.insert(name, View { dtype, shape, bytes });
        }
        Ok(tensors)
    };
    let (read, tensors) = if data < BESIDE { (read(), check()) } else { beside(read, check) };
    let tensors = Tensors(tensors?);
    read?;
    let manifest = understand(&header.manifest)?;
    let schema = manifest.schema;
    if schema >= CHECKED_SCHEMA && sums.is_none() {
        return Err(ArtifactError::NoChecksums(schema));
    }
    check_sites(&manifest.outline)?;
    check_labels(&manifest.outline, &manifest.labels)?;
    label::check_readable(&manifest.labels)?;
    if schema >= CHECKED_SCHEMA {
        label::check_composed(&manifest.labels)?;
    }
    let size = (start.len() + data) as u64;
    let weight_bytes = tensors.check_memory(&manifest, options.most_expanded(size))?;
    let threshold = manifest.threshold;
    let artifact = tensors.unpack(manifest)?.with_threshold(threshold)?;
    Ok(Opened { artifact, schema, has_checksums: sums.is_some(), weight_bytes })
}

/// Reads a manifest.
fn understand(text: &str) -> Result<Manifest, ArtifactError> {
    let odd = |e| ArtifactError::Manifest(message(e));
    let Version { schema } = serde_json::from_str(text).map_err(odd)?;
    if !(OLDEST_SCHEMA..=SCHEMA).contains(&schema) {
        return Err(ArtifactError::Schema { found: schema, known: SCHEMA });
    }
    serde_json::from_str(text).map_err(odd)
}

/// The schema alone, so that a later manifest is told from a broken one.
#[derive(Deserialize)]
struct Version {
    schema: u64,
}

/// The tensors that nothing has taken yet.
struct Tensors<'a>(BTreeMap<String, View<'a>>);

/// A tensor of the file.
struct View<'a> {
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Tensors<'a> {
    /// Checks the layouts against the sites, and what all weights will take in memory against the limit, before any is
    /// unpacked. The bytes of each weight in the file.
    fn check_memory(&self, manifest: &Manifest, most: u64) -> Result<Vec<u64>, ArtifactError> {
        let sites = &manifest.outline.sites;
        if manifest.layouts.len() != sites.len() {
            let (found, expected) = (manifest.layouts.len(), sites.len());
            return Err(ArtifactError::Sites(format!(
                "{} for {}",
                counted(found, "layout"),
                counted(expected, "site")
            )));
        }
        let mut weight_bytes = Vec::new();
        let mut needed = 0_u64;
        for (site, layout) in sites.iter().zip(&manifest.layouts) {
            if site.id != layout.site {
                let (expected, found) = (site.id.to_string(), shown(layout.site.as_str()).to_string());
                return Err(ArtifactError::Layer { expected, found });
            }
            check_layout(site, layout.scheme)?;
            layout.scheme.check().map_err(|error| weight_error(&site.id, error))?;
            let weight = format!("{}.weight.", site.id);
            let parts = self.0.range(weight.clone()..).take_while(|(name, _)| name.starts_with(&weight));
            let bytes: usize = parts.map(|(_, view)| view.bytes.len()).sum();
            let values = self.0.get(&format!("{weight}values")).map_or(0, |view| view.bytes.len());
            let shape = site.shape;
            let expanded = layout.scheme.expanded_bytes(shape.inputs, shape.outputs, values);
            // What is not values stays about as large as it is.
            let beside = 2 * (bytes - values) as u64;
            needed = needed.saturating_add(expanded as u64).saturating_add(beside);
            weight_bytes.push(bytes as u64);
        }
        if needed > most {
            return Err(ArtifactError::Expanded { needed, most });
        }
        // Asked for as a whole and given back, so that a system that cannot give it says so here: what is allocated
        // piece by piece would end the process.
        let asked = usize::try_from(needed).ok().and_then(|n| Vec::<u8>::new().try_reserve_exact(n).ok());
        asked.map(|()| weight_bytes).ok_or(ArtifactError::Memory(needed))
    }

    fn unpack(mut self, manifest: Manifest) -> Result<Artifact, ArtifactError> {
        let mut layers = Vec::new();
        for (site, layout) in manifest.outline.sites.iter().zip(&manifest.layouts) {
            let matrix = self.take_matrix(site, layout.scheme)?;
            let bias = match site.shape.bias {
                true => self.take_floats(&format!("{}.bias", site.id), site.shape.outputs)?,
                false => Vec::new(),
            };
            layers.push(Layer { id: site.id.clone(), matrix, bias });
        }
        let mut vectors = Vec::new();
        for (id, vector) in manifest.outline.graph.vectors() {
            let values = self.take_floats(id.as_str(), vector.length)?;
            vectors.push(Vector { id, values });
        }
        let blob = self.take_vector(VOCABULARY, Dtype::U8, None)?.into_owned();
        if let Some(name) = self.0.keys().next() {
            return Err(ArtifactError::Unknown(shown(name).to_string()));
        }
        let encoder = EncoderParts { config: manifest.encoder.config, blob };
        let Manifest { outline, labels, provenance, .. } = manifest;
        Artifact::assemble(outline, layers, vectors, labels, encoder, provenance)
    }

    fn take_matrix(&mut self, site: &Site, scheme: Scheme) -> Result<Matrix, ArtifactError> {
        let mut odd = None;
        let shape = site.shape;
        let matrix = Matrix::from_parts(shape.inputs, shape.outputs, scheme, |part| {
            let name = format!("{}.weight.{part}", site.id);
            let view = self.0.remove(&name)?;
            let Some(dtype) = dtype(view.dtype) else {
                let (found, expected) = (view.describe(), "of a type that a layout has".into());
                odd = Some(ArtifactError::Tensor { name, found, expected });
                return None;
            };
            Some(Part { name: part, dtype, shape: view.shape, bytes: view.bytes })
        });
        matrix.map_err(|error| odd.unwrap_or_else(|| weight_error(&site.id, error)))
    }

    fn take_floats(&mut self, name: &str, length: usize) -> Result<Vec<f32>, ArtifactError> {
        let bytes = self.take_vector(name, Dtype::F32, Some(length))?;
        Ok(bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect())
    }

    fn take_vector(
        &mut self,
        name: &str,
        expected: Dtype,
        length: Option<usize>,
    ) -> Result<Cow<'a, [u8]>, ArtifactError> {
        let view = self.0.remove(name).ok_or_else(|| ArtifactError::Missing(name.into()))?;
        let fits = match (&view.shape[..], length) {
            ([found], Some(expected)) => *found == expected,
            (shape, _) => shape.len() == 1,
        };
        if fits && dtype(view.dtype) == Some(expected) {
            return Ok(view.bytes);
        }
        let expected = match length {
            Some(length) => format!("{expected} [{length}]"),
            None => format!("{expected} [any]"),
        };
        Err(ArtifactError::Tensor { name: name.into(), found: view.describe(), expected })
    }
}

impl View<'_> {
    fn describe(&self) -> String {
        match dtype(self.dtype) {
            Some(dtype) => format!("{dtype} {:?}", self.shape),
            None => format!("{:?} {:?}", self.dtype, self.shape),
        }
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
