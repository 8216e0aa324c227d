//! CSV and TSV, parsed by the crate `csv`; the limits and the messages are ours.

use csv::{ByteRecord, ErrorKind, ReaderBuilder};
use std::cell::Cell;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

use super::options::{Column, CorpusOptions, Format};
use super::source::Each;
use crate::error::{Place, TextError};

pub(super) fn read(
    path: &Path,
    file: impl Read,
    format: Format,
    options: &CorpusOptions,
    each: &mut Each<'_>,
) -> Result<(), TextError> {
    let meter = Meter::default();
    let metered = Metered {
        inner: file,
        meter: meter.clone(),
        // The parser reads ahead by its buffer, so a record is caught at the latest one buffer after the limit.
        record_limit: options.max_line_bytes.saturating_add(BUFFER as u64),
        file_limit: options.max_file_bytes,
    };
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .delimiter(options.delimiter_byte(format))
        .quoting(format == Format::Csv)
        .buffer_capacity(BUFFER)
        .from_reader(metered);
    let mut record = ByteRecord::new();
    let mut columns = None;
    loop {
        meter.record.set(0);
        let begins = reader.position().line();
        let more = reader.read_byte_record(&mut record).map_err(|e| explain(e, path, begins, options))?;
        if !more {
            break;
        }
        let place = || Place::new(path, record.position().map_or(begins, csv::Position::line));
        if record.as_slice().len() as u64 > options.max_line_bytes {
            return Err(TextError::LineTooLong { place: place(), limit: options.max_line_bytes });
        }
        let field = |i: usize| {
            std::str::from_utf8(record.get(i).unwrap_or_default()).map_err(|_| TextError::NotUtf8(place()))
        };
        let Some((text, label)) = columns else {
            let names = (0..record.len()).map(field).collect::<Result<Vec<_>, _>>()?;
            let at = |column| find(column, &names, options.header, place());
            let found = (at(&options.text)?, at(&options.label)?);
            columns = Some(found);
            if !options.header {
                each(field(found.0)?, field(found.1)?, place())?;
            }
            continue;
        };
        each(field(text)?, field(label)?, place())?;
    }
    Ok(())
}

const BUFFER: usize = 1 << 16;

/// Bytes handed out since the current record began, and since the file did.
#[derive(Clone, Default)]
struct Meter {
    record: Rc<Cell<u64>>,
    file: Rc<Cell<u64>>,
}

/// A reader that stops a quote which is never closed from taking the whole file into memory.
struct Metered<R> {
    inner: R,
    meter: Meter,
    record_limit: u64,
    file_limit: u64,
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Exceeded {
    #[error("record too long")]
    Record,
    #[error("file too large")]
    File,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        for (count, limit, exceeded) in [
            (&self.meter.record, self.record_limit, Exceeded::Record),
            (&self.meter.file, self.file_limit, Exceeded::File),
        ] {
            count.set(count.get() + n as u64);
            if count.get() > limit {
                return Err(io::Error::other(exceeded));
            }
        }
        Ok(n)
    }
}

fn explain(error: csv::Error, path: &Path, begins: u64, options: &CorpusOptions) -> TextError {
    let place = |position: &Option<csv::Position>| {
        Place::new(path, position.as_ref().map_or(begins, csv::Position::line))
    };
    match error.kind() {
        ErrorKind::UnequalLengths { pos, expected_len, len } => {
            return TextError::Ragged { place: place(pos), expected: *expected_len, found: *len };
        }
        ErrorKind::Io(inner) => {
            let exceeded = inner.get_ref().and_then(|e| e.downcast_ref::<Exceeded>());
            match exceeded {
                Some(Exceeded::Record) => {
                    return TextError::LineTooLong {
                        place: Place::new(path, begins),
                        limit: options.max_line_bytes,
                    };
                }
                Some(Exceeded::File) => {
                    return TextError::FileTooLarge { path: path.into(), limit: options.max_file_bytes };
                }
                None => {}
            }
        }
        _ => return TextError::Csv { place: place(&None), problem: error.to_string() },
    }
    match error.into_kind() {
        ErrorKind::Io(source) => TextError::Io { path: path.into(), source },
        other => TextError::Csv { place: place(&None), problem: format!("{other:?}") },
    }
}

/// The index of a column in the first row.
fn find(column: &Column, first: &[&str], header: bool, place: Place) -> Result<usize, TextError> {
    let found = match column {
        Column::Index(i) => Some(*i).filter(|&i| i < first.len()),
        Column::Name(name) => first.iter().position(|f| f.trim() == name),
    };
    found.ok_or_else(|| TextError::MissingColumn {
        place,
        column: column.to_string(),
        found: if header { first.join(", ") } else { format!("0 to {}", first.len().saturating_sub(1)) },
    })
}
