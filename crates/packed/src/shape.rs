//! The sides of a matrix, and how long they may be.

use crate::PackError;

/// Most entries of a matrix, stored or not.
pub const MOST_ENTRIES: usize = 1 << 28;
/// Most inputs of a quantized matrix: so many products never overflow their sum, whatever the values.
///
/// `127 · 127 · 2^17 < 2^31` and `(2^31 - 1) · 32767 · 2^17 < 2^63`.
pub const MOST_QUANTIZED_INPUTS: usize = 1 << 17;

/// The sides of a matrix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// The product of the sides, where a matrix may have that shape.
pub(crate) fn entries(inputs: usize, outputs: usize) -> Result<usize, PackError> {
    match inputs.checked_mul(outputs) {
        Some(entries) if (1..=MOST_ENTRIES).contains(&entries) => Ok(entries),
        _ => Err(PackError::Shape { inputs, outputs, most: MOST_ENTRIES }),
    }
}

pub(crate) fn check_length(what: &'static str, found: usize, expected: usize) -> Result<(), PackError> {
    if found == expected { Ok(()) } else { Err(PackError::Length { what, found, expected }) }
}
