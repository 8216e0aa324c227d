//! Loops over floats: each sum in the order of the inputs, product by product, so that all are those of the portable loops,
//! bit for bit.

use super::{load, store};
use crate::form::Panels;
use crate::lanes::LANES;
use std::arch::wasm32::*;

pub(super) fn rows_f32(weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
    let mut at = 0;
    while at < stride {
        let sums = &mut sums[at..];
        at += match stride - at {
            32.. => columns_f32::<8>(weights, (stride, at), columns, values, sums),
            _ => columns_f32::<2>(weights, (stride, at), columns, values, sums),
        };
    }
}

/// `N` vectors of four columns of rows of `stride` weights, from column `at` on; returns the columns done.
#[inline(always)]
fn columns_f32<const N: usize>(
    weights: &[f32],
    (stride, at): (usize, usize),
    columns: &[u32],
    values: &[f32],
    sums: &mut [f32],
) -> usize {
    let mut acc = [[f32x4_splat(0.0)]; N];
    for (&column, &x) in columns.iter().zip(values) {
        add_row(&weights[column as usize * stride + at..][..4 * N], [x], &mut acc);
    }
    for (sums, [acc]) in sums.as_chunks_mut::<4>().0.iter_mut().zip(acc) {
        store(sums, acc);
    }
    4 * N
}

/// Adds a row of weights, times one activation of each of `R` rows.
#[inline(always)]
fn add_row<const R: usize, const N: usize>(weights: &[f32], x: [f32; R], acc: &mut [[v128; R]; N]) {
    for (acc, weights) in acc.iter_mut().zip(weights.as_chunks::<4>().0) {
        let weights = load(weights);
        for r in 0..R {
            acc[r] = f32x4_add(acc[r], f32x4_mul(f32x4_splat(x[r]), weights));
        }
    }
}

/// Rows of activations with their zeros times all rows of weights: eight columns, four rows of activations at a time.
pub(super) fn block_f32(weights: &[f32], stride: usize, rows: &[f32], sums: &mut [f32]) {
    let inputs = weights.len() / stride;
    let count = rows.len() / inputs;
    for at in (0..stride).step_by(LANES) {
        let mut row = 0;
        while row < count {
            let (rows, sums) = (&rows[row * inputs..], &mut sums[row * stride + at..]);
            row += match count - row {
                4.. => few_rows::<4>(&weights[at..], stride, (rows, inputs), sums),
                _ => few_rows::<1>(&weights[at..], stride, (rows, inputs), sums),
            };
        }
    }
}

/// The first `R` rows of activations times the first eight columns; returns `R`.
#[inline(always)]
fn few_rows<const R: usize>(
    weights: &[f32],
    stride: usize,
    (rows, inputs): (&[f32], usize),
    sums: &mut [f32],
) -> usize {
    let mut each = [&rows[..0]; R];
    for (r, row) in each.iter_mut().enumerate() {
        *row = &rows[r * inputs..][..inputs];
    }
    let mut acc = [[f32x4_splat(0.0); R]; 2];
    for (i, weights) in weights.chunks(stride).enumerate() {
        add_row(&weights[..LANES], std::array::from_fn(|r| each[r][i]), &mut acc);
    }
    for r in 0..R {
        for (sums, acc) in sums[r * stride..][..LANES].as_chunks_mut::<4>().0.iter_mut().zip(acc) {
            store(sums, acc[r]);
        }
    }
    R
}

pub(super) fn panels_f32(panels: &Panels<f32>, row: &[f32], sums: &mut [f32]) {
    let (tables, _) = row.as_chunks::<4>().0.as_chunks::<2>();
    let (picks, _) = panels.picks.as_chunks::<LANES>();
    let (values, _) = panels.values.as_chunks::<4>().0.as_chunks::<2>();
    for (ends, sums) in panels.starts.windows(2).zip(sums.as_chunks_mut::<4>().0.as_chunks_mut::<2>().0) {
        let range = ends[0] as usize..ends[1] as usize;
        let steps = panels.groups[range.clone()].iter().zip(&picks[range.clone()]).zip(&values[range]);
        let mut acc = [f32x4_splat(0.0); 2];
        for ((group, picks), values) in steps {
            let picked = look_up(&tables[*group as usize], picks);
            for half in 0..2 {
                acc[half] = f32x4_add(acc[half], f32x4_mul(picked[half], load(&values[half])));
            }
        }
        sums.iter_mut().zip(acc).for_each(|(sums, acc)| store(sums, acc));
    }
}

/// The activations that are picked from eight; of an empty pick, any of them.
#[inline(always)]
fn look_up([lower, upper]: &[[f32; 4]; 2], picks: &[u8; LANES]) -> [v128; 2] {
    let (lower, upper) = (load(lower), load(upper));
    let picks = i64x2_splat(i64::from_le_bytes(*picks));
    // Without the bit of an empty pick, the place of a float's first byte; and then of all four.
    let firsts = i32x4_shl(v128_and(picks, u8x16_splat(LANES as u8 - 1)), 2);
    let places = |firsts: v128| {
        let places = v128_or(firsts, u32x4_splat(0x0302_0100));
        // What is beyond a table is zero.
        let beyond = i8x16_sub(places, i8x16_splat(16));
        v128_or(i8x16_swizzle(lower, places), i8x16_swizzle(upper, beyond))
    };
    [
        places(i8x16_shuffle::<0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3>(firsts, firsts)),
        places(i8x16_shuffle::<4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7>(firsts, firsts)),
    ]
}
