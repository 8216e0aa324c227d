//! What the loops over bytes are made of, beside the products themselves.

use super::LANES;
use bytemuck::{cast_slice, must_cast, pod_read_unaligned};
use std::arch::x86_64::*;

/// Where four rows start, and their activations in bytes.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Quad {
    pub(in crate::kernels) starts: [usize; 4],
    pub(in crate::kernels) levels: i32,
}

/// Quads that are made at once, before the columns are gone through.
pub(in crate::kernels) const QUADS: usize = 32;

/// Rows in fours, at most `4 · QUADS` of them; the last is filled with activations of zero for the first row.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::kernels) fn make_quads<'a>(
    stride: usize,
    columns: &[u32],
    levels: &[i32],
    quads: &'a mut [Quad; QUADS],
) -> &'a [Quad] {
    let ((c4, c), (l4, l)) = (columns.as_chunks::<4>(), levels.as_chunks::<4>());
    for ((quad, columns), levels) in quads.iter_mut().zip(c4).zip(l4) {
        *quad = make_quad(stride, columns, levels);
    }
    let mut count = c4.len();
    if !c.is_empty() {
        let (mut columns, mut levels) = ([0; 4], [0; 4]);
        columns[..c.len()].copy_from_slice(c);
        levels[..l.len()].copy_from_slice(l);
        quads[count] = make_quad(stride, &columns, &levels);
        count += 1;
    }
    &quads[..count]
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn make_quad(stride: usize, columns: &[u32; 4], levels: &[i32; 4]) -> Quad {
    let [l0, l1, l2, l3] = *levels;
    Quad {
        starts: columns.map(|column| column as usize * stride),
        levels: i32::from_le_bytes([l0 as u8, l1 as u8, l2 as u8, l3 as u8]),
    }
}

/// Four bytes of four rows side by side for each of 32 columns from `at` on, in the order that the lanes allow.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::kernels) fn four_rows(rows: [&[i8]; 4], at: usize) -> [__m256i; 4] {
    let [r0, r1, r2, r3]: [__m256i; 4] = rows.map(|row| pod_read_unaligned(cast_slice(&row[at..][..32])));
    let (lo01, hi01) = (_mm256_unpacklo_epi8(r0, r1), _mm256_unpackhi_epi8(r0, r1));
    let (lo23, hi23) = (_mm256_unpacklo_epi8(r2, r3), _mm256_unpackhi_epi8(r2, r3));
    [
        _mm256_unpacklo_epi16(lo01, lo23),
        _mm256_unpackhi_epi16(lo01, lo23),
        _mm256_unpacklo_epi16(hi01, hi23),
        _mm256_unpackhi_epi16(hi01, hi23),
    ]
}

/// The same for eight columns, in order.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::kernels) fn four_narrow_rows(rows: [&[i8]; 4]) -> __m256i {
    let [r0, r1, r2, r3] = rows.map(|row| _mm_cvtsi64_si128(pod_read_unaligned(cast_slice(&row[..LANES]))));
    let (r01, r23) = (_mm_unpacklo_epi8(r0, r1), _mm_unpacklo_epi8(r2, r3));
    _mm256_set_m128i(_mm_unpackhi_epi16(r01, r23), _mm_unpacklo_epi16(r01, r23))
}

/// Adds what products of [`four_rows`] came to, in the order of the columns.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::kernels) fn add_in_order(sums: &mut [i32], [a0, a1, a2, a3]: [__m256i; 4]) {
    add_to(sums, 0, _mm256_permute2x128_si256::<0x20>(a0, a1));
    add_to(sums, 8, _mm256_permute2x128_si256::<0x20>(a2, a3));
    add_to(sums, 16, _mm256_permute2x128_si256::<0x31>(a0, a1));
    add_to(sums, 24, _mm256_permute2x128_si256::<0x31>(a2, a3));
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::kernels) fn add_to(sums: &mut [i32], at: usize, more: __m256i) {
    let sums = &mut sums[at..][..LANES];
    let sum = _mm256_add_epi32(pod_read_unaligned(cast_slice(sums)), more);
    sums.copy_from_slice(&must_cast::<__m256i, [i32; LANES]>(sum));
}

/// The activations that are picked from one or two tables; of an empty pick, anything.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::kernels) fn look_up<const G: usize>(tables: &[[i8; 16]; G], picks: __m256i) -> __m256i {
    // The same 16 activations in both halves. A shuffle gives zero where the highest bit of its pick is set.
    let first = _mm256_broadcastsi128_si256(must_cast(tables[0]));
    if G == 1 {
        return _mm256_shuffle_epi8(first, picks);
    }
    let second = _mm256_broadcastsi128_si256(must_cast(tables[1 % G]));
    // 0..16 become 0x70..0x80 and those above get that bit; and the other way round.
    let in_first = _mm256_adds_epu8(picks, _mm256_set1_epi8(0x70));
    let in_second = _mm256_sub_epi8(picks, _mm256_set1_epi8(16));
    _mm256_or_si256(_mm256_shuffle_epi8(first, in_first), _mm256_shuffle_epi8(second, in_second))
}
