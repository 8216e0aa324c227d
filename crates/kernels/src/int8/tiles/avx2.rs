//! Products of bytes in vectors of 256 bits: four rows times 16 columns.
//!
//! `vpmaddubsw` adds two products in 16 bits and saturates. Whether it can is told for each four of inputs by the largest byte of
//! the rows there and the largest sum of two weights. Where it cannot, three instructions multiply a vector of weights; elsewhere
//! even and odd inputs are multiplied as numbers of 16 bits. The fours of each kind come one after the other: sums of integers
//! are the same in any order.

use super::{Block, Panel, QUAD, ROWS, Sums, Tiles, WIDE};
use crate::int8::simd::Avx2;
use std::arch::x86_64::*;

/// Columns that are multiplied at once, in two vectors.
const COLUMNS: usize = 16;
/// Fours of inputs that all rows are multiplied with before the next ones: those of a panel stay in the nearest cache.
const TOGETHER: usize = 96;
/// Fours of inputs whose rows are looked at at once.
const STEP: usize = 8;
/// Most rows for which looking at the weights costs more than it saves.
const FEW: usize = 3;

impl Tiles for Avx2 {
    type Simd = Self;

    const BEST: usize = ROWS;

    #[inline(always)]
    fn simd(self) -> Self {
        self
    }

    #[inline(always)]
    fn tile(self, rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums) {
        panel.check(&rows, rows.count);
        // SAFETY: the token is the proof of the instructions; the bytes were checked to be there.
        unsafe { all_rows(rows, panel, sums) }
    }
}

/// Where the fours of inputs begin in a row, told apart.
struct Fours {
    starts: [[u32; TOGETHER]; 2],
    /// How many can be multiplied by `vpmaddubsw`, and how many cannot.
    counts: [usize; 2],
}

impl Fours {
    #[inline(always)]
    fn push(&mut self, start: usize, saturates: bool) {
        let kind = usize::from(saturates);
        self.starts[kind][self.counts[kind]] = start as u32;
        self.counts[kind] += 1;
    }

    /// Those of `R` rows. `largest` are the largest sums of two weights; where they are not known, any may saturate.
    ///
    /// # Safety
    /// As many rows must be there, with as many fours.
    #[inline]
    #[target_feature(enable = "avx2,fma,popcnt")]
    unsafe fn tell<const R: usize>(
        &mut self,
        rows: Block<'_>,
        quads: usize,
        largest: Option<&[i32; TOGETHER]>,
    ) {
        self.counts = [0, 0];
        let known = if let Some(largest) = largest { &largest[..quads] } else { &[] };
        let (steps, _) = known.as_chunks::<STEP>();
        for (n, largest) in steps.iter().enumerate() {
            let mut most = _mm256_setzero_si256();
            for r in 0..R {
                let from = rows.bytes.as_ptr().wrapping_add(r * rows.stride + n * STEP * QUAD);
                // SAFETY: 32 bytes of a row, eight fours, which are all there; and eight integers.
                most = _mm256_max_epu8(most, unsafe { _mm256_loadu_si256(from.cast()) });
            }
            most = _mm256_max_epu8(most, _mm256_srli_epi32::<16>(most));
            most = _mm256_max_epu8(most, _mm256_srli_epi32::<8>(most));
            most = _mm256_and_si256(most, _mm256_set1_epi32(0xff));
            // SAFETY: eight integers.
            let largest = unsafe { _mm256_loadu_si256(largest.as_ptr().cast()) };
            let bound = _mm256_madd_epi16(most, largest);
            let over = _mm256_cmpgt_epi32(bound, _mm256_set1_epi32(i32::from(i16::MAX)));
            let over = _mm256_movemask_ps(_mm256_castsi256_ps(over));
            let start = n * STEP * QUAD;
            if over == 0 {
                let to = &mut self.starts[0][self.counts[0]..][..STEP];
                for (of, to) in to.iter_mut().enumerate() {
                    *to = (start + of * QUAD) as u32;
                }
                self.counts[0] += STEP;
            } else {
                (0..STEP).for_each(|of| self.push(start + of * QUAD, over >> of & 1 == 1));
            }
        }
        for quad in steps.len() * STEP..quads {
            self.push(quad * QUAD, true);
        }
    }
}

/// The largest magnitude of the sum of two weights that are multiplied together, for each four of inputs. A pair of other signs
/// may have a smaller sum than its weights: of 255 times a byte 16 bits have room.
///
/// # Safety
/// All fours of the panel must be there.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn pair_sums(panel: Panel<'_>) -> [i32; TOGETHER] {
    let mut all = [0; TOGETHER];
    let size = panel.columns * QUAD;
    for (quad, all) in all.iter_mut().enumerate().take(panel.quads) {
        let mut most = _mm256_setzero_si256();
        for at in (0..size).step_by(32) {
            let from = panel.bytes.as_ptr().wrapping_add(quad * size + at);
            // SAFETY: 32 bytes of the columns' fours.
            let w = unsafe { _mm256_loadu_si256(from.cast()) };
            let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), w);
            most = _mm256_max_epu16(most, _mm256_abs_epi16(pairs));
        }
        let most = _mm_max_epu16(_mm256_castsi256_si128(most), _mm256_extracti128_si256::<1>(most));
        // There is an instruction for the least of eight numbers.
        let least = _mm_minpos_epu16(_mm_xor_si128(most, _mm_set1_epi16(-1)));
        *all = 0xffff - (_mm_cvtsi128_si32(least) & 0xffff);
    }
    all
}

