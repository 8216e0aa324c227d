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

/// Rows of activations with their zeros times all rows of weights: 32 columns, twelve rows of activations at a time.
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn block_f32(weights: &[f32], stride: usize, rows: &[f32], sums: &mut [f32]) {
    let inputs = weights.len() / stride;
    let count = rows.len() / inputs;
    for at in (0..stride).step_by(2 * LANES) {
        let mut row = 0;
        while row < count {
            let (rows, sums) = (&rows[row * inputs..], &mut sums[row * stride + at..]);
            row += match count - row {
                12.. => few_rows::<12>(&weights[at..], stride, rows, sums),
                8.. => few_rows::<8>(&weights[at..], stride, rows, sums),
                4.. => few_rows::<4>(&weights[at..], stride, rows, sums),
                2.. => few_rows::<2>(&weights[at..], stride, rows, sums),
                _ => few_rows::<1>(&weights[at..], stride, rows, sums),
            };
        }
    }
}

/// The first `R` rows of activations times the first 32 columns; returns `R`.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
fn few_rows<const R: usize>(weights: &[f32], stride: usize, rows: &[f32], sums: &mut [f32]) -> usize {
    // The last row of weights is cut short, which leaves it these columns.
    let inputs = weights.len().div_ceil(stride);
    let mut each = [&rows[..0]; R];
    for (r, row) in each.iter_mut().enumerate() {
        *row = &rows[r * inputs..][..inputs];
    }
    let mut acc = [[_mm512_setzero_ps(); 2]; R];
    for i in 0..inputs {
        let (w, _) = weights[i * stride..][..2 * LANES].as_chunks::<LANES>();
        let (w0, w1) = (load(&w[0]), load(&w[1]));
        for r in 0..R {
            let x = _mm512_set1_ps(each[r][i]);
            acc[r][0] = _mm512_fmadd_ps(x, w0, acc[r][0]);
            acc[r][1] = _mm512_fmadd_ps(x, w1, acc[r][1]);
        }
    }
    for (r, [a, b]) in acc.into_iter().enumerate() {
        let (sums, _) = sums[r * stride..][..2 * LANES].as_chunks_mut::<LANES>();
        store(&mut sums[0], a);
        store(&mut sums[1], b);
    }
    R
}
