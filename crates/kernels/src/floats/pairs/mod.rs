//! Products of bfloat16, in vectors ([`vectors`]) or in tiles ([`tiles`]), whichever the processor multiplies faster.
//!
//! Rows are rounded to bfloat16, ties to even. The sum of a column is taken over the inputs in their order, two or 32 at a time as the
//! instructions add them, and does not depend on the rows beside it. Numbers too small for a normal float count as zero.

mod attention;
pub(super) mod tiles;
mod vectors;

use super::panels::FloatPanels;
use super::tile::{Below, Finish, FloatTiles, Rows, WIDE};
use crate::aligned::Aligned;
use crate::amx::Configured;
use crate::int8::{Avx512, LANES, Pairs, Simd};
use std::arch::x86_64::*;
use std::mem::transmute;
use tiles::{Blocks, Whole};

/// Rows of pairs of bfloat16 that begin `stride` apart, which is a multiple of [`LANES`].
#[derive(Clone, Copy, Debug)]
pub(super) struct PairRows<'a> {
    /// From the first pair of the first row, as many rows as are [read](By::read).
    pub(super) pairs: &'a [i32],
    pub(super) stride: usize,
    pub(super) count: usize,
}

/// Panels of pairs, one after the other.
#[derive(Clone, Copy, Debug)]
struct PairPanels<'a> {
    numbers: &'a [i32],
    /// Pairs from a panel to the next.
    size: usize,
    /// Pairs of a panel that are multiplied, for all its columns.
    read: usize,
    count: usize,
}

impl<'a> PairPanels<'a> {
    fn panel(&self, n: usize) -> &'a [i32] {
        &self.numbers[n * self.size..][..self.read]
    }
}

/// What multiplies.
#[derive(Clone, Copy, Debug)]
enum By<'a> {
    Vectors,
    Tiles(Configured<'a>),
}

impl By<'_> {
    /// Rows that are read for so many.
    fn read(self, rows: usize) -> usize {
        match self {
            Self::Vectors => rows,
            Self::Tiles(_) => rows.next_multiple_of(tiles::ROWS),
        }
    }

    /// Pairs that are multiplied for so many inputs, behind which there are zeros.
    fn pairs(self, inputs: usize) -> usize {
        match self {
            Self::Vectors => inputs.div_ceil(2),
            Self::Tiles(_) => inputs.div_ceil(2).next_multiple_of(tiles::DEPTH),
        }
    }

    /// `rows · panels`; `blocks` are room for sums of tiles.
    #[inline(always)]
    fn multiply(
        self,
        simd: Avx512,
        rows: PairRows<'_>,
        panels: PairPanels<'_>,
        blocks: &mut Blocks,
        finish: &mut impl Finish,
    ) {
        match self {
            Self::Vectors => {
                for n in 0..panels.count {
                    let ahead = if n + 1 < panels.count { panels.panel(n + 1) } else { &[] };
                    // SAFETY: only [`Pairs::begin`] makes this, and those are the proof of the instructions.
                    unsafe { vectors::all_rows(simd, rows, panels.panel(n), n * WIDE, ahead, finish) }
                }
            }
            Self::Tiles(configured) => {
                /// Lines of a cache that a step of a panel takes.
                const LINES: usize = tiles::DEPTH * WIDE / LANES;
                for n in 0..panels.count {
                    let ahead = if n + 1 < panels.count { panels.panel(n + 1) } else { &[] };
                    let ahead = ahead.as_chunks::<LANES>().0;
                    blocks.multiply::<Whole>(
                        configured,
                        simd,
                        rows,
                        (panels.panel(n), n * WIDE),
                        #[inline(always)]
                        |block, blocks, step| {
                            let from = step * LINES + block * LINES / blocks;
                            let to = step * LINES + (block + 1) * LINES / blocks;
                            for line in ahead.get(from..to).unwrap_or_default() {
                                simd.prefetch(bytemuck::must_cast_slice(line));
                            }
                        },
                        finish,
                    );
                }
                blocks.end(simd, finish);
            }
        }
    }
}

impl Pairs {
    /// Does work with what multiplies these the fastest.
    #[inline(always)]
    fn begin<R>(self, work: impl FnOnce(By<'_>) -> R) -> R {
        match self.tiles() {
            Some(registers) => registers.configured(
                #[inline(always)]
                |configured| work(By::Tiles(configured)),
            ),
            None => work(By::Vectors),
        }
    }

    /// `rows · weight`, whose numbers are `pairs`.
    #[inline(always)]
    pub(super) fn multiply(
        self,
        simd: Avx512,
        rows: Rows<'_>,
        weight: &FloatPanels,
        pairs: &[i32],
        room: &mut Aligned<i32>,
        finish: &mut impl Finish,
    ) {
        // SAFETY: the token is the proof of the instructions.
        self.begin(|by| unsafe { multiply(by, simd, rows, weight, pairs, room, finish) });
    }
}

#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
fn multiply(
    by: By<'_>,
    simd: Avx512,
    rows: Rows<'_>,
    weight: &FloatPanels,
    pairs: &[i32],
    room: &mut Aligned<i32>,
    finish: &mut impl Finish,
) {
    let (depth, stride) = (weight.inputs(), weight.row_pairs());
    let size = stride * WIDE;
    let panels = PairPanels { numbers: pairs, size, read: size, count: weight.count() };
    let blocks = &mut Blocks::new();
    let (together, _) = simd.together();
    for first in (0..rows.count).step_by(together) {
        let count = together.min(rows.count - first);
        let rounded = room.room(by.read(count) * stride);
        for (n, rounded) in rounded.chunks_exact_mut(stride).take(count).enumerate() {
            round(&rows.numbers[(first + n) * rows.stride..][..depth], rounded);
        }
        let rounded = PairRows { pairs: rounded, stride, count };
        let mut finish = Below { first, finish: &mut *finish };
        by.multiply(simd, rounded, panels, blocks, &mut finish);
    }
}

/// Places that take a number of the first sixteen, one of the second, and so on.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn in_turns() -> __m512i {
    let places: [u16; 2 * LANES] = std::array::from_fn(|n| (n / 2 + n % 2 * LANES) as u16);
    // SAFETY: as many numbers of 16 bits as a vector has.
    unsafe { transmute::<[u16; 2 * LANES], __m512i>(places) }
}

/// Numbers as bfloat16, ties to even: the first sixteen, and then the others.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn rounded(low: __m512, high: __m512) -> __m512i {
    // SAFETY: vectors of any bits.
    unsafe { transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}

/// As many numbers as there are, and zeros behind them.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_some(from: &[f32]) -> __m512 {
    let mask = ((1_u32 << from.len().min(LANES)) - 1) as u16;
    // SAFETY: no more numbers are read than the mask says are there.
    unsafe { _mm512_maskz_loadu_ps(mask, from.as_ptr()) }
}

/// Numbers as bfloat16, the pairs of whole vectors, zeros behind the last.
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
fn round(row: &[f32], pairs: &mut [i32]) {
    for (row, pairs) in row.chunks(2 * LANES).zip(pairs.as_chunks_mut::<LANES>().0) {
        let (low, high) = row.split_at(row.len().min(LANES));
        let both = rounded(load_some(low), load_some(high));
        // SAFETY: sixteen pairs are written.
        unsafe { _mm512_storeu_si512(pairs.as_mut_ptr().cast(), both) };
    }
}
