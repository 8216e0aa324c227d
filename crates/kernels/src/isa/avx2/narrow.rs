//! Rows of weights of up to 4 bits: products are added up in 16 bits, and only every so often in 32.
//!
//! That takes half the additions of wider weights, and rows are put side by side in twos instead of fours, which takes
//! half the moves.

use super::narrow_rows;
use super::steps::{add_to, load, none_negative, products};
use crate::isa::cuts::Touched;
use crate::lanes::LANES;
use bytemuck::must_cast;
use std::arch::x86_64::*;

/// Fours of rows whose products fit into 16 bits: each adds up to `4 · 127 · 8`.
const FOURS: usize = 8;

#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn rows_i8(rows: Touched<'_>, sums: &mut [i32]) {
    if none_negative(rows.levels) {
        all_rows_i8::<false>(rows, sums);
    } else {
        all_rows_i8::<true>(rows, sums);
    }
}

/// Without `SIGNED`, no activation may be negative.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn all_rows_i8<const SIGNED: bool>(rows: Touched<'_>, sums: &mut [i32]) {
    let mut at = 0;
    while at < rows.stride {
        let left = &mut sums[at..rows.stride];
        at += match left.len() {
            128.. => wide_rows::<4, SIGNED>(rows, at, left),
            64.. => wide_rows::<2, SIGNED>(rows, at, left),
            32.. => wide_rows::<1, SIGNED>(rows, at, left),
            _ => narrow_rows::<SIGNED>(rows, at, left),
        };
    }
}

/// `B` blocks of 32 columns from column `at` on, which `sums` begin with; returns the columns done.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn wide_rows<const B: usize, const SIGNED: bool>(rows: Touched<'_>, at: usize, sums: &mut [i32]) -> usize {
    sums[..32 * B].fill(0);
    let mut acc = [[_mm256_setzero_si256(); 2]; B];
    let mut room = FOURS;
    let (fours, last) = rows.fours();
    for four in fours {
        if room == 0 {
            move_into(sums, &mut acc);
            room = FOURS;
        }
        add_rows::<B, SIGNED>(&mut acc, rows.cut(four, at, 32 * B), four.levels);
        room -= 1;
    }
    if let Some(four) = last {
        if room == 0 {
            move_into(sums, &mut acc);
        }
        add_rows::<B, SIGNED>(&mut acc, rows.cut(four, at, 32 * B), four.levels);
    }
    move_into(sums, &mut acc);
    32 * B
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn add_rows<const B: usize, const SIGNED: bool>(
    acc: &mut [[__m256i; 2]; B],
    [r0, r1, r2, r3]: [&[i8]; 4],
    [x0, x1, x2, x3]: [i8; 4],
) {
    let x01 = _mm256_set1_epi16(must_cast([x0, x1]));
    let x23 = _mm256_set1_epi16(must_cast([x2, x3]));
    for (b, acc) in acc.iter_mut().enumerate() {
        let (r0, r1, r2, r3) = (load(r0, 32 * b), load(r1, 32 * b), load(r2, 32 * b), load(r3, 32 * b));
        // The first eight columns of each half, then the others: pairs of two rows each.
        let first = _mm256_add_epi16(
            products::<SIGNED>(x01, _mm256_unpacklo_epi8(r0, r1)),
            products::<SIGNED>(x23, _mm256_unpacklo_epi8(r2, r3)),
        );
        let second = _mm256_add_epi16(
            products::<SIGNED>(x01, _mm256_unpackhi_epi8(r0, r1)),
            products::<SIGNED>(x23, _mm256_unpackhi_epi8(r2, r3)),
        );
        acc[0] = _mm256_add_epi16(acc[0], first);
        acc[1] = _mm256_add_epi16(acc[1], second);
    }
}

/// Adds what was added up in 16 bits to the sums, in the order of the columns.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn move_into<const B: usize>(sums: &mut [i32], acc: &mut [[__m256i; 2]; B]) {
    for (b, [first, second]) in acc.iter_mut().enumerate() {
        let quarters = [
            _mm256_castsi256_si128(*first),
            _mm256_castsi256_si128(*second),
            _mm256_extracti128_si256::<1>(*first),
            _mm256_extracti128_si256::<1>(*second),
        ];
        for (n, quarter) in quarters.into_iter().enumerate() {
            add_to(sums, 32 * b + n * LANES, _mm256_cvtepi16_epi32(quarter));
        }
        (*first, *second) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    }
}
