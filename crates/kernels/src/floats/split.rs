//! Products of 32-bit floats by AMX, which multiplies bfloat16 only, but 16 times as many as AVX-512 multiplies floats.
//!
//! A float of 24 significant bits is the sum of three bfloat16, `x = h + m + l`: `h` is `x` rounded, `m` what is then left, rounded, and `l`
//! the rest, which needs no rounding where it is not below the smallest normal float, for what is counts as zero. Of the nine products of
//! two such sums the six largest are added, `h·h`, `h·m`, `m·h`, `m·m`, `h·l` and `l·h`; what the others lack is below 2⁻²⁵ of the
//! product, less than the roundings of a sum in floats. (Henry, Tang and Heinecke 2019, "Leveraging the bfloat16 artificial
//! intelligence datatype for higher-precision computations", arXiv:1904.06376.) What is infinite, or rounds to infinity, becomes no
//! number.
//!
//! Weights are split panel by panel, once for all rows, between the steps of the product with the panel before; so they take no more
//! memory.

use super::pairs::tiles::{Blocks, DEPTH, PITCH, ROWS, Step};
use super::pairs::{PairRows, in_turns, load_some, rounded};
use super::panels::FloatPanels;
use super::tile::{Below, Finish, Rows, TOGETHER_BY_TILES, WIDE};
use crate::aligned::Aligned;
use crate::amx::{Configured, HIGH, TileRegisters};
use crate::int8::{Avx512, LANES, Pairs};
use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

/// Parts of a number.
const PARTS: usize = 3;
/// Inputs of a step.
const INPUTS: usize = 2 * DEPTH;
/// Pairs of a row of a step.
const ROW: usize = PARTS * DEPTH;
/// Pairs of a panel of a step.
const TILE: usize = PARTS * DEPTH * WIDE;
// The bytes from a part to the next, as instructions below have them.
const _: () = assert!(4 * DEPTH == 64 && 4 * DEPTH * WIDE == 2048 && 4 * WIDE == 2 * 64, "bytes of parts");
/// How many numbers ahead weights are asked for.
const AHEAD: usize = 2 * INPUTS * WIDE;

/// Pairs that so many rows take, and two panels of as many inputs.
pub(super) fn room(rows: usize, inputs: usize) -> usize {
    inputs.div_ceil(INPUTS) * (rows.min(TOGETHER_BY_TILES).next_multiple_of(ROWS) * ROW + 2 * TILE)
}

/// `rows · weight`, whose numbers are `all`.
#[inline(always)]
pub(super) fn multiply(
    (_proof, registers): (Pairs, TileRegisters),
    simd: Avx512,
    rows: Rows<'_>,
    weight: &FloatPanels,
    all: &[f32],
    pairs: &mut Aligned<i32>,
    finish: &mut impl Finish,
) {
    registers.configured(
        #[inline(always)]
        |configured| {
            for first in (0..rows.count).step_by(TOGETHER_BY_TILES) {
                let count = TOGETHER_BY_TILES.min(rows.count - first);
                let rows = Rows { numbers: &rows.numbers[first * rows.stride..], count, ..rows };
                let mut finish = Below { first, finish: &mut *finish };
                // SAFETY: pairs are the proof of the instructions.
                unsafe { multiply_some(configured, simd, rows, weight, all, pairs, &mut finish) }
            }
        },
    );
}

/// The same of up to [`TOGETHER_BY_TILES`] rows.
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
fn multiply_some(
    configured: Configured<'_>,
    simd: Avx512,
    rows: Rows<'_>,
    weight: &FloatPanels,
    all: &[f32],
    pairs: &mut Aligned<i32>,
    finish: &mut impl Finish,
) {
    let (inputs, steps) = (weight.inputs(), weight.inputs().div_ceil(INPUTS));
    let (mut panel, pairs) = pairs.room(room(rows.count, inputs)).split_at_mut(steps * TILE);
    let (mut next, split) = pairs.split_at_mut(steps * TILE);
    for (n, split) in split.chunks_exact_mut(steps * ROW).take(rows.count).enumerate() {
        split_row(&rows.numbers[n * rows.stride..][..inputs], split);
    }
    let rows = PairRows { pairs: split, stride: steps * ROW, count: rows.count };
    let mut blocks = Blocks::new();
    for step in 0..steps {
        split_columns(all, inputs, step, 0..DEPTH, panel);
    }
    for n in 0..weight.count() {
        let ahead = &all[((n + 1) * inputs * WIDE).min(all.len())..];
        blocks.multiply::<Split>(
            configured,
            simd,
            rows,
            (panel, n * WIDE),
            |block, blocks, step| {
                if !ahead.is_empty() {
                    let some = block * DEPTH / blocks..(block + 1) * DEPTH / blocks;
                    split_columns(ahead, inputs, step, some, next);
                }
            },
            finish,
        );
        std::mem::swap(&mut panel, &mut next);
    }
    blocks.end(simd, finish);
}

/// A row as `[inputs / 32, PARTS, 16]` pairs, zeros behind the last.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
fn split_row(row: &[f32], pairs: &mut [i32]) {
    for (row, pairs) in row.chunks(INPUTS).zip(pairs.as_chunks_mut::<ROW>().0) {
        let (low, high) = row.split_at(row.len().min(LANES));
        let (mut low, mut high) = (load_some(low), load_some(high));
        for part in pairs.as_chunks_mut::<LANES>().0 {
            let both = rounded(low, high);
            // SAFETY: sixteen pairs are written.
            unsafe { _mm512_storeu_si512(part.as_mut_ptr().cast(), both) };
            let [first, second] = [_mm512_castsi512_si256(both), _mm512_extracti64x4_epi64::<1>(both)];
            let float = |half: __m256i| _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half));
            low = _mm512_sub_ps(low, _mm512_castsi512_ps(float(first)));
            high = _mm512_sub_ps(high, _mm512_castsi512_ps(float(second)));
        }
    }
}

