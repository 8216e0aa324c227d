//! The widest steps of the loops over bytes: vectors of 512 bits.

use super::few_tiles;
use crate::isa::avx2::steps::{add_to, store};
use crate::isa::cuts::{self, Touched};
use crate::lanes::{LANES, QUAD, TILE};
use bytemuck::must_cast;
use std::arch::x86_64::*;

/// Two or one blocks of 64 columns.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn widest_rows<const SIGNED: bool>(rows: Touched<'_>, at: usize, sums: &mut [i32]) -> usize {
    match sums.len() {
        128.. => wide_rows::<2, SIGNED>(rows, at, sums),
        _ => wide_rows::<1, SIGNED>(rows, at, sums),
    }
}

/// Eight panels, so that eight independent sums hide the latency of each; or four.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn widest_tiles<const SIGNED: bool>(
    weights: &[i8],
    size: usize,
    row: &[i8],
    sums: &mut [i32],
) -> usize {
    // Tiles are taken in pairs; one is left over where inputs are a multiple of four but not of eight.
    let paired = size / TILE / 2 * 2 * QUAD;
    let done = match weights.len() / size {
        8.. => tiles::<8, SIGNED>(weights, size, &row[..paired], sums),
        _ => tiles::<4, SIGNED>(weights, size, &row[..paired], sums),
    };
    if !(size / TILE).is_multiple_of(2) {
        let levels = &row[paired..][..QUAD];
        for (panel, sums) in weights.chunks_exact(size).zip(sums.chunks_exact_mut(LANES)).take(done) {
            let mut last = [0; LANES];
            few_tiles::<1, SIGNED>(&panel[size - TILE..], TILE, levels, &mut last);
            add_to(sums, 0, must_cast(last));
        }
    }
    done
}

/// Adds the products of four activations and four weights to each of sixteen sums. With `SIGNED`, weights are taken
/// with 128 added to them.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
fn add_fours<const SIGNED: bool>(acc: __m512i, levels: __m512i, weights: __m512i) -> __m512i {
    if SIGNED {
        // The highest bit turned over is 128 more as an unsigned byte.
        let weights = _mm512_xor_si512(weights, _mm512_set1_epi8(i8::MIN));
        _mm512_dpbusd_epi32(acc, weights, levels)
    } else {
        _mm512_dpbusd_epi32(acc, levels, weights)
    }
}

