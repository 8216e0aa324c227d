//! Products by AMX: 16 rows times 16 columns times 32 inputs in one instruction.
//!
//! A tile of a panel is 16 rows of 64 bytes, each two inputs of 16 columns, which is how panels lie.

use super::PairRows;
use crate::amx::{Configured, HIGH};
use crate::floats::tile::{Finish, PAIR_ROWS, WIDE};
use crate::int8::{Avx512, LANES, Simd};
use std::arch::asm;

/// Rows that are multiplied together.
pub(super) const ROWS: usize = 2 * HIGH;
const _: () = assert!(ROWS <= PAIR_ROWS, "room for the rows");
/// Pairs of inputs of a tile.
pub(super) const DEPTH: usize = 16;

/// `[ROWS, WIDE]`.
#[repr(align(64))]
struct Sums([[f32; WIDE]; ROWS]);

/// `rows · panel`, whose first column is the column `column` of the result. The pairs `ahead` are soon to be read.
#[inline(always)]
pub(super) fn all_rows(
    configured: Configured<'_>,
    simd: Avx512,
    rows: PairRows<'_>,
    panel: &[i32],
    column: usize,
    ahead: &[i32],
    finish: &mut impl Finish,
) {
    let blocks = rows.count.div_ceil(ROWS);
    let mut sums = Sums([[0.0; WIDE]; ROWS]);
    for n in 0..blocks {
        let first = n * ROWS;
        let count = ROWS.min(rows.count - first);
        let part = ahead.len() / blocks;
        simd.prefetch(bytemuck::must_cast_slice(&ahead[n * part..][..part]));
        tile(
            configured,
            PairRows { pairs: &rows.pairs[first * rows.stride..], count, ..rows },
            panel,
            &mut sums,
        );
        for (row, sums) in sums.0[..count].iter().enumerate() {
            for (vector, sums) in sums.as_chunks::<LANES>().0.iter().enumerate() {
                finish.vector(simd, first + row, column + vector * LANES, simd.load(sums));
            }
        }
    }
}

/// Up to [`ROWS`] rows times a panel.
#[inline(always)]
fn tile(_configured: Configured<'_>, rows: PairRows<'_>, panel: &[i32], sums: &mut Sums) {
    let PairRows { pairs, stride, count } = rows;
    let steps = panel.len() / (WIDE * DEPTH);
    let read = if count <= HIGH { HIGH } else { ROWS };
    assert!(panel.len() == steps * WIDE * DEPTH && steps > 0, "whole tiles of pairs");
    assert!(count <= ROWS && stride >= steps * DEPTH && pairs.len() >= read * stride, "pairs of rows");
    let (x, w, to) = (pairs.as_ptr(), panel.as_ptr(), sums.0.as_mut_ptr());
    // SAFETY: the token is the proof that tiles are configured. As was checked, `steps` tiles of 16 or 32 rows are there, and as
    // many of the panel; the sums have 32 rows of 128 bytes. No register is changed but those named.
    unsafe {
        if count <= HIGH {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "2:",
                "tileloadd tmm4, [{x} + {stride}]",
                "tileloadd tmm6, [{w} + {pitch}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{w} + {pitch} + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "add {x}, 64",
                "add {w}, {tile}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{to} + {pitch}], tmm0",
                "tilestored [{to} + {pitch} + 64], tmm1",
                x = inout(reg) x => _, stride = in(reg) 4 * stride, w = inout(reg) w => _, pitch = in(reg) 4 * WIDE,
                tile = const 4 * WIDE * DEPTH, steps = inout(reg) steps => _, to = in(reg) to,
                out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _, options(nostack)
            );
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{x} + {stride}]",
                "tileloadd tmm6, [{w} + {pitch}]",
                "tileloadd tmm5, [{below} + {stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{w} + {pitch} + 64]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {x}, 64",
                "add {below}, 64",
                "add {w}, {tile}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{to} + {pitch}], tmm0",
                "tilestored [{to} + {pitch} + 64], tmm1",
                "add {to}, {lower}",
                "tilestored [{to} + {pitch}], tmm2",
                "tilestored [{to} + {pitch} + 64], tmm3",
                x = inout(reg) x => _, below = inout(reg) x.add(HIGH * stride) => _, stride = in(reg) 4 * stride,
                w = inout(reg) w => _, pitch = in(reg) 4 * WIDE, tile = const 4 * WIDE * DEPTH,
                steps = inout(reg) steps => _, to = inout(reg) to => _, lower = const 4 * WIDE * HIGH,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
                out("tmm6") _, out("tmm7") _, options(nostack)
            );
        }
    }
}
