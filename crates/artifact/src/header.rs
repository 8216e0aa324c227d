//! The header of a safetensors file: nothing in it believed, nothing passed over.
//!
//! `safetensors` itself lets a name that is there twice replace the first, ignores keys that it does not know, and builds
//! the whole header before it looks at any of it. So the JSON is read here, and what it says of the bytes is checked by
//! `safetensors`.

use crate::manifest::{CHECKSUMS, KEY};
use crate::{ArtifactError, LARGEST_MANIFEST};
use nlpress_core::bounded;
use nlpress_core::shown::{message, shown};
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

/// Bytes of the number that a file begins with: the length of its header.
pub(crate) const LENGTH_BYTES: usize = 8;
/// More tensors than any artifact has: 64 blocks of six sites, two factors each, of at most eleven parts and a bias.
const MOST_TENSORS: usize = 1 << 14;
/// More dimensions than any tensor of an artifact has.
const MOST_DIMENSIONS: usize = 8;

/// What a header says.
#[derive(Debug)]
pub(crate) struct Header {
    /// The manifest, in JSON.
    pub(crate) manifest: String,
    /// The checksums, in hexadecimal, where the file has any.
    pub(crate) checksums: Option<String>,
    /// The tensors, in the order of their bytes.
    pub(crate) tensors: Vec<Entry>,
}

/// What a header says of a tensor.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) dtype: safetensors::Dtype,
    pub(crate) shape: Vec<usize>,
    /// Its bytes, counted from the end of the header.
    pub(crate) bytes: Range<usize>,
}

/// The bytes of the header among those of a file of `size` bytes, found from the first few.
///
/// # Errors
/// [`ArtifactError::NotSafetensors`], and [`ArtifactError::Header`] for a header that is too large.
pub(crate) fn range(start: &[u8], size: u64) -> Result<Range<usize>, ArtifactError> {
    let odd = |why: String| Err(ArtifactError::NotSafetensors(why));
    let Some((length, rest)) = start.split_first_chunk::<LENGTH_BYTES>() else {
        return odd(format!(
            "it has {size} bytes, and not even the {LENGTH_BYTES} that say how long the header is"
        ));
    };
    let found = u64::from_le_bytes(*length);
    let room = size - LENGTH_BYTES as u64;
    if found == 0 || found > room {
        return odd(format!(
            "its first {LENGTH_BYTES} bytes would make a header of {found} bytes, but {room} bytes follow"
        ));
    }
    if rest.first().is_some_and(|first| *first != b'{') {
        return odd("its header is no JSON object".into());
    }
    if found > LARGEST_MANIFEST {
        return Err(ArtifactError::Header { found, most: LARGEST_MANIFEST });
    }
    Ok(LENGTH_BYTES..LENGTH_BYTES + found as usize)
}

impl Header {
    /// Reads a header; `data` bytes follow it.
    ///
    /// # Errors
    /// [`ArtifactError::Format`] for what is no header of a safetensors file or does not fit the bytes,
    /// [`ArtifactError::NoManifest`], [`ArtifactError::UnknownKey`].
    pub(crate) fn parse(bytes: &[u8], data: usize) -> Result<Self, ArtifactError> {
        let format = |e: &dyn fmt::Display| ArtifactError::Format(message(e));
        let text = std::str::from_utf8(bytes).map_err(|e| format(&e))?;
        let Raw { metadata, mut tensors } = serde_json::from_str(text).map_err(|e| format(&e))?;
        let manifest = metadata.manifest.ok_or(ArtifactError::NoManifest)?;
        if let Some(key) = metadata.unknown {
            return Err(ArtifactError::UnknownKey(shown(&key).to_string()));
        }
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        let infos: Vec<(String, TensorInfo)> = tensors.clone();
        let checked = Metadata::new(None, infos).map_err(|e| format(&e))?;
        if checked.data_len() != data {
            let end = checked.data_len();
            let why = format!("the tensors have {end} bytes, but {data} follow the header");
            return Err(ArtifactError::Format(if data < end {
                why + ": the file is cut short"
            } else {
                why
            }));
        }
        let entry = |(name, info): (String, TensorInfo)| Entry {
            name,
            dtype: info.dtype,
            shape: info.shape,
            bytes: info.data_offsets.0..info.data_offsets.1,
        };
        let tensors = tensors.into_iter().map(entry).collect();
        Ok(Self { manifest, checksums: metadata.checksums, tensors })
    }
}

/// A header as it is in JSON.
struct Raw {
    metadata: RawMetadata,
    tensors: Vec<(String, TensorInfo)>,
}

/// The header's map of strings.
#[derive(Default)]
struct RawMetadata {
    manifest: Option<String>,
    checksums: Option<String>,
    /// The first key that no artifact has.
    unknown: Option<String>,
}

/// A tensor in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTensor {
    dtype: safetensors::Dtype,
    #[serde(deserialize_with = "bounded::list::<_, _, MOST_DIMENSIONS>")]
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the header of a safetensors file")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
                let (mut metadata, mut tensors, mut names) = (None, Vec::new(), BTreeSet::new());
                while let Some(name) = entries.next_key::<String>()? {
                    if name == "__metadata__" {
                        if metadata.replace(entries.next_value()?).is_some() {
                            return Err(A::Error::duplicate_field("__metadata__"));
                        }
                        continue;
                    }
                    if names.len() == MOST_TENSORS {
                        return Err(A::Error::custom(format!("more than {MOST_TENSORS} tensors")));
                    }
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("tensor {} is there twice", shown(&name))));
                    }
                    let tensor: RawTensor = entries
                        .next_value()
                        .map_err(|e| A::Error::custom(format!("tensor {}: {}", shown(&name), message(e))))?;
                    let RawTensor { dtype, shape, data_offsets } = tensor;
                    tensors.push((name, TensorInfo { dtype, shape, data_offsets }));
                }
                Ok(Raw { metadata: metadata.unwrap_or_default(), tensors })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl<'de> Deserialize<'de> for RawMetadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl<'de> Visitor<'de> for Strings {
            type Value = RawMetadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<RawMetadata, A::Error> {
                let mut metadata = RawMetadata::default();
                while let Some(key) = entries.next_key::<String>()? {
                    let (place, name) = match key.as_str() {
                        KEY => (&mut metadata.manifest, KEY),
                        CHECKSUMS => (&mut metadata.checksums, CHECKSUMS),
                        _ => {
                            // Read over: whoever wrote the file may have no manifest to tell of either.
                            entries.next_value::<IgnoredAny>()?;
                            metadata.unknown.get_or_insert(key);
                            continue;
                        }
                    };
                    if place.replace(entries.next_value()?).is_some() {
                        return Err(A::Error::duplicate_field(name));
                    }
                }
                Ok(metadata)
            }
        }
        deserializer.deserialize_map(Strings)
    }
}
