//! Rows of float weights in vectors of 512 bits. Each column is added up in the order of the rows, one fused operation each, as
//! in vectors of 256 bits, so the sums are the same bits.

use crate::isa::avx2::rows;
use std::arch::x86_64::*;

/// Floats in a vector.
const LANES: usize = 16;
/// Columns at a time of one row of activations: eight sums, so that the latency of each is hidden.
const COLUMNS: usize = 8 * LANES;

#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
fn load(from: &[f32; LANES]) -> __m512 {
    // SAFETY: as many floats are read as the array has, from an address that need not be aligned.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
fn store(to: &mut [f32; LANES], x: __m512) {
    // SAFETY: as many floats are written as the array has, to an address that need not be aligned.
    unsafe { _mm512_storeu_ps(to.as_mut_ptr(), x) }
}

#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn rows_f32(weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
    let mut at = 0;
    while at + COLUMNS <= stride {
        let mut acc = [_mm512_setzero_ps(); COLUMNS / LANES];
        for (&column, &value) in columns.iter().zip(values) {
            let (row, _) = weights[column as usize * stride + at..][..COLUMNS].as_chunks::<LANES>();
            let x = _mm512_set1_ps(value);
            for n in 0..COLUMNS / LANES {
                acc[n] = _mm512_fmadd_ps(x, load(&row[n]), acc[n]);
            }
        }
        let (sums, _) = sums[at..][..COLUMNS].as_chunks_mut::<LANES>();
        for n in 0..COLUMNS / LANES {
            store(&mut sums[n], acc[n]);
        }
        at += COLUMNS;
    }
    if at < stride {
        rows::rows_f32(weights, stride, at, columns, values, sums);
    }
}
