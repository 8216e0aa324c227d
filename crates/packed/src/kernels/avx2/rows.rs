//! Rows of weights, zeros included: each row that an activation touches is run through.

use super::{LANES, add_fours, add_to, none_negative};
use bytemuck::{cast_slice, must_cast, pod_read_unaligned};
use std::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn rows_f32(weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
    let mut at = 0;
    while at < stride {
        // Sums of as many columns as fill half the registers; for fewer columns, several rows at a time, so
        // that there are always eight independent sums to hide the latency of each.
        at += match stride - at {
            64.. => block_f32::<8, 1>(weights, stride, at, columns, values, sums),
            32.. => block_f32::<4, 2>(weights, stride, at, columns, values, sums),
            16.. => block_f32::<2, 4>(weights, stride, at, columns, values, sums),
            _ => block_f32::<1, 8>(weights, stride, at, columns, values, sums),
        };
    }
}

/// `N` vectors of columns from column `at` on, `R` rows at a time; returns the columns done.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn block_f32<const N: usize, const R: usize>(
    weights: &[f32],
    stride: usize,
    at: usize,
    columns: &[u32],
    values: &[f32],
    sums: &mut [f32],
) -> usize {
    let mut acc = [[_mm256_setzero_ps(); N]; R];
    let ((columns, columns_left), (values, values_left)) =
        (columns.as_chunks::<R>(), values.as_chunks::<R>());
    for (columns, values) in columns.iter().zip(values) {
        for r in 0..R {
            add_row(weights, columns[r] as usize * stride + at, values[r], &mut acc[r]);
        }
    }
    for (&column, &value) in columns_left.iter().zip(values_left) {
        add_row(weights, column as usize * stride + at, value, &mut acc[0]);
    }
    let (chunks, _) = sums[at..at + N * LANES].as_chunks_mut::<LANES>();
    for (n, chunk) in chunks.iter_mut().enumerate() {
        let sum = acc.iter().skip(1).fold(acc[0][n], |sum, acc| _mm256_add_ps(sum, acc[n]));
        *chunk = must_cast(sum);
    }
    N * LANES
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn add_row<const N: usize>(weights: &[f32], start: usize, x: f32, acc: &mut [__m256; N]) {
    let (row, _) = weights[start..start + N * LANES].as_chunks::<LANES>();
    let x = _mm256_set1_ps(x);
    for n in 0..N {
        acc[n] = _mm256_fmadd_ps(x, must_cast(row[n]), acc[n]);
    }
}

#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn rows_i8(weights: &[i8], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
    sums.fill(0);
    if none_negative(levels) {
        all_i8::<false>(weights, stride, columns, levels, sums);
    } else {
        all_i8::<true>(weights, stride, columns, levels, sums);
    }
}

/// Where four rows start, and their activations in bytes.
#[derive(Clone, Copy)]
struct Quad {
    starts: [usize; 4],
    levels: i32,
}

/// Quads that are made at once, before the columns are gone through.
const QUADS: usize = 32;