/// # Safety
/// All bytes of the rows that count and of the panel must be there.
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn all_rows(rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums) {
    let Panel { columns, quads, starts, .. } = panel;
    for sums in &mut sums.0[..rows.count] {
        sums[..columns].copy_from_slice(&starts[..columns]);
    }
    let mut fours = Fours { starts: [[0; TOGETHER]; 2], counts: [0, 0] };
    for first in (0..quads).step_by(TOGETHER) {
        let quads = TOGETHER.min(quads - first);
        let part = Panel { bytes: &panel.bytes[first * columns * QUAD..], quads, ..panel };
        // SAFETY: as many fours are in the panel.
        let largest = (rows.count > FEW).then(|| unsafe { pair_sums(part) });
        for at in (0..rows.count).step_by(4) {
            let bytes = &rows.bytes[at * rows.stride + first * QUAD..];
            let some = Block { bytes, count: rows.count - at, ..rows };
            let sums = &mut sums.0[at..];
            // SAFETY: as many rows are left as are read, with as many fours.
            unsafe {
                match some.count {
                    1 => some_rows::<1>(some, part, largest.as_ref(), &mut fours, sums),
                    2 => some_rows::<2>(some, part, largest.as_ref(), &mut fours, sums),
                    3 => some_rows::<3>(some, part, largest.as_ref(), &mut fours, sums),
                    _ => some_rows::<4>(some, part, largest.as_ref(), &mut fours, sums),
                }
            }
        }
    }
}

/// Adds `R` rows times a panel, whose fours are at most [`TOGETHER`].
///
/// # Safety
/// All fours of the panel must be there, and of as many rows.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn some_rows<const R: usize>(
    rows: Block<'_>,
    panel: Panel<'_>,
    largest: Option<&[i32; TOGETHER]>,
    fours: &mut Fours,
    sums: &mut [[i32; WIDE]],
) {
    // SAFETY: as the caller promises.
    unsafe {
        fours.tell::<R>(rows, panel.quads, largest);
        for column in (0..panel.columns).step_by(COLUMNS) {
            add::<R>(rows, panel, column, fours, sums);
        }
    }
}

/// Adds `R` rows times 16 columns.
///
/// # Safety
/// All fours must be there of as many rows, and of the columns.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
unsafe fn add<const R: usize>(
    rows: Block<'_>,
    panel: Panel<'_>,
    column: usize,
    fours: &Fours,
    sums: &mut [[i32; WIDE]],
) {
    let [short, long] = &fours.starts;
    let (short, long) = (&short[..fours.counts[0]], &long[..fours.counts[1]]);
    let mut acc = [[_mm256_setzero_si256(); 2]; R];
    // Places without a check for overflow, which would be in the innermost loop.
    let (first, each) = (panel.bytes.as_ptr().wrapping_add(column * QUAD), panel.columns);
    let mut begins = [rows.bytes.as_ptr(); R];
    for r in 1..R {
        begins[r] = begins[r - 1].wrapping_add(rows.stride);
    }
    // SAFETY: 64 bytes of the 16 columns' fours, and four of a row.
    let weights = |start: usize, v: usize| unsafe {
        _mm256_loadu_si256(first.wrapping_add(start.wrapping_mul(each)).wrapping_add(32 * v).cast())
    };
    // SAFETY: as above.
    let bytes = |start: usize, r: usize| unsafe {
        _mm256_set1_epi32(begins[r].wrapping_add(start).cast::<i32>().read_unaligned())
    };
    for &start in short {
        let start = start as usize;
        let w = [weights(start, 0), weights(start, 1)];
        for r in 0..R {
            let x = bytes(start, r);
            for v in 0..2 {
                let products = _mm256_madd_epi16(_mm256_maddubs_epi16(x, w[v]), _mm256_set1_epi16(1));
                acc[r][v] = _mm256_add_epi32(acc[r][v], products);
            }
        }
    }
    for &start in long {
        let start = start as usize;
        for v in 0..2 {
            let w = weights(start, v);
            let (even, odd) = (_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w)), _mm256_srai_epi16::<8>(w));
            for r in 0..R {
                let x = bytes(start, r);
                let even = _mm256_madd_epi16(_mm256_and_si256(x, _mm256_set1_epi16(0xff)), even);
                let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(x), odd);
                acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_add_epi32(even, odd));
            }
        }
    }
    for (acc, sums) in acc.iter().zip(sums) {
        let (sums, _) = sums[column..][..COLUMNS].as_chunks_mut::<8>();
        for (acc, sums) in acc.iter().zip(sums) {
            // SAFETY: eight integers.
            unsafe {
                let sum = _mm256_add_epi32(*acc, _mm256_loadu_si256(sums.as_ptr().cast()));
                _mm256_storeu_si256(sums.as_mut_ptr().cast(), sum);
            }
        }
    }
}
