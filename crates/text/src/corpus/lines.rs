//! The lines of a file, with their numbers and a limit on their length.

use std::io::{BufRead, Read};

use super::input::Input;
use crate::error::{Place, TextError};

/// Reads line by line.
pub(super) struct Lines {
    input: Input,
    /// The byte that ends a line.
    end: u8,
    /// Lines read so far.
    number: u64,
    /// Longest record in bytes.
    limit: u64,
}

impl Lines {
    pub(super) fn new(input: Input, limit: u64) -> Self {
        Self { input, end: b'\n', number: 0, limit }
    }

    /// Lines that end with a carriage return alone, as on the Macintosh before 2001, if the first one does.
    ///
    /// Only for CSV: what stands in quotation marks does not count.
    pub(super) fn detect_carriage_returns(&mut self) -> Result<(), TextError> {
        let head = self.input.fill()?;
        let mut quoted = false;
        for (i, &byte) in head.iter().enumerate() {
            match byte {
                b'"' => quoted = !quoted,
                b'\n' if !quoted => return Ok(()),
                b'\r' if !quoted => {
                    if head.get(i + 1).is_some_and(|&next| next != b'\n') {
                        self.end = b'\r';
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Appends the next line with its end to `record`, which holds the lines that belong to it so far; false at the
    /// end of the file.
    ///
    /// # Errors
    /// [`TextError::LineTooLong`] at the line where the record begins.
    pub(super) fn append(&mut self, record: &mut Vec<u8>, begins: u64) -> Result<bool, TextError> {
        let room = self.limit.saturating_sub(record.len() as u64).saturating_add(1);
        let read = self.input.bytes.by_ref().take(room).read_until(self.end, record);
        let read = read.map_err(|e| self.input.failed(e))? as u64;
        if read == room && record.len() as u64 > self.limit {
            return Err(TextError::LineTooLong { place: self.place(begins), limit: self.limit });
        }
        self.number += u64::from(read > 0);
        Ok(read > 0)
    }

    /// The number of the line that comes next, from 1.
    pub(super) fn next(&self) -> u64 {
        self.number + 1
    }

    pub(super) fn place(&self, line: u64) -> Place {
        self.input.place(line)
    }

    /// What messages call the file.
    pub(super) fn name(&self) -> &str {
        &self.input.name
    }

    /// A line without its end: a line feed, or a line feed after a carriage return; or a carriage return where
    /// that ends lines.
    pub(super) fn content<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        let Some(content) = line.strip_suffix(&[self.end]) else { return line };
        if self.end == b'\n' { content.strip_suffix(b"\r").unwrap_or(content) } else { content }
    }
}
