//! The functions of a network in integers (Kim et al. 2021, I-BERT, arXiv:2101.01321): polynomials of second degree
//! in place of exponentials and error functions, and a square root that needs no float.
//!
//! Numbers have 16 fraction bits: `x` stands for `x / 65536`. The errors named are against the exact functions.

use super::fixed::{FRACTION, ONE, divide};

/// ln 2.
const LN_2: i64 = 45_426;

/// `max(x, 0)`.
pub fn relu(x: i64) -> i64 {
    x.max(0)
}

/// The exponential of a number that is not positive: at least 0, at most 1; within 0.004.
///
/// `x = -z · ln 2 + p` with `p` in `(-ln 2, 0]`, where `exp(p) ≈ 0.3585 (p + 1.353)² + 0.344`, and the rest is a shift.
pub fn exp(x: i64) -> i64 {
    const A: i64 = 23_495; // 0.3585
    const B: i64 = 88_670; // 1.353
    const C: i64 = 22_544; // 0.344
    let x = x.clamp(-(64 << FRACTION), 0);
    let halvings = -x / LN_2;
    if halvings > i64::from(FRACTION) {
        return 0;
    }
    let sum = x + halvings * LN_2 + B;
    let square = (sum * sum) >> FRACTION;
    (((A * square) >> FRACTION) + C) >> halvings
}

/// The shares `exp(x_i) / Σ exp(x_j)`, in place: each at least 0, together 1 up to rounding; each within 0.004.
pub fn softmax(scores: &mut [i64]) {
    let largest = scores.iter().copied().max().unwrap_or(0);
    let mut sum = 0;
    for score in scores.iter_mut() {
        *score = exp(score.saturating_sub(largest));
        sum += *score;
    }
    for score in scores {
        *score = divide(*score << FRACTION, sum.max(1));
    }
}

/// The Gaussian error linear unit `x · Φ(x)`, within 0.02: `Φ` through
/// `erf(y) ≈ sign(y) (-0.2888 (min(|y|, 1.769) - 1.769)² + 1)` at `y = x / √2`.
pub fn gelu(x: i64) -> i64 {
    const A: i64 = -18_927; // -0.2888
    const B: i64 = 115_933; // 1.769
    const ROOT: i64 = 46_341; // 1 / √2
    // Beyond 64 the function is x or 0, whatever the sign of the rest.
    let y = (x.clamp(-(64 << FRACTION), 64 << FRACTION) * ROOT) >> FRACTION;
    let rest = y.abs().min(B) - B;
    let erf = ((((rest * rest) >> FRACTION) * A) >> FRACTION) + ONE;
    let signed = if y < 0 { -erf } else { erf };
    let half = (ONE + signed) >> 1;
    i64::try_from((i128::from(x) * i128::from(half)) >> FRACTION).unwrap_or(x)
}

/// The hyperbolic tangent `(1 - e) / (1 + e)` with `e = exp(-2 |x|)`, within 0.008.
pub fn tanh(x: i64) -> i64 {
    // Beyond 32 it is 1.
    let small = exp(-2 * x.clamp(-(32 << FRACTION), 32 << FRACTION).abs());
    let size = divide((ONE - small) << FRACTION, ONE + small);
    if x < 0 { -size } else { size }
}

/// A row to Euclidean length 1, in place; one of zeros stays. Numbers are at most `2^37`.
pub fn normalize(row: &mut [i64]) {
    let squares: u128 = row.iter().map(|x| u128::from(x.unsigned_abs()).pow(2)).sum();
    let length = squares.isqrt() as i64;
    if length > 0 {
        row.iter_mut().for_each(|x| *x = divide(*x << FRACTION, length));
    }
}

