//! Where the rows of a file go, whatever its format.

use std::sync::Arc;

use super::Document;
use super::options::Column;
use super::reading::Tally;
use crate::error::{Place, TextError};

/// One row of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) text: &'a str,
    /// The second text, where rows are pairs.
    pub(super) pair: Option<&'a str>,
    /// The label or the identifier; empty when none is wanted.
    pub(super) other: &'a str,
    pub(super) line: u64,
}

impl Row<'_> {
    /// The document that it is.
    pub(super) fn document(&self, label: u32) -> Document {
        Document { text: self.text.into(), pair: self.pair.map(str::to_owned), label }
    }

    /// Refuses a text of nothing but white space.
    pub(super) fn check_texts(&self, place: impl Fn() -> Place) -> Result<(), TextError> {
        match [Some(self.text), self.pair].into_iter().flatten().any(|text| text.trim().is_empty()) {
            true => Err(TextError::EmptyText(place())),
            false => Ok(()),
        }
    }
}

/// What is wanted of a row beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other<'a> {
    Label(&'a Column),
    /// Anything that names the row: a string or a number.
    Id(&'a Column),
    /// A number in place of a label.
    Number(&'a Column),
    Nothing,
}

impl<'a> Other<'a> {
    /// Its column and the setting that names it.
    pub(super) fn column(self) -> Option<(&'a Column, &'static str)> {
        match self {
            Self::Label(column) | Self::Number(column) => Some((column, "--label-column")),
            Self::Id(column) => Some((column, "--id-column")),
            Self::Nothing => None,
        }
    }

    /// Whether it may be any number: a label is a whole one.
    pub(super) fn is_any_number(self) -> bool {
        matches!(self, Self::Id(_) | Self::Number(_))
    }
}

/// Takes a row. An error that [is one of the row](TextError::is_of_a_row) is counted; any other ends the reading.
pub(super) type Take<'a> = dyn FnMut(Row<'_>, &Arc<str>) -> Result<(), TextError> + 'a;

/// Where rows go.
pub(super) struct Sink<'a> {
    pub(super) tally: Tally,
    pub(super) other: Other<'a>,
    /// The file that is being read.
    pub(super) file: Arc<str>,
    take: &'a mut Take<'a>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(other: Other<'a>, take: &'a mut Take<'a>) -> Self {
        Self { tally: Tally::default(), other, take, file: "".into() }
    }

    /// Takes a row that was read.
    pub(super) fn row(&mut self, row: Row<'_>) -> Result<(), TextError> {
        match (self.take)(row, &self.file) {
            Ok(()) => self.tally.good(),
            Err(problem) if problem.is_of_a_row() => self.tally.bad(&problem),
            Err(problem) => return Err(problem),
        }
        Ok(())
    }

    /// A text of bytes; a row with bytes that are not UTF-8 is a bad one.
    pub(super) fn utf8<'t>(&mut self, bytes: &'t [u8], place: impl FnOnce() -> Place) -> Option<&'t str> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(_) => {
                self.tally.unreadable(bytes);
                self.tally.bad(&TextError::NotUtf8(place()));
                None
            }
        }
    }
}
