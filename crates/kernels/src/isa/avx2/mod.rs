//! Loops for x86-64 processors with AVX2, FMA and POPCNT, as all with AVX2 have.
//!
//! 8-bit products use `vpmaddubsw`, which multiplies unsigned by signed bytes and adds two neighbours with
//! saturation at 16 bits. Activations go in as magnitudes and their signs move to the weights; as both are within
//! `±127`, two products are within `±32258` and never saturate (-128 is refused when a matrix is made).

mod block;
mod forms;
mod narrow;
pub(super) mod rows;
pub(super) mod steps;

use super::Rescale;
use super::cuts::{self, Block, Touched};
use super::x86_bytes::byte_loops;
use super::{FloatBlocks, Kernels, portable};
use crate::form::{Chunks, Panels, Strips, Tiles, lay_out};
use crate::lanes::{LANES, QUAD, TILE, UNROLL};
use bytemuck::must_cast;
use std::arch::x86_64::*;
use steps::{
    add_two, four_narrow_rows, four_rows, load, look_up, none_negative, pack_fours, products, store,
    store_in_order,
};

/// The proof that this processor has AVX2, FMA and POPCNT: only [`Avx2::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// A token if this processor has the instructions; asked once, then remembered by the standard library.
    pub(crate) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("popcnt");
        all.then_some(Self(()))
    }
}

