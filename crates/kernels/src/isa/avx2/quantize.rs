//! Rows of floats become bytes.

use crate::lanes::{GROUP, LANES};
use crate::quantize::INT8_LEVELS;
use crate::quantize::ROUNDER;
use bytemuck::must_cast;
use std::arch::x86_64::*;

/// Vectors of floats whose bytes are a group.
const VECTORS: usize = GROUP / LANES;

#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn quantize_bytes(row: &[f32], bytes: &mut [[i8; GROUP]]) -> f32 {
    let (full, rest) = row.as_chunks::<GROUP>();
    let last = load_rest(rest);
    // Without their signs, floats are in the order of their bits.
    let mut largest = [_mm256_setzero_si256(); VECTORS];
    for x in full {
        keep_larger(&mut largest, must_cast(*x));
    }
    keep_larger(&mut largest, last);
    let [a, b, c, d] = largest;
    let largest = _mm256_max_epi32(_mm256_max_epi32(a, b), _mm256_max_epi32(c, d));
    let largest = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256::<1>(largest));
    let largest = _mm_max_epi32(largest, _mm_shuffle_epi32::<0b01_00_11_10>(largest));
    let largest = _mm_max_epi32(largest, _mm_shuffle_epi32::<0b10_11_00_01>(largest));
    let scale = f32::from_bits(_mm_cvtsi128_si32(largest).cast_unsigned()) / INT8_LEVELS as f32;
    if scale == 0.0 {
        bytes.fill([0; GROUP]);
        return 0.0;
    }
    let scales = _mm256_set1_ps(scale);
    for (out, x) in bytes.iter_mut().zip(full) {
        *out = must_cast(quantize_group::<false>(must_cast(*x), scales));
    }
    if let Some(out) = bytes.get_mut(full.len()) {
        *out = must_cast(quantize_group::<false>(last, scales));
    }
    scale
}

/// With a scale that is given: larger numbers are held within the levels before they are rounded.
#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn quantize_bytes_at(row: &[f32], scale: f32, bytes: &mut [[i8; GROUP]]) {
    let (full, rest) = row.as_chunks::<GROUP>();
    let scales = _mm256_set1_ps(scale);
    for (out, x) in bytes.iter_mut().zip(full) {
        *out = must_cast(quantize_group::<true>(must_cast(*x), scales));
    }
    if let Some(out) = bytes.get_mut(full.len()) {
        *out = must_cast(quantize_group::<true>(load_rest(rest), scales));
    }
}

/// Fewer floats than a group has, and zeros.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn load_rest(rest: &[f32]) -> [__m256; VECTORS] {
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let mut all = [_mm256_setzero_ps(); VECTORS];
    for (n, vector) in all.iter_mut().enumerate() {
        let left = rest.len() as i32 - (n * LANES) as i32;
        let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(left), lanes);
        // SAFETY: only what the mask has is read, which is within the slice.
        *vector = unsafe { _mm256_maskload_ps(rest.as_ptr().wrapping_add(n * LANES), mask) };
    }
    all
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn keep_larger(largest: &mut [__m256i; VECTORS], x: [__m256; VECTORS]) {
    for (largest, x) in largest.iter_mut().zip(x) {
        let magnitude = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(i32::MAX));
        *largest = _mm256_max_epi32(*largest, magnitude);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn quantize_group<const CLIP: bool>([a, b, c, d]: [__m256; VECTORS], scales: __m256) -> __m256i {
    let ab = _mm256_packs_epi32(round::<CLIP>(a, scales), round::<CLIP>(b, scales));
    let cd = _mm256_packs_epi32(round::<CLIP>(c, scales), round::<CLIP>(d, scales));
    // Packed within halves: fours of all four vectors, then those of the upper halves.
    let bytes = _mm256_packs_epi16(ab, cd);
    let bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_max_epi8(bytes, _mm256_set1_epi8(-INT8_LEVELS as i8))
}

/// As integers, ties to even; packing holds them within the levels. With `CLIP`, so does this.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn round<const CLIP: bool>(x: __m256, scales: __m256) -> __m256i {
    let mut x = _mm256_div_ps(x, scales);
    if CLIP {
        let most = _mm256_set1_ps(INT8_LEVELS as f32);
        x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-(INT8_LEVELS as f32))), most);
    }
    let rounded = _mm256_add_ps(x, _mm256_set1_ps(ROUNDER));
    _mm256_sub_epi32(_mm256_castps_si256(rounded), _mm256_castps_si256(_mm256_set1_ps(ROUNDER)))
}
