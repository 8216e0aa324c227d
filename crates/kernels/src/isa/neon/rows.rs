//! Rows of bytes, zeros included, two at a time: their products are added as 16-bit numbers first.

use super::{load, load_eight, store};
use crate::isa::cuts::Touched;
use crate::lanes::LANES;
use std::arch::aarch64::*;

#[target_feature(enable = "neon")]
pub(super) fn rows_i8(rows: Touched<'_>, sums: &mut [i32]) {
    let mut at = 0;
    while at < rows.stride {
        let left = &mut sums[at..rows.stride];
        at += match left.len() {
            64.. => block::<4>(rows, at, left),
            32.. => block::<2>(rows, at, left),
            16.. => block::<1>(rows, at, left),
            _ => narrow_block(rows, at, left),
        };
    }
}

/// `N` blocks of 16 columns from column `at` on, which `sums` begin with; returns the columns done.
#[inline]
#[target_feature(enable = "neon")]
fn block<const N: usize>(rows: Touched<'_>, at: usize, sums: &mut [i32]) -> usize {
    let mut acc = [[vdupq_n_s32(0); 4]; N];
    let (fours, last) = rows.fours();
    for four in fours {
        let [r0, r1, r2, r3] = rows.cut(four, at, 16 * N);
        let [x0, x1, x2, x3] = four.levels;
        add_rows(&mut acc, (r0, r1), (x0, x1));
        add_rows(&mut acc, (r2, r3), (x2, x3));
    }
    if let Some(four) = last {
        let [r0, r1, r2, r3] = rows.cut(four, at, 16 * N);
        let [x0, x1, x2, x3] = four.levels;
        add_rows(&mut acc, (r0, r1), (x0, x1));
        add_rows(&mut acc, (r2, r3), (x2, x3));
    }
    for (sums, acc) in sums.as_chunks_mut::<4>().0.iter_mut().zip(acc.as_flattened()) {
        store(sums, *acc);
    }
    16 * N
}

#[inline]
#[target_feature(enable = "neon")]
fn add_rows<const N: usize>(acc: &mut [[int32x4_t; 4]; N], (r0, r1): (&[i8], &[i8]), (x0, x1): (i8, i8)) {
    let (r0, r1) = (r0.as_chunks::<16>().0, r1.as_chunks::<16>().0);
    let (x0, x1) = (vdupq_n_s8(x0), vdupq_n_s8(x1));
    for (n, acc) in acc.iter_mut().enumerate() {
        let (r0, r1) = (load(&r0[n]), load(&r1[n]));
        let lower = vmull_s8(vget_low_s8(r0), vget_low_s8(x0));
        let lower = vmlal_s8(lower, vget_low_s8(r1), vget_low_s8(x1));
        let upper = vmlal_high_s8(vmull_high_s8(r0, x0), r1, x1);
        acc[0] = vaddw_s16(acc[0], vget_low_s16(lower));
        acc[1] = vaddw_high_s16(acc[1], lower);
        acc[2] = vaddw_s16(acc[2], vget_low_s16(upper));
        acc[3] = vaddw_high_s16(acc[3], upper);
    }
}

/// Eight columns; returns that.
#[inline]
#[target_feature(enable = "neon")]
fn narrow_block(rows: Touched<'_>, at: usize, sums: &mut [i32]) -> usize {
    let mut acc = [vdupq_n_s32(0); 2];
    let (fours, last) = rows.fours();
    for four in fours {
        add_narrow_rows(&mut acc, rows.cut(four, at, LANES), four.levels);
    }
    if let Some(four) = last {
        add_narrow_rows(&mut acc, rows.cut(four, at, LANES), four.levels);
    }
    let (sums, _) = sums.as_chunks_mut::<4>();
    store(&mut sums[0], acc[0]);
    store(&mut sums[1], acc[1]);
    LANES
}

#[inline]
#[target_feature(enable = "neon")]
fn add_narrow_rows(acc: &mut [int32x4_t; 2], [r0, r1, r2, r3]: [&[i8]; 4], [x0, x1, x2, x3]: [i8; 4]) {
    let first = vmull_s8(load_eight(r0), vdup_n_s8(x0));
    let first = vmlal_s8(first, load_eight(r1), vdup_n_s8(x1));
    let second = vmull_s8(load_eight(r2), vdup_n_s8(x2));
    let second = vmlal_s8(second, load_eight(r3), vdup_n_s8(x3));
    acc[0] = vaddw_s16(vaddw_s16(acc[0], vget_low_s16(first)), vget_low_s16(second));
    acc[1] = vaddw_high_s16(vaddw_high_s16(acc[1], first), second);
}
