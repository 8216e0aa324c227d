//! What the loops over bytes are made of, beside the products themselves.

use crate::lanes::{GROUP, LANES, QUAD, TILE};
use bytemuck::{cast_slice, must_cast, pod_read_unaligned};
use std::arch::x86_64::*;

/// Whether no number is negative; looks at all of them, which is faster than to stop at the first.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::isa) fn none_negative(numbers: &[i8]) -> bool {
    let (groups, rest) = numbers.as_chunks::<GROUP>();
    let mut all = _mm256_setzero_si256();
    for group in groups {
        all = _mm256_or_si256(all, must_cast(*group));
    }
    _mm256_movemask_epi8(all) == 0 && rest.iter().all(|&n| n >= 0)
}

/// Four bytes of four rows side by side for each of 32 columns, in the order that the lanes allow.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::isa) fn four_rows([r0, r1, r2, r3]: [__m256i; 4]) -> [__m256i; 4] {
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
pub(in crate::isa) fn four_narrow_rows(rows: [&[i8]; 4]) -> __m256i {
    let [r0, r1, r2, r3] = rows;
    let (r0, r1, r2, r3) = (load_eight(r0), load_eight(r1), load_eight(r2), load_eight(r3));
    let (r01, r23) = (_mm_unpacklo_epi8(r0, r1), _mm_unpacklo_epi8(r2, r3));
    _mm256_set_m128i(_mm_unpackhi_epi16(r01, r23), _mm_unpacklo_epi16(r01, r23))
}

/// Stores what products of [`four_rows`] came to, in the order of the columns.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::isa) fn store_in_order(sums: &mut [i32], [a0, a1, a2, a3]: [__m256i; 4]) {
    store(sums, 0, _mm256_permute2x128_si256::<0x20>(a0, a1));
    store(sums, 8, _mm256_permute2x128_si256::<0x20>(a2, a3));
    store(sums, 16, _mm256_permute2x128_si256::<0x31>(a0, a1));
    store(sums, 24, _mm256_permute2x128_si256::<0x31>(a2, a3));
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::isa) fn store(sums: &mut [i32], at: usize, sum: __m256i) {
    sums[at..][..LANES].copy_from_slice(&must_cast::<__m256i, [i32; LANES]>(sum));
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::isa) fn add_to(sums: &mut [i32], at: usize, more: __m256i) {
    let sum = pod_read_unaligned(cast_slice(&sums[at..][..LANES]));
    store(sums, at, _mm256_add_epi32(sum, more));
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::isa) fn load(row: &[i8], at: usize) -> __m256i {
    pod_read_unaligned(cast_slice(&row[at..][..32]))
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn load_eight(row: &[i8]) -> __m128i {
    _mm_cvtsi64_si128(pod_read_unaligned(cast_slice(&row[..LANES])))
}

/// The activations that are picked from one or two tables; of an empty pick, anything.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::isa) fn look_up<const G: usize>(tables: &[[i8; 16]; G], picks: __m256i) -> __m256i {
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

/// Tiles whose products with narrow weights fit into 16 bits: each adds up to `2 · 127 · 8`.
pub(in crate::isa) const PAIRS: usize = 16;

/// The sums of two products each.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::isa) fn products<const SIGNED: bool>(levels: __m256i, weights: __m256i) -> __m256i {
    if SIGNED {
        _mm256_maddubs_epi16(_mm256_abs_epi8(levels), _mm256_sign_epi8(weights, levels))
    } else {
        _mm256_maddubs_epi16(levels, weights)
    }
}

/// Adds the products of two narrow weights and two activations to each of sixteen sums of 16 bits.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::isa) fn add_pairs<const SIGNED: bool>(
    pairs: __m256i,
    levels: __m256i,
    weights: __m256i,
) -> __m256i {
    _mm256_add_epi16(pairs, products::<SIGNED>(levels, weights))
}

/// Adds two neighbours of 16 bits to each of eight sums.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::isa) fn add_two(acc: __m256i, pairs: __m256i) -> __m256i {
    _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

/// The first columns of rows of `stride` weights as panels of `size`, four at a time; returns how many panels those are.
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::isa) fn pack_fours(rows: &[i8], stride: usize, tiles: &mut [i8], size: usize) -> usize {
    let panels = tiles.len() / size / 4 * 4;
    for (four, tiles) in tiles.chunks_exact_mut(4 * size).enumerate() {
        let (first, rest) = tiles.split_at_mut(2 * size);
        let ((p0, p1), (p2, p3)) = (first.split_at_mut(size), rest.split_at_mut(size));
        let panels = [p0, p1, p2, p3].map(|panel| panel.as_chunks_mut::<TILE>().0);
        let [p0, p1, p2, p3] = panels;
        for (i, rows) in rows.chunks(QUAD * stride).enumerate() {
            // What is missing of the last four rows is zero.
            let row = |r: usize| match rows.get(r * stride + 32 * four..) {
                Some(row @ [_, ..]) => load(row, 0),
                _ => _mm256_setzero_si256(),
            };
            let [a0, a1, a2, a3] = four_rows([row(0), row(1), row(2), row(3)]);
            p0[i] = must_cast(_mm256_permute2x128_si256::<0x20>(a0, a1));
            p1[i] = must_cast(_mm256_permute2x128_si256::<0x20>(a2, a3));
            p2[i] = must_cast(_mm256_permute2x128_si256::<0x31>(a0, a1));
            p3[i] = must_cast(_mm256_permute2x128_si256::<0x31>(a2, a3));
        }
    }
    panels
}
