//! Products of 32-bit floats by AMX, which multiplies bfloat16 only, but eight times as many as vectors multiply floats.
//!
//! A float of 24 significant bits is the sum of three bfloat16 of eight, exactly: `x = h + m + l`, cut off and not rounded. Of the nine
//! products of two such sums the six largest are added, `h·h`, `h·m`, `m·h`, `m·m`, `h·l` and `l·h`; what the others lack is below
//! 2⁻²² of the product, as are the roundings of a sum in floats. (Henry, Tang and Heinecke 2019, "Leveraging the bfloat16 artificial
//! intelligence datatype for higher-precision computations", arXiv:1904.06376.) What is smaller than the smallest normal float counts
//! as zero.
//!
//! Weights are split as each panel is come to, once for all rows, so they take no more memory.

use super::panels::FloatPanels;
use super::tile::{Finish, PAIR_ROWS, Rows, WIDE};
use crate::aligned::Aligned;
use crate::amx::{Configured, HIGH, TileRegisters};
use crate::int8::{Avx512, LANES, Simd};
use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::transmute;

/// Rows that are split together and pass all panels.
pub(super) const TOGETHER: usize = 128;
/// Rows that are multiplied together.
const ROWS: usize = 2 * HIGH;
const _: () = assert!(ROWS <= PAIR_ROWS && TOGETHER.is_multiple_of(ROWS), "room for the rows");
/// Parts of a number.
const PARTS: usize = 3;
/// Inputs of a tile.
const DEPTH: usize = 32;
/// Pairs of a row for the inputs of a tile: `[PARTS, 16]`.
const ROW: usize = PARTS * DEPTH / 2;
/// Pairs of a panel for the inputs of a tile: `[PARTS, 16, WIDE]`.
const TILE: usize = PARTS * DEPTH / 2 * WIDE;

/// `[ROWS, WIDE]`.
#[repr(align(64))]
struct Sums([[f32; WIDE]; ROWS]);

/// Pairs that rows and a panel of so many inputs take, for so many rows.
pub(super) fn room(rows: usize, inputs: usize) -> usize {
    let steps = inputs.div_ceil(DEPTH);
    steps * (rows.min(TOGETHER).next_multiple_of(ROWS) * ROW + TILE)
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
                multiply_some(configured, simd, (rows, first), weight, all, pairs, finish);
            }
        },
    );
}

