//! Products by `vdpbf16ps`, which multiplies two numbers of a row with two of a column and adds both products to a sum of 32 bits.

use super::PairRows;
use crate::floats::tile::{Finish, MOST_ROWS, WIDE, in_tiles};
use crate::int8::{Avx512, LANES, Simd};
use std::arch::x86_64::*;
use std::mem::transmute;

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
