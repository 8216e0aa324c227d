//! Loops for x86-64 processors with AVX2 and FMA.
//!
//! 8-bit products use `vpmaddubsw`, which multiplies unsigned by signed bytes and adds two neighbours with
//! saturation at 16 bits. Activations go in as magnitudes and their signs move to the weights; as both are within
//! `±127`, two products are within `±32258` and never saturate (-128 is refused when a matrix is made).

use super::{Kernels, LANES, portable};
use crate::quantize::quantize;
use bytemuck::must_cast;
use std::arch::x86_64::*;

/// The proof that this processor has AVX2 and FMA: only [`Avx2::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// A token if this processor has the instructions; asked once, then remembered by the standard library.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

impl Kernels for Avx2 {
    fn rows_f32(self, weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        // SAFETY: `self` exists only if the processor has AVX2 and FMA, which is all that the call asks for.
        unsafe { rows_f32(weights, stride, columns, values, sums) }
    }

    fn rows_i8(self, weights: &[i8], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { rows_i8(weights, stride, columns, levels, sums) }
    }

    fn rows_i32(self, weights: &[i32], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i64]) {
        // SAFETY: as in `rows_f32`.
        unsafe { rows_i32(weights, stride, columns, levels, sums) }
    }

    fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        // SAFETY: as in `rows_f32`.
        unsafe { dot(a, b) }
    }

    fn compress(self, row: &[f32], columns: &mut Vec<u32>, values: &mut Vec<f32>) {
        // SAFETY: as in `rows_f32`.
        unsafe { compress(row, columns, values) }
    }

    fn quantize(self, row: &[f32], levels: i32, out: &mut [i32]) -> f32 {
        // SAFETY: as in `rows_f32`.
        unsafe { quantize_avx2(row, levels, out) }
    }
}

#[target_feature(enable = "avx2,fma")]
fn rows_f32(weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
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
#[target_feature(enable = "avx2,fma")]
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
#[target_feature(enable = "avx2,fma")]
fn add_row<const N: usize>(weights: &[f32], start: usize, x: f32, acc: &mut [__m256; N]) {
    let (row, _) = weights[start..start + N * LANES].as_chunks::<LANES>();
    let x = _mm256_set1_ps(x);
    for n in 0..N {
        acc[n] = _mm256_fmadd_ps(x, must_cast(row[n]), acc[n]);
    }
}

#[target_feature(enable = "avx2,fma")]
fn rows_i8(weights: &[i8], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
    if stride == 1 {
        sums.fill(0);
        return portable::rows(weights, stride, columns, levels, sums, |x, w| x * i32::from(w));
    }
    let mut at = 0;
    while at < stride {
        at += match stride - at {
            64.. => block_i8::<2>(weights, stride, at, columns, levels, sums),
            32.. => block_i8::<1>(weights, stride, at, columns, levels, sums),
            _ => narrow_i8(weights, stride, at, columns, levels, sums),
        };
    }
}

/// Up to four rows and their activations: places of the rows, magnitudes and signs in every lane.
struct Quad {
    starts: [usize; 4],
    magnitudes: __m256i,
    signs: __m256i,
}

/// The activations in groups of four; the last is filled with zeros, which read the first row.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn quad(stride: usize, at: usize, columns: &[u32], levels: &[i32], from: usize) -> Quad {
    let mut starts = [at; 4];
    let mut bytes = [0u8; 4];
    let few = columns[from..].iter().zip(&levels[from..]).take(4);
    for (n, (&column, &level)) in few.enumerate() {
        starts[n] = column as usize * stride + at;
        bytes[n] = level as i8 as u8;
    }
    let signs = _mm256_set1_epi32(i32::from_le_bytes(bytes));
    Quad { starts, magnitudes: _mm256_abs_epi8(signs), signs }
}

