//! Files that appear whole or not at all, are read within a limit, and never replace what must stay.
//!
//! - [`write_atomically`] and [`stream_atomically`] write beside and rename; they replace regular files only.
//!   [`end_writes`] lets a process end between two writes.
//! - [`read_bounded`], [`read_stream_bounded`] and [`read_all_bounded`] read no more than they are told to.
//! - [`Outputs`] proves, before a command works, that no output is an input or another output.
//! - [`sha256_hex`] names content.
//!
//! This module refuses to know formats, and to choose between paths: what it cannot do safely is an error.

mod outputs;
mod read;
mod replace;
mod write;

pub use outputs::{OutputError, Outputs};
pub use read::{check_size, open_regular, read_all_bounded, read_bounded, read_rest, read_stream_bounded};
pub use write::{
    WriteContent, end_writes, is_refusal, remove_abandoned, stream_atomically, uninterrupted,
    write_atomically,
};

use sha2::{Digest, Sha256};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Symbolic links that are followed one after the other, as Linux does.
const MOST_LINKS: usize = 40;

/// Where a write to `path` ends: through symbolic links, also where the last one points nowhere.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if !path.symlink_metadata().is_ok_and(|m| m.is_symlink()) {
            return Ok(path);
        }
        let to = path.read_link()?;
        path = folder_of(&path).join(to);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "goes through too many symbolic links"))
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// What a file is, where it is no regular one.
fn odd_kind(metadata: &Metadata) -> Option<&'static str> {
    if metadata.is_file() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_fifo() {
            return Some("a named pipe");
        }
        if kind.is_socket() {
            return Some("a socket");
        }
        if kind.is_char_device() || kind.is_block_device() {
            return Some("a device");
        }
    }
    Some(if metadata.is_dir() { "a folder" } else { "something else" })
}

/// The error for a file that is no regular one.
fn not_regular(kind: &str) -> io::Error {
    let error = if kind == "a folder" { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput };
    io::Error::new(error, format!("is {kind}, expected a regular file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_the_standard_says() {
        assert!(sha256_hex(b"abc").starts_with("ba7816bf8f01cfea"));
    }
}
