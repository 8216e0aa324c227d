//! Loops in plain safe code, for any processor; compilers turn them into whatever vectors there are.

use super::Rescale;
use crate::form::{Chunks, Element, Panels, Strips};
use crate::lanes::{CHUNK, LANES, QUAD, TILE};
use nlpress_packed::Scales;

/// Numbers that products are added up in.
pub(crate) trait Sum: Copy + Default {
    /// This and another. Integers wrap around: no sum of a matrix [can](nlpress_packed::MOST_QUANTIZED_INPUTS) become so large,
    /// and the overflow checks that this crate is compiled with, for the sake of what it reads, would cost the vectors.
    fn plus(self, more: Self) -> Self;
}

impl Sum for f32 {
    #[inline(always)]
    fn plus(self, more: f32) -> f32 {
        self + more
    }
}

impl Sum for i32 {
    #[inline(always)]
    fn plus(self, more: i32) -> i32 {
        self.wrapping_add(more)
    }
}

impl Sum for i64 {
    #[inline(always)]
    fn plus(self, more: i64) -> i64 {
        self.wrapping_add(more)
    }
}

/// `sums[c] += Σ product(values[i], weights[columns[i]][c])`.
#[inline(always)]
pub(crate) fn rows<W: Copy, X: Copy, S: Sum>(
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
            *sum = sum.plus(product(x, w));
        }
    }
}

/// As [`rows`], where only some weights of each row are there; `add` adds a product to a sum.
#[inline(always)]
pub(crate) fn lists<W: Element, X: Copy + Default, S: Copy>(
    lists: &Chunks<W>,
    columns: &[u32],
    values: &[X],
    sums: &mut [S],
    add: impl Fn(X, W, S) -> S,
) {
    let (places, _) = lists.columns.as_chunks::<CHUNK>();
    let (weights, _) = lists.values.as_chunks::<CHUNK>();
    runs(&lists.starts, columns, values, |chunk, x| {
        for (&column, &w) in places[chunk].iter().zip(&weights[chunk]) {
            let sum = &mut sums[column as usize];
            *sum = add(x, w, *sum);
        }
    });
}

/// As [`lists`], eight weights at a time.
#[inline(always)]
pub(crate) fn strips<W: Element, X: Copy + Default, S: Sum>(
    strips: &Strips<W>,
    columns: &[u32],
    values: &[X],
    sums: &mut [S],
    product: impl Fn(X, W) -> S,
) {
    let (weights, _) = strips.values.as_chunks::<LANES>();
    runs(&strips.starts, columns, values, |strip, x| {
        let sums = &mut sums[strips.columns[strip] as usize..][..LANES];
        for (sum, &w) in sums.iter_mut().zip(&weights[strip]) {
            *sum = sum.plus(product(x, w));
        }
    });
}

/// Elements of a row that are queued without a look at how many there are.
const AHEAD: usize = 4;
/// Elements that are queued before they are gone through.
const QUEUE: usize = 64;

/// Calls `see` for each element of each row, with the row's activation; a row's elements are those from its start
/// up to the start of the next.
///
/// The rows are short and the ends of loops over them would be guessed wrong. So a few elements of a row are
/// queued always, counted only if they are its own, and the queue is gone through in one long loop.
#[inline(always)]
pub(crate) fn runs<X: Copy + Default>(
    starts: &[u32],
    rows: &[u32],
    values: &[X],
    mut see: impl FnMut(usize, X),
) {
    let (mut elements, mut factors) = ([0; QUEUE + AHEAD], [X::default(); QUEUE + AHEAD]);
    let mut n = 0;
    let mut empty = |elements: &[u32], factors: &[X]| {
        elements.iter().zip(factors).for_each(|(&element, &x)| see(element as usize, x));
    };
    for (&row, &x) in rows.iter().zip(values) {
        let (start, end) = (starts[row as usize], starts[row as usize + 1]);
        let count = (end - start) as usize;
        if count > AHEAD {
            (start..end).for_each(|element| empty(&[element], &[x]));
            continue;
        }
        // May wrap around on a count that is not used.
        let ahead: [u32; AHEAD] = std::array::from_fn(|ahead| start.wrapping_add(ahead as u32));
        elements[n..n + AHEAD].copy_from_slice(&ahead);
        factors[n..n + AHEAD].copy_from_slice(&[x; AHEAD]);
        n += count;
        if n >= QUEUE {
            empty(&elements[..n], &factors[..n]);
            n = 0;
        }
    }
    empty(&elements[..n], &factors[..n]);
}

