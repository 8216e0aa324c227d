//! Products by `vpdpbusd`: six rows times 64 columns stay in registers.

use super::{Block, Panel, QUAD, Sums, Tiles, WIDE};
use crate::int8::simd::Avx512;
use std::arch::x86_64::*;

impl Tiles for Avx512 {
    type Simd = Self;

    const BEST: usize = 24;
    const BLOCK: usize = 6;

    #[inline(always)]
    fn simd(self) -> Self {
        self
    }

    #[inline(always)]
    fn tile(self, rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums) {
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

    /// The work is done between the steps of the product: it is short enough for the processor to have both in view, and
    /// takes units that products do not need.
    #[inline(always)]
    fn tile_while(
        self,
        rows: Block<'_>,
        panel: Panel<'_>,
        sums: &mut Sums,
        count: usize,
        work: impl FnMut(usize),
    ) {
        if rows.count == Self::BLOCK && panel.columns == WIDE {
            panel.check(&rows, rows.count);
            // SAFETY: the token is the proof of the instructions; the bytes were checked to be there.
            return unsafe { six_rows_while(rows, panel, sums, count, work) };
        }
        self.tile_then(rows, panel, sums, count, work);
    }
}

/// Six rows times a panel of 64 columns, with work between the steps.
///
/// # Safety
/// As [`some_rows`].
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn six_rows_while(
    rows: Block<'_>,
    panel: Panel<'_>,
    sums: &mut Sums,
    count: usize,
    mut work: impl FnMut(usize),
) {
    let mut tile = Tile::<6, 4>::new(rows.bytes.as_ptr(), rows.stride, panel);
    let each = panel.quads.div_ceil(count.max(1));
    let mut left = panel.quads;
    for n in 0..count {
        let steps = each.min(left);
        // SAFETY: all steps together are as many as there are fours of inputs.
        unsafe { tile.steps(steps) };
        left -= steps;
        work(n);
    }
    // SAFETY: as above.
    unsafe { tile.steps(left) };
    tile.store(&mut sums.0);
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
    let mut tile = Tile::<R, V>::new(rows, stride, panel);
    // SAFETY: what the caller promises.
    unsafe { tile.steps(panel.quads) };
    tile.store(sums);
}

/// Sums of `R` rows and `V` vectors of columns on the way through the inputs.
struct Tile<const R: usize, const V: usize> {
    acc: [[__m512i; V]; R],
    rows: *const u8,
    stride: usize,
    weights: *const i8,
}

impl<const R: usize, const V: usize> Tile<R, V> {
    #[inline]
    #[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn new(rows: *const u8, stride: usize, panel: Panel<'_>) -> Self {
        let mut acc = [[_mm512_setzero_si512(); V]; R];
        for v in 0..V {
            // SAFETY: 16 of 64 integers, `V` being at most four.
            let start = unsafe { _mm512_loadu_si512(panel.starts.as_ptr().add(16 * v).cast()) };
            for acc in &mut acc {
                acc[v] = start;
            }
        }
        Self { acc, rows, stride, weights: panel.bytes.as_ptr() }
    }

    /// So many fours of inputs.
    ///
    /// # Safety
    /// There must be as many left in each row, and in the panel.
    #[inline]
    #[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn steps(&mut self, count: usize) {
        for _ in 0..count {
            let mut w = [_mm512_setzero_si512(); V];
            for v in 0..V {
                // SAFETY: within the four inputs of the panel that the pointer is at.
                w[v] = unsafe { _mm512_loadu_si512(self.weights.add(64 * v).cast()) };
            }
            for r in 0..R {
                // SAFETY: within the row, of which as many fours are read as there are.
                let four = unsafe { self.rows.add(r * self.stride).cast::<i32>().read_unaligned() };
                let x = _mm512_set1_epi32(four);
                for v in 0..V {
                    self.acc[r][v] = _mm512_dpbusd_epi32(self.acc[r][v], x, w[v]);
                }
            }
            self.weights = self.weights.wrapping_add(64 * V);
            self.rows = self.rows.wrapping_add(QUAD);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn store(&self, sums: &mut [[i32; WIDE]]) {
        for (acc, sums) in self.acc.iter().zip(&mut sums[..R]) {
            let (sums, _) = sums.as_chunks_mut::<16>();
            for v in 0..V {
                // SAFETY: 16 integers.
                unsafe { _mm512_storeu_si512(sums[v].as_mut_ptr().cast(), acc[v]) };
            }
        }
    }
}
