//! All rows times all panels, and what becomes of the sums while they are near.

use super::elementwise::gelu;
use super::panels::WidePanels;
use super::rows::ByteRows;
use super::simd::{LANES, Simd};
use super::tiles::{Sums, Tiles, WIDE};
use std::ops::Range;

/// What becomes of the sums of a row with the columns of a panel.
pub(crate) trait Finish {
    fn row<S: Simd>(&mut self, simd: S, row: usize, panel: usize, sums: &[i32; WIDE]);
}

/// `rows · weight`, panel by panel, so that one stays in the nearest cache while all rows pass.
#[inline(always)]
pub(crate) fn product<T: Tiles>(
    tiles: T,
    rows: &ByteRows,
    range: Range<usize>,
    weight: &WidePanels,
    sums: &mut [Sums; 2],
    finish: &mut impl Finish,
) {
    let simd = tiles.simd();
    let [mut current, mut before] = sums.each_mut();
    // The rows of the block before, whose sums are still to be finished: the first, how many, and the panel.
    let mut left = (0, 0, 0);
    for n in 0..weight.count() {
        let panel = weight.panel(n);
        // The next panel is asked for bit by bit, a part with each row, while this one is multiplied by.
        let next = if n + 1 < weight.count() { weight.panel(n + 1).bytes } else { &[] };
        let mut parts = next.chunks(next.len().div_ceil(range.len()).next_multiple_of(64).max(64));
        let mut at = range.start;
        while at < range.end {
            let count = T::BEST.min(range.end - at);
            let block = rows.block(at, count);
            if T::OVERLAPS {
                let (first, rows, of) = left;
                tiles.tile_while::<true>(
                    block,
                    panel,
                    current,
                    rows,
                    #[inline(always)]
                    |r| {
                        simd.prefetch(parts.next().unwrap_or_default());
                        finish.row(simd, first + r, of, &before.0[r]);
                    },
                );
                std::mem::swap(&mut current, &mut before);
                left = (at, count, n);
            } else {
                tiles.tile::<true>(block, panel, current);
                for r in 0..count {
                    simd.prefetch(parts.next().unwrap_or_default());
                    finish.row(simd, at + r, n, &current.0[r]);
                }
            }
            at += count;
        }
    }
    let (first, rows, of) = left;
    for r in 0..rows {
        finish.row(simd, first + r, of, &before.0[r]);
    }
}

/// What is applied to outputs before they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    Nothing,
    Gelu,
    Relu,
}

/// `out = f(sum · (scale_row · factor) + bias)`, in floats, each operation rounded; and, for a function, the largest
/// magnitude of each row so far, lane by lane.
pub(crate) struct ToFloats<'a> {
    /// Of each row.
    pub(crate) scales: &'a [f32],
    /// Of each output, as many as a multiple of sixteen.
    pub(crate) factors: &'a [f32],
    pub(crate) bias: &'a [f32],
    /// `[rows, stride]`, from the first output on.
    pub(crate) out: &'a mut [f32],
    pub(crate) stride: usize,
    /// The row that `out` begins with.
    pub(crate) first: usize,
    pub(crate) applied: Applied,
    /// One for each row of `out`, where something is applied.
    pub(crate) largest: &'a mut [[f32; LANES]],
}

impl Finish for ToFloats<'_> {
    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, row: usize, panel: usize, sums: &[i32; WIDE]) {
        let scale = simd.splat(self.scales[row]);
        let from = panel * WIDE;
        let columns = (self.factors.len() - from).min(WIDE);
        let (factors, _) = self.factors[from..][..columns].as_chunks::<LANES>();
        let (bias, _) = self.bias[from..][..columns].as_chunks::<LANES>();
        let row = row - self.first;
        let (out, _) = self.out[row * self.stride + from..][..columns].as_chunks_mut::<LANES>();
        let (sums, _) = sums[..columns].as_chunks::<LANES>();
        if self.applied == Applied::Nothing {
            for v in 0..out.len() {
                simd.store(value(simd, scale, &factors[v], &bias[v], &sums[v]), &mut out[v]);
            }
            return;
        }
        let largest = &mut self.largest[row];
        let mut most = simd.load(largest);
        for v in 0..out.len() {
            let x = value(simd, scale, &factors[v], &bias[v], &sums[v]);
            let x = match self.applied {
                Applied::Gelu => gelu(simd, x),
                _ => simd.max(simd.splat(0.0), x),
            };
            most = simd.max(most, simd.abs(x));
            simd.store(x, &mut out[v]);
        }
        simd.store(most, largest);
    }
}

/// Sixteen outputs of their sums.
#[inline(always)]
fn value<S: Simd>(
    simd: S,
    scale: S::F,
    factors: &[f32; LANES],
    bias: &[f32; LANES],
    sums: &[i32; LANES],
) -> S::F {
    let factor = simd.mul(scale, simd.load(factors));
    simd.add(simd.mul(simd.float(simd.load_i(sums)), factor), simd.load(bias))
}

/// The sums themselves, `[rows, stride]`.
pub(crate) struct ToSums<'a> {
    pub(crate) out: &'a mut [i32],
    pub(crate) stride: usize,
    /// Sums of a row.
    pub(crate) outputs: usize,
}

impl Finish for ToSums<'_> {
    #[inline(always)]
    fn row<S: Simd>(&mut self, _: S, row: usize, panel: usize, sums: &[i32; WIDE]) {
        let from = panel * WIDE;
        let columns = (self.outputs - from).min(WIDE);
        self.out[row * self.stride + from..][..columns].copy_from_slice(&sums[..columns]);
    }
}
