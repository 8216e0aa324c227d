//! Products by AMX: 16 rows times 16 columns times 32 inputs in one instruction.
//!
//! A tile of a panel is 16 rows of 64 bytes, each two inputs of 16 columns, which is how panels lie. Tile registers work beside
//! all others: what follows a product is done between the steps of the next one.

use super::PairRows;
use crate::amx::{Configured, HIGH};
use crate::floats::tile::{Finish, PAIR_ROWS, WIDE};
use crate::int8::{Avx512, LANES, Simd};
use std::arch::asm;

/// Rows that are multiplied together.
pub(in crate::floats) const ROWS: usize = 2 * HIGH;
const _: () = assert!(ROWS <= PAIR_ROWS, "room for the rows");
/// Pairs of inputs of a step.
pub(in crate::floats) const DEPTH: usize = 16;
/// Bytes of a row of a panel, and of a row of sums.
pub(in crate::floats) const PITCH: usize = 4 * WIDE;

/// What is multiplied in a step: 32 inputs of rows and columns.
pub(in crate::floats) trait Step {
    /// Numbers that an input is the sum of: a step has `[PARTS, DEPTH]` pairs of a row and `[PARTS, DEPTH, WIDE]` of a panel.
    const PARTS: usize;

    /// Adds the products of 16 rows, or of 32 if `BOTH`, to the tiles of sums: 0 and 1 for the upper rows, 2 and 3 for the lower.
    /// What is added to a sum, and in which order, is the same for both.
    ///
    /// # Safety
    /// Tiles must be configured. A step of so many rows, `stride` bytes apart, and of a panel must be there.
    unsafe fn add<const BOTH: bool>(rows: *const i32, stride: usize, panel: *const i32);
}

/// Numbers that are bfloat16.
pub(super) struct Whole;

impl Step for Whole {
    const PARTS: usize = 1;

    #[inline(always)]
    unsafe fn add<const BOTH: bool>(rows: *const i32, stride: usize, panel: *const i32) {
        // SAFETY: reads what the caller promises to be there, and changes registers of tiles.
        unsafe {
            if BOTH {
                asm!(
                    "tileloadd tmm4, [{x} + {stride}]",
                    "tileloadd tmm6, [{w} + {pitch}]",
                    "tileloadd tmm5, [{below} + {stride}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{w} + {pitch} + 64]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    x = in(reg) rows, below = in(reg) rows.byte_add(HIGH * stride), stride = in(reg) stride,
                    w = in(reg) panel, pitch = in(reg) PITCH,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
                    out("tmm6") _, out("tmm7") _, options(nostack, readonly)
                );
            } else {
                asm!(
                    "tileloadd tmm4, [{x} + {stride}]",
                    "tileloadd tmm6, [{w} + {pitch}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{w} + {pitch} + 64]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    x = in(reg) rows, stride = in(reg) stride, w = in(reg) panel, pitch = in(reg) PITCH,
                    out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, readonly)
                );
            }
        }
    }
}

/// `[ROWS, WIDE]`.
#[repr(align(64))]
struct Sums([[f32; WIDE]; ROWS]);

/// The sums of the block at hand, and of the one before it, which are still to be finished.
pub(in crate::floats) struct Blocks {
    sums: [Sums; 2],
    /// Which of them is at hand.
    current: usize,
    /// The block before: its first row, its rows, and its first column.
    left: (usize, usize, usize),
}

impl Blocks {
    pub(in crate::floats) fn new() -> Self {
        let sums = || Sums([[0.0; WIDE]; ROWS]);
        Self { sums: [sums(), sums()], current: 0, left: (0, 0, 0) }
    }

