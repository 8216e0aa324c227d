//! Opens a file, checks its size and hands it to the reader of its format.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::options::{CorpusOptions, Format};
use super::{delimited, json_lines};
use crate::error::{Place, TextError};

/// Takes one document: text, label and where it stands.
pub(super) type Each<'a> = dyn FnMut(&str, &str, Place) -> Result<(), TextError> + 'a;

/// Reads every document of a file.
pub(super) fn read(path: &Path, options: &CorpusOptions, each: &mut Each<'_>) -> Result<(), TextError> {
    let failed = |source| TextError::Io { path: path.into(), source };
    let format = match options.format {
        Some(format) => format,
        None => Format::of(path)?,
    };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > options.max_file_bytes {
        return Err(TextError::FileTooLarge { path: path.into(), limit: options.max_file_bytes });
    }
    let mut file = BufReader::with_capacity(1 << 16, file);
    if file.fill_buf().map_err(failed)?.starts_with(b"\xef\xbb\xbf") {
        file.consume(3);
    }
    match format {
        Format::Jsonl => json_lines::read(path, file, options, each),
        Format::Csv | Format::Tsv => delimited::read(path, file, format, options, each),
    }
}
