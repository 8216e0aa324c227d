//! How a row of activations becomes integers: one rule, used by the loops and mirrored in training.
//!
//! Symmetric, one scale a row: `s = max|x| / levels` and `q = round(x / s)`, ties to even, held within
//! `±levels`. A row without any magnitude (all zeros, or so small that `s` underflows to 0) has scale 0 and all
//! its integers are 0. Every operation is one IEEE 754 single-precision operation, so every path and machine
//! yields the same integers. Where the scale is static, it is given, and larger activations are clipped.

/// Largest activation beside 8-bit weights.
pub const INT8_LEVELS: i32 = 127;
/// Largest activation beside 32-bit weights.
pub const INT16_LEVELS: i32 = 32_767;

/// 1.5 · 2^23: adding it to `|v| < 2^22` rounds `v` to an integer, ties to even, and leaves it in the low bits.
/// No `x / s` is larger: at most `levels`, and with an `s` of the smallest subnormals at most twice that.
pub(crate) const ROUNDER: f32 = 12_582_912.0;

/// Quantizes `row` into `out` and returns the scale `s`: `row[i] ≈ out[i] as f32 * s`.
///
/// Infinite or undefined activations give unspecified integers within `±levels`.
///
/// # Panics
/// When `out` is shorter than `row`, or `levels` is not in `1..=32767`: a mistake of the caller.
pub fn quantize_row(row: &[f32], levels: i32, out: &mut [i32]) -> f32 {
    assert!((1..=INT16_LEVELS).contains(&levels), "levels must be in 1..=32767");
    let out = &mut out[..row.len()];
    quantize(row, levels, out)
}

/// Quantizes `row` into `out` with a scale that is given: `out[i] = round(row[i] / scale)`, ties to even, within
/// `±levels`.
///
/// Undefined activations give unspecified integers within `±levels`.
///
/// # Panics
/// When `out` is shorter than `row`, `levels` is not in `1..=32767`, or `scale` is not positive: mistakes of the
/// caller.
pub fn quantize_row_at(row: &[f32], scale: f32, levels: i32, out: &mut [i32]) {
    assert!((1..=INT16_LEVELS).contains(&levels), "levels must be in 1..=32767");
    assert!(scale > 0.0, "the scale must be positive");
    quantize_at(row, scale, levels, &mut out[..row.len()]);
}

/// The loop of [`quantize_row_at`].
#[inline(always)]
pub(crate) fn quantize_at(row: &[f32], scale: f32, levels: i32, out: &mut [i32]) {
    let most = levels as f32;
    for (q, &x) in out.iter_mut().zip(row) {
        // Clipped before it is rounded, so that what is added fits.
        let rounded = ((x / scale).clamp(-most, most) + ROUNDER).to_bits() as i32;
        *q = rounded.wrapping_sub(ROUNDER.to_bits() as i32).clamp(-levels, levels);
    }
}

/// The loop of [`quantize_row`], inlined into kernels so that it is compiled for their instructions.
#[inline(always)]
pub(crate) fn quantize(row: &[f32], levels: i32, out: &mut [i32]) -> f32 {
    let levels = levels as f32;
    let scale = largest(row) / levels;
    if scale == 0.0 {
        out.fill(0);
        return 0.0;
    }
    let most = levels as i32;
    for (q, &x) in out.iter_mut().zip(row) {
        let rounded = (x / scale + ROUNDER).to_bits() as i32;
        *q = rounded.wrapping_sub(ROUNDER.to_bits() as i32).clamp(-most, most);
    }
    scale
}

/// The largest magnitude, 0 for an empty row.
#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    // Without their signs, floats are in the order of their bits; integers are compared in vectors, where floats
    // would be one by one for the sake of NaN.
    f32::from_bits(row.iter().fold(0, |m, x| m.max(x.to_bits() & 0x7fff_ffff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_as_the_standard_library_does() {
        for levels in [1, 7, 127, 32_767] {
            let row: Vec<f32> = (-5000..5000).map(|i| i as f32 * 0.173_1).chain([0.5, 1.5, -2.5]).collect();
            let mut q = vec![0; row.len()];
            let s = quantize_row(&row, levels, &mut q);
            let max = row.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            assert_eq!(s, max / levels as f32);
            for (q, x) in q.iter().zip(&row) {
                let exact = (x / s).round_ties_even().clamp(-levels as f32, levels as f32) as i32;
                assert_eq!(*q, exact, "{x} at {levels} levels");
            }
            assert!(q.contains(&-levels));
        }
    }

    #[test]
    fn ties_go_to_even() {
        let mut q = [0; 5];
        assert_eq!(quantize_row(&[127.0, 0.5, 1.5, -0.5, -1.5], 127, &mut q), 1.0);
        assert_eq!(q, [127, 0, 2, 0, -2]);
    }

    #[test]
    fn rows_without_magnitude_have_scale_zero() {
        for row in [&[0.0, -0.0][..], &[1e-45, 0.0], &[]] {
            let mut q = [9, 9];
            assert_eq!(quantize_row(row, 127, &mut q), 0.0);
            assert!(q[..row.len()].iter().all(|&q| q == 0));
        }
    }

    #[test]
    fn a_given_scale_clips() {
        let mut q = [0; 5];
        quantize_row_at(&[1e30, -1e30, 0.25, 0.75, f32::INFINITY], 0.5, 127, &mut q);
        assert_eq!(q, [127, -127, 0, 2, 127]);
    }

    #[test]
    fn odd_numbers_stay_within_the_levels() {
        let mut q = [0; 3];
        let _ = quantize_row(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY], 127, &mut q);
        assert!(q.iter().all(|q| (-127..=127).contains(q)), "{q:?}");
    }
}