/// The methods of [`Kernels`] for a set of instructions that includes those of AVX2, the token of which is its first
/// field, and improves on `rows_i8`, `panels_i8`, `tiles_i8` and `dot_i8` alone, or on `rows_f32`, too.
macro_rules! forward_to_avx2 {
    () => {
        forward_to_avx2! {
            rows_f32(weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) -> ();
        }
        forward_to_avx2!(but rows of floats);
    };
    (but rows of floats) => {
        forward_to_avx2! {
            float_blocks(stride: usize) -> Option<FloatBlocks>;
            rows_i32(weights: &[i32], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i64]) -> ();
            lists_f32(lists: &Chunks<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) -> ();
            lists_i8(lists: &Chunks<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) -> ();
            strips_f32(strips: &Strips<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) -> ();
            strips_i8(strips: &Strips<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) -> ();
            panels_f32(panels: &Panels<f32>, row: &[f32], sums: &mut [f32]) -> ();
            dot(a: &[f32], b: &[f32]) -> f32;
            compress(row: &[f32], columns: &mut [u32], values: &mut [f32]) -> usize;
            quantize(row: &[f32], levels: i32, out: &mut [i32]) -> f32;
            quantize_at(row: &[f32], scale: f32, levels: i32, out: &mut [i32]) -> ();
            rescale(sums: &[i32], rescale: Rescale<'_>, out: &mut [f32]) -> ();
        }
    };
    ($($loop:ident($($name:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $loop(self, $($name: $type),*) -> $result {
            self.0.$loop($($name),*)
        })*
    };
}
pub(super) use forward_to_avx2;

impl Kernels for Avx2 {
    fn rows_f32(self, weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        // SAFETY: `self` exists only if the processor has AVX2, FMA and POPCNT, which is all that the call asks for.
        unsafe { rows::rows_f32(weights, stride, 0, columns, values, sums) }
    }

    fn float_blocks(self, stride: usize) -> Option<FloatBlocks> {
        stride.is_multiple_of(rows::IN_ORDER).then_some(FloatBlocks::Panels)
    }

    fn rows_i8(self, rows: Touched<'_>, sums: &mut [i32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { if rows.narrow { narrow::rows_i8(rows, sums) } else { rows_i8(rows, sums) } }
    }

    fn rows_i32(self, weights: &[i32], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i64]) {
        // SAFETY: as in `rows_f32`.
        unsafe { rows_i32(weights, stride, columns, levels, sums) }
    }

    fn lists_f32(self, lists: &Chunks<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { lists_f32(lists, columns, values, sums) }
    }

    fn strips_f32(self, strips: &Strips<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { forms::strips_f32(strips, columns, values, sums) }
    }

    fn strips_i8(self, strips: &Strips<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { forms::strips_i8(strips, columns, levels, sums) }
    }

    fn panels_f32(self, panels: &Panels<f32>, row: &[f32], sums: &mut [f32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { forms::panels_f32(panels, row, sums) }
    }

    fn panels_i8(self, panels: &Panels<i8>, row: &[i8], sums: &mut [i32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { panels_i8(panels, row, sums) }
    }

    fn lists_i8(self, lists: &Chunks<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { lists_i8(lists, columns, levels, sums) }
    }

    fn tiles_i8(self, tiles: &Tiles<i8>, row: &[i8], narrow: bool, sums: &mut [i32]) {
        if narrow {
            return self.block_i8(Block::of(tiles, row, narrow), sums, sums.len());
        }
        // SAFETY: as in `rows_f32`.
        unsafe { tiles_i8(tiles, row, sums) }
    }

    fn block_i8(self, block: Block<'_>, sums: &mut [i32], width: usize) {
        // SAFETY: as in `rows_f32`.
        unsafe { block::block_i8(block, sums, width) }
    }

    fn pack_i8(self, rows: &[i8], stride: usize, tiles: &mut [i8], size: usize) {
        // SAFETY: as in `rows_f32`.
        let done = unsafe { pack_fours(rows, stride, tiles, size) };
        lay_out(rows, stride, done, tiles, size);
    }

    fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        // SAFETY: as in `rows_f32`.
        unsafe { dot(a, b) }
    }

    fn dot_i8(self, levels: &[i8], weights: &[i8]) -> i32 {
        // SAFETY: as in `rows_f32`.
        unsafe { dot_i8(levels, weights) }
    }

    fn compress(self, row: &[f32], columns: &mut [u32], values: &mut [f32]) -> usize {
        // SAFETY: as in `rows_f32`.
        unsafe { compress(row, columns, values) }
    }

    fn quantize(self, row: &[f32], levels: i32, out: &mut [i32]) -> f32 {
        // SAFETY: as in `rows_f32`.
        unsafe { quantize_avx2(row, levels, out) }
    }

    fn quantize_at(self, row: &[f32], scale: f32, levels: i32, out: &mut [i32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { quantize_at_avx2(row, scale, levels, out) }
    }

    fn rescale(self, sums: &[i32], rescale: Rescale<'_>, out: &mut [f32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { rescale_avx2(sums, rescale, out) }
    }
}

/// Adds the products of four weights and four activations, for each of eight columns.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn add_fours<const SIGNED: bool>(acc: __m256i, levels: __m256i, weights: __m256i) -> __m256i {
    add_two(acc, products::<SIGNED>(levels, weights))
}

/// Two blocks of rows, which is as many sums as there are registers.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn widest_rows<const SIGNED: bool>(rows: Touched<'_>, at: usize, sums: &mut [i32]) -> usize {
    wide_rows::<2, SIGNED>(rows, at, sums)
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn widest_tiles<const SIGNED: bool>(weights: &[i8], size: usize, row: &[i8], sums: &mut [i32]) -> usize {
    few_tiles::<4, SIGNED>(weights, size, row, sums)
}

byte_loops!("avx2,fma,popcnt");

#[target_feature(enable = "avx2,fma,popcnt")]
fn rows_i32(weights: &[i32], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i64]) {
    // Plain code, for which the compiler finds `vpmuldq` here.
    sums.fill(0);
    portable::rows(weights, stride, columns, levels, sums, |x, w| i64::from(x) * i64::from(w));
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn lists_i8(lists: &Chunks<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
    sums.fill(0);
    portable::lists(lists, columns, levels, sums, |x, w, sum| sum.wrapping_add(x.wrapping_mul(w.into())));
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn lists_f32(lists: &Chunks<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    portable::lists(lists, columns, values, sums, |x, w, sum| x.mul_add(w, sum));
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    portable::dot(a, b, |x, w, sum| x.mul_add(w, sum))
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn quantize_avx2(row: &[f32], levels: i32, out: &mut [i32]) -> f32 {
    crate::quantize::quantize(row, levels, out)
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn quantize_at_avx2(row: &[f32], scale: f32, levels: i32, out: &mut [i32]) {
    crate::quantize::quantize_at(row, scale, levels, out);
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn rescale_avx2(sums: &[i32], rescale: Rescale<'_>, out: &mut [f32]) {
    portable::rescale(sums, |sum| sum as f32, rescale, out);
}

/// For each set of lanes, the lanes in order, then anything.
const LANES_OF: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut set = 0;
    while set < 256 {
        let (mut lane, mut n) = (0, 0);
        while lane < 8 {
            if set >> lane & 1 == 1 {
                table[set][n] = lane;
                n += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    table
};

#[target_feature(enable = "avx2,fma,popcnt")]
fn compress(row: &[f32], columns: &mut [u32], values: &mut [f32]) -> usize {
    let (chunks, _) = row.as_chunks::<LANES>();
    let mut n = 0;
    let mut lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for chunk in chunks {
        let x: __m256 = must_cast(*chunk);
        let set = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(x, _mm256_setzero_ps())) as usize;
        let order = _mm_cvtsi64_si128(i64::from_le_bytes(LANES_OF[set & 0xff]));
        let order = _mm256_cvtepu8_epi32(order);
        // Whole vectors are written; what is beyond the non-zeros is written over by the next.
        let x: [f32; LANES] = must_cast(_mm256_permutevar8x32_ps(x, order));
        let at: [u32; LANES] = must_cast(_mm256_permutevar8x32_epi32(lanes, order));
        values[n..][..LANES].copy_from_slice(&x);
        columns[n..][..LANES].copy_from_slice(&at);
        lanes = _mm256_add_epi32(lanes, _mm256_set1_epi32(8));
        n += set.count_ones() as usize;
    }
    portable::compress(row, chunks.len() * LANES, n, columns, values)
}
