//! Hands each file of a source to the reader of its format.

use std::sync::Arc;

use super::input::Input;
use super::lines::Lines;
use super::options::{CorpusOptions, Files, Format};
use super::sink::Sink;
use super::{delimited, fasttext, json};
use crate::error::TextError;

/// Reads every row of some files.
///
/// # Errors
/// What ends a file early, [`TextError::NoDocuments`] when no file has a row.
pub(super) fn read(sink: &mut Sink<'_>, files: &Files, options: &CorpusOptions) -> Result<(), TextError> {
    let (before, good) = (sink.tally.bad.rows, sink.tally.usable());
    let names = || files.paths().iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    for path in files.paths() {
        let of_file = sink.tally.bad.rows;
        let input = Input::open(path, options)?;
        sink.file = Arc::clone(&input.name);
        match input.format {
            Format::Jsonl | Format::Json => json::read(input, options, sink)?,
            Format::Csv | Format::Tsv => delimited::read(input, options, sink)?,
            Format::FastText => {
                fasttext::read(Lines::new(input, options.max_line_bytes), options.pair.as_ref(), sink)?
            }
            #[cfg(feature = "parquet")]
            Format::Parquet => super::parquet::read(input, options, sink)?,
            #[cfg(not(feature = "parquet"))]
            Format::Parquet => return Err(TextError::NoParquet { file: input.name.to_string() }),
        }
        if sink.tally.bad.rows == of_file && files.paths().len() > 1 {
            sink.tally.notes.push(format!("{} has no documents", sink.file));
        }
    }
    if sink.tally.bad.rows == before {
        return Err(TextError::NoDocuments { file: names() });
    }
    if sink.tally.usable() == good {
        sink.tally.bad.without.get_or_insert_with(names);
    }
    Ok(())
}
