//! Rows of bytes, zeros included, two at a time: a product of both for each output.

use super::{store, widen};
use crate::isa::cuts::{Four, Touched};
use crate::lanes::LANES;
use std::arch::wasm32::*;

pub(super) fn rows_i8(rows: Touched<'_>, sums: &mut [i32]) {
    let mut at = 0;
    while at < rows.stride {
        let left = &mut sums[at..rows.stride];
        at += match left.len() {
            32.. => block::<4>(rows, at, left),
            _ => block::<1>(rows, at, left),
        };
    }
}

/// `N` blocks of eight columns from column `at` on, which `sums` begin with; returns the columns done.
#[inline(always)]
fn block<const N: usize>(rows: Touched<'_>, at: usize, sums: &mut [i32]) -> usize {
    let mut acc = [[i32x4_splat(0); 2]; N];
    let (fours, last) = rows.fours();
    for four in fours {
        add_four(&mut acc, rows, four, at);
    }
    if let Some(four) = last {
        add_four(&mut acc, rows, four, at);
    }
    for (sums, acc) in sums.as_chunks_mut::<4>().0.iter_mut().zip(acc.as_flattened()) {
        store(sums, *acc);
    }
    N * LANES
}

#[inline(always)]
fn add_four<const N: usize>(acc: &mut [[v128; 2]; N], rows: Touched<'_>, four: Four, at: usize) {
    let [r0, r1, r2, r3] = rows.cut(four, at, N * LANES);
    let [x0, x1, x2, x3] = four.levels;
    add_two(acc, (r0, r1), (x0, x1));
    add_two(acc, (r2, r3), (x2, x3));
}

#[inline(always)]
fn add_two<const N: usize>(acc: &mut [[v128; 2]; N], (r0, r1): (&[i8], &[i8]), (x0, x1): (i8, i8)) {
    let (r0, r1) = (r0.as_chunks::<LANES>().0, r1.as_chunks::<LANES>().0);
    let levels = i32x4_splat(i32::from(x0) & 0xffff | i32::from(x1) << 16);
    for (n, acc) in acc.iter_mut().enumerate() {
        let (r0, r1) = (widen(&r0[n]), widen(&r1[n]));
        // The weights of both rows side by side for each column.
        let lower = i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(r0, r1);
        let upper = i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(r0, r1);
        acc[0] = i32x4_add(acc[0], i32x4_dot_i16x8(levels, lower));
        acc[1] = i32x4_add(acc[1], i32x4_dot_i16x8(levels, upper));
    }
}
