//! The numbers of a checkpoint, one after another: written straight to the file and read straight from it.
//!
//! All are little-endian; a row of numbers and a text begin with their length. Both ends add what passes to a SHA-256.
//! A length that is read is compared with the bytes that the file has left before anything is allocated.

use bincode::config::{Configuration, Fixint, LittleEndian};
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};
use sha2::{Digest, Sha256};
use std::io::{self, ErrorKind, Read, Write};

/// How a number is written: by bincode, all its bytes, the lowest first.
const FORM: Configuration<LittleEndian, Fixint> = bincode::config::standard().with_fixed_int_encoding();

/// Numbers at a time between memory and file.
const PIECE: usize = 1 << 14;

/// Something that a training changes from step to step beside its parameters, and that a checkpoint must hold.
pub trait Stateful {
    /// What it is, with its settings: a checkpoint of something else is refused.
    fn identity(&self) -> String;

    /// Writes what it has become.
    ///
    /// # Errors
    /// Those of the file.
    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        let _ = to;
        Ok(())
    }

    /// Becomes what [`save`](Stateful::save) wrote.
    ///
    /// # Errors
    /// Those of the file, and [`ErrorKind::InvalidData`] for numbers that it cannot have written.
    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        let _ = from;
        Ok(())
    }
}

/// Writes a record.
#[allow(missing_debug_implementations)] // a stream has none
pub struct Writer<'a> {
    to: &'a mut dyn Write,
    hash: Sha256,
}

/// Reads a record.
#[allow(missing_debug_implementations)] // a stream has none
pub struct Reader<'a> {
    from: &'a mut dyn Read,
    hash: Sha256,
    left: u64,
}

impl<'a> Writer<'a> {
    /// A record at the end of what is in `to`.
    pub fn new(to: &'a mut dyn Write) -> Self {
        Self { to, hash: Sha256::new() }
    }

    /// Writes a whole number.
    ///
    /// # Errors
    /// Those of the file, here and below.
    pub fn count(&mut self, count: u64) -> io::Result<()> {
        self.put(count)
    }

    /// Writes a number, to the bit.
    ///
    /// # Errors
    /// Those of the file.
    pub fn number(&mut self, number: f64) -> io::Result<()> {
        self.put(number)
    }

    /// Writes a text.
    ///
    /// # Errors
    /// Those of the file.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.count(text.len() as u64)?;
        self.bytes(text.as_bytes())
    }

    /// Writes a row of numbers.
    ///
    /// # Errors
    /// Those of the file.
    pub fn row(&mut self, numbers: &[f32]) -> io::Result<()> {
        self.count(numbers.len() as u64)?;
        let mut bytes = Vec::with_capacity(4 * PIECE.min(numbers.len()));
        for piece in numbers.chunks(PIECE) {
            bytes.clear();
            piece.iter().for_each(|x| bytes.extend_from_slice(&x.to_le_bytes()));
            self.bytes(&bytes)?;
        }
        Ok(())
    }

    /// Ends the record with the hash of all of it.
    ///
    /// # Errors
    /// Those of the file.
    pub fn end(self) -> io::Result<()> {
        self.to.write_all(&self.hash.finalize())
    }

    fn put(&mut self, value: impl Encode) -> io::Result<()> {
        let written = bincode::encode_into_std_write(value, self, FORM);
        written.map(|_| ()).map_err(|error| match error {
            EncodeError::Io { inner, .. } => inner,
            other => io::Error::other(other),
        })
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }
}

/// What is written is added to the hash.
impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl<'a> Reader<'a> {
    /// A record that takes up the next `size` bytes, hash and all.
    pub fn new(from: &'a mut dyn Read, size: u64) -> Self {
        Self {
            from,
            hash: Sha256::new(),
            left: size.saturating_sub(<Sha256 as Digest>::output_size() as u64),
        }
    }

    /// Reads a whole number.
    ///
    /// # Errors
    /// Those of the file, and [`ErrorKind::UnexpectedEof`] where the record ends before, here and below.
    pub fn count(&mut self) -> io::Result<u64> {
        self.take()
    }

    /// Reads a number.
    ///
    /// # Errors
    /// As [`count`](Reader::count).
    pub fn number(&mut self) -> io::Result<f64> {
        self.take()
    }

    /// Reads a text.
    ///
    /// # Errors
    /// As [`count`](Reader::count), and [`ErrorKind::InvalidData`] for what is no UTF-8.
    pub fn text(&mut self) -> io::Result<String> {
        let length = self.count()?;
        let mut bytes = vec![0; self.within(length)?];
        self.bytes(&mut bytes)?;
        String::from_utf8(bytes).map_err(|_| invalid("a text is no UTF-8"))
    }

    /// Reads a row of numbers.
    ///
    /// # Errors
    /// As [`count`](Reader::count).
    pub fn row(&mut self) -> io::Result<Vec<f32>> {
        let length = self.count()?;
        let mut row = vec![0.0; self.within(length.saturating_mul(4))? / 4];
        self.fill(&mut row)?;
        Ok(row)
    }

    /// Reads a row of as many numbers as there are places.
    ///
    /// # Errors
    /// As [`count`](Reader::count), and [`ErrorKind::InvalidData`] for another length.
    pub fn row_into(&mut self, row: &mut [f32]) -> io::Result<()> {
        let length = self.count()?;
        if length != row.len() as u64 {
            return Err(invalid(format!("a row has {length} numbers where {} belong", row.len())));
        }
        self.fill(row)
    }

    /// Reads what the writer's [`end`](Writer::end) wrote.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] when something is left of the record, or it is not what was written.
    pub fn end(self) -> io::Result<()> {
        if self.left > 0 {
            return Err(invalid(format!("{} bytes are left over", self.left)));
        }
        let mut sum = vec![0; <Sha256 as Digest>::output_size()];
        self.from.read_exact(&mut sum)?;
        let same = self.hash.finalize().as_slice() == sum;
        if same { Ok(()) } else { Err(invalid("its checksum does not agree: it was changed")) }
    }

    /// Passes over what is left of the record.
    ///
    /// # Errors
    /// Those of the file.
    pub fn skip(&mut self) -> io::Result<()> {
        let mut piece = [0; 4096];
        while self.left > 0 {
            let n = piece.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.bytes(&mut piece[..n])?;
        }
        Ok(())
    }

    fn fill(&mut self, row: &mut [f32]) -> io::Result<()> {
        let mut bytes = vec![0; 4 * PIECE.min(row.len())];
        for piece in row.chunks_mut(PIECE) {
            let bytes = &mut bytes[..4 * piece.len()];
            self.bytes(bytes)?;
            for (x, bytes) in piece.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *x = f32::from_le_bytes(*bytes);
            }
        }
        Ok(())
    }

    fn take<T: Decode<()>>(&mut self) -> io::Result<T> {
        bincode::decode_from_std_read(self, FORM).map_err(|error| match error {
            DecodeError::Io { inner, .. } => inner,
            other => invalid(other.to_string()),
        })
    }

    fn bytes(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.read_exact(into)
    }

    /// A length that the record still has.
    fn within(&self, length: u64) -> io::Result<usize> {
        let cut = || io::Error::new(ErrorKind::UnexpectedEof, "it is cut short");
        usize::try_from(length).ok().filter(|_| length <= self.left).ok_or_else(cut)
    }
}

/// What is read is added to the hash; more than the record has left is an error.
impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.within(into.len() as u64)?;
        let read = self.from.read(into)?;
        self.left -= read as u64;
        self.hash.update(&into[..read]);
        Ok(read)
    }
}

/// The error for numbers that were never written.
pub fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why.into())
}
