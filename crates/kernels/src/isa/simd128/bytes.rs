//! Tiles and panels of bytes.

use super::{load, store, widen};
use crate::form::Panels;
use crate::isa::cuts::{self, Block};
use crate::isa::portable;
use crate::lanes::{LANES, TILE, UNROLL};
use bytemuck::must_cast;
use std::arch::wasm32::*;

/// The sums of eight outputs: two of each, side by side.
type Eight = [v128; 4];

/// Adds products of numbers of 16 bits, in pairs, to four sums.
#[inline(always)]
fn add_pairs(acc: v128, a: v128, b: v128) -> v128 {
    i32x4_add(acc, i32x4_dot_i16x8(a, b))
}

/// The sums of eight outputs, which `sums` begin with, each from its two.
#[inline(always)]
fn finish(acc: Eight, sums: &mut [i32]) {
    for (sums, acc) in sums.as_chunks_mut::<4>().0.iter_mut().zip(acc.as_chunks::<2>().0) {
        let even = i32x4_shuffle::<0, 2, 4, 6>(acc[0], acc[1]);
        let odd = i32x4_shuffle::<1, 3, 5, 7>(acc[0], acc[1]);
        store(sums, i32x4_add(even, odd));
    }
}

/// Every row of a block times every panel, which stays in the nearest cache: two rows at a time.
pub(super) fn block_i8(block: Block<'_>, sums: &mut [i32], width: usize) {
    let count = block.rows.len() / block.stride;
    for (n, weights) in block.weights.chunks_exact(block.size).enumerate() {
        let mut row = 0;
        while row < count {
            let block = Block { weights, rows: &block.rows[row * block.stride..], ..block };
            let sums = &mut sums[row * width + n * LANES..];
            row += match count - row {
                2.. => few_rows::<2>(block, sums, width),
                _ => few_rows::<1>(block, sums, width),
            };
        }
    }
}

/// The first `R` rows of a block times its panel; returns how many rows those are.
#[inline(always)]
fn few_rows<const R: usize>(block: Block<'_>, sums: &mut [i32], width: usize) -> usize {
    let tiles = block.size / TILE;
    let [panel] = cuts::panels::<1>(block.weights, tiles);
    let rows = cuts::rows::<R>(block.rows, block.stride, tiles);
    let mut acc = [[i32x4_splat(0); 4]; R];
    for (i, tile) in panel.iter().enumerate() {
        let weights = tile.as_chunks::<8>().0;
        let mut levels = [i32x4_splat(0); R];
        for r in 0..R {
            levels[r] = i16x8_extend_low_i8x16(i32x4_splat(must_cast(rows[r][i])));
        }
        for n in 0..4 {
            let weights = widen(&weights[n]);
            for r in 0..R {
                acc[r][n] = add_pairs(acc[r][n], levels[r], weights);
            }
        }
    }
    for (r, acc) in acc.into_iter().enumerate() {
        finish(acc, &mut sums[r * width..][..LANES]);
    }
    R
}

/// Panels of 16 or 32 inputs.
pub(super) fn panels_i8(panels: &Panels<i8>, row: &[i8], sums: &mut [i32]) {
    let (tables, _) = row.as_chunks::<16>();
    match panels.size {
        16 => all_panels_i8::<1>(panels, tables, sums),
        _ => all_panels_i8::<2>(panels, tables, sums),
    }
}

/// A group is `G` tables of 16 activations.
#[inline(always)]
fn all_panels_i8<const G: usize>(panels: &Panels<i8>, tables: &[[i8; 16]], sums: &mut [i32]) {
    /// Halves of steps, each of four outputs.
    const HALVES: usize = 2 * UNROLL;
    let (tables, _) = tables.as_chunks::<G>();
    let (groups, _) = panels.groups.as_chunks::<UNROLL>();
    let (picks, _) = panels.picks.as_chunks::<16>().0.as_chunks::<HALVES>();
    let (values, _) = panels.values.as_chunks::<8>().0.as_chunks::<{ 2 * HALVES }>();
    for (ends, sums) in panels.starts.windows(2).zip(sums.chunks_exact_mut(LANES)) {
        let range = ends[0] as usize / UNROLL..ends[1] as usize / UNROLL;
        let steps = groups[range.clone()].iter().zip(&picks[range.clone()]).zip(&values[range]);
        let mut acc = [i32x4_splat(0); 4];
        for ((groups, picks), values) in steps {
            for i in 0..HALVES {
                let x = look_up(&tables[groups[i / 2] as usize], &picks[i]);
                let (first, second) = (2 * (i % 2), 2 * (i % 2) + 1);
                acc[first] = add_pairs(acc[first], i16x8_extend_low_i8x16(x), widen(&values[2 * i]));
                acc[second] = add_pairs(acc[second], i16x8_extend_high_i8x16(x), widen(&values[2 * i + 1]));
            }
        }
        finish(acc, sums);
    }
}

/// The activations that are picked from one or two tables; zero for an empty pick, which is beyond them.
#[inline(always)]
fn look_up<const G: usize>(tables: &[[i8; 16]; G], picks: &[u8; 16]) -> v128 {
    let picks = load(picks);
    let first = i8x16_swizzle(load(&tables[0]), picks);
    if G == 1 {
        return first;
    }
    // A pick of the first table is beyond the second, once it is taken 16 lower.
    v128_or(first, i8x16_swizzle(load(&tables[1 % G]), i8x16_sub(picks, i8x16_splat(16))))
}

/// The product of two vectors of the same length.
pub(super) fn dot_i8(levels: &[i8], weights: &[i8]) -> i32 {
    let ((x8, x), (w8, w)) = (levels.as_chunks::<8>(), weights.as_chunks::<8>());
    let mut acc = i32x4_splat(0);
    for (x, w) in x8.iter().zip(w8) {
        acc = add_pairs(acc, widen(x), widen(w));
    }
    let mut sums = [0; 4];
    store(&mut sums, acc);
    sums.into_iter().fold(portable::dot_i8(x, w), i32::wrapping_add)
}
