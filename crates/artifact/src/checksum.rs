//! Checksums of a file's parts, which find damage on disk or on the way and say where it is.
//!
//! The metadata has, under the key [`CHECKSUMS`], the first 64 bits of the BLAKE3 hash of every part, in hexadecimal,
//! one after the other: first of everything before the tensors, with zeros for the digits themselves, then of each
//! tensor in the order of their bytes. They say that nothing changed, not who wrote the file: whoever can change the
//! file can change them too.

use crate::ArtifactError;
use crate::header::LENGTH_BYTES;
use crate::manifest::CHECKSUMS;
use nlpress_core::shown::shown;
use std::ops::Range;

/// Hexadecimal digits of a part's checksum.
pub(crate) const DIGITS: usize = 16;

/// As many digits as a file of so many tensors has, all zero.
pub(crate) fn blank(tensors: usize) -> String {
    "0".repeat(DIGITS * (1 + tensors))
}

/// Where the digits are in a header. Within the manifest, which is JSON in a string, quotes have a backslash before
/// them, so what is found is no part of it.
fn find(header: &[u8]) -> Option<Range<usize>> {
    let before = format!("\"{CHECKSUMS}\":\"");
    let start = header.windows(before.len()).position(|bytes| bytes == before.as_bytes())? + before.len();
    let length = header[start..].iter().position(|byte| *byte == b'"')?;
    Some(start..start + length)
}

/// The checksum of everything before the tensors, whose digits are at `digits`.
fn of_header(start: &[u8], digits: &Range<usize>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&start[..digits.start]);
    hasher.update("0".repeat(digits.len()).as_bytes());
    hasher.update(&start[digits.end..]);
    hasher.finalize().to_hex()[..DIGITS].to_owned()
}

fn of_tensor(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..DIGITS].to_owned()
}

/// Puts the digits in the place of the [`blank`] ones of a file that is whole otherwise; `tensors` are the lengths of
/// its tensors, and the header ends at `header`.
pub(crate) fn fill_in(file: &mut [u8], header: usize, tensors: impl Iterator<Item = usize>) {
    let (start, mut rest) = file.split_at_mut(header);
    let found = find(&start[LENGTH_BYTES..]).expect("the header was written with a place for them");
    let digits = found.start + LENGTH_BYTES..found.end + LENGTH_BYTES;
    let mut sums = of_header(start, &digits);
    for length in tensors {
        let (tensor, more) = rest.split_at_mut(length);
        sums.push_str(&of_tensor(tensor));
        rest = more;
    }
    start[digits].copy_from_slice(sums.as_bytes());
}

/// Checks everything before the tensors, where the file has checksums; the digits of the tensors, else `None`.
///
/// # Errors
/// [`ArtifactError::Damaged`].
pub(crate) fn check_header(start: &[u8]) -> Result<Option<&str>, ArtifactError> {
    let damaged = || ArtifactError::Damaged("the header".into());
    let Some(found) = find(&start[LENGTH_BYTES..]) else { return Ok(None) };
    let digits = found.start + LENGTH_BYTES..found.end + LENGTH_BYTES;
    let sums = std::str::from_utf8(&start[digits.clone()]).map_err(|_| damaged())?;
    match sums.split_at_checked(DIGITS) {
        Some((sum, tensors)) if sum == of_header(start, &digits) => Ok(Some(tensors)),
        _ => Err(damaged()),
    }
}

/// The digits of each tensor.
///
/// # Errors
/// [`ArtifactError::Damaged`] where there are not as many as tensors.
pub(crate) fn of_tensors(sums: &str, tensors: usize) -> Result<Vec<[u8; DIGITS]>, ArtifactError> {
    let (each, rest) = sums.as_bytes().as_chunks::<DIGITS>();
    match (each.len() == tensors, rest) {
        (true, []) => Ok(each.to_vec()),
        _ => Err(ArtifactError::Damaged("the header".into())),
    }
}

/// Checks a tensor against its digits.
///
/// # Errors
/// [`ArtifactError::Damaged`] naming it.
pub(crate) fn check_tensor(sum: &[u8; DIGITS], name: &str, bytes: &[u8]) -> Result<(), ArtifactError> {
    if sum == of_tensor(bytes).as_bytes() {
        return Ok(());
    }
    Err(ArtifactError::Damaged(format!("tensor {}", shown(name))))
}