/// Some pairs of inputs of a step of a panel with `inputs`, as they lie in `[steps, PARTS, DEPTH, WIDE]` pairs, zeros behind the last.
/// Numbers begin with the panel.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
fn split_columns(numbers: &[f32], inputs: usize, step: usize, some: Range<usize>, pairs: &mut [i32]) {
    assert!(some.end <= DEPTH && numbers.len() >= inputs * WIDE, "pairs of a step, numbers of a panel");
    let pairs = pairs[step * TILE..][..TILE].as_mut_ptr();
    let (in_turns, upper) = (in_turns(), _mm512_set1_epi32(-0x1_0000));
    for pair in some {
        let input = step * INPUTS + 2 * pair;
        let from = numbers.as_ptr().wrapping_add(input * WIDE);
        for line in 0..4 {
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(AHEAD + line * LANES).cast());
        }
        let is_there = |input: usize| if input < inputs { u16::MAX } else { 0 };
        for at in [0, LANES] {
            // SAFETY: of inputs that are there all numbers are, as was checked; those of others are not read. As many pairs are
            // written as a step has.
            unsafe {
                let mut even = _mm512_maskz_loadu_ps(is_there(input), from.wrapping_add(at));
                let mut odd = _mm512_maskz_loadu_ps(is_there(input + 1), from.wrapping_add(WIDE + at));
                for part in 0..PARTS {
                    let both = _mm512_permutexvar_epi16(in_turns, rounded(even, odd));
                    _mm512_storeu_si512(pairs.add((part * DEPTH + pair) * WIDE + at).cast(), both);
                    let first = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(both));
                    let second = _mm512_castsi512_ps(_mm512_and_si512(both, upper));
                    (even, odd) = (_mm512_sub_ps(even, first), _mm512_sub_ps(odd, second));
                }
            }
        }
    }
}

/// Floats in three parts.
struct Split;

/// Products of both tiles of rows with both of columns.
macro_rules! four {
    () => {
        concat!(
            "tdpbf16ps tmm0, tmm4, tmm6\n",
            "tdpbf16ps tmm2, tmm5, tmm6\n",
            "tdpbf16ps tmm1, tmm4, tmm7\n",
            "tdpbf16ps tmm3, tmm5, tmm7\n",
        )
    };
}

/// The part of rows that begins `$at` bytes from the first.
macro_rules! rows {
    ($at:literal) => {
        concat!(
            "tileloadd tmm4, [{x} + {stride} + ",
            $at,
            "]\n",
            "tileloadd tmm5, [{below} + {stride} + ",
            $at,
            "]\n",
        )
    };
}

/// The part of a panel that begins `$at` bytes from the first; its second half `$second` bytes from there.
macro_rules! columns {
    ($at:literal, $second:literal) => {
        concat!(
            "tileloadd tmm6, [{w} + {pitch} + ",
            $at,
            "]\n",
            "tileloadd tmm7, [{w} + {pitch} + ",
            $second,
            "]\n",
        )
    };
}

impl Step for Split {
    const PARTS: usize = PARTS;

    #[inline(always)]
    unsafe fn add<const BOTH: bool>(rows: *const i32, stride: usize, panel: *const i32) {
        // SAFETY: reads what the caller promises to be there, and changes registers of tiles.
        unsafe {
            if BOTH {
                asm!(
                    rows!("0"), columns!("4096", "4160"), four!(),
                    columns!("0", "64"), four!(),
                    columns!("2048", "2112"), four!(),
                    rows!("64"), four!(),
                    columns!("0", "64"), four!(),
                    rows!("128"), four!(),
                    x = in(reg) rows, below = in(reg) rows.byte_add(HIGH * stride), stride = in(reg) stride,
                    w = in(reg) panel, pitch = in(reg) PITCH,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
                    out("tmm6") _, out("tmm7") _, options(nostack, readonly)
                );
            } else {
                asm!(
                    "tileloadd tmm2, [{x} + {stride}]",
                    "tileloadd tmm6, [{w} + {pitch} + 4096]",
                    "tileloadd tmm7, [{w} + {pitch} + 4160]",
                    "tdpbf16ps tmm0, tmm2, tmm6",
                    "tdpbf16ps tmm1, tmm2, tmm7",
                    "tileloadd tmm4, [{w} + {pitch}]",
                    "tileloadd tmm5, [{w} + {pitch} + 64]",
                    "tdpbf16ps tmm0, tmm2, tmm4",
                    "tdpbf16ps tmm1, tmm2, tmm5",
                    "tileloadd tmm6, [{w} + {pitch} + 2048]",
                    "tileloadd tmm7, [{w} + {pitch} + 2112]",
                    "tdpbf16ps tmm0, tmm2, tmm6",
                    "tdpbf16ps tmm1, tmm2, tmm7",
                    "tileloadd tmm3, [{x} + {stride} + 64]",
                    "tdpbf16ps tmm0, tmm3, tmm6",
                    "tdpbf16ps tmm1, tmm3, tmm7",
                    "tdpbf16ps tmm0, tmm3, tmm4",
                    "tdpbf16ps tmm1, tmm3, tmm5",
                    "tileloadd tmm2, [{x} + {stride} + 128]",
                    "tdpbf16ps tmm0, tmm2, tmm4",
                    "tdpbf16ps tmm1, tmm2, tmm5",
                    x = in(reg) rows, stride = in(reg) stride, w = in(reg) panel, pitch = in(reg) PITCH,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
                    out("tmm6") _, out("tmm7") _, options(nostack, readonly)
                );
            }
        }
    }
}
