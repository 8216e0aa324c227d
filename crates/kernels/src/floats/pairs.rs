//! Products of bfloat16 by `vdpbf16ps`, which multiplies two numbers of a row with two of a column and adds both products to
//! a sum of 32 bits.
//!
//! Rows are rounded to bfloat16, ties to even. The sum of a column is taken over the pairs of inputs in their order, in a lane of its
//! own, so it does not depend on the rows beside it. Numbers too small for a normal float count as zero.

use super::panels::FloatPanels;
use super::tile::{Finish, MOST_ROWS, Rows, WIDE, in_tiles};
use crate::aligned::Aligned;
use crate::int8::{Avx512, LANES, Pairs, Simd};
use std::arch::x86_64::*;
use std::mem::transmute;

/// Rows that are rounded together and pass all panels.
const ROWS_TOGETHER: usize = 96;

/// Rows of pairs of bfloat16 that begin `stride` apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct PairRows<'a> {
    /// From the first pair of the first row.
    pub(super) pairs: &'a [i32],
    pub(super) stride: usize,
    pub(super) count: usize,
}

impl Pairs {
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
        unsafe { multiply(simd, rows, weight, pairs, room, finish) }
    }
}

#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
fn multiply(
    simd: Avx512,
    rows: Rows<'_>,
    weight: &FloatPanels,
    pairs: &[i32],
    room: &mut Aligned<i32>,
    finish: &mut impl Finish,
) {
    let (depth, stride) = (weight.inputs(), weight.row_pairs());
    for first in (0..rows.count).step_by(ROWS_TOGETHER) {
        let count = ROWS_TOGETHER.min(rows.count - first);
        let rounded = room.room(count * stride);
        for (n, rounded) in rounded.chunks_exact_mut(stride).enumerate() {
            round(&rows.numbers[(first + n) * rows.stride..][..depth], rounded);
        }
        let rounded = PairRows { pairs: rounded, stride, count };
        let mut finish = Below { first, finish: &mut *finish };
        for n in 0..weight.count() {
            let ahead = if n + 1 < weight.count() { weight.panel(pairs, n + 1).numbers } else { &[] };
            all_rows(simd, rounded, weight.panel(pairs, n).numbers, n * WIDE, ahead, &mut finish);
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
pub(super) fn round(row: &[f32], pairs: &mut [i32]) {
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

/// `rows · panel`, whose first column is the column `column` of the result. The pairs `ahead` are soon to be read.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
pub(super) fn all_rows(
    simd: Avx512,
    rows: PairRows<'_>,
    panel: &[i32],
    column: usize,
    mut ahead: &[i32],
    finish: &mut impl Finish,
) {
    in_tiles(rows.count, MOST_ROWS, |first, count| {
        let some = PairRows { pairs: &rows.pairs[first * rows.stride..], count, ..rows };
        some_rows(simd, some, panel, std::mem::take(&mut ahead), |row, vector, sums| {
            finish.vector(simd, first + row, column + vector * LANES, sums);
        });
    });
}

/// `rows · panel`: 1 row, or an even number up to [`MOST_ROWS`].
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
fn some_rows(
    simd: Avx512,
    rows: PairRows<'_>,
    panel: &[i32],
    ahead: &[i32],
    mut finish: impl FnMut(usize, usize, __m512),
) {
    match rows.count {
        1 => tile::<1>(simd, rows, panel, ahead, &mut finish),
        2 => tile::<2>(simd, rows, panel, ahead, &mut finish),
        4 => tile::<4>(simd, rows, panel, ahead, &mut finish),
        6 => tile::<6>(simd, rows, panel, ahead, &mut finish),
        8 => tile::<8>(simd, rows, panel, ahead, &mut finish),
        10 => tile::<10>(simd, rows, panel, ahead, &mut finish),
        _ => tile::<12>(simd, rows, panel, ahead, &mut finish),
    }
}

/// `R` rows times a panel of [`WIDE`] columns.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
fn tile<const R: usize>(
    simd: Avx512,
    rows: PairRows<'_>,
    panel: &[i32],
    ahead: &[i32],
    finish: &mut impl FnMut(usize, usize, __m512),
) {
    let (panel, _) = panel.as_chunks::<WIDE>();
    let PairRows { pairs, stride, count } = rows;
    assert!(count == R && pairs.len() >= (R - 1) * stride + panel.len(), "pairs of rows");
    let mut ahead = ahead.as_chunks::<WIDE>().0.iter();
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    let mut pair = pairs.as_ptr();
    for weights in panel {
        // SAFETY: 32 pairs, sixteen each, which are any bits.
        let weights: [__m512bh; 2] =
            unsafe { [0, LANES].map(|at| transmute(_mm512_loadu_si512(weights.as_ptr().add(at).cast()))) };
        if let Some(row) = ahead.next() {
            simd.prefetch(bytemuck::must_cast_slice(row));
        }
        for r in 0..R {
            // SAFETY: a pair of a row, all of which were checked to be there; a vector of pairs is any bits.
            let x: __m512bh =
                unsafe { transmute(_mm512_set1_epi32(*pair.wrapping_add(r.wrapping_mul(stride)))) };
            for v in 0..2 {
                sums[r][v] = _mm512_dpbf16_ps(sums[r][v], x, weights[v]);
            }
        }
        pair = pair.wrapping_add(1);
    }
    for r in 0..R {
        for v in 0..2 {
            finish(r, v, sums[r][v]);
        }
    }
}
