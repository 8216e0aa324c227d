//! Products by `vpdpbusd` in vectors of 256 bits: six rows times 16 columns stay in registers.

use super::{Block, Panel, QUAD, Set, Sums, Tiles, WIDE};
use crate::int8::simd::Avx2;
use std::arch::x86_64::*;

/// Columns that are multiplied at once, in two vectors.
const COLUMNS: usize = 16;
/// Rows that are multiplied at once.
const ROWS: usize = 6;

/// The proof that this processor has AVX-VNNI besides [`Avx2`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct AvxVnni(Avx2);

impl AvxVnni {
    /// A token if this processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        Avx2::detect().filter(|_| is_x86_feature_detected!("avxvnni")).map(Self)
    }
}

impl Set for AvxVnni {
    type Simd = Avx2;
    type Tiles<'a> = Self;

    #[inline(always)]
    fn simd(self) -> Avx2 {
        self.0
    }

    #[inline(always)]
    fn begin<R>(self, work: impl for<'a> FnOnce(Self) -> R) -> R {
        work(self)
    }
}

impl Tiles for AvxVnni {
    type Simd = Avx2;

    const BEST: usize = 4 * ROWS;

    #[inline(always)]
    fn simd(self) -> Avx2 {
        self.0
    }

    #[inline(always)]
    fn tile(self, rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums) {
        panel.check(&rows, rows.count);
        // SAFETY: the token is the proof of the instructions; the bytes were checked to be there.
        unsafe { all_rows(rows, panel, sums) }
    }
}

/// # Safety
/// All bytes of the rows that count and of the panel must be there.
#[target_feature(enable = "avx2,fma,popcnt,avxvnni")]
unsafe fn all_rows(rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums) {
    for column in (0..panel.columns).step_by(COLUMNS) {
        for at in (0..rows.count).step_by(ROWS) {
            let some = Block { bytes: &rows.bytes[at * rows.stride..], count: rows.count - at, ..rows };
            let sums = &mut sums.0[at..];
            // SAFETY: as many rows are left as are read.
            unsafe {
                match some.count {
                    1 => some_rows::<1>(some, panel, column, sums),
                    2 => some_rows::<2>(some, panel, column, sums),
                    3 => some_rows::<3>(some, panel, column, sums),
                    4 => some_rows::<4>(some, panel, column, sums),
                    5 => some_rows::<5>(some, panel, column, sums),
                    _ => some_rows::<ROWS>(some, panel, column, sums),
                }
            }
        }
    }
}

/// `R` rows times 16 columns, all inputs.
///
/// # Safety
/// All fours must be there of as many rows, and of the columns.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avxvnni")]
unsafe fn some_rows<const R: usize>(
    rows: Block<'_>,
    panel: Panel<'_>,
    column: usize,
    sums: &mut [[i32; WIDE]],
) {
    let (starts, _) = panel.starts[column..][..COLUMNS].as_chunks::<8>();
    // SAFETY: eight integers each.
    let starts = unsafe {
        [_mm256_loadu_si256(starts[0].as_ptr().cast()), _mm256_loadu_si256(starts[1].as_ptr().cast())]
    };
    let mut acc = [starts; R];
    // Pointers that move without a check for overflow, which would be in the innermost loop.
    let mut row = rows.bytes.as_ptr();
    let mut weights = panel.bytes.as_ptr().wrapping_add(column * QUAD);
    for _ in 0..panel.quads {
        // SAFETY: 64 bytes of the 16 columns' fours.
        let w = unsafe {
            [_mm256_loadu_si256(weights.cast()), _mm256_loadu_si256(weights.wrapping_add(32).cast())]
        };
        for r in 0..R {
            // SAFETY: four bytes of a row.
            let four =
                unsafe { row.wrapping_add(r.wrapping_mul(rows.stride)).cast::<i32>().read_unaligned() };
            let x = _mm256_set1_epi32(four);
            acc[r][0] = _mm256_dpbusd_avx_epi32(acc[r][0], x, w[0]);
            acc[r][1] = _mm256_dpbusd_avx_epi32(acc[r][1], x, w[1]);
        }
        (row, weights) = (row.wrapping_add(QUAD), weights.wrapping_add(panel.columns * QUAD));
    }
    for (acc, sums) in acc.iter().zip(sums) {
        let (sums, _) = sums[column..][..COLUMNS].as_chunks_mut::<8>();
        for (acc, sums) in acc.iter().zip(sums) {
            // SAFETY: eight integers.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), *acc) };
        }
    }
}