/// The same of up to [`TOGETHER`] rows, which are counted from `before` on.
#[inline(always)]
fn multiply_some(
    configured: Configured<'_>,
    simd: Avx512,
    (rows, before): (Rows<'_>, usize),
    weight: &FloatPanels,
    all: &[f32],
    pairs: &mut Aligned<i32>,
    finish: &mut impl Finish,
) {
    let steps = weight.inputs().div_ceil(DEPTH);
    let (panel, split) = pairs.room(room(rows.count, weight.inputs())).split_at_mut(steps * TILE);
    for (n, split) in split.chunks_exact_mut(steps * ROW).take(rows.count).enumerate() {
        split_row(simd, &rows.numbers[n * rows.stride..][..weight.inputs()], split);
    }
    let mut sums = Sums([[0.0; WIDE]; ROWS]);
    for n in 0..weight.count() {
        split_panel(simd, weight.panel(all, n).numbers, panel);
        let ahead = if n + 1 < weight.count() { weight.panel(all, n + 1).numbers } else { &[] };
        let part = ahead.len() / rows.count.div_ceil(ROWS);
        for (block, first) in (0..rows.count).step_by(ROWS).enumerate() {
            simd.prefetch(bytemuck::must_cast_slice(&ahead[block * part..][..part]));
            let count = ROWS.min(rows.count - first);
            tile(configured, &split[first * steps * ROW..], count, panel, steps, &mut sums);
            for (row, sums) in sums.0[..count].iter().enumerate() {
                for (vector, sums) in sums.as_chunks::<LANES>().0.iter().enumerate() {
                    let column = n * WIDE + vector * LANES;
                    finish.vector(simd, before + first + row, column, simd.load(sums));
                }
            }
        }
    }
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
    for (row, pairs) in row.chunks(DEPTH).zip(pairs.as_chunks_mut::<ROW>().0) {
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

/// A panel as `[inputs / 32, PARTS, 16, WIDE]` pairs, zeros behind the last.
#[inline(always)]
fn split_panel(simd: Avx512, panel: &[f32], pairs: &mut [i32]) {
    let (rows, _) = panel.as_chunks::<WIDE>();
    for (rows, pairs) in rows.chunks(DEPTH).zip(pairs.as_chunks_mut::<TILE>().0) {
        let (parts, _) = pairs.as_chunks_mut::<{ TILE / PARTS }>();
        for pair in 0..DEPTH / 2 {
            for at in [0, LANES] {
                let load = |row: usize| match rows.get(row) {
                    // SAFETY: the token is the proof of the instructions; sixteen numbers of a row are there.
                    Some(row) => unsafe { _mm512_loadu_ps(row[at..][..LANES].as_ptr()) },
                    None => simd.splat(0.0),
                };
                let (mut even, mut odd) = (load(2 * pair), load(2 * pair + 1));
                for part in parts.iter_mut() {
                    let (first, left) = cut(simd, even);
                    let (second, right) = cut(simd, odd);
                    let to = &mut part[pair * WIDE + at..][..LANES];
                    // SAFETY: the token is the proof of the instructions; sixteen pairs are written.
                    unsafe {
                        let both = _mm512_or_si512(_mm512_srli_epi32::<16>(first), second);
                        _mm512_storeu_si512(to.as_mut_ptr().cast(), both);
                    }
                    (even, odd) = (left, right);
                }
            }
        }
    }
}

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

/// Part `$at` bytes into the rows.
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

/// Part `$at` bytes into the panel, and its second half.
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

/// Up to [`ROWS`] rows times a panel. For any number of rows the products of parts are added in one order, so that a sum does not
/// depend on the rows beside it.
#[inline(always)]
fn tile(
    _configured: Configured<'_>,
    rows: &[i32],
    count: usize,
    panel: &[i32],
    steps: usize,
    sums: &mut Sums,
) {
    assert!(count <= ROWS && steps > 0 && panel.len() >= steps * TILE, "pairs of a panel");
    let read = if count <= HIGH { HIGH } else { ROWS };
    assert!(rows.len() >= read * steps * ROW, "pairs of rows");
    let (x, w, to) = (rows.as_ptr(), panel.as_ptr(), sums.0.as_mut_ptr());
    let stride = 4 * steps * ROW;
    // SAFETY: the token is the proof that tiles are configured. As was checked, `steps` tiles of 16 or 32 rows are there in three
    // parts, and as many of the panel; the sums have 32 rows of 128 bytes. No register is changed but those named.
    unsafe {
        if count <= HIGH {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "2:",
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
                "add {x}, 192",
                "add {w}, {tile}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{to} + {pitch}], tmm0",
                "tilestored [{to} + {pitch} + 64], tmm1",
                x = inout(reg) x => _, stride = in(reg) stride, w = inout(reg) w => _, pitch = in(reg) 4 * WIDE,
                tile = const 4 * TILE, steps = inout(reg) steps => _, to = in(reg) to,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
                out("tmm6") _, out("tmm7") _, options(nostack)
            );
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                rows!("0"), columns!("4096", "4160"), four!(),
                columns!("0", "64"), four!(),
                columns!("2048", "2112"), four!(),
                rows!("64"), four!(),
                columns!("0", "64"), four!(),
                rows!("128"), four!(),
                "add {x}, 192",
                "add {below}, 192",
                "add {w}, {tile}",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{to} + {pitch}], tmm0",
                "tilestored [{to} + {pitch} + 64], tmm1",
                "add {to}, {lower}",
                "tilestored [{to} + {pitch}], tmm2",
                "tilestored [{to} + {pitch} + 64], tmm3",
                x = inout(reg) x => _, below = inout(reg) x.byte_add(HIGH * stride) => _, stride = in(reg) stride,
                w = inout(reg) w => _, pitch = in(reg) 4 * WIDE, tile = const 4 * TILE,
                steps = inout(reg) steps => _, to = inout(reg) to => _, lower = const 4 * WIDE * HIGH,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
                out("tmm6") _, out("tmm7") _, options(nostack)
            );
        }
    }
}