    /// `rows · panel`, whose first column is the column `column` of the result; what follows the last block is done with the next
    /// panel, or by [`end`](Blocks::end). After each step does `meanwhile`, which may not use tiles, for the block, the number of
    /// blocks and the step.
    #[inline(always)]
    pub(in crate::floats) fn multiply<P: Step>(
        &mut self,
        configured: Configured<'_>,
        simd: Avx512,
        rows: PairRows<'_>,
        (panel, column): (&[i32], usize),
        mut meanwhile: impl FnMut(usize, usize, usize),
        finish: &mut impl Finish,
    ) {
        let blocks = rows.count.div_ceil(ROWS);
        let steps = panel.len() / (P::PARTS * DEPTH * WIDE);
        for block in 0..blocks {
            let first = block * ROWS;
            let count = ROWS.min(rows.count - first);
            let (above, below) = self.sums.split_at_mut(1);
            let (current, before) =
                if self.current == 0 { (&mut above[0], &below[0]) } else { (&mut below[0], &above[0]) };
            let (first_left, rows_left, column_left) = self.left;
            let each = rows_left.div_ceil(steps.max(1));
            let rows = PairRows { pairs: &rows.pairs[first * rows.stride..], count, ..rows };
            tile::<P>(
                configured,
                rows,
                panel,
                current,
                #[inline(always)]
                |step| {
                    meanwhile(block, blocks, step);
                    for row in step * each..rows_left.min((step + 1) * each) {
                        finish_row(simd, first_left + row, column_left, &before.0[row], finish);
                    }
                },
            );
            self.current ^= 1;
            self.left = (first, count, column);
        }
    }

    /// What follows the last block.
    #[inline(always)]
    pub(in crate::floats) fn end(&mut self, simd: Avx512, finish: &mut impl Finish) {
        let (first, rows, column) = std::mem::take(&mut self.left);
        for row in 0..rows {
            finish_row(simd, first + row, column, &self.sums[self.current ^ 1].0[row], finish);
        }
    }
}

#[inline(always)]
fn finish_row(simd: Avx512, row: usize, column: usize, sums: &[f32; WIDE], finish: &mut impl Finish) {
    let (sums, _) = sums.as_chunks::<LANES>();
    for vector in 0..WIDE / LANES {
        finish.vector(simd, row, column + vector * LANES, simd.load(&sums[vector]));
    }
}

/// Up to [`ROWS`] rows times a panel; does `work` after each step.
#[inline(always)]
fn tile<P: Step>(
    _configured: Configured<'_>,
    rows: PairRows<'_>,
    panel: &[i32],
    sums: &mut Sums,
    mut work: impl FnMut(usize),
) {
    let PairRows { pairs, stride, count } = rows;
    let (row, deep) = (P::PARTS * DEPTH, P::PARTS * DEPTH * WIDE);
    let steps = panel.len() / deep;
    let read = if count <= HIGH { HIGH } else { ROWS };
    assert!(panel.len() == steps * deep && steps > 0, "whole steps of a panel");
    assert!(count <= ROWS && stride >= steps * row && pairs.len() >= read * stride, "pairs of rows");
    let (x, w, to) = (pairs.as_ptr(), panel.as_ptr(), sums.0.as_mut_ptr());
    // SAFETY: the token is the proof that tiles are configured. As was checked, `steps` steps of 16 or 32 rows are there, and as
    // many of the panel; the sums have 32 rows of 128 bytes. Tile registers keep their numbers: nothing that the compiler makes
    // uses them, and no work between the steps does.
    unsafe {
        asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, options(nostack, nomem));
        for step in 0..steps {
            let (x, w) = (x.add(step * row), w.add(step * deep));
            if count <= HIGH {
                P::add::<false>(x, 4 * stride, w);
            } else {
                P::add::<true>(x, 4 * stride, w);
            }
            work(step);
        }
        asm!("tilestored [{to} + {pitch}], tmm0", "tilestored [{to} + {pitch} + 64], tmm1",
            to = in(reg) to, pitch = in(reg) PITCH, options(nostack));
        if count > HIGH {
            asm!("tilestored [{to} + {pitch}], tmm2", "tilestored [{to} + {pitch} + 64], tmm3",
                to = in(reg) to.add(HIGH), pitch = in(reg) PITCH, options(nostack));
        }
    }
}
