//! What is done to single numbers and to single rows between products.

use super::simd::{LANES, Simd};

/// Pieces of `g`, the part of GELU that is neither 0 nor `x`: `x · Φ(x) = max(x, 0) − g(|x|)`, where `g(u) = u · Φ(−u)`. On the
/// piece around `i / 8` it is `SLOPES[i] · u + OFFSETS[i]`, the line whose largest distance from `g` is smallest: 8e-4.
/// Beyond the last piece it is 0.
const SLOPES: [f32; 2 * LANES] = [
    0.475_082_3,
    0.400_910_3,
    0.304_874_2,
    0.214_734_7,
    0.132_934_3,
    0.061_366_52,
    0.001_279_379,
    -0.046_760_22,
    -0.082_843_12,
    -0.107_642_6,
    -0.122_299_4,
    -0.128_283_5,
    -0.127_247_8,
    -0.120_890_1,
    -0.110_833_9,
    -0.098_537_1,
    -0.085_231_66,
    -0.071_893_42,
    -0.059_239_03,
    -0.047_744_01,
    -0.037_675_21,
    -0.029_131_34,
    -0.022_085_51,
    -0.016_425_53,
    -0.011_988_93,
    -0.008_590_99,
    -0.006_045_567,
    -0.004_178_989,
    -0.002_838_179,
    -0.001_894_189,
    -0.001_242_489,
    0.0,
];
const OFFSETS: [f32; 2 * LANES] = [
    0.000_194_574_2,
    0.005_402_348,
    0.023_373_71,
    0.051_486_03,
    0.087_200_28,
    0.127_371_4,
    0.168_588_4,
    0.207_525_9,
    0.241_262_1,
    0.267_527_3,
    0.284_858_5,
    0.292_651_9,
    0.291_113_5,
    0.281_144_8,
    0.264_152_1,
    0.241_851_9,
    0.216_068_9,
    0.188_561_7,
    0.160_887_7,
    0.134_315_9,
    0.109_784_9,
    0.087_903_22,
    0.068_978_9,
    0.053_070_46,
    0.040_046_79,
    0.029_647_98,
    0.021_540_41,
    0.015_362_04,
    0.010_756_57,
    0.007_396_27,
    0.004_995_059,
    0.0,
];
/// Where the last piece is.
const LAST_PIECE: f32 = 3.875;
/// 1.5 · 2^20: one unit in the last place is 1/8, so a sum with it has the number of the piece in its lowest bits.
const EIGHTHS: f32 = 1_572_864.0;

/// GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415) of sixteen numbers, within 8e-4.
#[inline(always)]
pub(crate) fn gelu<S: Simd>(simd: S, x: S::F) -> S::F {
    let u = simd.min(simd.abs(x), simd.splat(LAST_PIECE));
    let piece = simd.bits(simd.add(u, simd.splat(EIGHTHS)));
    let (slope, offset) = (simd.look_up(&SLOPES, piece), simd.look_up(&OFFSETS, piece));
    let tail = simd.mul_add(slope, u, offset);
    // The order in which what is undefined stays undefined.
    simd.sub(simd.max(simd.splat(0.0), x), tail)
}

/// 1.5 · 2^23: a sum with it is rounded to an integer, which stands in the last bits.
const WHOLE: f32 = 12_582_912.0;

/// `255 · 2^x` of sixteen numbers of at most 0, relatively within 1e-4; as good as 0 below -20.
#[inline(always)]
pub(crate) fn exp2_255<S: Simd>(simd: S, x: S::F) -> S::F {
    let x = simd.max(x, simd.splat(-20.0));
    let n = simd.add(x, simd.splat(WHOLE));
    let y = simd.sub(x, simd.sub(n, simd.splat(WHOLE)));
    let mut p = simd.splat(14.238_763);
    for term in [61.873_067, 176.749_86, 254.980_76] {
        p = simd.mul_add(p, y, simd.splat(term));
    }
    simd.from_bits(simd.add_i(simd.bits(p), simd.to_exponent(simd.bits(n))))
}

/// The largest magnitude of a row of whole vectors.
#[inline(always)]
pub(crate) fn largest<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let (row, _) = row.as_chunks::<LANES>();
    let mut most = [simd.splat(0.0); 2];
    for n in 0..row.len() {
        most[n % 2] = simd.max(most[n % 2], simd.abs(simd.load(&row[n])));
    }
    simd.largest(simd.max(most[0], most[1]))
}

/// `row = LayerNorm(row + change)`, times `gain`, plus `bias`; returns the largest magnitude. All are as long, whole vectors.
#[inline(always)]
pub(crate) fn add_and_normalize<S: Simd>(
    simd: S,
    row: &mut [f32],
    change: &[f32],
    (gain, bias): (&[f32], &[f32]),
    epsilon: f32,
) -> f32 {
    let share = 1.0 / row.len() as f32;
    let (row, _) = row.as_chunks_mut::<LANES>();
    let (change, _) = change.as_chunks::<LANES>();
    let (gain, _) = gain.as_chunks::<LANES>();
    let (bias, _) = bias.as_chunks::<LANES>();
    let count = row.len().min(change.len()).min(gain.len()).min(bias.len());
    let mut sums = [simd.splat(0.0); 2];
    for n in 0..count {
        let x = simd.add(simd.load(&row[n]), simd.load(&change[n]));
        simd.store(x, &mut row[n]);
        sums[n % 2] = simd.add(sums[n % 2], x);
    }
    let mean = simd.splat(simd.sum(simd.add(sums[0], sums[1])) * share);
    let mut squares = [simd.splat(0.0); 2];
    for n in 0..count {
        let x = simd.sub(simd.load(&row[n]), mean);
        squares[n % 2] = simd.mul_add(x, x, squares[n % 2]);
    }
    let variance = simd.sum(simd.add(squares[0], squares[1])) * share;
    let scale = simd.splat(1.0 / (variance + epsilon).sqrt());
    let mut most = simd.splat(0.0);
    for n in 0..count {
        let x = simd.mul(simd.sub(simd.load(&row[n]), mean), scale);
        let x = simd.mul_add(x, simd.load(&gain[n]), simd.load(&bias[n]));
        most = simd.max(most, simd.abs(x));
        simd.store(x, &mut row[n]);
    }
    simd.largest(most)
}
