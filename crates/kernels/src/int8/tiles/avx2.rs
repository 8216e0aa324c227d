//! Products of bytes in vectors of 256 bits: four rows times 16 columns.
//!
//! `vpmaddubsw` adds two products in 16 bits and saturates. No sum of two is cut off here: with `OFFSET` the magnitudes of
//! `q`, at most 127, are multiplied by weights that got its signs; without, rows are halved before.

use super::{Block, Panel, QUAD, ROWS, Sums, Tiles};
use crate::int8::simd::Avx2;
use std::arch::x86_64::*;

/// Columns that are multiplied at once, in two vectors.
const COLUMNS: usize = 16;

impl Tiles for Avx2 {
    type Simd = Self;

    const BEST: usize = ROWS;

    #[inline(always)]
    fn simd(self) -> Self {
        self
    }

    #[inline(always)]
    fn tile<const OFFSET: bool>(self, rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums) {
        panel.check(&rows, rows.count);
        // SAFETY: the token is the proof of the instructions; the bytes were checked to be there.
        unsafe { all_rows::<OFFSET>(rows, panel, sums) }
    }
}

/// # Safety
/// All bytes of the rows that count and of the panel must be there.
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn all_rows<const OFFSET: bool>(rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums) {
    for at in (0..rows.count).step_by(4) {
        for column in (0..panel.columns).step_by(COLUMNS) {
            // SAFETY: as many rows are left as are read.
            unsafe {
                match rows.count - at {
                    1 => some_rows::<1, OFFSET>(rows, at, panel, column, sums),
                    2 => some_rows::<2, OFFSET>(rows, at, panel, column, sums),
                    3 => some_rows::<3, OFFSET>(rows, at, panel, column, sums),
                    _ => some_rows::<4, OFFSET>(rows, at, panel, column, sums),
                }
            }
        }
    }
}

/// `R` rows times 16 columns.
///
/// # Safety
/// As [`all_rows`], and rows `at..at + R` must be among those that count.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn some_rows<const R: usize, const OFFSET: bool>(
    rows: Block<'_>,
    at: usize,
    panel: Panel<'_>,
    column: usize,
    sums: &mut Sums,
) {
    let ones = _mm256_set1_epi16(1);
    let mut acc = [[_mm256_setzero_si256(); 2]; R];
    for quad in 0..panel.quads {
        let from = panel.bytes.as_ptr().wrapping_add((quad * panel.columns + column) * QUAD);
        // SAFETY: 64 bytes of the 16 columns' fours.
        let w = unsafe { [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())] };
        for r in 0..R {
            let row = rows.bytes.as_ptr().wrapping_add((at + r) * rows.stride + quad * QUAD);
            // SAFETY: within the row, of which as many fours are read as there are.
            let x = unsafe { _mm256_set1_epi32(row.cast::<i32>().read_unaligned()) };
            for v in 0..2 {
                let products = if OFFSET {
                    let q = _mm256_xor_si256(x, _mm256_set1_epi8(i8::MIN));
                    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(w[v], q));
                    _mm256_madd_epi16(pairs, ones)
                } else {
                    let half = _mm256_and_si256(_mm256_srli_epi16::<1>(x), _mm256_set1_epi8(0x7f));
                    let rest = _mm256_sub_epi8(x, half);
                    let low = _mm256_madd_epi16(_mm256_maddubs_epi16(half, w[v]), ones);
                    _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_maddubs_epi16(rest, w[v]), ones))
                };
                acc[r][v] = _mm256_add_epi32(acc[r][v], products);
            }
        }
    }
    for r in 0..R {
        let sums = &mut sums.0[at + r][column..][..COLUMNS];
        let starts = &panel.starts[column..][..COLUMNS];
        for v in 0..2 {
            let mut sum = acc[r][v];
            if !OFFSET {
                // SAFETY: 8 of 16 integers.
                let start = unsafe { _mm256_loadu_si256(starts.as_ptr().add(8 * v).cast()) };
                sum = _mm256_add_epi32(sum, start);
            }
            // SAFETY: 8 of 16 integers.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().add(8 * v).cast(), sum) };
        }
    }
}
