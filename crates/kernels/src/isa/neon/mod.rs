//! Loops for 64-bit ARM processors with NEON, as practically all have: [`Neon`]; and with the instruction for
//! products of bytes of ARMv8.2 and later: [`NeonDot`].
//!
//! Without that instruction, products of bytes are added in pairs as 16-bit numbers, which two products within
//! `±127 · 127` never leave (-128 is refused when a matrix is made), and only then as 32-bit ones.

mod bytes;
mod dot;
mod floats;
mod rows;

use super::cuts::{self, Block, Touched};
use super::{Kernels, byte_kernels, portable};
use crate::form::{Panels, Tiles};
use crate::lanes::{LANES, QUAD, TILE, UNROLL};
use bytemuck::must_cast;
use bytes::byte_loops;
use rows::rows_i8;
use std::arch::aarch64::*;
use std::arch::is_aarch64_feature_detected;

pub(crate) use dot::NeonDot;

/// The proof that this processor has NEON: only [`Neon::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon(());

impl Neon {
    /// A token if this processor has the instructions, and bytes in the order that the loops take for granted.
    pub(crate) fn detect() -> Option<Self> {
        (cfg!(target_endian = "little") && is_aarch64_feature_detected!("neon")).then_some(Self(()))
    }
}

impl Kernels for Neon {
    byte_kernels!(block_i8);

    fn rows_f32(self, weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        // SAFETY: `self` exists only if the processor has NEON, which is all that the call asks for.
        unsafe { floats::rows_f32(weights, stride, columns, values, sums) }
    }

    fn panels_f32(self, panels: &Panels<f32>, row: &[f32], sums: &mut [f32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { floats::panels_f32(panels, row, sums) }
    }

    fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        // SAFETY: as in `rows_f32`.
        unsafe { floats::dot(a, b) }
    }
}

/// Adds the products of four activations and four weights to each of four sums.
#[inline]
#[target_feature(enable = "neon")]
fn add_fours(acc: int32x4_t, levels: int8x16_t, weights: int8x16_t) -> int32x4_t {
    let lower = vmull_s8(vget_low_s8(levels), vget_low_s8(weights));
    let upper = vmull_high_s8(levels, weights);
    vpadalq_s16(acc, vpaddq_s16(lower, upper))
}

#[inline]
#[target_feature(enable = "neon")]
fn load(bytes: &[i8; 16]) -> int8x16_t {
    // SAFETY: 16 bytes are read, which the array has; they need not be aligned.
    unsafe { vld1q_s8(bytes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_eight(bytes: &[i8]) -> int8x8_t {
    let bytes = &bytes[..8];
    // SAFETY: 8 bytes are read, as many as the slice has; they need not be aligned.
    unsafe { vld1_s8(bytes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(sums: &mut [i32; 4], sum: int32x4_t) {
    // SAFETY: four numbers are written, which the array has room for.
    unsafe { vst1q_s32(sums.as_mut_ptr(), sum) }
}

byte_loops!("neon");
