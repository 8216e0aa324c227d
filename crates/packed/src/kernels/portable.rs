//! Loops in plain safe code, for any processor; compilers turn them into whatever vectors there are.

use crate::body::Lists;
use std::ops::AddAssign;

/// `sums[c] += Σ product(values[i], weights[columns[i]][c])`.
#[inline(always)]
pub(crate) fn rows<W: Copy, X: Copy, S: AddAssign>(
    weights: &[W],
    stride: usize,
    columns: &[u32],
    values: &[X],
    sums: &mut [S],
    product: impl Fn(X, W) -> S,
) {
    for (&row, &x) in columns.iter().zip(values) {
        let row = &weights[row as usize * stride..][..stride];
        for (sum, &w) in sums.iter_mut().zip(row) {
            *sum += product(x, w);
        }
    }
}

/// As [`rows`], where only some weights of each row are there.
#[inline(always)]
pub(crate) fn lists<W: Copy, X: Copy, S: AddAssign>(
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

/// The sum of products, in eight running sums so that it is made of vector instructions.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32], fused: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; 8];
    let ((a8, a), (b8, b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a8.iter().zip(b8) {
        for ((sum, &x), &w) in lanes.iter_mut().zip(a).zip(b) {
            *sum = fused(x, w, *sum);
        }
    }
    let rest = a.iter().zip(b).fold(0.0, |sum, (&x, &w)| fused(x, w, sum));
    lanes.iter().fold(rest, |sum, lane| sum + lane)
}

/// Positions and values of what is not zero.
pub(crate) fn compress(row: &[f32], columns: &mut Vec<u32>, values: &mut Vec<f32>) {
    // Written always, kept only when not zero: no branch that a processor would guess wrong half of the time.
    columns.resize(row.len(), 0);
    values.resize(row.len(), 0.0);
    let mut n = 0;
    for (column, &x) in row.iter().enumerate() {
        columns[n] = column as u32;
        values[n] = x;
        n += usize::from(x != 0.0);
    }
    columns.truncate(n);
    values.truncate(n);
}
