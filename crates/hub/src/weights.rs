//! The tensors of a folder: one safetensors file, or several with an index.
//!
//! Headers are checked against the bytes that are there before anything is allocated; a tensor is read from its file when
//! it is asked for, so that no more than one is held beside what is made of them.

use half::{bf16, f16};
use nlpress_core::files;
use nlpress_core::shown::{counted, message, shown};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use crate::HubError;
use crate::json::Object;

/// The file of a model in one piece.
pub(crate) const SINGLE: &str = "model.safetensors";
/// What says which tensor is in which of several files.
const INDEX: &str = "model.safetensors.index.json";
/// Largest header of a file.
const LARGEST_HEADER: u64 = 1 << 24;
/// Most files of a model.
const MOST_FILES: usize = 1 << 10;

/// Tensors by their names, in files that lie open to be read.
#[derive(Debug)]
pub(crate) struct Weights {
    tensors: BTreeMap<String, Place>,
    files: Vec<(PathBuf, File)>,
}

/// Where a tensor is.
#[derive(Clone, Debug)]
struct Place {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Range<u64>,
}

/// A tensor as its file has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Raw {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Weights {
    /// Opens the files of a folder and reads their headers.
    pub(crate) fn open(folder: &Path) -> Result<Self, HubError> {
        let single = folder.join(SINGLE);
        let mut weights = Self { tensors: BTreeMap::new(), files: Vec::new() };
        if single.exists() {
            weights.add(single)?;
            return Ok(weights);
        }
        let Some(index) = Object::read(folder.join(INDEX))? else {
            let pickled = folder.join("pytorch_model.bin").exists();
            let what = match pickled {
                true => {
                    "it has only pytorch_model.bin, a pickle, which can run code when it is read; save it again with \
                         `save_pretrained(FOLDER, safe_serialization=True)`"
                }
                false => "it has neither model.safetensors nor model.safetensors.index.json",
            };
            return Err(HubError::missing(folder, what));
        };
        for name in shards(&index)? {
            weights.add(folder.join(name))?;
        }
        weights.check_index(&index)?;
        Ok(weights)
    }

    /// Adds the tensors of a file.
    fn add(&mut self, path: PathBuf) -> Result<(), HubError> {
        let (mut file, size) =
            files::open_regular(&path).map_err(|error| HubError::Read { file: path.clone(), error })?;
        let (start, infos) = header(&path, &mut file, size)?;
        for (name, info) in infos {
            let bytes = info.data_offsets.0 as u64..info.data_offsets.1 as u64;
            let place = Place {
                file: self.files.len(),
                dtype: info.dtype,
                shape: info.shape,
                bytes: start + bytes.start..start + bytes.end,
            };
            if let Some(before) = self.tensors.insert(name.clone(), place) {
                let other = self.files[before.file].0.display().to_string();
                return Err(HubError::tensor(&path, &name, format!("it is in {other}, too")));
            }
        }
        self.files.push((path, file));
        Ok(())
    }

    /// Checks that every tensor is in the file that the index names, and no other is there.
    fn check_index(&self, index: &Object) -> Result<(), HubError> {
        let map = index.get("weight_map").and_then(|map| map.as_object()).into_iter().flatten();
        for (tensor, file) in map.clone() {
            let found = self.tensors.get(tensor).map(|place| &self.files[place.file].0);
            let named = found.and_then(|path| path.file_name()).and_then(|name| name.to_str());
            if named != file.as_str() {
                let why =
                    format!("it is not in {}, as the index says", shown(file.as_str().unwrap_or_default()));
                return Err(HubError::tensor(&index.file, tensor, why));
            }
        }
        let count = map.count();
        if count != self.tensors.len() {
            let found = counted(self.tensors.len(), "tensor");
            return Err(index.bad("weight_map", format!("names {count}, but the files have {found}")));
        }
        Ok(())
    }

    /// The files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| &**path)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Names and bytes of all tensors, in the order of their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, u64)> {
        self.tensors.iter().map(|(name, place)| (&**name, place.bytes.end - place.bytes.start))
    }

    /// The file that errors about a tensor name.
    fn file_of(&self, name: &str) -> &Path {
        let file = self.tensors.get(name).map_or(0, |place| place.file);
        &self.files[file].0
    }

    /// A fault of a tensor.
    pub(crate) fn bad(&self, name: &str, why: impl Into<String>) -> HubError {
        HubError::tensor(self.file_of(name), name, why)
    }

    /// The shape of a tensor.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|place| &*place.shape)
    }

    /// The type of the numbers of a tensor.
    pub(crate) fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).map(|place| place.dtype)
    }

    /// A tensor as it is.
    pub(crate) fn raw(&self, name: &str) -> Result<Raw, HubError> {
        let place = self.tensors.get(name).ok_or_else(|| self.bad(name, "it is missing"))?;
        let (path, file) = &self.files[place.file];
        // Within the file, as its header was checked.
        let mut bytes = vec![0; (place.bytes.end - place.bytes.start) as usize];
        let mut file: &File = file;
        let read = file.seek(SeekFrom::Start(place.bytes.start)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|error| HubError::Read { file: path.clone(), error })?;
        Ok(Raw { dtype: place.dtype, shape: place.shape.clone(), bytes })
    }

    /// The numbers of a tensor of that shape.
    pub(crate) fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, HubError> {
        let place = self.tensors.get(name).ok_or_else(|| self.bad(name, "it is missing"))?;
        if place.shape != shape {
            let found = &place.shape;
            return Err(
                self.bad(name, format!("its shape is {found:?}, but the configuration makes it {shape:?}"))
            );
        }
        let convert = to_floats(place.dtype).ok_or_else(|| {
            self.bad(name, format!("its numbers are {:?}, expected F32, F16 or BF16", place.dtype))
        })?;
        let numbers = convert(&self.raw(name)?.bytes);
        match numbers.iter().position(|x| !x.is_finite()) {
            None => Ok(numbers),
            Some(at) => Err(self.bad(name, format!("number {at} is {}", numbers[at]))),
        }
    }
}

