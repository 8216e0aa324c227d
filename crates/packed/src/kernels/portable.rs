//! Loops in plain safe code, for any processor; compilers turn them into whatever vectors there are.

use super::LANES;
use crate::body::{Element, Lists, Panels, Strips};
use std::ops::AddAssign;

/// `sums[c] += Σ product(values[i], weights[columns[i]][c])`.
#[inline(always)]
pub(crate) fn rows<W: Copy, X: Copy, S: AddAssign>(
    weights: &[W],
    stride: usize,
    columns: &[u32],
    values: &[X],
    sums: &mut [S],
    product: impl Fn(X, W) -> S,
) {
    for (&row, &x) in columns.iter().zip(values) {
        let row = &weights[row as usize * stride..][..stride];
        for (sum, &w) in sums.iter_mut().zip(row) {
            *sum += product(x, w);
        }
    }
}

/// As [`rows`], where only some weights of each row are there; `add` adds a product to a sum.
#[inline(always)]
pub(crate) fn lists<W: Copy, X: Copy, S: Copy>(
    lists: &Lists<W>,
    columns: &[u32],
    values: &[X],
    sums: &mut [S],
    add: impl Fn(X, W, S) -> S,
) {
    for (&row, &x) in columns.iter().zip(values) {
        let row = row as usize;
        let range = lists.starts[row] as usize..lists.starts[row + 1] as usize;
        for (&column, &w) in lists.columns[range.clone()].iter().zip(&lists.values[range]) {
            let sum = &mut sums[column as usize];
            *sum = add(x, w, *sum);
        }
    }
}

/// As [`lists`], eight weights at a time.
#[inline(always)]
pub(crate) fn strips<W: Copy, X: Copy, S: AddAssign>(
    strips: &Strips<W>,
    columns: &[u32],
    values: &[X],
    sums: &mut [S],
    product: impl Fn(X, W) -> S,
) {
    let (weights, _) = strips.values.as_chunks::<LANES>();
    for (&row, &x) in columns.iter().zip(values) {
        let row = row as usize;
        let range = strips.starts[row] as usize..strips.starts[row + 1] as usize;
        for (&column, weights) in strips.columns[range.clone()].iter().zip(&weights[range]) {
            let sums = &mut sums[column as usize..][..LANES];
            for (sum, &w) in sums.iter_mut().zip(weights) {
                *sum += product(x, w);
            }
        }
    }
}

/// `sums[c] = Σ row[i] · weights[i][c]`.
#[inline(always)]
pub(crate) fn panels<W: Element, X: Copy, S: AddAssign + Default>(
    panels: &Panels<W>,
    row: &[X],
    sums: &mut [S],
    product: impl Fn(X, W) -> S,
) {
    for (ends, sums) in panels.starts.windows(2).zip(sums.chunks_exact_mut(LANES)) {
        sums.iter_mut().for_each(|sum| *sum = S::default());
        for step in ends[0] as usize..ends[1] as usize {
            let group = &row[panels.groups[step] as usize * W::GROUP..][..W::GROUP];
            let range = step * Panels::<W>::WIDTH..(step + 1) * Panels::<W>::WIDTH;
            let picked = panels.picks[range.clone()].iter().zip(&panels.values[range]);
            for (slot, (&pick, &w)) in picked.enumerate() {
                sums[slot / W::SLOTS] += product(group[usize::from(pick) % W::GROUP], w);
            }
        }
    }
}

/// The sum of products, in eight running sums so that it is made of vector instructions.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32], fused: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; 8];
    let ((a8, a), (b8, b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a8.iter().zip(b8) {
        for ((sum, &x), &w) in lanes.iter_mut().zip(a).zip(b) {
            *sum = fused(x, w, *sum);
        }
    }
    let rest = a.iter().zip(b).fold(0.0, |sum, (&x, &w)| fused(x, w, sum));
    lanes.iter().fold(rest, |sum, lane| sum + lane)
}

/// Positions and values of what is not zero, from position `from` of the row on; `n` are there already. Returns
/// how many there are then.
#[inline(always)]
pub(crate) fn compress(
    row: &[f32],
    from: usize,
    mut n: usize,
    columns: &mut [u32],
    values: &mut [f32],
) -> usize {
    // Written always, kept only when not zero: no branch that a processor would guess wrong half of the time.
    for (i, &x) in row[from..].iter().enumerate() {
        columns[n] = (from + i) as u32;
        values[n] = x;
        n += usize::from(x != 0.0);
    }
    n
}
