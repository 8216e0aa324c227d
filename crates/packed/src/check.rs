//! What must hold of the numbers of a matrix.

use crate::body::{Body, Element};
use crate::quantized::Quantized;
use crate::{MOST_ENTRIES, PackError};

/// The product of the sides, where a matrix may have that shape.
pub(crate) fn entries(inputs: usize, outputs: usize) -> Result<usize, PackError> {
    match inputs.checked_mul(outputs) {
        Some(entries) if (1..=MOST_ENTRIES).contains(&entries) => Ok(entries),
        _ => Err(PackError::Shape { inputs, outputs, most: MOST_ENTRIES }),
    }
}

pub(crate) fn length(what: &'static str, found: usize, expected: usize) -> Result<(), PackError> {
    if found == expected { Ok(()) } else { Err(PackError::Length { what, found, expected }) }
}

/// Checks that all floats are finite.
pub(crate) fn floats(body: &Body<f32>, outputs: usize) -> Result<(), PackError> {
    // Padding and entries that are not kept are zero, so all of the memory can be looked at at once.
    if body.numbers().iter().all(|v| v.is_finite()) {
        return Ok(());
    }
    let mut bad = None;
    body.visit(outputs, |row, column, value| {
        if !value.is_finite() {
            bad.get_or_insert((row * outputs + column, value));
        }
    });
    match bad {
        None => Ok(()),
        Some((position, value)) => Err(PackError::NotFinite { what: "values", position, value }),
    }
}

/// Checks that all integers are on their grid.
pub(crate) fn integers<T: Element>(
    body: &Body<T>,
    outputs: usize,
    quantized: &Quantized,
    widen: impl Fn(T) -> i32,
) -> Result<(), PackError> {
    let grid = quantized.grid;
    let (least, most) = quantized.range();
    let odd = !grid.has_zero() && quantized.zero_points.is_none();
    let within = |q| (least..=most).contains(&q);
    // Padding is zero, as above; where zero is not on the grid, entries are looked at one by one.
    if !odd && body.numbers().iter().all(|&q| within(widen(q))) {
        return Ok(());
    }
    let mut bad = None;
    body.visit(outputs, |row, column, q| {
        let q = widen(q);
        if !within(q) || odd && !grid.contains(q) {
            bad.get_or_insert((row * outputs + column, q));
        }
    });
    match bad {
        None => Ok(()),
        Some((position, value)) if odd => Err(PackError::Grid { position, value, grid }),
        Some((position, value)) => Err(PackError::Level { position, value, least, most }),
    }
}