/// Reads the numbers of little-endian bytes.
type ToFloats = fn(&[u8]) -> Vec<f32>;

/// What reads numbers of a type; none for types that are no floats.
fn to_floats(dtype: Dtype) -> Option<ToFloats> {
    fn each<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|bytes| read(*bytes)).collect()
    }
    match dtype {
        Dtype::F32 => Some(|bytes| each(bytes, f32::from_le_bytes)),
        Dtype::F16 => Some(|bytes| each(bytes, |b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Some(|bytes| each(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        _ => None,
    }
}

/// The files that an index names, each once.
fn shards(index: &Object) -> Result<BTreeSet<&str>, HubError> {
    let map = index.get("weight_map").and_then(|map| map.as_object());
    let map = map.filter(|map| !map.is_empty()).ok_or_else(|| index.bad("weight_map", "is missing"))?;
    let mut names = BTreeSet::new();
    for name in map.values() {
        let plain = |name: &&str| {
            let mut parts = Path::new(name).components();
            matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        };
        let Some(name) = name.as_str().filter(plain) else {
            let found = shown(&name.to_string()).to_string();
            return Err(index.bad("weight_map", format!("has {found}, which is no name of a file beside it")));
        };
        names.insert(name);
        if names.len() > MOST_FILES {
            return Err(index.bad("weight_map", format!("names more than {MOST_FILES} files")));
        }
    }
    Ok(names)
}

/// Reads the header of a file of `size` bytes: where the tensors begin, and what it says of them.
fn header(path: &Path, file: &mut File, size: u64) -> Result<(u64, Vec<(String, TensorInfo)>), HubError> {
    let odd = |why: String| HubError::file(path, format!("not a safetensors file: {why}"));
    let mut length = [0; 8];
    if size < 8 {
        return Err(odd(format!("it has {}", counted(size, "byte"))));
    }
    let read = |error| HubError::Read { file: path.into(), error };
    file.read_exact(&mut length).map_err(read)?;
    let length = u64::from_le_bytes(length);
    let room = size - 8;
    if length == 0 || length > room {
        return Err(odd(format!(
            "its first 8 bytes would make a header of {length} bytes, but {room} follow"
        )));
    }
    if length > LARGEST_HEADER {
        return Err(odd(format!("its header has {length} bytes, but at most {LARGEST_HEADER} are read")));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes).map_err(read)?;
    let Entries(mut tensors) = serde_json::from_slice(&bytes).map_err(|e| odd(message(e)))?;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let checked = Metadata::new(None, tensors.clone()).map_err(|e| odd(message(e)))?;
    let (expected, found) = (checked.data_len() as u64, room - length);
    if expected != found {
        return Err(odd(format!("its tensors have {expected} bytes, but {found} follow the header")));
    }
    Ok((8 + length, tensors))
}

/// What a header says of its tensors.
struct Entries(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let (mut tensors, mut names) = (Vec::new(), BTreeSet::new());
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("{} is there twice", shown(&name))));
                    }
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let info = map
                        .next_value()
                        .map_err(|e| A::Error::custom(format!("tensor {}: {e}", shown(&name))))?;
                    tensors.push((name, info));
                }
                Ok(Entries(tensors))
            }
        }
        deserializer.deserialize_map(Names)
    }
}