/// `sums[c] = Σ row[i] · weights[i][c]`.
#[inline(always)]
pub(crate) fn panels<W: Element, X: Copy, S: Sum>(
    panels: &Panels<W>,
    row: &[X],
    sums: &mut [S],
    product: impl Fn(X, W) -> S,
) {
    for (ends, sums) in panels.starts.windows(2).zip(sums.chunks_exact_mut(LANES)) {
        sums.iter_mut().for_each(|sum| *sum = S::default());
        for step in ends[0] as usize..ends[1] as usize {
            let group = &row[panels.groups[step] as usize * panels.size..][..panels.size];
            let range = step * Panels::<W>::WIDTH..(step + 1) * Panels::<W>::WIDTH;
            let picked = panels.picks[range.clone()].iter().zip(&panels.values[range]);
            for (slot, (&pick, &w)) in picked.enumerate() {
                let sum = &mut sums[slot / W::SLOTS];
                *sum = sum.plus(product(group[usize::from(pick) % panels.size], w));
            }
        }
    }
}

/// As [`panels`], where all weights are there, in panels of `size`.
#[inline(always)]
pub(crate) fn tiles<W: Element, X: Copy, S: Sum>(
    weights: &[W],
    size: usize,
    row: &[X],
    sums: &mut [S],
    product: impl Fn(X, W) -> S,
) {
    for (panel, sums) in weights.chunks_exact(size).zip(sums.chunks_exact_mut(LANES)) {
        sums.iter_mut().for_each(|sum| *sum = S::default());
        for (tile, row) in panel.chunks_exact(TILE).zip(row.chunks_exact(QUAD)) {
            for (sum, weights) in sums.iter_mut().zip(tile.chunks_exact(QUAD)) {
                for (&x, &w) in row.iter().zip(weights) {
                    *sum = sum.plus(product(x, w));
                }
            }
        }
    }
}

/// The product of two vectors of bytes.
#[inline(always)]
pub(crate) fn dot_i8(levels: &[i8], weights: &[i8]) -> i32 {
    levels.iter().zip(weights).map(|(&x, &w)| i32::from(x) * i32::from(w)).fold(0, i32::plus)
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

/// `out_j = sum_j · (s · scale_j) + b_j`, each operation rounded.
#[inline(always)]
pub(crate) fn rescale<S: Copy>(sums: &[S], float: impl Fn(S) -> f32, rescale: Rescale<'_>, out: &mut [f32]) {
    let Rescale { s, scales, bias } = rescale;
    match scales {
        Scales::Tensor(scale) => {
            let scale = s * scale;
            for ((out, &sum), b) in out.iter_mut().zip(sums).zip(bias) {
                *out = float(sum) * scale + b;
            }
        }
        // Those of rows are in the activations already.
        Scales::Row(_) => {
            for ((out, &sum), b) in out.iter_mut().zip(sums).zip(bias) {
                *out = float(sum) * s + b;
            }
        }
        Scales::Group { .. } => unreachable!("sums of groups are added one by one"),
        Scales::Channel(scales) => {
            for (((out, &sum), b), scale) in out.iter_mut().zip(sums).zip(bias).zip(scales) {
                *out = float(sum) * (s * scale) + b;
            }
        }
    }
}
