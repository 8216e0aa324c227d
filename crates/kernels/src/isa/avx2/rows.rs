//! Rows of weights, zeros included: each row that an activation touches is run through.

use crate::lanes::LANES;
use bytemuck::must_cast;
use std::arch::x86_64::*;

/// So many columns at a time are added up in the order of the rows.
pub(super) const IN_ORDER: usize = 8 * LANES;

/// From column `at` on, a multiple of [`IN_ORDER`].
#[target_feature(enable = "avx2,fma,popcnt")]
pub(in crate::isa) fn rows_f32(
    weights: &[f32],
    stride: usize,
    mut at: usize,
    columns: &[u32],
    values: &[f32],
    sums: &mut [f32],
) {
    while at < stride {
        // Sums of as many columns as fill half the registers; for fewer columns, several rows at a time, so
        // that there are always eight independent sums to hide the latency of each.
        at += match stride - at {
            IN_ORDER.. => columns_f32::<8, 1>(weights, stride, at, columns, values, sums),
            32.. => columns_f32::<4, 2>(weights, stride, at, columns, values, sums),
            16.. => columns_f32::<2, 4>(weights, stride, at, columns, values, sums),
            _ => columns_f32::<1, 8>(weights, stride, at, columns, values, sums),
        };
    }
}

/// `N` vectors of columns from column `at` on, `R` rows at a time; returns the columns done.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn columns_f32<const N: usize, const R: usize>(
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
