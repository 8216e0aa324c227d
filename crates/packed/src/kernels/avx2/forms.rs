//! Strips, panels and tiles: the forms that are made for vectors.

use super::{LANES, add_fours, add_to, none_negative, portable};
use crate::body::{Panels, QUAD, Strips, TILE, Tiles, UNROLL};
use bytemuck::{cast_slice, must_cast, pod_read_unaligned};
use std::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn strips_f32(strips: &Strips<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    let (weights, _) = strips.values.as_chunks::<LANES>();
    portable::runs(&strips.starts, columns, values, |strip, x| {
        let sums = &mut sums[strips.columns[strip] as usize..][..LANES];
        let old = pod_read_unaligned(cast_slice(sums));
        let sum = _mm256_fmadd_ps(_mm256_set1_ps(x), must_cast(weights[strip]), old);
        sums.copy_from_slice(&must_cast::<__m256, [f32; LANES]>(sum));
    });
}

#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn strips_i8(strips: &Strips<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
    sums.fill(0);
    let (weights, _) = strips.values.as_chunks::<LANES>();
    portable::runs(&strips.starts, columns, levels, |strip, x| {
        // As 16-bit numbers, an activation beside a zero times a weight beside its sign.
        let x = _mm256_set1_epi32(x & 0xffff);
        let w = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(must_cast(weights[strip])));
        add_to(&mut sums[strips.columns[strip] as usize..], 0, _mm256_madd_epi16(w, x));
    });
}

#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn panels_f32(panels: &Panels<f32>, row: &[f32], sums: &mut [f32]) {
    const STEPS: usize = UNROLL * Panels::<f32>::WIDTH;
    let (tables, _) = row.as_chunks::<8>();
    let (groups, _) = panels.groups.as_chunks::<UNROLL>();
    let (picks, _) = panels.picks.as_chunks::<STEPS>();
    let (values, _) = panels.values.as_chunks::<STEPS>();
    for (ends, sums) in panels.starts.windows(2).zip(sums.as_chunks_mut::<LANES>().0) {
        let range = ends[0] as usize / UNROLL..ends[1] as usize / UNROLL;
        let steps = groups[range.clone()].iter().zip(&picks[range.clone()]).zip(&values[range]);
        let mut acc = [_mm256_setzero_ps(); UNROLL];
        for ((groups, picks), values) in steps {
            let picks: [i64; UNROLL] = must_cast(*picks);
            let values: [__m256; UNROLL] = must_cast(*values);
            for i in 0..UNROLL {
                let picks = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(picks[i]));
                let x = _mm256_permutevar8x32_ps(must_cast(tables[groups[i] as usize]), picks);
                acc[i] = _mm256_fmadd_ps(x, values[i], acc[i]);
            }
        }
        let sum = _mm256_add_ps(_mm256_add_ps(acc[0], acc[1]), _mm256_add_ps(acc[2], acc[3]));
        *sums = must_cast(sum);
    }
}

#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn panels_i8(panels: &Panels<i8>, row: &[i8], sums: &mut [i32]) {
    let (tables, _) = row.as_chunks::<16>();
    match (panels.size, none_negative(row)) {
        (16, true) => all_panels_i8::<1, false>(panels, tables, sums),
        (16, false) => all_panels_i8::<1, true>(panels, tables, sums),
        (_, true) => all_panels_i8::<2, false>(panels, tables, sums),
        (_, false) => all_panels_i8::<2, true>(panels, tables, sums),
    }
}

/// A group is `G` tables of 16 activations; without `SIGNED`, none may be negative.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn all_panels_i8<const G: usize, const SIGNED: bool>(
    panels: &Panels<i8>,
    tables: &[[i8; 16]],
    sums: &mut [i32],
) {
    const STEPS: usize = UNROLL * Panels::<i8>::WIDTH;
    let (tables, _) = tables.as_chunks::<G>();
    let (groups, _) = panels.groups.as_chunks::<UNROLL>();
    let (picks, _) = panels.picks.as_chunks::<STEPS>();
    let (values, _) = panels.values.as_chunks::<STEPS>();
    for (ends, sums) in panels.starts.windows(2).zip(sums.as_chunks_mut::<LANES>().0) {
        let range = ends[0] as usize / UNROLL..ends[1] as usize / UNROLL;
        let steps = groups[range.clone()].iter().zip(&picks[range.clone()]).zip(&values[range]);
        let mut acc = [_mm256_setzero_si256(); 2];
        for ((groups, picks), values) in steps {
            let picks: [__m256i; UNROLL] = must_cast(*picks);
            let values: [__m256i; UNROLL] = must_cast(*values);
            for i in 0..UNROLL {
                let x = look_up(&tables[groups[i] as usize], picks[i]);
                acc[i % 2] = add_fours::<SIGNED>(acc[i % 2], x, values[i]);
            }
        }
        *sums = must_cast(_mm256_add_epi32(acc[0], acc[1]));
    }
}

/// The activations that are picked from one or two tables; of an empty pick, anything.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn look_up<const G: usize>(tables: &[[i8; 16]; G], picks: __m256i) -> __m256i {
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

#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn tiles_i8(tiles: &Tiles<i8>, row: &[i8], sums: &mut [i32]) {
    let signed = !none_negative(row);
    // Four panels at a time share the loads of activations.
    let wide = 4 * tiles.panel();
    let (weights, left) = tiles.values.split_at(tiles.values.len() / wide * wide);
    let (sums, sums_left) = sums.split_at_mut(weights.len() / tiles.panel() * LANES);
    for (weights, sums) in weights.chunks_exact(wide).zip(sums.chunks_exact_mut(4 * LANES)) {
        match signed {
            false => panels_of_tiles::<4, false>(weights, row, sums),
            true => panels_of_tiles::<4, true>(weights, row, sums),
        }
    }
    for (weights, sums) in left.chunks_exact(tiles.panel()).zip(sums_left.chunks_exact_mut(LANES)) {
        match signed {
            false => panels_of_tiles::<1, false>(weights, row, sums),
            true => panels_of_tiles::<1, true>(weights, row, sums),
        }
    }
}

/// `P` panels; without `SIGNED`, no activation may be negative.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn panels_of_tiles<const P: usize, const SIGNED: bool>(weights: &[i8], row: &[i8], sums: &mut [i32]) {
    let (tiles, _) = weights.as_chunks::<TILE>();
    let (row, _) = row.as_chunks::<QUAD>();
    let count = tiles.len() / P;
    let row = &row[..count];
    let panels: [&[[i8; TILE]]; P] = std::array::from_fn(|p| &tiles[p * count..][..count]);
    let mut acc = [_mm256_setzero_si256(); P];
    for (i, &levels) in row.iter().enumerate() {
        let levels = _mm256_set1_epi32(must_cast(levels));
        for p in 0..P {
            acc[p] = add_fours::<SIGNED>(acc[p], levels, must_cast(panels[p][i]));
        }
    }
    for (sums, acc) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(acc) {
        *sums = must_cast(acc);
    }
}
