//! The inner loops, for each set of instructions.
//!
//! [`Kernels`] is the list of loops; its default methods are plain safe code for any processor. A set of
//! instructions is a token that exists only on processors that have them, so holding one is the proof that its
//! loops may run.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
// All of it is used where there is any set beside the portable one.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128")),
    allow(dead_code)
)]
mod cuts;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod sets;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
#[cfg(target_arch = "x86_64")]
mod x86_bytes;

use crate::form::{Chunks, Panels, Strips, Tiles, lay_out};
use crate::quantize::{quantize, quantize_at};
use nlpress_packed::Scales;

#[cfg(target_arch = "aarch64")]
use neon::{Neon, NeonDot};
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use simd128::Simd128;
#[cfg(target_arch = "x86_64")]
use {avx_vnni::AvxVnni, avx2::Avx2, avx512_vnni::Avx512Vnni};

pub(crate) use cuts::{Block, Touched};
pub(crate) use portable::rescale;
pub(crate) use sets::{Set, with_kernels};
pub use sets::{instruction_sets, limit_instructions};

/// Whether panels have fast loops on this processor: with any set of instructions of ours.
pub(crate) fn has_panels() -> bool {
    !matches!(Set::best(), Set::Portable(_))
}

/// What makes outputs of sums: the scale of the activations, those of the weights, and biases.
#[derive(Clone, Copy)]
pub(crate) struct Rescale<'a> {
    pub(crate) s: f32,
    pub(crate) scales: &'a Scales,
    pub(crate) bias: &'a [f32],
}

/// What multiplies several rows of floats at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) enum FloatBlocks {
    /// Products over panels of columns, which take each sum in the order of the inputs, one fused operation each.
    Panels,
    /// [`block_f32`](Kernels::block_f32).
    #[cfg(target_arch = "wasm32")]
    Rows,
}

/// Loops over rows of `stride` weights, where `stride` is 1 or a multiple of [`LANES`](crate::lanes::LANES) and as long as `sums`;
/// `columns` and `values` (or `levels`) are the non-zeros of the activations, as many of one as of the other.
pub(crate) trait Kernels: Copy {
    /// `sums[c] = Σ values[i] · weights[columns[i]][c]`, for `stride` of more than one.
    fn rows_f32(self, weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        sums.fill(0.0);
        portable::rows(weights, stride, columns, values, sums, |x, w| x * w);
    }

    /// What multiplies several rows of activations with rows of `stride` weights at once, each to the bit as `rows_f32` does
    /// (but for the sign of a zero).
    fn float_blocks(self, stride: usize) -> Option<FloatBlocks> {
        let _ = stride;
        None
    }

    /// As `rows_f32`, for several rows of activations with their zeros, one after the other; as many rows of `stride`
    /// sums. Only for [`FloatBlocks::Rows`].
    #[cfg(target_arch = "wasm32")]
    fn block_f32(self, weights: &[f32], stride: usize, rows: &[f32], sums: &mut [f32]) {
        let _ = (weights, stride, rows, sums);
        unreachable!("only called where there are such blocks");
    }

    /// As `rows_f32`, in integers: `levels` and weights are within `±127`.
    fn rows_i8(self, rows: Touched<'_>, sums: &mut [i32]) {
        let Touched { weights, stride, columns, levels, .. } = rows;
        sums.fill(0);
        portable::rows(weights, stride, columns, levels, sums, |x, w| i32::from(x) * i32::from(w));
    }

