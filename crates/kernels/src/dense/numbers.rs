//! Functions of one number and sums of a row, written so that the compiler makes vector loops of them.

/// 1.5 · 2²³: added to a number of small magnitude, it leaves its nearest integer in the low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts, of which the first has few bits, so that its multiples are exact.
const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
/// `(eʳ − 1 − r) / r²` for `|r| ≤ ½ ln 2`, by interpolation at Chebyshev nodes: `eʳ` is within 2e-8 of itself.
const TAIL: [f32; 5] = [0.5, 0.166_665_73, 0.041_666_55, 8.363_774e-3, 1.392_692_7e-3];
/// The rational approximation 7.1.26 of the error function in Abramowitz and Stegun 1964, *Handbook of Mathematical
/// Functions*: off by less than 1.5e-7.
const ERF: (f32, [f32; 5]) =
    (0.327_591_1, [0.254_829_6, -0.284_496_74, 1.421_413_8, -1.453_152, 1.061_405_4]);
/// `1 / √(2π)`.
const DENSITY: f32 = 0.398_942_3;
/// Partial sums of a row.
const LANES: usize = 16;

/// `eˣ`, from `e⁻⁸⁷` to `e⁸⁸`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2.0) - n * LN_2.1;
    let tail = (((TAIL[4] * r + TAIL[3]) * r + TAIL[2]) * r + TAIL[1]) * r + TAIL[0];
    // The low bits of the shifted number are `n`; they become the exponent.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    (tail * r * r + r + 1.0) * power
}

/// The standard normal distribution's `Φ(x)`, and its density times `x`.
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    let density = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + ERF.0 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let [a, b, c, d, e] = ERF.1;
    let beyond = 0.5 * density * t * (a + t * (b + t * (c + t * (d + t * e))));
    (if x < 0.0 { beyond } else { 1.0 - beyond }, x * density * DENSITY)
}

/// The hyperbolic tangent.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let twice = exp(-2.0 * x.abs());
    let magnitude = if x.abs() < 0.02 {
        // The quotient would lose the digits of a small number.
        x.abs() * (1.0 - x * x / 3.0)
    } else {
        (1.0 - twice) / (1.0 + twice)
    };
    magnitude.copysign(x)
}

/// `Σ f(row[i], other[i])`.
#[inline(always)]
pub(super) fn sum_of(row: &[f32], other: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (rows, others) = (row.chunks_exact(LANES), other.chunks_exact(LANES));
    let (rest, other_rest) = (rows.remainder(), others.remainder());
    for (row, other) in rows.zip(others) {
        for lane in 0..LANES {
            sums[lane] += f(row[lane], other[lane]);
        }
    }
    for (lane, (x, y)) in rest.iter().zip(other_rest).enumerate() {
        sums[lane] += f(*x, *y);
    }
    folded(sums, |a, b| a + b)
}

/// `Σ row[i]`.
#[inline(always)]
pub(super) fn sum(row: &[f32]) -> f32 {
    sum_of(row, row, |x, _| x)
}

/// The largest number of a row; negative infinity of none.
#[inline(always)]
pub(super) fn largest(row: &[f32]) -> f32 {
    let mut tops = [f32::NEG_INFINITY; LANES];
    let rows = row.chunks_exact(LANES);
    for (lane, x) in rows.remainder().iter().enumerate() {
        tops[lane] = x.max(tops[lane]);
    }
    for row in rows {
        for lane in 0..LANES {
            tops[lane] = if row[lane] > tops[lane] { row[lane] } else { tops[lane] };
        }
    }
    folded(tops, f32::max)
}

#[inline(always)]
fn folded(mut lanes: [f32; LANES], of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = of(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_close_to_those_in_double_precision() {
        for i in -40_000..40_000 {
            let x = i as f32 * 1e-3;
            let of = f64::from(x);
            assert!((f64::from(exp(x)) / of.exp() - 1.0).abs() < 3e-7, "exp {x}");
            let off = f64::from(tanh(x)) - of.tanh();
            assert!(off.abs() <= 1e-6 * of.tanh().abs(), "tanh {x}: {off}");
        }
        assert!(exp(-1e9) > 0.0 && exp(1e9).is_finite() && exp(f32::NAN).is_nan());
        assert_eq!((exp(0.0), tanh(0.0)), (1.0, 0.0));
    }

    #[test]
    fn the_normal_distribution_agrees_with_its_integral() {
        // Simpson's rule from 0 to x in steps of 1/512.
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let mut phi = 0.5;
        for i in 0..4096 {
            let x = f64::from(i) / 512.0;
            for (sign, phi) in [(1.0, phi), (-1.0, 1.0 - phi)] {
                let (found, slope) = normal((sign * x) as f32);
                assert!((f64::from(found) - phi).abs() < 3e-7, "{x}: {found} {phi}");
                assert!((f64::from(slope) - sign * x * density(x)).abs() < 1e-6, "{x}");
            }
            let h = 1.0 / 512.0;
            phi += h / 6.0 * (density(x) + 4.0 * density(x + h / 2.0) + density(x + h));
        }
    }

    #[test]
    fn sums_and_largest_take_every_number_once() {
        for n in [0, 1, 15, 16, 17, 40, 64] {
            let row: Vec<f32> = (0..n).map(|i| (i * 7 % 13) as f32 - 20.0).collect();
            assert_eq!(sum(&row), row.iter().sum::<f32>());
            assert_eq!(sum_of(&row, &row, |x, y| x * y), row.iter().map(|x| x * x).sum::<f32>());
            assert_eq!(largest(&row), row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