/// `B` blocks of 32 columns from column `at` on; returns the columns done.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn block_i8<const B: usize>(
    weights: &[i8],
    stride: usize,
    at: usize,
    columns: &[u32],
    levels: &[i32],
    sums: &mut [i32],
) -> usize {
    let mut acc = [[_mm256_setzero_si256(); 4]; B];
    for from in (0..columns.len()).step_by(4) {
        let quad = quad(stride, at, columns, levels, from);
        let rows = quad.starts.map(|start| weights[start..start + 32 * B].as_chunks::<32>().0);
        for b in 0..B {
            let [r0, r1, r2, r3] = rows.map(|row| must_cast::<[i8; 32], __m256i>(row[b]));
            // Four bytes of four rows side by side for each column, in the order that the lanes allow.
            let (lo01, hi01) = (_mm256_unpacklo_epi8(r0, r1), _mm256_unpackhi_epi8(r0, r1));
            let (lo23, hi23) = (_mm256_unpacklo_epi8(r2, r3), _mm256_unpackhi_epi8(r2, r3));
            let fours = [
                _mm256_unpacklo_epi16(lo01, lo23),
                _mm256_unpackhi_epi16(lo01, lo23),
                _mm256_unpacklo_epi16(hi01, hi23),
                _mm256_unpackhi_epi16(hi01, hi23),
            ];
            for n in 0..4 {
                acc[b][n] = add_fours(acc[b][n], &quad, fours[n]);
            }
        }
    }
    for (acc, sums) in acc.iter().zip(sums[at..].as_chunks_mut::<32>().0) {
        let ordered = [
            _mm256_permute2x128_si256::<0x20>(acc[0], acc[1]),
            _mm256_permute2x128_si256::<0x20>(acc[2], acc[3]),
            _mm256_permute2x128_si256::<0x31>(acc[0], acc[1]),
            _mm256_permute2x128_si256::<0x31>(acc[2], acc[3]),
        ];
        *sums = must_cast(ordered);
    }
    32 * B
}

/// Eight columns from column `at` on; returns the columns done.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn narrow_i8(
    weights: &[i8],
    stride: usize,
    at: usize,
    columns: &[u32],
    levels: &[i32],
    sums: &mut [i32],
) -> usize {
    let mut acc = _mm256_setzero_si256();
    for from in (0..columns.len()).step_by(4) {
        let quad = quad(stride, at, columns, levels, from);
        let [r0, r1, r2, r3] = quad.starts.map(|start| {
            let row = weights[start..].first_chunk::<8>().map_or(0, |row| must_cast::<[i8; 8], i64>(*row));
            _mm_cvtsi64_si128(row)
        });
        let (r01, r23) = (_mm_unpacklo_epi8(r0, r1), _mm_unpacklo_epi8(r2, r3));
        let fours = _mm256_set_m128i(_mm_unpackhi_epi16(r01, r23), _mm_unpacklo_epi16(r01, r23));
        acc = add_fours(acc, &quad, fours);
    }
    sums[at..at + 8].copy_from_slice(&must_cast::<__m256i, [i32; 8]>(acc));
    8
}

/// Adds the products of four weights, for each of eight columns.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_fours(acc: __m256i, quad: &Quad, fours: __m256i) -> __m256i {
    let pairs = _mm256_maddubs_epi16(quad.magnitudes, _mm256_sign_epi8(fours, quad.signs));
    _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

#[target_feature(enable = "avx2,fma")]
fn rows_i32(weights: &[i32], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i64]) {
    // Plain code, for which the compiler finds `vpmuldq` here.
    sums.fill(0);
    portable::rows(weights, stride, columns, levels, sums, |x, w| i64::from(x) * i64::from(w));
}

#[target_feature(enable = "avx2,fma")]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    portable::dot(a, b, |x, w, sum| x.mul_add(w, sum))
}

#[target_feature(enable = "avx2,fma")]
fn quantize_avx2(row: &[f32], levels: i32, out: &mut [i32]) -> f32 {
    quantize(row, levels, out)
}

/// For each set of lanes, the lanes in order, then anything.
const LANES_OF: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut set = 0;
    while set < 256 {
        let (mut lane, mut n) = (0, 0);
        while lane < 8 {
            if set >> lane & 1 == 1 {
                table[set][n] = lane;
                n += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    table
};

#[target_feature(enable = "avx2,fma")]
fn compress(row: &[f32], columns: &mut Vec<u32>, values: &mut Vec<f32>) {
    // Eight more, as whole vectors are written of which only a part is kept.
    columns.resize(row.len() + LANES, 0);
    values.resize(row.len() + LANES, 0.0);
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut n = 0;
    let mut lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for chunk in chunks {
        let x: __m256 = must_cast(*chunk);
        let set = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(x, _mm256_setzero_ps())) as usize;
        let order = _mm_cvtsi64_si128(i64::from_le_bytes(LANES_OF[set & 0xff]));
        let order = _mm256_cvtepu8_epi32(order);
        let x: [f32; LANES] = must_cast(_mm256_permutevar8x32_ps(x, order));
        let at: [u32; LANES] = must_cast(_mm256_permutevar8x32_epi32(lanes, order));
        values[n..n + LANES].copy_from_slice(&x);
        columns[n..n + LANES].copy_from_slice(&at);
        lanes = _mm256_add_epi32(lanes, _mm256_set1_epi32(8));
        n += set.count_ones() as usize;
    }
    for (i, &x) in rest.iter().enumerate() {
        columns[n] = (chunks.len() * LANES + i) as u32;
        values[n] = x;
        n += usize::from(x != 0.0);
    }
    columns.truncate(n);
    values.truncate(n);
}
