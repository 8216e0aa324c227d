//! Reading within a limit: kind and size are looked at before any content.

use super::{not_regular, odd_kind};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Opens a regular file, and says how many bytes it has.
///
/// # Errors
/// Any error of the file system; [`io::ErrorKind::InvalidInput`] for what is not a regular file,
/// [`io::ErrorKind::IsADirectory`] for a folder.
pub fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    // Looked at before it is opened: opening a named pipe waits for a writer.
    regular(&std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    regular(&metadata)?;
    Ok((file, metadata.len()))
}

/// Reads a whole regular file that may not be larger than `limit` bytes.
///
/// Kind and size come from the file system first, so that a device, a named pipe or a file that is too large costs
/// nothing.
///
/// # Errors
/// As [`open_regular`] and [`read_rest`].
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, size) = open_regular(path)?;
    read_rest(file, Vec::new(), size, limit)
}

/// Checks that a file of `size` bytes is within the limit.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`].
pub fn check_size(size: u64, limit: u64) -> io::Result<()> {
    if size > limit { Err(too_large(Some(size), limit)) } else { Ok(()) }
}

/// Reads what is left of a file of `size` bytes, of which `bytes` have been read, and gives it all.
///
/// # Errors
/// Any error of the file system; [`io::ErrorKind::FileTooLarge`] when all together is more than `limit`,
/// [`io::ErrorKind::OutOfMemory`] where the system does not give the memory.
pub fn read_rest(file: File, mut bytes: Vec<u8>, size: u64, limit: u64) -> io::Result<Vec<u8>> {
    check_size(size, limit)?;
    // The file system's own figure, and within the limit.
    let more = usize::try_from(size).map_or(usize::MAX, |size| size.saturating_sub(bytes.len()));
    bytes.try_reserve_exact(more.saturating_add(1)).map_err(|_| io::ErrorKind::OutOfMemory)?;
    finish(file, bytes, limit)
}

/// Reads to the end what may also be a pipe or a device, at most `limit` bytes; a folder is refused. It waits for the
/// other end of a pipe.
///
/// # Errors
/// Any error of the file system, [`io::ErrorKind::IsADirectory`] for a folder, and
/// [`io::ErrorKind::FileTooLarge`] past the limit.
pub fn read_stream_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(not_regular("a folder"));
    }
    if metadata.is_file() {
        check_size(metadata.len(), limit)?;
    }
    read_all_bounded(File::open(path)?, limit)
}

/// Reads to the end whatever can be read, at most `limit` bytes.
///
/// # Errors
/// Any error of the reader; [`io::ErrorKind::FileTooLarge`] past the limit.
pub fn read_all_bounded(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    finish(reader, Vec::new(), limit)
}

fn finish(reader: impl Read, mut bytes: Vec<u8>, limit: u64) -> io::Result<Vec<u8>> {
    // One byte more than is accepted, so that a file that grows meanwhile is noticed.
    let left = limit.saturating_add(1).saturating_sub(bytes.len() as u64);
    reader.take(left).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large(None, limit)) } else { Ok(bytes) }
}

fn regular(metadata: &std::fs::Metadata) -> io::Result<()> {
    odd_kind(metadata).map_or(Ok(()), |kind| Err(not_regular(kind)))
}

fn too_large(found: Option<u64>, limit: u64) -> io::Error {
    let why = match found {
        Some(found) => format!("has {found} bytes, but at most {limit} are read"),
        None => format!("is larger than the limit of {limit} bytes"),
    };
    io::Error::new(io::ErrorKind::FileTooLarge, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"two").unwrap();
        for read in [read_bounded, read_stream_bounded] {
            assert_eq!(read(&path, 3).unwrap(), b"two");
            let error = read(&path, 2).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
            assert!(error.to_string().contains("has 3 bytes, but at most 2"), "{error}");
            assert_eq!(read(folder.path(), 9).unwrap_err().kind(), io::ErrorKind::IsADirectory);
            assert_eq!(read(&folder.path().join("none"), 9).unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        assert_eq!(read_all_bounded(&b"two"[..], 3).unwrap(), b"two");
        let error = read_all_bounded(&b"two"[..], 2).unwrap_err();
        assert_eq!(error.to_string(), "is larger than the limit of 2 bytes");
        // A sparse file of any length is refused by its length.
        std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read_bounded(&path, 1 << 30).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_no_regular_file() {
        let zero = Path::new("/dev/zero");
        let error = read_bounded(zero, 1 << 30).unwrap_err();
        assert_eq!(error.to_string(), "is a device, expected a regular file");
        assert_eq!(read_stream_bounded(zero, 100).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_stream_bounded(Path::new("/dev/null"), 100).unwrap(), b"");
    }
}
