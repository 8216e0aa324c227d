//! Products of bfloat16, in vectors ([`vectors`]) or in tiles ([`tiles`]), whichever the processor multiplies faster.
//!
//! Rows are rounded to bfloat16, ties to even. The sum of a column is taken over the inputs in their order, as the instructions add
//! them, and does not depend on the rows beside it. Numbers too small for a normal float count as zero.

mod attention;
mod tiles;
mod vectors;

use super::panels::FloatPanels;
use super::tile::{Finish, MOST_ROWS, Rows, WIDE};
use crate::aligned::Aligned;
use crate::amx::Configured;
use crate::int8::{Avx512, LANES, Pairs, Simd};
use std::arch::x86_64::*;
use std::mem::transmute;

/// Rows of pairs of bfloat16 that begin `stride` apart, which is a multiple of [`LANES`].
#[derive(Clone, Copy, Debug)]
struct PairRows<'a> {
    /// From the first pair of the first row, as many rows as are [read](By::read).
    pairs: &'a [i32],
    stride: usize,
    count: usize,
}

/// What multiplies.
#[derive(Clone, Copy, Debug)]
enum By<'a> {
    Vectors,
    Tiles(Configured<'a>),
}

impl By<'_> {
    /// Rows that are multiplied together.
    fn block(self) -> usize {
        match self {
            Self::Vectors => MOST_ROWS,
            Self::Tiles(_) => tiles::ROWS,
        }
    }

    /// Rows that are read for so many.
    fn read(self, rows: usize) -> usize {
        match self {
            Self::Vectors => rows,
            Self::Tiles(_) => rows.next_multiple_of(tiles::ROWS),
        }
    }

    /// Rows that are rounded together and pass all panels: while they do, weights are read once.
    fn together(self) -> usize {
        match self {
            Self::Vectors => 96,
            Self::Tiles(_) => 128,
        }
    }

    /// Pairs that are multiplied for so many inputs, behind which there are zeros.
    fn pairs(self, inputs: usize) -> usize {
        match self {
            Self::Vectors => inputs.div_ceil(2),
            Self::Tiles(_) => inputs.div_ceil(2).next_multiple_of(tiles::DEPTH),
        }
    }

    /// `rows · panel`, whose first column is the column `column` of the result. The pairs `ahead` are soon to be read.
    #[inline(always)]
    fn all_rows(
        self,
        simd: Avx512,
        rows: PairRows<'_>,
        panel: &[i32],
        column: usize,
        ahead: &[i32],
        finish: &mut impl Finish,
    ) {
        match self {
            // SAFETY: only [`Pairs::begin`] makes this, and those are the proof of the instructions.
            Self::Vectors => unsafe { vectors::all_rows(simd, rows, panel, column, ahead, finish) },
            Self::Tiles(configured) => {
                tiles::all_rows(configured, simd, rows, panel, column, ahead, finish);
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
    for first in (0..rows.count).step_by(by.together()) {
        let count = by.together().min(rows.count - first);
        let rounded = room.room(by.read(count) * stride);
        for (n, rounded) in rounded.chunks_exact_mut(stride).take(count).enumerate() {
            round(&rows.numbers[(first + n) * rows.stride..][..depth], rounded);
        }
        let rounded = PairRows { pairs: rounded, stride, count };
        let mut finish = Below { first, finish: &mut *finish };
        for n in 0..weight.count() {
            let ahead = if n + 1 < weight.count() { weight.panel(pairs, n + 1).numbers } else { &[] };
            by.all_rows(simd, rounded, weight.panel(pairs, n).numbers, n * WIDE, ahead, &mut finish);
        }
    }
}

/// The same for rows that are counted from one on.
struct Below<'a, F> {
    first: usize,
    finish: &'a mut F,
}

impl<F: Finish> Finish for Below<'_, F> {
    #[inline(always)]
    fn vector<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::F) {
        self.finish.vector(simd, self.first + row, column, sums);
    }
}

/// Numbers as bfloat16, the pairs of whole vectors, zeros behind the last.
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
fn round(row: &[f32], pairs: &mut [i32]) {
    for (row, pairs) in row.chunks(2 * LANES).zip(pairs.as_chunks_mut::<LANES>().0) {
        let (low, high) = row.split_at(row.len().min(LANES));
        let mask = |of: &[f32]| ((1_u32 << of.len()) - 1) as u16;
        // SAFETY: no more numbers are read than the masks say are there, and sixteen pairs are written, which are any bits.
        unsafe {
            let low = _mm512_maskz_loadu_ps(mask(low), low.as_ptr());
            let high = _mm512_maskz_loadu_ps(mask(high), high.as_ptr());
            let both = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(pairs.as_mut_ptr().cast(), both);
        }
    }
}
