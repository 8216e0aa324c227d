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

/// Rows of activations with their zeros times all rows of weights: sixteen columns, six rows of activations at a time.
#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn block_f32(weights: &[f32], stride: usize, rows: &[f32], sums: &mut [f32]) {
    let inputs = weights.len() / stride;
    let count = rows.len() / inputs;
    for at in (0..stride).step_by(2 * LANES) {
        let mut row = 0;
        while row < count {
            let (rows, sums) = (&rows[row * inputs..], &mut sums[row * stride + at..]);
            row += match count - row {
                6.. => few_rows::<6>(&weights[at..], stride, rows, sums),
                2.. => few_rows::<2>(&weights[at..], stride, rows, sums),
                _ => few_rows::<1>(&weights[at..], stride, rows, sums),
            };
        }
    }
}

/// The first `R` rows of activations times the first sixteen columns; returns `R`.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn few_rows<const R: usize>(weights: &[f32], stride: usize, rows: &[f32], sums: &mut [f32]) -> usize {
    // The last row of weights is cut short, which leaves it sixteen columns.
    let inputs = weights.len().div_ceil(stride);
    let mut each = [&rows[..0]; R];
    for (r, row) in each.iter_mut().enumerate() {
        *row = &rows[r * inputs..][..inputs];
    }
    let mut acc = [[_mm256_setzero_ps(); 2]; R];
    for i in 0..inputs {
        let (w, _) = weights[i * stride..][..2 * LANES].as_chunks::<LANES>();
        let (w0, w1) = (must_cast(w[0]), must_cast(w[1]));
        for r in 0..R {
            let x = _mm256_set1_ps(each[r][i]);
            acc[r][0] = _mm256_fmadd_ps(x, w0, acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(x, w1, acc[r][1]);
        }
    }
    for (r, [a, b]) in acc.into_iter().enumerate() {
        let (sums, _) = sums[r * stride..][..2 * LANES].as_chunks_mut::<LANES>();
        (sums[0], sums[1]) = (must_cast(a), must_cast(b));
    }
    R
}