/// Rows in fours; without `SIGNED`, no activation may be negative.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn all_i8<const SIGNED: bool>(
    weights: &[i8],
    stride: usize,
    columns: &[u32],
    levels: &[i32],
    sums: &mut [i32],
) {
    let mut quads = [Quad { starts: [0; 4], levels: 0 }; QUADS];
    for (columns, levels) in columns.chunks(4 * QUADS).zip(levels.chunks(4 * QUADS)) {
        let ((c4, c), (l4, l)) = (columns.as_chunks::<4>(), levels.as_chunks::<4>());
        for ((quad, columns), levels) in quads.iter_mut().zip(c4).zip(l4) {
            *quad = make_quad(stride, columns, levels);
        }
        let mut count = c4.len();
        if !c.is_empty() {
            // The last is filled with activations of zero for the first row.
            let (mut columns, mut levels) = ([0; 4], [0; 4]);
            columns[..c.len()].copy_from_slice(c);
            levels[..l.len()].copy_from_slice(l);
            quads[count] = make_quad(stride, &columns, &levels);
            count += 1;
        }
        let quads = &quads[..count];
        let mut at = 0;
        while at < stride {
            at += match stride - at {
                64.. => block_i8::<2, SIGNED>(weights, at, quads, sums),
                32.. => block_i8::<1, SIGNED>(weights, at, quads, sums),
                _ => narrow_i8::<SIGNED>(weights, at, quads, sums),
            };
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn make_quad(stride: usize, columns: &[u32; 4], levels: &[i32; 4]) -> Quad {
    let [c0, c1, c2, c3] = *columns;
    let [l0, l1, l2, l3] = *levels;
    Quad {
        starts: [c0 as usize * stride, c1 as usize * stride, c2 as usize * stride, c3 as usize * stride],
        levels: i32::from_le_bytes([l0 as u8, l1 as u8, l2 as u8, l3 as u8]),
    }
}

/// `B` blocks of 32 columns from column `at` on; returns the columns done.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn block_i8<const B: usize, const SIGNED: bool>(
    weights: &[i8],
    at: usize,
    quads: &[Quad],
    sums: &mut [i32],
) -> usize {
    let mut acc = [[_mm256_setzero_si256(); 4]; B];
    for quad in quads {
        let levels = _mm256_set1_epi32(quad.levels);
        let [s0, s1, s2, s3] = quad.starts;
        let (w0, w1) = (&weights[s0 + at..][..32 * B], &weights[s1 + at..][..32 * B]);
        let (w2, w3) = (&weights[s2 + at..][..32 * B], &weights[s3 + at..][..32 * B]);
        for (b, acc) in acc.iter_mut().enumerate() {
            let (r0, r1) = (load_i8(w0, 32 * b), load_i8(w1, 32 * b));
            let (r2, r3) = (load_i8(w2, 32 * b), load_i8(w3, 32 * b));
            // Four bytes of four rows side by side for each column, in the order that the lanes allow.
            let (lo01, hi01) = (_mm256_unpacklo_epi8(r0, r1), _mm256_unpackhi_epi8(r0, r1));
            let (lo23, hi23) = (_mm256_unpacklo_epi8(r2, r3), _mm256_unpackhi_epi8(r2, r3));
            acc[0] = add_fours::<SIGNED>(acc[0], levels, _mm256_unpacklo_epi16(lo01, lo23));
            acc[1] = add_fours::<SIGNED>(acc[1], levels, _mm256_unpackhi_epi16(lo01, lo23));
            acc[2] = add_fours::<SIGNED>(acc[2], levels, _mm256_unpacklo_epi16(hi01, hi23));
            acc[3] = add_fours::<SIGNED>(acc[3], levels, _mm256_unpackhi_epi16(hi01, hi23));
        }
    }
    for (b, [a0, a1, a2, a3]) in acc.into_iter().enumerate() {
        let sums = &mut sums[at + 32 * b..][..32];
        add_to(sums, 0, _mm256_permute2x128_si256::<0x20>(a0, a1));
        add_to(sums, 8, _mm256_permute2x128_si256::<0x20>(a2, a3));
        add_to(sums, 16, _mm256_permute2x128_si256::<0x31>(a0, a1));
        add_to(sums, 24, _mm256_permute2x128_si256::<0x31>(a2, a3));
    }
    32 * B
}

/// Eight columns from column `at` on; returns the columns done.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn narrow_i8<const SIGNED: bool>(weights: &[i8], at: usize, quads: &[Quad], sums: &mut [i32]) -> usize {
    let mut acc = _mm256_setzero_si256();
    for quad in quads {
        let [s0, s1, s2, s3] = quad.starts;
        let r01 = _mm_unpacklo_epi8(load_eight(weights, s0 + at), load_eight(weights, s1 + at));
        let r23 = _mm_unpacklo_epi8(load_eight(weights, s2 + at), load_eight(weights, s3 + at));
        let fours = _mm256_set_m128i(_mm_unpackhi_epi16(r01, r23), _mm_unpacklo_epi16(r01, r23));
        acc = add_fours::<SIGNED>(acc, _mm256_set1_epi32(quad.levels), fours);
    }
    add_to(&mut sums[at..][..8], 0, acc);
    8
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn load_i8(row: &[i8], at: usize) -> __m256i {
    pod_read_unaligned(cast_slice(&row[at..][..32]))
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn load_eight(weights: &[i8], at: usize) -> __m128i {
    _mm_cvtsi64_si128(pod_read_unaligned(cast_slice(&weights[at..][..8])))
}
