//! Cuts a JSON file into its values without reading it whole: the elements of one array, or values that follow each
//! other. What a value is worth is for the parser to say; here only strings, brackets and commas count.

use memchr::memchr2;
use std::io::BufRead;

use super::input::Input;
use crate::error::TextError;

/// The values of a file.
pub(super) struct Elements {
    input: Input,
    /// Whether they are the elements of an array.
    array: bool,
    /// Whether the array was closed.
    closed: bool,
    first: bool,
    line: u64,
    limit: u64,
    element: Vec<u8>,
}

impl Elements {
    pub(super) fn new(input: Input, limit: u64) -> Result<Self, TextError> {
        let mut new =
            Self { input, array: false, closed: false, first: true, line: 1, limit, element: Vec::new() };
        if new.skip_space()? == Some(b'[') {
            new.input.bytes.consume(1);
            new.array = true;
        }
        Ok(new)
    }

    /// The next value and the line on which it begins.
    ///
    /// # Errors
    /// [`TextError::Json`] where the values are not separated as JSON wants it, or the array does not end.
    pub(super) fn next(&mut self) -> Result<Option<(&[u8], u64)>, TextError> {
        let mut next = self.skip_space()?;
        if self.array {
            let comma = next == Some(b',');
            match next {
                None if self.closed => return Ok(None),
                None => return Err(self.wrong("the array does not end")),
                Some(_) if self.closed => return Err(self.wrong("text after the end of the array")),
                Some(b']') => {
                    self.input.bytes.consume(1);
                    self.closed = true;
                    return self.next();
                }
                Some(b',') if !self.first => {
                    self.input.bytes.consume(1);
                    next = self.skip_space()?;
                }
                Some(_) if self.first && !comma => {}
                Some(_) => return Err(self.wrong("a comma is missing, or one is too many")),
            }
            if matches!(next, None | Some(b']' | b',')) {
                return Err(self.wrong("a value is missing after a comma"));
            }
        }
        self.first = false;
        let line = self.line;
        match next {
            None => Ok(None),
            Some(_) => {
                self.value(line)?;
                Ok(Some((&self.element, line)))
            }
        }
    }

    /// Takes bytes until the value ends that begins here.
    fn value(&mut self, begins: u64) -> Result<(), TextError> {
        self.element.clear();
        let (mut depth, mut string, mut escaped) = (0_u32, false, false);
        loop {
            let bytes = self.input.fill()?;
            if bytes.is_empty() {
                return Ok(()); // the parser says what is missing
            }
            let mut at = 0;
            let mut over = false;
            while at < bytes.len() && !over {
                let byte = bytes[at];
                if escaped {
                    escaped = false;
                } else if string {
                    match memchr2(b'"', b'\\', &bytes[at..]) {
                        None => at = bytes.len() - 1,
                        Some(n) => {
                            at += n;
                            escaped = bytes[at] == b'\\';
                            string = escaped;
                            over = !string && depth == 0;
                        }
                    }
                } else {
                    match byte {
                        b'"' => string = true,
                        b'[' | b'{' => depth += 1,
                        b']' | b'}' if depth > 0 => {
                            depth -= 1;
                            over = depth == 0;
                        }
                        // A number or a word ends before what follows it.
                        // One that stands where a value should begin is taken as the value, for the parser to refuse.
                        b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n'
                            if depth == 0 && (at > 0 || !self.element.is_empty()) =>
                        {
                            break;
                        }
                        _ => {}
                    }
                }
                at += 1;
            }
            let ended = over || at < bytes.len();
            self.line += memchr::memchr_iter(b'\n', &bytes[..at]).count() as u64;
            self.element.extend_from_slice(&bytes[..at]);
            self.input.bytes.consume(at);
            if self.element.len() as u64 > self.limit {
                return Err(TextError::LineTooLong { place: self.input.place(begins), limit: self.limit });
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// The next byte that is no white space, which stays; none at the end.
    fn skip_space(&mut self) -> Result<Option<u8>, TextError> {
        loop {
            let bytes = self.input.fill()?;
            let space = bytes.iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.line += memchr::memchr_iter(b'\n', &bytes[..space]).count() as u64;
            let (next, end) = (bytes.get(space).copied(), bytes.is_empty());
            self.input.bytes.consume(space);
            if next.is_some() || end {
                return Ok(next);
            }
        }
    }

    fn wrong(&self, problem: &str) -> TextError {
        TextError::Json {
            place: self.input.place(self.line),
            problem: format!("in an array of objects: {problem}"),
        }
    }
}
