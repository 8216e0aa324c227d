//! Loops for processors that add four products of bytes to each of four sums by one instruction.

use super::{Neon, byte_loops, load, load_eight, store};
use crate::body::{Panels, QUAD, TILE, Tiles, UNROLL};
use crate::kernels::{Kernels, LANES};
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
    fn rows_f32(self, weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        self.0.rows_f32(weights, stride, columns, values, sums);
    }

    fn rows_i8(self, weights: &[i8], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
        // SAFETY: `self` exists only if the processor has NEON and the instruction for products of bytes, which is
        // all that the call asks for.
        unsafe { rows_i8(weights, stride, columns, levels, sums) }
    }

    fn panels_f32(self, panels: &Panels<f32>, row: &[f32], sums: &mut [f32]) {
        self.0.panels_f32(panels, row, sums);
    }

    fn panels_i8(self, panels: &Panels<i8>, row: &[i8], sums: &mut [i32]) {
        // SAFETY: as in `rows_i8`.
        unsafe { panels_i8(panels, row, sums) }
    }

    fn tiles_i8(self, tiles: &Tiles<i8>, row: &[i8], sums: &mut [i32]) {
        // SAFETY: as in `rows_i8`.
        unsafe { tiles_i8(tiles, row, sums) }
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
fn rows_i8(weights: &[i8], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
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

/// `N` blocks of 16 columns of rows of `stride` weights, from column `at` on, four rows at a time; returns the
/// columns done.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn block<const N: usize>(
    weights: &[i8],
    (stride, at): (usize, usize),
    columns: &[u32],
    levels: &[i32],
    sums: &mut [i32],
) -> usize {
    let mut acc = [[vdupq_n_s32(0); 4]; N];
    for (columns, levels) in columns.chunks(4).zip(levels.chunks(4)) {
        let (columns, levels) = four(columns, levels);
        let rows = columns.map(|column| weights[column * stride + at..][..16 * N].as_chunks::<16>().0);
        for (n, acc) in acc.iter_mut().enumerate() {
            let [r0, r1, r2, r3] =
                [load(&rows[0][n]), load(&rows[1][n]), load(&rows[2][n]), load(&rows[3][n])];
            // Four bytes of four rows side by side for each column.
            let lower = (vzip1q_s8(r0, r1), vzip1q_s8(r2, r3));
            let upper = (vzip2q_s8(r0, r1), vzip2q_s8(r2, r3));
            let fours = [first_fours(lower), last_fours(lower), first_fours(upper), last_fours(upper)];
            for (acc, fours) in acc.iter_mut().zip(fours) {
                *acc = add_fours(*acc, levels, fours);
            }
        }
    }
    for (sums, acc) in sums.as_chunks_mut::<4>().0.iter_mut().zip(acc.as_flattened()) {
        store(sums, *acc);
    }
    16 * N
}

/// Eight columns; returns that.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn narrow_block(
    weights: &[i8],
    (stride, at): (usize, usize),
    columns: &[u32],
    levels: &[i32],
    sums: &mut [i32],
) -> usize {
    let mut acc = [vdupq_n_s32(0); 2];
    for (columns, levels) in columns.chunks(4).zip(levels.chunks(4)) {
        let (columns, levels) = four(columns, levels);
        let rows = columns.map(|column| &weights[column * stride + at..].as_chunks::<LANES>().0[0]);
        let [r0, r1, r2, r3] =
            [load_eight(rows[0]), load_eight(rows[1]), load_eight(rows[2]), load_eight(rows[3])];
        let pairs = (
            vcombine_s8(vzip1_s8(r0, r1), vzip2_s8(r0, r1)),
            vcombine_s8(vzip1_s8(r2, r3), vzip2_s8(r2, r3)),
        );
        acc[0] = add_fours(acc[0], levels, first_fours(pairs));
        acc[1] = add_fours(acc[1], levels, last_fours(pairs));
    }
    for (sums, acc) in sums.as_chunks_mut::<4>().0.iter_mut().zip(acc) {
        store(sums, acc);
    }
    LANES
}

/// Four rows and their activations, from four or fewer: what is missing has an activation of zero.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn four(columns: &[u32], levels: &[i32]) -> ([usize; 4], int8x16_t) {
    let (mut rows, mut bytes) = ([columns[0] as usize; 4], [0; 4]);
    for i in 0..columns.len().min(4) {
        rows[i] = columns[i] as usize;
        bytes[i] = levels[i] as u8;
    }
    (rows, vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(bytes))))
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
