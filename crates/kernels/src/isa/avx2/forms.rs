//! Strips and panels of floats, and strips of bytes.

use super::portable;
use super::steps::add_to;
use crate::form::{Panels, Strips};
use crate::lanes::{LANES, UNROLL};
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
