//! JSON files from strangers: objects within a limit, whose keys are asked for with what they must be.

use nlpress_core::files;
use nlpress_core::shown::shown;
use serde_json::{Map, Value};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::HubError;

/// Largest configuration file that is read: they have a few hundred bytes, or a few hundred labels.
const LARGEST: u64 = 1 << 22;

/// A JSON object with the file that it is from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    pub(crate) file: PathBuf,
    pub(crate) keys: Map<String, Value>,
}

impl Object {
    /// Reads a file; none where it is not there.
    pub(crate) fn read(file: PathBuf) -> Result<Option<Self>, HubError> {
        match value(&file)? {
            None => Ok(None),
            Some(Value::Object(keys)) => Ok(Some(Self { file, keys })),
            Some(_) => Err(HubError::file(&file, "it is not a JSON object")),
        }
    }

    /// What stands at a key; null is as if it were not there.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn bad(&self, key: &str, why: impl Into<String>) -> HubError {
        HubError::key(&self.file, key, why)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        what: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, HubError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let bad = || self.bad(key, format!("is {}, but it must be {what}", shown(&value.to_string())));
        read(value).map(Some).ok_or_else(bad)
    }

    /// A whole number.
    pub(crate) fn size(&self, key: &str) -> Result<Option<usize>, HubError> {
        let read = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
        self.typed(key, "a whole number", read)
    }

    /// A whole number that must be there.
    pub(crate) fn needed(&self, key: &str) -> Result<usize, HubError> {
        self.size(key)?.ok_or_else(|| self.bad(key, "is missing"))
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>, HubError> {
        self.typed(key, "a number", Value::as_f64)
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, HubError> {
        self.typed(key, "a text", Value::as_str)
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, HubError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// Refuses a key that is there and is not `usual`.
    pub(crate) fn only(&self, key: &str, usual: &Value) -> Result<(), HubError> {
        match self.get(key) {
            Some(value) if value != usual => {
                let found = shown(&value.to_string()).to_string();
                Err(self.bad(key, format!("is {found}; of this kind of model only {usual} is known")))
            }
            _ => Ok(()),
        }
    }
}

/// The JSON of a file; none where it is not there.
pub(crate) fn value(file: &Path) -> Result<Option<Value>, HubError> {
    let Some(bytes) = bytes(file, LARGEST)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| HubError::file(file, format!("it is no JSON: {e}")))
}

/// The bytes of a file; none where it is not there.
pub(crate) fn bytes(file: &Path, limit: u64) -> Result<Option<Vec<u8>>, HubError> {
    match files::read_bounded(file, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(HubError::Read { file: file.into(), error }),
    }
}