    /// As `rows_f32`, in long integers.
    fn rows_i32(self, weights: &[i32], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i64]) {
        sums.fill(0);
        portable::rows(weights, stride, columns, levels, sums, |x, w| i64::from(x) * i64::from(w));
    }

    /// As `rows_f32`, where only some weights of each row are there; there are
    /// [`SPARE`](crate::lanes::SPARE) more sums than outputs.
    fn lists_f32(self, lists: &Chunks<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        sums.fill(0.0);
        portable::lists(lists, columns, values, sums, |x, w, sum| sum + x * w);
    }

    /// As `lists_f32`, in integers.
    fn lists_i8(self, lists: &Chunks<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
        sums.fill(0);
        portable::lists(lists, columns, levels, sums, |x, w, sum| sum.wrapping_add(x.wrapping_mul(w.into())));
    }

    /// As `lists_f32`, in long integers.
    fn lists_i32(self, lists: &Chunks<i32>, columns: &[u32], levels: &[i32], sums: &mut [i64]) {
        sums.fill(0);
        portable::lists(lists, columns, levels, sums, |x, w, sum| {
            sum.wrapping_add(i64::from(x) * i64::from(w))
        });
    }

    /// As `lists_f32`, eight weights at a time; there are as many sums as outputs, rounded up to eights.
    fn strips_f32(self, strips: &Strips<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        sums.fill(0.0);
        portable::strips(strips, columns, values, sums, |x, w| x * w);
    }

    /// As `strips_f32`, in integers.
    fn strips_i8(self, strips: &Strips<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
        sums.fill(0);
        portable::strips(strips, columns, levels, sums, |x, w| x.wrapping_mul(w.into()));
    }

    /// As `strips_f32`, in long integers.
    fn strips_i32(self, strips: &Strips<i32>, columns: &[u32], levels: &[i32], sums: &mut [i64]) {
        sums.fill(0);
        portable::strips(strips, columns, levels, sums, |x, w| i64::from(x) * i64::from(w));
    }

    /// `sums[c] = Σ row[i] · weights[i][c]`; `row` is filled with zeros up to whole groups, and there are as many
    /// sums as outputs, rounded up to eights.
    fn panels_f32(self, panels: &Panels<f32>, row: &[f32], sums: &mut [f32]) {
        portable::panels(panels, row, sums, |x, w| x * w);
    }

    /// As `panels_f32`, in integers: `row` and weights are within `±127`.
    fn panels_i8(self, panels: &Panels<i8>, row: &[i8], sums: &mut [i32]) {
        portable::panels(panels, row, sums, |x, w| i32::from(x) * i32::from(w));
    }

    /// As `panels_f32`, in long integers.
    fn panels_i32(self, panels: &Panels<i32>, row: &[i32], sums: &mut [i64]) {
        portable::panels(panels, row, sums, |x, w| i64::from(x) * i64::from(w));
    }

    /// As `panels_f32`, where all weights are there.
    fn tiles_f32(self, tiles: &Tiles<f32>, row: &[f32], sums: &mut [f32]) {
        portable::tiles(&tiles.values, tiles.panel(), row, sums, |x, w| x * w);
    }

    /// As `tiles_f32`, in integers: `row` is within `±127`, and so are weights, or `narrow`: within `±`[`NARROW`](crate::lanes::NARROW).
    fn tiles_i8(self, tiles: &Tiles<i8>, row: &[i8], narrow: bool, sums: &mut [i32]) {
        let _ = narrow;
        portable::tiles(&tiles.values, tiles.panel(), row, sums, |x, w| i32::from(x) * i32::from(w));
    }

    /// As `tiles_i8`, for each row of a block: the sums of row `r` are at `sums[r · width..]`, as many as the block
    /// has outputs.
    fn block_i8(self, block: Block<'_>, sums: &mut [i32], width: usize) {
        let Block { weights, size, rows, stride, .. } = block;
        for (row, sums) in rows.chunks_exact(stride).zip(sums.chunks_mut(width)) {
            portable::tiles(weights, size, row, sums, |x, w| i32::from(x) * i32::from(w));
        }
    }

    /// Lays out the first columns of rows of `stride` weights, up to where the tiles are full, as panels of `size`.
    fn pack_i8(self, rows: &[i8], stride: usize, tiles: &mut [i8], size: usize) {
        lay_out(rows, stride, 0, tiles, size);
    }

    /// As `tiles_f32`, in long integers.
    fn tiles_i32(self, tiles: &Tiles<i32>, row: &[i32], sums: &mut [i64]) {
        portable::tiles(&tiles.values, tiles.panel(), row, sums, |x, w| i64::from(x) * i64::from(w));
    }

    /// The product of two vectors of the same length.
    fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        portable::dot(a, b, |x, w, sum| sum + x * w)
    }

    /// The product of two vectors of the same length, in integers within `±127`.
    fn dot_i8(self, levels: &[i8], weights: &[i8]) -> i32 {
        portable::dot_i8(levels, weights)
    }

    /// Puts the positions and the values of what is not zero to the front of `columns` and `values`, which have
    /// room for the row and [`LANES`](crate::lanes::LANES) more; returns how many they are.
    fn compress(self, row: &[f32], columns: &mut [u32], values: &mut [f32]) -> usize {
        portable::compress(row, 0, 0, columns, values)
    }

    /// See [`quantize_row`](crate::quantize_row).
    fn quantize(self, row: &[f32], levels: i32, out: &mut [i32]) -> f32 {
        quantize(row, levels, out)
    }

    /// See [`quantize_row_at`](crate::quantize_row_at).
    fn quantize_at(self, row: &[f32], scale: f32, levels: i32, out: &mut [i32]) {
        quantize_at(row, scale, levels, out);
    }

    /// `out_j = sum_j · (s · scale_j) + b_j`, each operation rounded to single precision, nothing fused.
    fn rescale(self, sums: &[i32], rescale: Rescale<'_>, out: &mut [f32]) {
        portable::rescale(sums, |sum| sum as f32, rescale, out);
    }
}

/// The methods of [`Kernels`] that multiply bytes, for a set of instructions beside which there are functions of their
/// names, compiled for its instructions; with a name of one that multiplies blocks, this, too.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! byte_kernels {
    ($block_i8:ident) => {
        byte_kernels!();

        fn block_i8(self, block: Block<'_>, sums: &mut [i32], width: usize) {
            // SAFETY: as in `rows_i8`.
            unsafe { $block_i8(block, sums, width) }
        }
    };
    () => {
        fn rows_i8(self, rows: Touched<'_>, sums: &mut [i32]) {
            // SAFETY: `self` exists only if the processor has the instructions of this set, which is all that the call
            // asks for.
            unsafe { rows_i8(rows, sums) }
        }

        fn panels_i8(self, panels: &Panels<i8>, row: &[i8], sums: &mut [i32]) {
            // SAFETY: as in `rows_i8`.
            unsafe { panels_i8(panels, row, sums) }
        }

        fn tiles_i8(self, tiles: &Tiles<i8>, row: &[i8], _narrow: bool, sums: &mut [i32]) {
            // SAFETY: as in `rows_i8`.
            unsafe { tiles_i8(tiles, row, sums) }
        }

        fn dot_i8(self, levels: &[i8], weights: &[i8]) -> i32 {
            // SAFETY: as in `rows_i8`.
            unsafe { dot_i8(levels, weights) }
        }
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use byte_kernels;

/// Instructions that every processor has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Kernels for Portable {}

#[cfg(test)]
mod tests;