/// A row to mean 0 and variance 1, in place, within 0.001 for rows whose deviation is at least 1/64; `epsilon` is added
/// to the variance.
///
/// Numbers are at most `2^37`, and a row at most `2^16` long.
pub fn layer_norm(row: &mut [i64], epsilon: i64) {
    let count = row.len().max(1) as i64;
    let mean = divide(row.iter().sum(), count);
    let squares: u128 = row.iter().map(|x| u128::from((x - mean).unsigned_abs()).pow(2)).sum();
    // 32 fraction bits, of which the root has 16.
    let variance = squares / count as u128 + ((epsilon.max(0) as u128) << FRACTION);
    let deviation = variance.isqrt().max(1) as i64;
    for x in row {
        *x = divide((*x - mean) << FRACTION, deviation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real(x: i64) -> f64 {
        x as f64 / ONE as f64
    }

    fn fixed(x: f64) -> i64 {
        (x * ONE as f64).round() as i64
    }

    #[test]
    fn exponentials_are_near() {
        for step in 0..4000 {
            let x = -f64::from(step) * 0.005;
            let found = real(exp(fixed(x)));
            assert!((found - x.exp()).abs() < 0.004, "{x}: {found}");
        }
        assert_eq!(exp(i64::MIN / 2), 0);
        assert!((real(exp(0)) - 1.0).abs() < 0.004);
    }

    #[test]
    fn shares_are_near_and_sum_to_one() {
        for scores in [vec![0.0], vec![1.0, 2.0, 3.0], vec![-50.0, 0.0, 12.0, 11.5], vec![300.0; 7]] {
            let mut found: Vec<i64> = scores.iter().map(|x| fixed(*x)).collect();
            softmax(&mut found);
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|x| (x - largest).exp()).sum();
            for (found, x) in found.iter().zip(&scores) {
                assert!((real(*found) - (x - largest).exp() / sum).abs() < 0.004);
            }
            assert!((real(found.iter().sum()) - 1.0).abs() < 1e-3);
        }
        softmax(&mut []);
    }

    #[test]
    fn gaussian_units_are_near() {
        // Φ by its series, far enough out.
        let normal = |x: f64| {
            let (mut term, mut sum) = (x, x);
            for n in 1..200 {
                term *= x * x / f64::from(2 * n + 1);
                sum += term;
            }
            0.5 + sum * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
        };
        for step in -600..600 {
            let x = f64::from(step) * 0.01;
            let found = real(gelu(fixed(x)));
            assert!((found - x * normal(x)).abs() < 0.02, "{x}: {found}");
        }
        assert_eq!(gelu(fixed(5000.0)), fixed(5000.0));
        assert_eq!(gelu(fixed(-5000.0)), 0);
        assert_eq!((relu(-3), relu(4)), (0, 4));
    }

    #[test]
    fn tangents_and_lengths_are_near() {
        for step in -600..600 {
            let x = f64::from(step) * 0.01;
            let found = real(tanh(fixed(x)));
            assert!((found - x.tanh()).abs() < 0.008, "{x}: {found}");
        }
        assert_eq!([tanh(fixed(9000.0)), tanh(fixed(-9000.0)), tanh(i64::MIN / 2)], [ONE, -ONE, -ONE]);
        let mut row = [3.0, 0.0, -4.0].map(fixed);
        normalize(&mut row);
        assert_eq!(row, [0.6, 0.0, -0.8].map(fixed));
        let mut zeros = [0; 3];
        normalize(&mut zeros);
        assert_eq!(zeros, [0; 3]);
    }

    #[test]
    fn rows_are_normalised() {
        for spread in [0.02, 1.0, 900.0] {
            let row: Vec<f64> = (0..48).map(|i| ((i * 37 % 48) as f64 - 11.0) * spread).collect();
            let mut found: Vec<i64> = row.iter().map(|x| fixed(*x)).collect();
            layer_norm(&mut found, fixed(1e-5));
            let mean = row.iter().sum::<f64>() / 48.0;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 48.0;
            for (found, x) in found.iter().zip(&row) {
                assert!((real(*found) - (x - mean) / (variance + 1e-5).sqrt()).abs() < 0.001, "{spread}");
            }
        }
        let mut same = [fixed(3.5); 4];
        layer_norm(&mut same, fixed(1e-5));
        assert_eq!(same, [0; 4]);
        layer_norm(&mut [], 1);
    }
}
