//! All rows times all panels, and what becomes of the sums while they are near.

use super::elementwise::gelu;
use super::panels::WidePanels;
use super::rows::ByteRows;
use super::simd::{LANES, Simd};
use super::tiles::{Sums, Tiles, WIDE};
use bytemuck::must_cast_ref;

/// What becomes of the sums of a row with the columns of a panel.
pub(crate) trait Finish {
    fn row<S: Simd>(&mut self, simd: S, row: usize, panel: usize, sums: &[i32; WIDE]);
}

/// `rows · weight` for the first `count` rows, panel by panel, so that one stays in the nearest cache while all rows pass.
#[inline(always)]
pub(crate) fn product<T: Tiles>(
    tiles: T,
    rows: &ByteRows,
    count: usize,
    weight: &WidePanels,
    sums: &mut [Sums; 2],
    finish: &mut impl Finish,
) {
    let simd = tiles.simd();
    let [mut current, mut before] = sums.each_mut();
    // The block before, whose sums are still to be finished: its first row, its rows, and the panel.
    let mut left = (0, 0, 0);
    for n in 0..weight.count() {
        let panel = weight.panel(n);
        // The next panel is asked for bit by bit, a part with each row, while this one is multiplied by.
        let next = if n + 1 < weight.count() { weight.panel(n + 1).bytes } else { &[] };
        let mut parts = next.chunks(next.len().div_ceil(count).next_multiple_of(64).max(64));
        for first in (0..count).step_by(T::BLOCK) {
            let block = rows.block(first, T::BLOCK.min(count - first));
            let (first_left, rows_left, panel_left) = left;
            tiles.tile_while(
                block,
                panel,
                current,
                rows_left,
                #[inline(always)]
                |r| {
                    simd.prefetch(parts.next().unwrap_or_default());
                    finish.row(simd, first_left + r, panel_left, &before.0[r]);
                },
            );
            std::mem::swap(&mut current, &mut before);
            left = (first, block.count, n);
        }
    }
    let (first, rows, panel) = left;
    for r in 0..rows {
        finish.row(simd, first + r, panel, &before.0[r]);
    }
}

/// What is applied to outputs before they are written.
pub(crate) trait Function: Copy {
    /// Whether the largest magnitudes of the results are looked for.
    const MEASURES: bool = true;

    fn of<S: Simd>(self, simd: S, x: S::F) -> S::F;
}

/// Outputs as they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Same;

/// GELU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gelu;

/// ReLU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relu;

impl Function for Same {
    const MEASURES: bool = false;

    #[inline(always)]
    fn of<S: Simd>(self, _: S, x: S::F) -> S::F {
        x
    }
}

impl Function for Gelu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::F) -> S::F {
        gelu(simd, x)
    }
}

impl Function for Relu {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, x: S::F) -> S::F {
        simd.max(simd.splat(0.0), x)
    }
}

/// `out = f(sum · (scale_row · factor) + bias)`, in floats, each operation rounded; and, for a function, the largest
/// magnitude of each row so far, lane by lane. Outputs fill whole panels.
pub(crate) struct ToFloats<'a, F> {
    /// Of each row.
    pub(crate) scales: &'a [f32],
    /// Of each output.
    pub(crate) factors: &'a [f32],
    pub(crate) bias: &'a [f32],
    /// `[rows, stride]`, from the first output on.
    pub(crate) out: &'a mut [f32],
    pub(crate) stride: usize,
    pub(crate) function: F,
    /// One for each row, where the function is measured.
    pub(crate) largest: &'a mut [[f32; LANES]],
}

/// The vectors of a panel's columns.
#[inline(always)]
fn panel_of(numbers: &[f32], panel: usize) -> &[[f32; LANES]; 4] {
    must_cast_ref(&numbers.as_chunks::<WIDE>().0[panel])
}

impl<F: Function> Finish for ToFloats<'_, F> {
    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, row: usize, panel: usize, sums: &[i32; WIDE]) {
        let scale = simd.splat(self.scales[row]);
        let (factors, bias) = (panel_of(self.factors, panel), panel_of(self.bias, panel));
        let out = &mut self.out[row * self.stride + panel * WIDE..][..WIDE];
        let (out, _) = out.as_chunks_mut::<LANES>();
        let sums: &[[i32; LANES]; 4] = must_cast_ref(sums);
        let mut most = if F::MEASURES { simd.load(&self.largest[row]) } else { simd.splat(0.0) };
        for v in 0..4 {
            let factor = simd.mul(scale, simd.load(&factors[v]));
            let x = simd.add(simd.mul(simd.float(simd.load_i(&sums[v])), factor), simd.load(&bias[v]));
            let x = self.function.of(simd, x);
            if F::MEASURES {
                most = simd.max(most, simd.abs(x));
            }
            simd.store(x, &mut out[v]);
        }
        if F::MEASURES {
            simd.store(most, &mut self.largest[row]);
        }
    }
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
