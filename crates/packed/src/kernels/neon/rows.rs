//! Rows of bytes, zeros included, two at a time: their products are added as 16-bit numbers first.

use super::{load, load_eight, store};
use crate::kernels::LANES;
use std::arch::aarch64::*;

#[target_feature(enable = "neon")]
pub(super) fn rows_i8(weights: &[i8], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
    let mut at = 0;
    while at < stride {
        let sums = &mut sums[at..];
        at += match stride - at {
            64.. => block::<4>(weights, (stride, at), columns, levels, sums),
            32.. => block::<2>(weights, (stride, at), columns, levels, sums),
            16.. => block::<1>(weights, (stride, at), columns, levels, sums),
            _ => narrow_block(weights, (stride, at), columns, levels, sums),
        };
    }
}

/// `N` blocks of 16 columns of rows of `stride` weights, from column `at` on; returns the columns done.
#[inline]
#[target_feature(enable = "neon")]
fn block<const N: usize>(
    weights: &[i8],
    (stride, at): (usize, usize),
    columns: &[u32],
    levels: &[i32],
    sums: &mut [i32],
) -> usize {
    let mut acc = [[vdupq_n_s32(0); 4]; N];
    for (columns, levels) in columns.chunks(2).zip(levels.chunks(2)) {
        let (rows, [x0, x1]) = two(columns, levels);
        let rows = rows.map(|row| weights[row * stride + at..][..16 * N].as_chunks::<16>().0);
        for (n, acc) in acc.iter_mut().enumerate() {
            let (r0, r1) = (load(&rows[0][n]), load(&rows[1][n]));
            let lower = vmull_s8(vget_low_s8(r0), vget_low_s8(x0));
            let lower = vmlal_s8(lower, vget_low_s8(r1), vget_low_s8(x1));
            let upper = vmlal_high_s8(vmull_high_s8(r0, x0), r1, x1);
            acc[0] = vaddw_s16(acc[0], vget_low_s16(lower));
            acc[1] = vaddw_high_s16(acc[1], lower);
            acc[2] = vaddw_s16(acc[2], vget_low_s16(upper));
            acc[3] = vaddw_high_s16(acc[3], upper);
        }
    }
    for (sums, acc) in sums.as_chunks_mut::<4>().0.iter_mut().zip(acc.as_flattened()) {
        store(sums, *acc);
    }
    16 * N
}

/// Eight columns; returns that.
#[inline]
#[target_feature(enable = "neon")]
fn narrow_block(
    weights: &[i8],
    (stride, at): (usize, usize),
    columns: &[u32],
    levels: &[i32],
    sums: &mut [i32],
) -> usize {
    let mut acc = [vdupq_n_s32(0); 2];
    for (columns, levels) in columns.chunks(2).zip(levels.chunks(2)) {
        let (rows, [x0, x1]) = two(columns, levels);
        let rows = rows.map(|row| &weights[row * stride + at..].as_chunks::<LANES>().0[0]);
        let products = vmull_s8(load_eight(rows[0]), vget_low_s8(x0));
        let products = vmlal_s8(products, load_eight(rows[1]), vget_low_s8(x1));
        acc[0] = vaddw_s16(acc[0], vget_low_s16(products));
        acc[1] = vaddw_high_s16(acc[1], products);
    }
    for (sums, acc) in sums.as_chunks_mut::<4>().0.iter_mut().zip(acc) {
        store(sums, acc);
    }
    LANES
}

/// Two rows and their activations, from two or one: what is missing has an activation of zero.
#[inline]
#[target_feature(enable = "neon")]
fn two(columns: &[u32], levels: &[i32]) -> ([usize; 2], [int8x16_t; 2]) {
    let (row, x) = (columns[0] as usize, vdupq_n_s8(levels[0] as i8));
    match (columns.get(1), levels.get(1)) {
        (Some(&column), Some(&level)) => ([row, column as usize], [x, vdupq_n_s8(level as i8)]),
        _ => ([row; 2], [x, vdupq_n_s8(0)]),
    }
}
