//! All rows times all panels, and what becomes of the sums while they are near.

use super::panels::{FloatPanels, Panels};
#[cfg(target_arch = "x86_64")]
use super::split;
#[cfg(target_arch = "x86_64")]
use super::tile::PAIR_ROWS;
use super::tile::{Finish, FloatTiles, Rows, WIDE, Weight};
use crate::aligned::Aligned;
use crate::int8::{Function, LANES, Simd};

/// `rows · weight`, panel by panel, so that one stays in a near cache while all rows pass. `room` is for what is bfloat16 on the
/// way, where there are instructions for it.
#[inline(always)]
pub(crate) fn product<S: FloatTiles>(
    simd: S,
    rows: Rows<'_>,
    weight: &FloatPanels,
    room: &mut Aligned<i32>,
    finish: &mut impl Finish,
) {
    match weight.panels() {
        Panels::Whole(all) => {
            #[cfg(target_arch = "x86_64")]
            if let Some((simd, pairs)) = simd.with_pairs()
                && let Some(tiles) = pairs.tiles()
            {
                return split::multiply((pairs, tiles), simd, rows, weight, all, room, finish);
            }
            product_of(simd, rows, weight, all, finish);
        }
        Panels::Halves(all) => {
            #[cfg(target_arch = "x86_64")]
            if let Some((simd, pairs)) = simd.with_pairs() {
                return pairs.multiply(simd, rows, weight, all, room, finish);
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = room;
            product_of(simd, rows, weight, all, finish);
        }
    }
}

/// The same of numbers in 32 bits, where every set takes each sum in the order of the inputs, one fused operation each.
#[inline(always)]
pub(crate) fn product_in_order<S: FloatTiles>(
    simd: S,
    rows: Rows<'_>,
    weight: &FloatPanels,
    finish: &mut impl Finish,
) {
    match weight.panels() {
        Panels::Whole(all) => product_of(simd, rows, weight, all, finish),
        Panels::Halves(all) => product_of(simd, rows, weight, all, finish),
    }
}

/// How much room a [`product`] of so many rows takes.
pub(crate) fn room_of<S: FloatTiles>(simd: S, rows: usize, weight: &FloatPanels) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let Some((_, pairs)) = simd.with_pairs() {
        return match weight.panels() {
            Panels::Halves(_) => rows.next_multiple_of(PAIR_ROWS) * weight.row_pairs(),
            Panels::Whole(_) => pairs.tiles().map_or(0, |_| split::room(rows, weight.inputs())),
        };
    }
    let _ = (simd, rows, weight);
    0
}

/// The same, where the numbers lie in `all`.
#[inline(always)]
fn product_of<S: FloatTiles, W: Weight>(
    simd: S,
    rows: Rows<'_>,
    weight: &FloatPanels,
    all: &[W],
    finish: &mut impl Finish,
) {
    for n in 0..weight.count() {
        let ahead = if n + 1 < weight.count() { weight.panel(all, n + 1).numbers } else { &[] };
        simd.all_rows(rows, weight.panel(all, n), n * WIDE, ahead, finish);
    }
}

/// `out = f(sum + bias)`, `[rows, outputs]`, where outputs fill whole vectors.
pub(crate) struct WithBias<'a, F> {
    /// Of each output.
    pub(crate) bias: &'a [f32],
    pub(crate) out: &'a mut [f32],
    /// Numbers from a row of `out` to the next.
    pub(crate) stride: usize,
    pub(crate) function: F,
}

impl<F: Function> Finish for WithBias<'_, F> {
    #[inline(always)]
    fn vector<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::F) {
        let (bias, _) = self.bias[column..].split_first_chunk::<LANES>().expect("whole vectors of biases");
        let at = row * self.stride + column;
        let (out, _) = self.out[at..].split_first_chunk_mut::<LANES>().expect("whole vectors of outputs");
        simd.store(self.function.of(simd, simd.add(sums, simd.load(bias))), out);
    }
}

/// The sums themselves, `[rows, stride]`; whole vectors.
pub(crate) struct ToRows<'a> {
    pub(crate) out: &'a mut [f32],
    pub(crate) stride: usize,
}

impl Finish for ToRows<'_> {
    #[inline(always)]
    fn vector<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::F) {
        let out = &mut self.out[row * self.stride..][..self.stride][column..];
        if let Some(out) = out.first_chunk_mut() {
            simd.store(sums, out);
        }
    }
}
