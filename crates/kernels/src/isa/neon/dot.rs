//! Loops for processors that add four products of bytes to each of four sums by one instruction.

use super::{Neon, byte_loops, load, load_eight, store};
use crate::form::{Panels, Tiles};
use crate::isa::cuts::{self, Block, Touched};
use crate::isa::{Kernels, byte_kernels, portable};
use crate::lanes::{LANES, QUAD, TILE, UNROLL};
use bytemuck::must_cast;
use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

/// The proof that this processor has NEON and the instruction for products of bytes: only [`NeonDot::detect`]
/// makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NeonDot(Neon);

impl NeonDot {
    /// A token if this processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        Neon::detect().filter(|_| is_aarch64_feature_detected!("dotprod")).map(Self)
    }
}

impl Kernels for NeonDot {
    byte_kernels!(block_i8);

    fn rows_f32(self, weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        self.0.rows_f32(weights, stride, columns, values, sums);
    }

    fn panels_f32(self, panels: &Panels<f32>, row: &[f32], sums: &mut [f32]) {
        self.0.panels_f32(panels, row, sums);
    }

    fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        self.0.dot(a, b)
    }
}

/// Adds the products of four activations and four weights to each of four sums.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_fours(acc: int32x4_t, levels: int8x16_t, weights: int8x16_t) -> int32x4_t {
    let mut sum = acc;
    // The standard library has no stable name for it.
    // SAFETY: the instruction reads and writes nothing but the named registers, and the processor has it because
    // this function asks for it.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {levels:v}.16b, {weights:v}.16b",
            sum = inout(vreg) sum,
            levels = in(vreg) levels,
            weights = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

#[target_feature(enable = "neon,dotprod")]
fn rows_i8(rows: Touched<'_>, sums: &mut [i32]) {
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

/// `N` blocks of 16 columns from column `at` on, which `sums` begin with, four rows at a time; returns the columns
/// done.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn block<const N: usize>(rows: Touched<'_>, at: usize, sums: &mut [i32]) -> usize {
    let mut acc = [[vdupq_n_s32(0); 4]; N];
    let (fours, last) = rows.fours();
    for four in fours {
        add_rows(&mut acc, rows.cut(four, at, 16 * N), spread(four.levels));
    }
    if let Some(four) = last {
        add_rows(&mut acc, rows.cut(four, at, 16 * N), spread(four.levels));
    }
    for (sums, acc) in sums.as_chunks_mut::<4>().0.iter_mut().zip(acc.as_flattened()) {
        store(sums, *acc);
    }
    16 * N
}

#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_rows<const N: usize>(acc: &mut [[int32x4_t; 4]; N], rows: [&[i8]; 4], levels: int8x16_t) {
    let [r0, r1, r2, r3] = rows;
    let (r0, r1) = (r0.as_chunks::<16>().0, r1.as_chunks::<16>().0);
    let (r2, r3) = (r2.as_chunks::<16>().0, r3.as_chunks::<16>().0);
    for (n, acc) in acc.iter_mut().enumerate() {
        let (r0, r1, r2, r3) = (load(&r0[n]), load(&r1[n]), load(&r2[n]), load(&r3[n]));
        // Four bytes of four rows side by side for each column.
        let lower = (vzip1q_s8(r0, r1), vzip1q_s8(r2, r3));
        let upper = (vzip2q_s8(r0, r1), vzip2q_s8(r2, r3));
        acc[0] = add_fours(acc[0], levels, first_fours(lower));
        acc[1] = add_fours(acc[1], levels, last_fours(lower));
        acc[2] = add_fours(acc[2], levels, first_fours(upper));
        acc[3] = add_fours(acc[3], levels, last_fours(upper));
    }
}

/// Eight columns; returns that.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn narrow_block(rows: Touched<'_>, at: usize, sums: &mut [i32]) -> usize {
    let mut acc = [vdupq_n_s32(0); 2];
    let (fours, last) = rows.fours();
    for four in fours {
        add_narrow_rows(&mut acc, rows.cut(four, at, LANES), spread(four.levels));
    }
    if let Some(four) = last {
        add_narrow_rows(&mut acc, rows.cut(four, at, LANES), spread(four.levels));
    }
    let (sums, _) = sums.as_chunks_mut::<4>();
    store(&mut sums[0], acc[0]);
    store(&mut sums[1], acc[1]);
    LANES
}

#[inline]
#[target_feature(enable = "neon,dotprod")]
fn add_narrow_rows(acc: &mut [int32x4_t; 2], rows: [&[i8]; 4], levels: int8x16_t) {
    let [r0, r1, r2, r3] = rows;
    let (r0, r1, r2, r3) = (load_eight(r0), load_eight(r1), load_eight(r2), load_eight(r3));
    let r01 = vcombine_s8(vzip1_s8(r0, r1), vzip2_s8(r0, r1));
    let r23 = vcombine_s8(vzip1_s8(r2, r3), vzip2_s8(r2, r3));
    acc[0] = add_fours(acc[0], levels, first_fours((r01, r23)));
    acc[1] = add_fours(acc[1], levels, last_fours((r01, r23)));
}

#[inline]
#[target_feature(enable = "neon,dotprod")]
fn spread(levels: [i8; 4]) -> int8x16_t {
    vreinterpretq_s8_s32(vdupq_n_s32(must_cast(levels)))
}

/// Four of four rows side by side, for the first four of eight columns, from pairs of two rows each.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn first_fours((r01, r23): (int8x16_t, int8x16_t)) -> int8x16_t {
    vreinterpretq_s8_s16(vzip1q_s16(vreinterpretq_s16_s8(r01), vreinterpretq_s16_s8(r23)))
}

/// As [`first_fours`], for the other four columns.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn last_fours((r01, r23): (int8x16_t, int8x16_t)) -> int8x16_t {
    vreinterpretq_s8_s16(vzip2q_s16(vreinterpretq_s16_s8(r01), vreinterpretq_s16_s8(r23)))
}

byte_loops!("neon,dotprod");
