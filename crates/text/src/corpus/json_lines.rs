//! JSONL: one JSON object a line.

use serde_json::{Map, Value};
use std::io::{BufRead, Read};
use std::path::Path;

use super::options::{Column, CorpusOptions};
use super::source::Each;
use crate::error::{Place, TextError};

pub(super) fn read(
    path: &Path,
    mut file: impl BufRead,
    options: &CorpusOptions,
    each: &mut Each<'_>,
) -> Result<(), TextError> {
    let text_key = key(&options.text)?;
    let label_key = key(&options.label)?;
    let mut line = Vec::new();
    let mut left = options.max_file_bytes;
    for number in 1.. {
        let place = || Place::new(path, number);
        line.clear();
        let most = options.max_line_bytes.saturating_add(1);
        let read = file.by_ref().take(most).read_until(b'\n', &mut line);
        let read = read.map_err(|source| TextError::Io { path: path.into(), source })? as u64;
        if read == 0 {
            break;
        }
        if read > options.max_line_bytes {
            return Err(TextError::LineTooLong { place: place(), limit: options.max_line_bytes });
        }
        // The size was checked at the start; a pipe or a growing file is caught here.
        left = left
            .checked_sub(read)
            .ok_or_else(|| TextError::FileTooLarge { path: path.into(), limit: options.max_file_bytes })?;
        let object = std::str::from_utf8(&line).map_err(|_| TextError::NotUtf8(place()))?;
        if object.trim().is_empty() {
            continue;
        }
        let object: Map<String, Value> = serde_json::from_str(object)
            .map_err(|e| TextError::Json { place: place(), problem: e.to_string() })?;
        let field = |key: &str| {
            object.get(key).ok_or_else(|| TextError::MissingColumn {
                place: place(),
                column: format!("{key:?}"),
                found: object.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
            })
        };
        let wrong = |key: &str, value: &Value, expected| TextError::WrongType {
            place: place(),
            column: format!("{key:?}"),
            found: describe(value),
            expected,
        };
        let text = match field(text_key)? {
            Value::String(text) => text,
            other => return Err(wrong(text_key, other, "a string")),
        };
        match field(label_key)? {
            Value::String(label) => each(text, label, place())?,
            Value::Bool(label) => each(text, if *label { "true" } else { "false" }, place())?,
            Value::Number(label) if !label.is_f64() => each(text, &label.to_string(), place())?,
            other => return Err(wrong(label_key, other, "a string, an integer, true or false")),
        }
    }
    Ok(())
}

fn key(column: &Column) -> Result<&str, TextError> {
    match column {
        Column::Name(name) => Ok(name),
        Column::Index(i) => Err(TextError::Setting {
            setting: "column",
            value: i.to_string(),
            bound: "JSONL has named columns only".into(),
        }),
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => format!("the number {n}"),
        Value::String(_) => "a string".into(),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}
