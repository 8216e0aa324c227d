//! Opens a file: standard input, compression, encoding and the limits on its size. What comes out is UTF-8, or is
//! checked to be where it is used.

use flate2::bufread::MultiGzDecoder;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::encoding::{self, Decoding, Malformed};
use super::frames::Frames;
use super::options::{CorpusOptions, Format, STANDARD_INPUT};
use crate::error::{Place, TextError};

/// Bytes that decide what a file is.
const HEAD: usize = 4096;
const BUFFER: usize = 1 << 16;
/// A compressed file may expand to [`FREE`] bytes, and beyond that to [`RATIO`] times its size.
const RATIO: u64 = 250;
const FREE: u64 = 64 << 20;

/// A file that is open for reading.
pub(super) struct Input {
    /// What messages call it.
    pub(super) name: Arc<str>,
    pub(super) format: Format,
    pub(super) bytes: Box<dyn BufRead>,
    limit: u64,
}

/// A limit that the content broke.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Exceeded {
    #[error("file too large")]
    Size,
    #[error("expands too much")]
    Ratio,
}

impl Input {
    pub(super) fn open(path: &Path, options: &CorpusOptions) -> Result<Self, TextError> {
        let standard = path.as_os_str() == STANDARD_INPUT;
        let name: Arc<str> =
            if standard { "standard input".into() } else { path.display().to_string().into() };
        let failed = |source| TextError::Io { path: PathBuf::from(&*name), source };
        let limit = options.max_file_bytes;
        let raw: Box<dyn Read> = if standard {
            Box::new(io::stdin())
        } else {
            let file = File::open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            if metadata.is_dir() {
                return Err(failed(io::Error::from(ErrorKind::IsADirectory)));
            }
            if metadata.len() > limit {
                return Err(TextError::FileTooLarge { path: path.into(), limit });
            }
            Box::new(file)
        };
        let format = options.format.or_else(|| Format::of(path));
        let explain = |error| explain(error, &name, options.max_file_bytes);
        let (head, bytes) = decompressed(raw, limit).map_err(explain)?;
        let Some(format) = format else {
            return Err(TextError::UnknownFormat { file: name.to_string(), guess: guess(&head) });
        };
        let bytes: Box<dyn BufRead> = if format == Format::Parquet {
            bytes
        } else {
            let start = encoding::start(&head, options.encoding)
                .map_err(|problem| TextError::Encoding { file: name.to_string(), problem })?;
            let mut bytes = bytes;
            io::copy(&mut bytes.by_ref().take(start.mark as u64), &mut io::sink()).map_err(explain)?;
            match start.decode {
                None => bytes,
                Some(encoding) => Box::new(BufReader::with_capacity(BUFFER, Decoding::new(bytes, encoding))),
            }
        };
        Ok(Self { name, format, bytes, limit })
    }

    pub(super) fn place(&self, line: u64) -> Place {
        Place::new(&self.name, line)
    }

    /// The bytes that come next; none at the end. They stay until they are consumed.
    pub(super) fn fill(&mut self) -> Result<&[u8], TextError> {
        self.bytes.fill_buf().map_err(|error| explain(error, &self.name, self.limit))
    }

    /// An error of reading [`bytes`](Self::bytes).
    pub(super) fn failed(&self, error: io::Error) -> TextError {
        explain(error, &self.name, self.limit)
    }
}

fn explain(error: io::Error, name: &Arc<str>, limit: u64) -> TextError {
    let inner = error.get_ref();
    if let Some(exceeded) = inner.and_then(|e| e.downcast_ref::<Exceeded>()) {
        return match exceeded {
            Exceeded::Size => TextError::FileTooLarge { path: PathBuf::from(&**name), limit },
            Exceeded::Ratio => TextError::Bomb { file: name.to_string(), ratio: RATIO },
        };
    }
    if let Some(fault) = inner.and_then(|e| e.downcast_ref::<Malformed>()) {
        let encoding = fault.encoding.name();
        return TextError::Malformed { place: Place::new(name, fault.line), encoding };
    }
    TextError::Io { path: PathBuf::from(&**name), source: error }
}

/// The content of a file, decompressed when its first bytes say gzip or zstd, with its first bytes beside it.
fn decompressed(raw: Box<dyn Read>, limit: u64) -> io::Result<(Vec<u8>, Box<dyn BufRead>)> {
    let (head, raw) = peek(raw)?;
    let packed = Rc::new(Cell::new(0));
    let counted = BufReader::with_capacity(BUFFER, Counted { inner: raw, count: Rc::clone(&packed) });
    let expanded: Box<dyn Read> = if head.starts_with(b"\x1f\x8b") {
        Box::new(MultiGzDecoder::new(counted))
    } else if head.starts_with(b"\x28\xb5\x2f\xfd") {
        Box::new(Frames::new(counted))
    } else {
        let bounded = Bounded { inner: counted, packed: None, count: 0, limit };
        return Ok((head, Box::new(BufReader::with_capacity(BUFFER, bounded))));
    };
    let bounded = Bounded { inner: expanded, packed: Some(packed), count: 0, limit };
    let (head, bytes) = peek(Box::new(bounded))?;
    Ok((head, Box::new(BufReader::with_capacity(BUFFER, bytes))))
}

/// The first bytes, and everything from the start.
fn peek(mut raw: Box<dyn Read>) -> io::Result<(Vec<u8>, Box<dyn Read>)> {
    let mut head = Vec::with_capacity(HEAD);
    raw.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Box::new(Cursor::new(head).chain(raw))))
}

/// Counts what is read from a compressed file.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count.set(self.count.get() + n as u64);
        Ok(n)
    }
}

/// Stops at the limits. A file can grow, a pipe has no size, and compressed files say of themselves what they like.
struct Bounded<R> {
    inner: R,
    /// Bytes of the compressed file read so far.
    packed: Option<Rc<Cell<u64>>>,
    count: u64,
    limit: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count += n as u64;
        if self.count > self.limit {
            return Err(io::Error::other(Exceeded::Size));
        }
        if let Some(packed) = &self.packed
            && self.count > FREE.max(packed.get().saturating_mul(RATIO))
        {
            return Err(io::Error::other(Exceeded::Ratio));
        }
        Ok(n)
    }
}

/// The format that the first bytes of a file look like.
fn guess(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"PAR1") {
        return Some("parquet");
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let line = text.split(|&b| b == b'\n' || b == b'\r').next().unwrap_or_default();
    match text.first()? {
        b'[' => Some("json"),
        b'{' => Some("jsonl"),
        _ if text.starts_with(b"__label__") => Some("fasttext"),
        _ if line.contains(&b'\t') => Some("tsv"),
        _ if line.iter().any(|b| matches!(b, b',' | b';' | b'|')) => Some("csv"),
        _ => None,
    }
}
