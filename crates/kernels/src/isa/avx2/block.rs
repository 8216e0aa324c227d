//! Blocks of rows times tiles of bytes, and rows of narrow bytes.

use super::add_fours;
use super::steps::{PAIRS, add_pairs, add_two, none_negative, store};
use crate::isa::cuts::{self, Block};
use crate::lanes::{LANES, TILE};
use bytemuck::must_cast;
use std::arch::x86_64::*;

#[target_feature(enable = "avx2,fma,popcnt")]
pub(super) fn block_i8(block: Block<'_>, sums: &mut [i32], width: usize) {
    if block.narrow {
        all_rows::<true>(block, sums, width);
    } else {
        all_rows::<false>(block, sums, width);
    }
}

/// Every row of a block times every panel: two panels, which stay in the nearest cache, with four rows at a
/// time. With `NARROW`, weights must be narrow.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn all_rows<const NARROW: bool>(block: Block<'_>, sums: &mut [i32], width: usize) {
    let (panels, count) = (block.weights.len() / block.size, block.rows.len() / block.stride);
    let signed = !none_negative(block.rows);
    let mut panel = 0;
    while panel < panels {
        let weights = &block.weights[panel * block.size..];
        let two = panels - panel > 1;
        // A row by itself has enough independent sums with four panels.
        if count == 1 && panels - panel > 3 {
            let (block, sums) = (Block { weights, ..block }, &mut sums[panel * LANES..]);
            match signed {
                false => few_rows::<1, 4, false, NARROW>(block, sums, width),
                true => few_rows::<1, 4, true, NARROW>(block, sums, width),
            };
            panel += 4;
            continue;
        }
        let mut row = 0;
        while row < count {
            let block = Block { weights, rows: &block.rows[row * block.stride..], ..block };
            let sums = &mut sums[row * width + panel * LANES..];
            row += match (count - row, two, signed) {
                (4.., true, false) => few_rows::<4, 2, false, NARROW>(block, sums, width),
                (4.., true, true) => few_rows::<4, 2, true, NARROW>(block, sums, width),
                (_, true, false) => few_rows::<1, 2, false, NARROW>(block, sums, width),
                (_, true, true) => few_rows::<1, 2, true, NARROW>(block, sums, width),
                (_, false, false) => few_rows::<1, 1, false, NARROW>(block, sums, width),
                (_, false, true) => few_rows::<1, 1, true, NARROW>(block, sums, width),
            };
        }
        panel += 1 + usize::from(two);
    }
}

/// The first `R` rows of a block times its first `P` panels; returns how many rows those are.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn few_rows<const R: usize, const P: usize, const SIGNED: bool, const NARROW: bool>(
    block: Block<'_>,
    sums: &mut [i32],
    width: usize,
) -> usize {
    let tiles = block.size / TILE;
    let panels = cuts::panels::<P>(block.weights, tiles);
    let rows = cuts::rows::<R>(block.rows, block.stride, tiles);
    let mut acc = [[_mm256_setzero_si256(); P]; R];
    if NARROW {
        for first in (0..tiles).step_by(PAIRS) {
            let mut pairs = [[_mm256_setzero_si256(); P]; R];
            for i in first..tiles.min(first + PAIRS) {
                for r in 0..R {
                    let levels = _mm256_set1_epi32(must_cast(rows[r][i]));
                    for p in 0..P {
                        pairs[r][p] = add_pairs::<SIGNED>(pairs[r][p], levels, must_cast(panels[p][i]));
                    }
                }
            }
            for r in 0..R {
                for p in 0..P {
                    acc[r][p] = add_two(acc[r][p], pairs[r][p]);
                }
            }
        }
    } else {
        for i in 0..tiles {
            for r in 0..R {
                let levels = _mm256_set1_epi32(must_cast(rows[r][i]));
                for p in 0..P {
                    acc[r][p] = add_fours::<SIGNED>(acc[r][p], levels, must_cast(panels[p][i]));
                }
            }
        }
    }
    for (r, acc) in acc.into_iter().enumerate() {
        for (p, acc) in acc.into_iter().enumerate() {
            store(sums, r * width + p * LANES, acc);
        }
    }
    R
}
