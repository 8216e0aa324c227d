//! Functions of many numbers, in vectors of whatever width the processor has.
//!
//! Exponentials are polynomials, so that they go through vectors too, and within 3 units in the last place. Every
//! number is computed by the same operations in the same order whatever the width, so that the results are the same bits.

use pulp::Arch;

/// Sums are kept in so many parts, which are added at the end.
const LANES: usize = 16;

/// The exponential of a number of at most 88; 0 below -87.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // 1.5 · 2^23: a sum with it is rounded to an integer, which stands in the last bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = clamped - whole * LN_2_HIGH - whole * LN_2_LOW;
    // The Taylor series, whose first term left out is below 1 / 2^24 for a rest of at most ln 2 / 2.
    let mut sum = 1.0 / 5040.0;
    for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * rest + term;
    }
    let power = f32::from_bits(sum.to_bits().wrapping_add(shifted.to_bits() << 23));
    if x < -87.0 { 0.0 } else { power }
}

/// `x · Φ(x)` for each number, with `Φ` of the normal distribution by Abramowitz and Stegun 7.1.26: within 5e-7.
pub(crate) fn gelu(values: &mut [f32]) {
    #[inline(always)]
    fn one(x: f32) -> f32 {
        let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
        let t = 1.0 / (1.0 + 0.327_591_1 * z);
        let mut sum = 1.061_405_4;
        for term in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
            sum = sum * t + term;
        }
        // What the distribution has beyond |x|: without a difference of near numbers.
        let tail = 0.5 * sum * t * exp(-z * z);
        x * if x < 0.0 { tail } else { 1.0 - tail }
    }
    Arch::new().dispatch(
        #[inline(always)]
        || values.iter_mut().for_each(|x| *x = one(*x)),
    );
}

/// The hyperbolic tangent of each number, within 3e-7.
pub(crate) fn tanh(values: &mut [f32]) {
    #[inline(always)]
    fn one(x: f32) -> f32 {
        let small = exp(-2.0 * x.abs());
        ((1.0 - small) / (1.0 + small)).copysign(x)
    }
    Arch::new().dispatch(
        #[inline(always)]
        || values.iter_mut().for_each(|x| *x = one(*x)),
    );
}

/// Each row, as long as `gain` and `bias`, to mean 0 and variance 1, times the one, plus the other.
pub(crate) fn layer_norm(rows: &mut [f32], gain: &[f32], bias: &[f32], epsilon: f32) {
    let width = gain.len();
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(width) {
                let mean = sum(row, |x| x) / width as f32;
                let variance = sum(row, |x| (x - mean) * (x - mean)) / width as f32;
                let scale = 1.0 / (variance + epsilon).sqrt();
                for ((x, gain), bias) in row.iter_mut().zip(gain).zip(bias) {
                    *x = (*x - mean) * scale * gain + bias;
                }
            }
        },
    );
}

/// Scores to shares: their exponentials, divided by the sum of them.
#[inline(always)]
pub(crate) fn softmax(scores: &mut [f32]) {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = scores.as_chunks::<LANES>();
    for chunk in chunks {
        largest.iter_mut().zip(chunk).for_each(|(m, x)| *m = m.max(*x));
    }
    let largest = largest.iter().chain(rest).fold(f32::NEG_INFINITY, |m, x| m.max(*x));
    scores.iter_mut().for_each(|x| *x = exp(*x - largest));
    let share = 1.0 / sum(scores, |x| x);
    scores.iter_mut().for_each(|x| *x *= share);
}

/// The sum of a function of each number.
#[inline(always)]
fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum += of(*x));
    }
    sums.iter_mut().zip(rest).for_each(|(sum, x)| *sum += of(*x));
    let mut half = LANES / 2;
    while half > 0 {
        for n in 0..half {
            sums[n] += sums[n + half];
        }
        half /= 2;
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_near() {
        for step in -8800..8800 {
            let x = step as f32 * 0.01;
            let exact = f64::from(x).exp();
            let found = f64::from(exp(x));
            let near = if x < -87.0 { f64::from(f32::MIN_POSITIVE) * 2.0 } else { exact * 3e-7 };
            assert!((found - exact).abs() <= near, "{x}: {found}, exactly {exact}");
        }
        assert_eq!((exp(f32::NEG_INFINITY), exp(-1e30), exp(0.0)), (0.0, 0.0, 1.0));
        assert!(exp(f32::NAN).is_nan());
    }

    /// Φ by its series.
    fn normal(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..300 {
            term *= x * x / f64::from(2 * n + 1);
            sum += term;
        }
        0.5 + sum * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
    }

    #[test]
    fn non_linearities_are_near() {
        let xs: Vec<f32> = (-700..700).map(|step| step as f32 * 0.01).collect();
        let (mut units, mut tangents) = (xs.clone(), xs.clone());
        gelu(&mut units);
        tanh(&mut tangents);
        for ((x, unit), tangent) in xs.iter().map(|x| f64::from(*x)).zip(units).zip(tangents) {
            assert!((f64::from(unit) - x * normal(x)).abs() < 1e-6, "{x}: {unit}");
            assert!((f64::from(tangent) - x.tanh()).abs() < 3e-7, "{x}: {tangent}");
        }
        let mut far = [-1e4, 1e4, 0.0, f32::NAN];
        gelu(&mut far);
        assert!(far[3].is_nan());
        assert_eq!(far[..3], [0.0, 1e4, 0.0]);
        let mut far = [-1e4, 1e4, 0.0, f32::NAN];
        tanh(&mut far);
        assert!(far[3].is_nan());
        assert_eq!(far[..3], [-1.0, 1.0, 0.0]);
    }

    #[test]
    fn rows_are_normalised_and_shares_sum_to_one() {
        for width in [1, 3, 16, 17, 48] {
            let gain: Vec<f32> = (0..width).map(|n| 1.0 + n as f32 * 0.5).collect();
            let bias: Vec<f32> = (0..width).map(|n| n as f32 - 2.0).collect();
            let rows: Vec<f32> = (0..2 * width).map(|n| ((n * 37 % 29) as f32 - 11.0) * 3.0).collect();
            let mut found = rows.clone();
            layer_norm(&mut found, &gain, &bias, 1e-5);
            for (row, found) in rows.chunks_exact(width).zip(found.chunks_exact(width)) {
                let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / width as f64;
                let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / width as f64;
                for (n, (x, found)) in row.iter().zip(found).enumerate() {
                    let normed = (f64::from(*x) - mean) / (variance + 1e-5).sqrt();
                    let expected = normed * f64::from(gain[n]) + f64::from(bias[n]);
                    assert!((f64::from(*found) - expected).abs() < 1e-4, "{width}");
                }
            }
            let mut shares: Vec<f32> = rows.iter().map(|x| x * 0.1).collect();
            softmax(&mut shares);
            let total: f64 = rows.iter().map(|x| f64::from(x * 0.1).exp()).sum();
            for (x, share) in rows.iter().zip(&shares) {
                assert!((f64::from(*share) - f64::from(x * 0.1).exp() / total).abs() < 1e-6);
            }
        }
    }
}
