//! The lines of a stream, handed out as they come: as many whole lines as one read brings, and never a wait for more.

use std::io::{self, Read};

/// Longest line, in bytes.
pub(super) const LONGEST: usize = 16 << 20;
/// Bytes that are read at once: enough that handing them out costs nothing, few enough that threads share them evenly.
const READ: usize = 256 << 10;

/// A few lines in their order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Whole lines with their line ends, which only the last line of all may lack.
    Lines {
        /// Number of the first, from 1.
        first: u64,
        /// The lines.
        bytes: Vec<u8>,
    },
    /// A line longer than [`LONGEST`]; it was passed over.
    TooLong {
        /// Its number.
        line: u64,
    },
}

/// Reads lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    from: R,
    /// What was read and not handed out: the beginning of a line.
    held: Vec<u8>,
    /// How much of it is known to hold no line end.
    seen: usize,
    /// Number of that line.
    line: u64,
    /// Whether that line is being passed over.
    skipping: bool,
    ended: bool,
    longest: usize,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, held: Vec::new(), seen: 0, line: 1, skipping: false, ended: false, longest: LONGEST }
    }

    /// The next lines: all that one read brings to an end. Waits for a line that has begun, and for nothing else.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            if self.skipping {
                let end = self.held.iter().position(|b| *b == b'\n');
                self.held.drain(..end.map_or(self.held.len(), |end| end + 1));
                if end.is_some() {
                    self.skipping = false;
                    self.line += 1;
                    return Ok(Some(Piece::TooLong { line: self.line - 1 }));
                }
            } else if let Some(end) = self.held[self.seen..].iter().rposition(|b| *b == b'\n') {
                return Ok(Some(self.lines(self.seen + end + 1)));
            }
            if self.held.len() > self.longest {
                self.skipping = true;
                self.held.clear();
            }
            self.seen = self.held.len();
            if self.ended {
                return Ok(None);
            }
            if self.read()? == 0 {
                self.ended = true;
                return Ok(self.rest());
            }
            if self.line == 1 && self.seen < 3 && self.held.starts_with(b"\xef\xbb\xbf") {
                self.held.drain(..3); // a byte order mark is no text
                self.seen = 0;
            }
        }
    }

    fn read(&mut self) -> io::Result<usize> {
        let before = self.held.len();
        self.held.resize(before + READ, 0);
        let read = loop {
            match self.from.read(&mut self.held[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.held.truncate(before + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Hands out the first `end` bytes, which end a line.
    fn lines(&mut self, end: usize) -> Piece {
        let held = self.held.split_off(end);
        let bytes = std::mem::replace(&mut self.held, held);
        self.seen = 0;
        let first = self.line;
        self.line += bytes.iter().filter(|b| **b == b'\n').count() as u64;
        Piece::Lines { first, bytes }
    }

    /// What is left when no more comes.
    fn rest(&mut self) -> Option<Piece> {
        if self.skipping {
            return Some(Piece::TooLong { line: self.line });
        }
        self.seen = 0;
        let bytes = std::mem::take(&mut self.held);
        (!bytes.is_empty()).then_some(Piece::Lines { first: self.line, bytes })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Gives the parts one at a time, as a pipe does.
    struct Parts<'a>(std::slice::Iter<'a, &'a [u8]>);

    impl Read for Parts<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let part = self.0.next().copied().unwrap_or_default();
            into[..part.len()].copy_from_slice(part);
            Ok(part.len())
        }
    }

    fn pieces(parts: &[&[u8]], longest: usize) -> Vec<Piece> {
        let mut lines = Lines { longest, ..Lines::new(Parts(parts.iter())) };
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    fn lines(first: u64, bytes: &[u8]) -> Piece {
        Piece::Lines { first, bytes: bytes.into() }
    }

    #[test]
    fn every_read_brings_the_lines_that_it_ends() {
        assert_eq!(pieces(&[b"a\nb\n", b"c\n"], 9), [lines(1, b"a\nb\n"), lines(3, b"c\n")]);
        assert_eq!(
            pieces(&[b"a", b"b\nc", b"\nd"], 9),
            [lines(1, b"ab\n"), lines(2, b"c\n"), lines(3, b"d")]
        );
        assert_eq!(pieces(&[b"\n\n", b"\n"], 9), [lines(1, b"\n\n"), lines(3, b"\n")]);
        assert!(pieces(&[], 9).is_empty());
    }

    #[test]
    fn a_byte_order_mark_goes_and_only_at_the_start() {
        assert_eq!(pieces(&[b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n"], 9), [lines(1, b"a\n\xef\xbb\xbfb\n")]);
        assert_eq!(pieces(&[b"\xef", b"\xbb\xbfa\n"], 9), [lines(1, b"a\n")]);
        assert!(pieces(&[b"\xef\xbb\xbf"], 9).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_named_and_passed_over() {
        let long = [&b"a\n0123"[..], b"456789", b"012", b"3\nb\nc"];
        let expected = [lines(1, b"a\n"), Piece::TooLong { line: 2 }, lines(3, b"b\n"), lines(4, b"c")];
        assert_eq!(pieces(&long, 8), expected);
        assert_eq!(pieces(&[b"0123456789", b"0"], 8), [Piece::TooLong { line: 1 }]);
    }
}
