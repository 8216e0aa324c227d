//! What must hold of the numbers of a matrix.

use crate::body::{Body, Element};
use crate::{MOST_ENTRIES, MOST_QUANTIZED_INPUTS, PackError, Scales};

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

/// Checks the sides and the scales of a matrix whose integers are within `±most`.
pub(crate) fn quantized(inputs: usize, outputs: usize, scales: &Scales, most: i32) -> Result<(), PackError> {
    if inputs > MOST_QUANTIZED_INPUTS {
        return Err(PackError::Inputs { inputs, most: MOST_QUANTIZED_INPUTS });
    }
    if let Scales::Channel(scales) = scales {
        length("scales", scales.len(), outputs)?;
    }
    let most = most as f32;
    for (position, &value) in scales.all().iter().enumerate() {
        if !(value >= 0.0 && (value * most).is_finite()) {
            return Err(PackError::Scale { position, value, most: f32::MAX / most });
        }
    }
    Ok(())
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

/// Checks that all integers are within `±most`.
pub(crate) fn levels<T: Element>(
    body: &Body<T>,
    outputs: usize,
    most: i32,
    widen: impl Fn(T) -> i32,
) -> Result<(), PackError> {
    let fits = |q| (-most..=most).contains(&widen(q));
    // Padding is zero, as above.
    if body.numbers().iter().all(|&q| fits(q)) {
        return Ok(());
    }
    let mut bad = None;
    body.visit(outputs, |row, column, q| {
        if !fits(q) {
            bad.get_or_insert((row * outputs + column, widen(q)));
        }
    });
    match bad {
        None => Ok(()),
        Some((position, value)) => Err(PackError::Level { position, value, most }),
    }
}