/// Adds to each of sixteen sums 128 times four activations.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
fn add_offsets(acc: __m512i, levels: __m512i) -> __m512i {
    _mm512_dpbusd_epi32(acc, _mm512_set1_epi8(i8::MIN), levels)
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
fn load(bytes: &[i8], at: usize) -> __m512i {
    let bytes = &bytes[at..][..64];
    // SAFETY: 64 bytes are read, as many as the slice has, from an address that need not be aligned.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// `B` blocks of 64 columns from column `at` on, which `sums` begin with; returns the columns done.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
fn wide_rows<const B: usize, const SIGNED: bool>(rows: Touched<'_>, at: usize, sums: &mut [i32]) -> usize {
    let mut acc = [[_mm512_setzero_si512(); 4]; B];
    let mut offsets = _mm512_setzero_si512();
    let (fours, last) = rows.fours();
    for four in fours {
        let levels = _mm512_set1_epi32(must_cast(four.levels));
        add_wide_rows::<B, SIGNED>(&mut acc, &mut offsets, rows.cut(four, at, 64 * B), levels);
    }
    if let Some(four) = last {
        let levels = _mm512_set1_epi32(must_cast(four.levels));
        add_wide_rows::<B, SIGNED>(&mut acc, &mut offsets, rows.cut(four, at, 64 * B), levels);
    }
    for (b, acc) in acc.into_iter().enumerate() {
        let sums = &mut sums[64 * b..][..64];
        for (n, sum) in in_order(acc).into_iter().enumerate() {
            let sum = _mm512_sub_epi32(sum, offsets);
            store(sums, 16 * n, _mm512_castsi512_si256(sum));
            store(sums, 16 * n + 8, _mm512_extracti64x4_epi64::<1>(sum));
        }
    }
    64 * B
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
fn add_wide_rows<const B: usize, const SIGNED: bool>(
    acc: &mut [[__m512i; 4]; B],
    offsets: &mut __m512i,
    [r0, r1, r2, r3]: [&[i8]; 4],
    levels: __m512i,
) {
    if SIGNED {
        *offsets = add_offsets(*offsets, levels);
    }
    for (b, acc) in acc.iter_mut().enumerate() {
        let (r0, r1, r2, r3) = (load(r0, 64 * b), load(r1, 64 * b), load(r2, 64 * b), load(r3, 64 * b));
        // Four bytes of four rows side by side for each column, in the order that the lanes allow.
        let (lo01, hi01) = (_mm512_unpacklo_epi8(r0, r1), _mm512_unpackhi_epi8(r0, r1));
        let (lo23, hi23) = (_mm512_unpacklo_epi8(r2, r3), _mm512_unpackhi_epi8(r2, r3));
        acc[0] = add_fours::<SIGNED>(acc[0], levels, _mm512_unpacklo_epi16(lo01, lo23));
        acc[1] = add_fours::<SIGNED>(acc[1], levels, _mm512_unpackhi_epi16(lo01, lo23));
        acc[2] = add_fours::<SIGNED>(acc[2], levels, _mm512_unpacklo_epi16(hi01, hi23));
        acc[3] = add_fours::<SIGNED>(acc[3], levels, _mm512_unpackhi_epi16(hi01, hi23));
    }
}

/// Sums of 64 columns in their order: a quarter of each vector belongs to four columns of every sixteen.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
fn in_order([a0, a1, a2, a3]: [__m512i; 4]) -> [__m512i; 4] {
    let (lo01, hi01) = (_mm512_shuffle_i32x4::<0x44>(a0, a1), _mm512_shuffle_i32x4::<0xee>(a0, a1));
    let (lo23, hi23) = (_mm512_shuffle_i32x4::<0x44>(a2, a3), _mm512_shuffle_i32x4::<0xee>(a2, a3));
    [
        _mm512_shuffle_i32x4::<0x88>(lo01, lo23),
        _mm512_shuffle_i32x4::<0xdd>(lo01, lo23),
        _mm512_shuffle_i32x4::<0x88>(hi01, hi23),
        _mm512_shuffle_i32x4::<0xdd>(hi01, hi23),
    ]
}

/// Pairs of tiles of `P` panels of `size` weights, which share the loads of activations; returns how many panels
/// those are.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
fn tiles<const P: usize, const SIGNED: bool>(
    weights: &[i8],
    size: usize,
    row: &[i8],
    sums: &mut [i32],
) -> usize {
    let (row, _) = row.as_chunks::<{ 2 * QUAD }>();
    let panels = cuts::panels::<P>(weights, size / TILE);
    let spread = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    let mut acc = [_mm512_setzero_si512(); P];
    let mut offsets = _mm512_setzero_si512();
    for (i, &levels) in row.iter().enumerate() {
        // Four activations for the first tile in the lower half, four for the second in the upper.
        let levels = _mm512_permutexvar_epi32(spread, _mm512_set1_epi64(must_cast(levels)));
        if SIGNED {
            offsets = add_offsets(offsets, levels);
        }
        for p in 0..P {
            acc[p] = add_fours::<SIGNED>(acc[p], levels, load(panels[p][2 * i..][..2].as_flattened(), 0));
        }
    }
    for (sums, acc) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(acc) {
        let sum = _mm512_sub_epi32(acc, offsets);
        let (lower, upper) = (_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum));
        *sums = must_cast(_mm256_add_epi32(lower, upper));
    }
    P
}
