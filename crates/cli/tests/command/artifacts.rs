//! Artifacts taken apart, to be put together wrong.

#[path = "../../../artifact/tests/common/file.rs"]
#[allow(dead_code)] // shared with the tests of the artifacts
pub(crate) mod sealing;

use serde_json::{Map, Value};

/// A safetensors file: its header, and the bytes after it.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) header: Map<String, Value>,
    pub(crate) data: Vec<u8>,
}

impl Parts {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        Self { header, data: bytes[8 + length..].to_vec() }
    }

    /// The file, with checksums that fit it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let header = serde_json::to_vec(&self.header).unwrap();
        sealing::sealed(&file(header.len() as u64, &header, &self.data))
    }

    /// The file as it was before there were checksums.
    pub(crate) fn of_schema_2(mut self) -> Self {
        self.header["__metadata__"].as_object_mut().unwrap().remove("nlpress.blake3").unwrap();
        self.manifest(|m| m["schema"] = 2.into())
    }

    /// Changes the manifest.
    pub(crate) fn manifest(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let text = &mut self.header["__metadata__"]["nlpress"];
        let mut manifest: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        change(&mut manifest);
        *text = manifest.to_string().into();
        self
    }

    /// Changes what the header says of a tensor.
    pub(crate) fn entry(mut self, name: &str, key: &str, value: Value) -> Self {
        self.header[name][key] = value;
        self
    }

    /// The bytes of a tensor.
    pub(crate) fn tensor(&mut self, name: &str) -> &mut [u8] {
        let at = |n: usize| self.header[name]["data_offsets"][n].as_u64().unwrap() as usize;
        let range = at(0)..at(1);
        &mut self.data[range]
    }

    /// Writes over the start of a tensor.
    pub(crate) fn over(mut self, name: &str, bytes: &[u8]) -> Self {
        self.tensor(name)[..bytes.len()].copy_from_slice(bytes);
        self
    }
}

/// A safetensors file whose header may claim another length than it has.
pub(crate) fn file(length: u64, header: &[u8], data: &[u8]) -> Vec<u8> {
    [&length.to_le_bytes()[..], header, data].concat()
}
