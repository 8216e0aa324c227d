//! The arithmetic that all weight quantization shares: ranges, scales and rounding, on plain slices.
//!
//! Symmetric and uniform: an entry `w` becomes `q = round(w / s)`, ties to even, held within `±levels`, and
//! stands for `q · s` (Jacob et al. 2018, with the zero point fixed at 0 so that zero stays exactly zero).
//! Matrices are `[inputs, outputs]`, row by input; a column is one output.

use nlpress_packed::{Per, Scales};

use crate::QuantError;

/// Checks that `values` are finite and make whole rows of `outputs`.
///
/// # Errors
/// [`QuantError::Rows`] or [`QuantError::NotFinite`].
pub fn check(values: &[f32], outputs: usize) -> Result<(), QuantError> {
    if outputs == 0 || !values.len().is_multiple_of(outputs) {
        return Err(QuantError::Rows { found: values.len(), outputs });
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(position) => Err(QuantError::NotFinite { position, value: values[position] }),
        None => Ok(()),
    }
}

/// The largest magnitude of the whole matrix (one number) or of each output (`outputs` numbers).
pub fn ranges(values: &[f32], outputs: usize, per: Per) -> Vec<f32> {
    let mut ranges = vec![0.0_f32; outputs];
    for row in values.chunks_exact(outputs) {
        for (range, v) in ranges.iter_mut().zip(row) {
            *range = range.max(v.abs());
        }
    }
    match per {
        Per::Channel => ranges,
        Per::Tensor => vec![ranges.into_iter().fold(0.0, f32::max)],
    }
}

/// The scale that spreads `±levels` over `±range`; 1 where there is no magnitude, so that it is never 0.
pub fn scale(range: f32, levels: f64) -> f32 {
    let scale = (f64::from(range) / levels) as f32;
    if scale > 0.0 { scale } else { 1.0 }
}

/// The integer nearest to `value / scale`, ties to even, within `±levels`.
pub fn round(value: f32, scale: f32, levels: f64) -> f64 {
    (f64::from(value) / f64::from(scale)).round_ties_even().clamp(-levels, levels)
}

/// What an integer stands for, in single precision as packed matrices compute it.
pub fn restore(integer: f64, scale: f32) -> f32 {
    integer as f32 * scale
}

/// Squared error that each scale causes among the entries it serves; as many numbers as `scales`, which are
/// one, or one for each output.
pub fn squared_errors(values: &[f32], outputs: usize, scales: &[f32], levels: f64) -> Vec<f64> {
    let mut errors = vec![0.0; scales.len()];
    for row in values.chunks_exact(outputs) {
        for (column, v) in row.iter().enumerate() {
            let at = if scales.len() == 1 { 0 } else { column };
            let restored = restore(round(*v, scales[at], levels), scales[at]);
            errors[at] += (f64::from(*v) - f64::from(restored)).powi(2);
        }
    }
    errors
}

/// The integers of a matrix, each with the scale of its output or the only one.
pub fn integers<'a>(
    values: &'a [f32],
    outputs: usize,
    scales: &'a [f32],
    levels: f64,
) -> impl Iterator<Item = f64> + 'a {
    let one = scales.len() == 1;
    values.iter().enumerate().map(move |(i, v)| round(*v, scales[if one { 0 } else { i % outputs }], levels))
}

/// Scales in the form that packed matrices take.
pub fn scales(per: Per, scales: Vec<f32>) -> Scales {
    match (per, scales.as_slice()) {
        (Per::Tensor, [one]) => Scales::Tensor(*one),
        _ => Scales::Channel(scales),
    }
}

/// How far quantized numbers are from the originals.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    signal: f64,
    noise: f64,
    entries: usize,
}

impl Noise {
    /// Compares two slices of one length.
    pub fn between(original: &[f32], quantized: &[f32]) -> Self {
        let mut all = Self { entries: original.len(), ..Self::default() };
        for (a, b) in original.iter().zip(quantized) {
            all.signal += f64::from(*a).powi(2);
            all.noise += (f64::from(*a) - f64::from(*b)).powi(2);
        }
        all
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            signal: self.signal + other.signal,
            noise: self.noise + other.noise,
            entries: self.entries + other.entries,
        }
    }

    /// Mean squared error over all entries.
    pub fn mean_squared_error(self) -> f64 {
        self.noise / self.entries.max(1) as f64
    }

    /// Signal-to-quantization-noise ratio in decibels; 300 when there is no noise to speak of, so that it is
    /// always a finite number.
    pub fn decibels(self) -> f64 {
        if self.noise <= self.signal * 1e-30 {
            300.0
        } else {
            10.0 * (self.signal / self.noise).log10().max(-30.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_the_largest_magnitudes() {
        let values = [1.0, -2.0, -3.0, 0.5];
        assert_eq!(ranges(&values, 2, Per::Channel), [3.0, 2.0]);
        assert_eq!(ranges(&values, 2, Per::Tensor), [3.0]);
    }

    #[test]
    fn scales_are_never_zero_and_rounding_stays_within_the_levels() {
        assert_eq!(scale(0.0, 127.0), 1.0);
        assert_eq!(scale(254.0, 127.0), 2.0);
        assert_eq!(round(2.5, 1.0, 127.0), 2.0);
        assert_eq!(round(-1e9, 1.0, 127.0), -127.0);
    }

    #[test]
    fn odd_numbers_and_torn_rows_are_refused() {
        assert_eq!(check(&[1.0; 5], 2), Err(QuantError::Rows { found: 5, outputs: 2 }));
        assert_eq!(check(&[], 0), Err(QuantError::Rows { found: 0, outputs: 0 }));
        assert!(matches!(check(&[0.0, f32::NAN], 2), Err(QuantError::NotFinite { position: 1, .. })));
    }

    #[test]
    fn noise_is_measured_against_the_signal() {
        let noise = Noise::between(&[1.0, 1.0], &[1.1, 0.9]);
        assert!((noise.decibels() - 20.0).abs() < 1e-4, "{}", noise.decibels());
        assert!((noise.mean_squared_error() - 0.01).abs() < 1e-6);
        assert_eq!(Noise::between(&[0.0], &[0.0]).decibels(), 300.0);
        assert!(Noise::between(&[0.0], &[1.0]).decibels().is_finite());
    }
}
