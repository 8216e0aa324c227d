//! Products by `vpdpbusd`: six rows times 64 columns stay in registers.

use super::{Block, Panel, QUAD, Sums, Tiles, WIDE};
use crate::int8::simd::Avx512;
use std::arch::x86_64::*;

impl Tiles for Avx512 {
    type Simd = Self;

    const BEST: usize = 12;

    #[inline(always)]
    fn simd(self) -> Self {
        self
    }

    #[inline(always)]
    fn tile<const OFFSET: bool>(self, rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums) {
        panel.check(&rows, rows.count);
        // SAFETY: the token is the proof of the instructions; the bytes were checked to be there.
        unsafe {
            match panel.columns {
                64 => all_rows::<6, 4>(rows, panel, sums),
                48 => all_rows::<8, 3>(rows, panel, sums),
                32 => all_rows::<12, 2>(rows, panel, sums),
                _ => all_rows::<12, 1>(rows, panel, sums),
            }
        }
    }
}

/// All rows, `R` at a time, times `V` vectors of columns.
///
/// # Safety
/// As [`some_rows`], for all rows that count.
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn all_rows<const R: usize, const V: usize>(rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums) {
    let mut at = 0;
    while at < rows.count {
        let (bytes, sums) = (rows.bytes[at * rows.stride..].as_ptr(), &mut sums.0[at..]);
        let left = rows.count - at;
        // SAFETY: as many rows are left as are read.
        unsafe {
            match left {
                _ if left >= R => some_rows::<R, V>(bytes, rows.stride, panel, sums),
                1 => some_rows::<1, V>(bytes, rows.stride, panel, sums),
                2 => some_rows::<2, V>(bytes, rows.stride, panel, sums),
                3 => some_rows::<3, V>(bytes, rows.stride, panel, sums),
                4 => some_rows::<4, V>(bytes, rows.stride, panel, sums),
                5 => some_rows::<5, V>(bytes, rows.stride, panel, sums),
                6 => some_rows::<6, V>(bytes, rows.stride, panel, sums),
                _ => {
                    // Of twelve or eight: six, and then the rest.
                    some_rows::<6, V>(bytes, rows.stride, panel, sums);
                    at += 6;
                    continue;
                }
            }
        }
        at += R;
    }
}

/// `R` rows times `V` vectors of columns, all inputs.
///
/// # Safety
/// There must be `panel.quads` fours of bytes in `R` rows of `stride`, and as many in the panel of `16 · V` columns; there
/// must be `R` rows of sums.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn some_rows<const R: usize, const V: usize>(
    rows: *const u8,
    stride: usize,
    panel: Panel<'_>,
    sums: &mut [[i32; WIDE]],
) {
    let mut acc = [[_mm512_setzero_si512(); V]; R];
    for v in 0..V {
        // SAFETY: 16 of 64 integers, `V` being at most four.
        let start = unsafe { _mm512_loadu_si512(panel.starts.as_ptr().add(16 * v).cast()) };
        for acc in &mut acc {
            acc[v] = start;
        }
    }
    let mut weights = panel.bytes.as_ptr();
    let mut rows = rows;
    for _ in 0..panel.quads {
        let mut w = [_mm512_setzero_si512(); V];
        for v in 0..V {
            // SAFETY: within the four inputs of the panel that the pointer is at.
            w[v] = unsafe { _mm512_loadu_si512(weights.add(64 * v).cast()) };
        }
        for r in 0..R {
            // SAFETY: within the row, of which as many fours are read as there are.
            let x = unsafe { _mm512_set1_epi32(rows.add(r * stride).cast::<i32>().read_unaligned()) };
            for v in 0..V {
                acc[r][v] = _mm512_dpbusd_epi32(acc[r][v], x, w[v]);
            }
        }
        weights = weights.wrapping_add(64 * V);
        rows = rows.wrapping_add(QUAD);
    }
    for r in 0..R {
        let sums = &mut sums[r];
        for v in 0..V {
            // SAFETY: 16 of 64 integers.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().add(16 * v).cast(), acc[r][v]) };
        }
    }
}
