//! Slices of weights, cut in plain functions.
//!
//! What the standard library does with a closure is not inlined into code for more instructions than it was compiled
//! for, where the closure returns a slice. In the innermost loops such a call would cost more than the loops
//! themselves, so there are none here.

use crate::form::Tiles;
use crate::lanes::{QUAD, TILE};

/// The rows of `stride` weights that a row of activations touches: `columns` say which, `levels` by what each is
/// multiplied; there may be more levels than columns, zeros that fill up groups.
#[derive(Clone, Copy)]
pub(crate) struct Touched<'a, T = i8> {
    pub(crate) weights: &'a [T],
    pub(crate) stride: usize,
    pub(crate) columns: &'a [u32],
    pub(crate) levels: &'a [T],
    /// Whether no weight is larger than [`NARROW`](crate::lanes::NARROW): a help to AVX2.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(crate) narrow: bool,
}

impl<'a> Touched<'a> {
    /// Rows in fours with their activations, and the last ones, where there are some.
    #[inline(always)]
    pub(super) fn fours(self) -> (impl Iterator<Item = Four>, Option<Four>) {
        let ((c4, c), (l4, _)) = (self.columns.as_chunks::<4>(), self.levels.as_chunks::<4>());
        let all = c4.iter().zip(l4).map(|(&columns, &levels)| Four { columns, levels });
        let last = c.first().map(|&first| {
            // What is missing is the first row again, with an activation of zero.
            let mut four = Four { columns: [first; 4], levels: [0; 4] };
            for (i, (&column, &level)) in c.iter().zip(self.levels[4 * c4.len()..].iter()).enumerate() {
                four.columns[i] = column;
                four.levels[i] = level;
            }
            four
        });
        (all, last)
    }

    /// Four rows from column `at` on, `count` weights of each.
    #[inline(always)]
    pub(super) fn cut(self, four: Four, at: usize, count: usize) -> [&'a [i8]; 4] {
        let [c0, c1, c2, c3] = four.columns;
        [self.row(c0, at, count), self.row(c1, at, count), self.row(c2, at, count), self.row(c3, at, count)]
    }

    #[inline(always)]
    fn row(self, column: u32, at: usize, count: usize) -> &'a [i8] {
        &self.weights[column as usize * self.stride + at..][..count]
    }
}

/// Several rows of activations and the panels of tiles that each is multiplied with.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    /// Panels, one after the other.
    pub(crate) weights: &'a [i8],
    /// Weights of a panel: for all inputs and eight outputs.
    pub(crate) size: usize,
    /// Rows of `stride` activations, one after the other.
    pub(crate) rows: &'a [i8],
    pub(crate) stride: usize,
    /// Whether no weight is larger than [`NARROW`](crate::lanes::NARROW): a help to AVX2.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    pub(crate) narrow: bool,
}

impl<'a> Block<'a> {
    /// One row and a whole matrix.
    #[cfg_attr(target_arch = "aarch64", allow(dead_code))]
    pub(super) fn of(tiles: &'a Tiles<i8>, row: &'a [i8], narrow: bool) -> Self {
        Self { weights: &tiles.values, size: tiles.panel(), rows: row, stride: row.len(), narrow }
    }
}

/// `R` rows of a block, of as many fours as its panels have tiles.
#[inline(always)]
pub(super) fn rows<const R: usize>(rows: &[i8], stride: usize, count: usize) -> [&[[i8; QUAD]]; R] {
    let mut all = [&[] as &[[i8; QUAD]]; R];
    for (r, row) in all.iter_mut().enumerate() {
        *row = &rows[r * stride..][..stride].as_chunks::<QUAD>().0[..count];
    }
    all
}

/// Four rows and their activations.
#[derive(Clone, Copy)]
pub(super) struct Four {
    pub(super) columns: [u32; 4],
    pub(super) levels: [i8; 4],
}

/// `P` panels of `count` tiles each.
#[inline(always)]
pub(super) fn panels<const P: usize>(weights: &[i8], count: usize) -> [&[[i8; TILE]]; P] {
    let (tiles, _) = weights.as_chunks::<TILE>();
    let mut panels = [&tiles[..0]; P];
    for (p, panel) in panels.iter_mut().enumerate() {
        *panel = &tiles[p * count..][..count];
    }
    panels
}
