//! Loops in plain safe code, for any processor; compilers turn them into whatever vectors there are.

use crate::body::Lists;

/// `sums[c] += Σ values[i] · weights[columns[i]][c]` over rows of `stride` weights.
#[inline(always)]
pub(crate) fn rows_f32(weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
    for (&row, &x) in columns.iter().zip(values) {
        let row = &weights[row as usize * stride..][..stride];
        for (sum, w) in sums.iter_mut().zip(row) {
            *sum += x * w;
        }
    }
}

/// As [`rows_f32`], in integers.
#[inline(always)]
pub(crate) fn rows_i8(weights: &[i8], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
    for (&row, &x) in columns.iter().zip(levels) {
        let row = &weights[row as usize * stride..][..stride];
        for (sum, &w) in sums.iter_mut().zip(row) {
            *sum += x * i32::from(w);
        }
    }
}

/// As [`rows_f32`], in long integers.
#[inline(always)]
pub(crate) fn rows_i32(weights: &[i32], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i64]) {
    for (&row, &x) in columns.iter().zip(levels) {
        let row = &weights[row as usize * stride..][..stride];
        for (sum, &w) in sums.iter_mut().zip(row) {
            *sum += i64::from(x) * i64::from(w);
        }
    }
}

/// As [`rows_f32`], where only some weights of each row are there; `product` multiplies and widens.
#[inline(always)]
pub(crate) fn lists<W: Copy, X: Copy, S: std::ops::AddAssign>(
    lists: &Lists<W>,
    columns: &[u32],
    values: &[X],
    sums: &mut [S],
    product: impl Fn(X, W) -> S,
) {
    for (&row, &x) in columns.iter().zip(values) {
        let row = row as usize;
        let range = lists.starts[row] as usize..lists.starts[row + 1] as usize;
        for (&column, &w) in lists.columns[range.clone()].iter().zip(&lists.values[range]) {
            sums[column as usize] += product(x, w);
        }
    }
}
