//! What is done to single numbers between products.

use crate::int8::{Function, Simd};

/// 1.5 · 2^23: a sum with it is rounded to an integer, which stands in the last bits.
const WHOLE: f32 = 12_582_912.0;
/// `2^y` for `y` within ±1/2, relatively within 2e-9 before rounding: its terms from the last to the first.
const POWER: [f32; 7] =
    [1.534_581e-4, 0.001_339_993_1, 0.009_618_489, 0.055_503_286, 0.240_226_46, std::f32::consts::LN_2, 1.0];

/// `2^x` of sixteen numbers of at most 126, relatively within 2e-7; as good as 0 below -126.
#[inline(always)]
pub(crate) fn exp2<S: Simd>(simd: S, x: S::F) -> S::F {
    // The order in which what is undefined stays undefined.
    let x = simd.max(simd.splat(-126.0), x);
    let n = simd.add(x, simd.splat(WHOLE));
    let y = simd.sub(x, simd.sub(n, simd.splat(WHOLE)));
    let mut p = simd.splat(POWER[0]);
    for term in &POWER[1..] {
        p = simd.mul_add(p, y, simd.splat(*term));
    }
    simd.from_bits(simd.add_i(simd.bits(p), simd.to_exponent(simd.bits(n))))
}

/// GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415) within 5e-7, with the normal distribution by Abramowitz and Stegun 7.1.26.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExactGelu;

/// Of the error function, its argument being `|x| / √2`.
const SLOPE: f32 = 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2;
/// Halves of the terms, from the last to the first.
const TERMS: [f32; 5] = [0.530_702_7, -0.726_576, 0.710_706_9, -0.142_248_37, 0.127_414_8];

impl Function for ExactGelu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::F) -> S::F {
        // `x · Φ(x) = max(x, 0) − u · Φ(−u)` with `u = |x|`.
        let u = simd.abs(x);
        let t = simd.div(simd.splat(1.0), simd.mul_add(u, simd.splat(SLOPE), simd.splat(1.0)));
        let mut tail = simd.splat(TERMS[0]);
        for term in &TERMS[1..] {
            tail = simd.mul_add(tail, t, simd.splat(*term));
        }
        let power = exp2(simd, simd.mul(simd.mul(u, u), simd.splat(-0.5 * std::f32::consts::LOG2_E)));
        let tail = simd.mul(simd.mul(tail, t), simd.mul(power, u));
        simd.sub(simd.max(simd.splat(0.0), x), tail)
    }
}
