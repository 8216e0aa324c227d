//! Products of 32-bit floats by AMX, which multiplies bfloat16 only, but eight times as many as vectors multiply floats.
//!
//! A float of 24 significant bits is the sum of three bfloat16 of eight, exactly: `x = h + m + l`, cut off and not rounded. Of the nine
//! products of two such sums the six largest are added, `h·h`, `h·m`, `m·h`, `m·m`, `h·l` and `l·h`; what the others lack is below
//! 2⁻²² of the product, as are the roundings of a sum in floats. (Henry, Tang and Heinecke 2019, "Leveraging the bfloat16 artificial
//! intelligence datatype for higher-precision computations", arXiv:1904.06376.) What is smaller than the smallest normal float counts
//! as zero.
//!
//! Weights are split panel by panel, once for all rows, between the steps of the product with the panel before; so they take no more
//! memory.

use super::pairs::PairRows;
use super::pairs::tiles::{Blocks, DEPTH, PITCH, ROWS, Step};
use super::panels::FloatPanels;
use super::tile::{Below, Finish, Rows, WIDE};
use crate::aligned::Aligned;
use crate::amx::{Configured, HIGH, TileRegisters};
use crate::int8::{Avx512, LANES};
use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::transmute;
use std::ops::Range;

/// Rows that are split together and pass all panels.
const TOGETHER: usize = 128;
/// Parts of a number.
const PARTS: usize = 3;
/// Inputs of a step.
const INPUTS: usize = 2 * DEPTH;
/// Pairs of a row of a step.
const ROW: usize = PARTS * DEPTH;
/// Pairs of a panel of a step.
const TILE: usize = PARTS * DEPTH * WIDE;
/// How many numbers ahead weights are asked for.
const AHEAD: usize = 2 * INPUTS * WIDE;

/// Pairs that so many rows take, and two panels of as many inputs.
pub(super) fn room(rows: usize, inputs: usize) -> usize {
    inputs.div_ceil(INPUTS) * (rows.min(TOGETHER).next_multiple_of(ROWS) * ROW + 2 * TILE)
}

/// `rows · weight`, whose numbers are `all`.
#[inline(always)]
pub(super) fn multiply(
    registers: TileRegisters,
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
            for first in (0..rows.count).step_by(TOGETHER) {
                let count = TOGETHER.min(rows.count - first);
                let rows = Rows { numbers: &rows.numbers[first * rows.stride..], count, ..rows };
                let mut finish = Below { first, finish: &mut *finish };
                multiply_some(configured, simd, rows, weight, all, pairs, &mut finish);
            }
        },
    );
}

/// The same of up to [`TOGETHER`] rows.
#[inline(always)]
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
        split_row(simd, &rows.numbers[n * rows.stride..][..inputs], split);
    }
    let rows = PairRows { pairs: split, stride: steps * ROW, count: rows.count };
    let mut blocks = Blocks::new();
    for step in 0..steps {
        split_columns(simd, all, inputs, step, 0..DEPTH, panel);
    }
    for n in 0..weight.count() {
        let ahead = &all[((n + 1) * inputs * WIDE).min(all.len())..];
        blocks.multiply::<Split>(
            configured,
            simd,
            rows,
            (panel, n * WIDE),
            #[inline(always)]
            |block, blocks, step| {
                if !ahead.is_empty() {
                    let some = block * DEPTH / blocks..(block + 1) * DEPTH / blocks;
                    split_columns(simd, ahead, inputs, step, some, next);
                }
            },
            finish,
        );
        std::mem::swap(&mut panel, &mut next);
    }
    blocks.end(simd, finish);
}

/// The upper halves of sixteen floats, as floats, and what is left of each.
#[inline(always)]
fn cut(_proof: Avx512, x: __m512) -> (__m512i, __m512) {
    // SAFETY: the token is the proof of the instructions.
    unsafe {
        let high = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(-0x1_0000));
        (high, _mm512_sub_ps(x, _mm512_castsi512_ps(high)))
    }
}

/// A row as `[inputs / 32, PARTS, 16]` pairs, zeros behind the last.
#[inline(always)]
fn split_row(simd: Avx512, row: &[f32], pairs: &mut [i32]) {
    // The upper halves of 32 floats, in their order.
    let upper: [u16; 2 * LANES] = std::array::from_fn(|n| (2 * n + 1) as u16);
    for (row, pairs) in row.chunks(INPUTS).zip(pairs.as_chunks_mut::<ROW>().0) {
        let (low, high) = row.split_at(row.len().min(LANES));
        let mask = |of: &[f32]| ((1_u32 << of.len()) - 1) as u16;
        // SAFETY: the token is the proof of the instructions. No more numbers are read than the masks say are there, as many
        // indices as a vector has, and sixteen pairs are written, which are any bits.
        unsafe {
            let upper = transmute::<[u16; 2 * LANES], __m512i>(upper);
            let mut low = _mm512_maskz_loadu_ps(mask(low), low.as_ptr());
            let mut high = _mm512_maskz_loadu_ps(mask(high), high.as_ptr());
            for part in pairs.as_chunks_mut::<LANES>().0 {
                let (first, left) = cut(simd, low);
                let (second, right) = cut(simd, high);
                let both = _mm512_permutex2var_epi16(first, upper, second);
                _mm512_storeu_si512(part.as_mut_ptr().cast(), both);
                (low, high) = (left, right);
            }
        }
    }
}

/// Some pairs of inputs of a step of a panel with `inputs`, as they lie in `[steps, PARTS, DEPTH, WIDE]` pairs, zeros behind the last.
/// Numbers begin with the panel.
#[inline(always)]
fn split_columns(
    _proof: Avx512,
    numbers: &[f32],
    inputs: usize,
    step: usize,
    some: Range<usize>,
    pairs: &mut [i32],
) {
    assert!(some.end <= DEPTH && numbers.len() >= inputs * WIDE, "pairs of a step, numbers of a panel");
    let pairs = pairs[step * TILE..][..TILE].as_mut_ptr();
    // SAFETY: the token is the proof of the instructions. Of inputs that are there all numbers are, as was checked; those of others
    // are not read. As many pairs are written as a step has. What is asked for need not be there.
    unsafe {
        let upper = _mm512_set1_epi32(-0x1_0000);
        for pair in some {
            let input = step * INPUTS + 2 * pair;
            let from = numbers.as_ptr().wrapping_add(input * WIDE);
            for line in 0..4 {
                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(AHEAD + line * LANES).cast());
            }
            let is_there = |input: usize| if input < inputs { u16::MAX } else { 0 };
            for at in [0, LANES] {
                let mut even = _mm512_maskz_loadu_ps(is_there(input), from.wrapping_add(at));
                let mut odd = _mm512_maskz_loadu_ps(is_there(input + 1), from.wrapping_add(WIDE + at));
                for part in 0..PARTS {
                    let first = _mm512_castps_si512(even);
                    let second = _mm512_and_si512(_mm512_castps_si512(odd), upper);
                    let both = _mm512_or_si512(_mm512_srli_epi32::<16>(first), second);
                    _mm512_storeu_si512(pairs.add((part * DEPTH + pair) * WIDE + at).cast(), both);
                    let first = _mm512_castsi512_ps(_mm512_and_si512(first, upper));
                    (even, odd) =
                        (_mm512_sub_ps(even, first), _mm512_sub_ps(odd, _mm512_castsi512_ps(second)));
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
