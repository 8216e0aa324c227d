//! Loops in vectors of 128 bits for WebAssembly: [`Simd128`].
//!
//! An engine accepts a module as a whole or not at all, so there is nothing to detect: a module that is compiled for these
//! instructions has the set. Bytes are widened to 16 bits, and products are added in pairs, of which a sum of an output is two
//! until its end. Products of floats are rounded before they are added, in the order of the portable loops: WebAssembly fuses the
//! two only where an engine likes to, which would not be the same bits everywhere.

mod bytes;
mod floats;
mod rows;

use super::cuts::{Block, Touched};
use super::{FloatBlocks, Kernels};
use crate::form::{Panels, Tiles};
use crate::lanes::LANES;
use bytemuck::Pod;
use std::arch::wasm32::{i16x8_load_extend_i8x8, v128, v128_load, v128_store};

/// The instructions that this module was compiled for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Simd128;

impl Kernels for Simd128 {
    fn rows_f32(self, weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        floats::rows_f32(weights, stride, columns, values, sums);
    }

    fn float_blocks(self, stride: usize) -> Option<FloatBlocks> {
        stride.is_multiple_of(LANES).then_some(FloatBlocks::Rows)
    }

    fn block_f32(self, weights: &[f32], stride: usize, rows: &[f32], sums: &mut [f32]) {
        floats::block_f32(weights, stride, rows, sums);
    }

    fn rows_i8(self, rows: Touched<'_>, sums: &mut [i32]) {
        rows::rows_i8(rows, sums);
    }

    fn panels_f32(self, panels: &Panels<f32>, row: &[f32], sums: &mut [f32]) {
        floats::panels_f32(panels, row, sums);
    }

    fn panels_i8(self, panels: &Panels<i8>, row: &[i8], sums: &mut [i32]) {
        bytes::panels_i8(panels, row, sums);
    }

    fn tiles_i8(self, tiles: &Tiles<i8>, row: &[i8], narrow: bool, sums: &mut [i32]) {
        let width = sums.len();
        bytes::block_i8(Block::of(tiles, row, narrow), sums, width);
    }

    fn block_i8(self, block: Block<'_>, sums: &mut [i32], width: usize) {
        bytes::block_i8(block, sums, width);
    }

    fn dot_i8(self, levels: &[i8], weights: &[i8]) -> i32 {
        bytes::dot_i8(levels, weights)
    }
}

/// Bytes as numbers of 16 bits.
#[inline(always)]
fn widen(bytes: &[i8; 8]) -> v128 {
    // SAFETY: eight bytes are read, which the array has; they need not be aligned.
    unsafe { i16x8_load_extend_i8x8(bytes.as_ptr()) }
}

#[inline(always)]
fn load<T: Pod, const N: usize>(numbers: &[T; N]) -> v128 {
    const { assert!(size_of::<[T; N]>() == size_of::<v128>()) };
    // SAFETY: a vector is read, which the array has; it need not be aligned.
    unsafe { v128_load(numbers.as_ptr().cast()) }
}

#[inline(always)]
fn store<T: Pod>(numbers: &mut [T; 4], vector: v128) {
    const { assert!(size_of::<[T; 4]>() == size_of::<v128>()) };
    // SAFETY: a vector is written, for which the array has room; it need not be aligned.
    unsafe { v128_store(numbers.as_mut_ptr().cast(), vector) }
}
