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

/// Numbers whose vectors are named one by one, so that what is summed over a row stays in registers.
const SPAN: usize = 4 * LANES;

/// The vectors of a span.
#[inline(always)]
fn vectors(span: &[f32; SPAN]) -> &[[f32; LANES]; 4] {
    bytemuck::must_cast_ref(span)
}

/// The largest magnitude of a row of whole spans.
#[inline(always)]
pub(crate) fn largest<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let mut most = [simd.splat(0.0); 4];
    for span in row.as_chunks::<SPAN>().0 {
        for v in 0..4 {
            most[v] = simd.max(most[v], simd.abs(simd.load(&vectors(span)[v])));
        }
    }
    let [a, b, c, d] = most;
    simd.largest(simd.max(simd.max(a, b), simd.max(c, d)))
}

/// The sum of four vectors.
#[inline(always)]
fn sum<S: Simd>(simd: S, [a, b, c, d]: [S::F; 4]) -> f32 {
    simd.sum(simd.add(simd.add(a, b), simd.add(c, d)))
}

/// `row = LayerNorm(row + change)`, times `gain`, plus `bias`; returns the largest magnitude. All are as long, whole spans of
/// 64.
#[inline(always)]
pub(crate) fn add_and_normalize<S: Simd>(
    simd: S,
    row: &mut [f32],
    change: &[f32],
    (gain, bias): (&[f32], &[f32]),
    epsilon: f32,
) -> f32 {
    let share = 1.0 / row.len() as f32;
    let (row, _) = row.as_chunks_mut::<SPAN>();
    let (change, _) = change.as_chunks::<SPAN>();
    let mut sums = [simd.splat(0.0); 4];
    for (row, change) in row.iter_mut().zip(change) {
        let row: &mut [[f32; LANES]; 4] = bytemuck::must_cast_mut(row);
        for v in 0..4 {
            let x = simd.add(simd.load(&row[v]), simd.load(&vectors(change)[v]));
            simd.store(x, &mut row[v]);
            sums[v] = simd.add(sums[v], x);
        }
    }
    let mean = simd.splat(sum(simd, sums) * share);
    let mut squares = [simd.splat(0.0); 4];
    for row in row.iter() {
        for v in 0..4 {
            let x = simd.sub(simd.load(&vectors(row)[v]), mean);
            squares[v] = simd.mul_add(x, x, squares[v]);
        }
    }
    let scale = simd.splat(1.0 / (sum(simd, squares) * share + epsilon).sqrt());
    let mut most = [simd.splat(0.0); 4];
    let (gain, bias) = (gain.as_chunks::<SPAN>().0, bias.as_chunks::<SPAN>().0);
    for (row, (gain, bias)) in row.iter_mut().zip(gain.iter().zip(bias)) {
        let row: &mut [[f32; LANES]; 4] = bytemuck::must_cast_mut(row);
        for v in 0..4 {
            let x = simd.mul(simd.sub(simd.load(&row[v]), mean), scale);
            let x = simd.mul_add(x, simd.load(&vectors(gain)[v]), simd.load(&vectors(bias)[v]));
            most[v] = simd.max(most[v], simd.abs(x));
            simd.store(x, &mut row[v]);
        }
    }
    let [a, b, c, d] = most;
    simd.largest(simd.max(simd.max(a, b), simd.max(c, d)))
}
