//! The arithmetic of fake quantization on a uniform grid, on plain slices: rounding, the scale of least squared error,
//! and the gradient of a scale (LSQ).
//!
//! Matrices are `[inputs, outputs]`, row by input. Scales are one for each output; a scale for the whole matrix is
//! the same number for every output.

use nlpress_packed::Grid;

/// A uniform quantizer to a [`Grid`] of at most 8 bits, in single precision: to all integers of `±levels`, or to the
/// odd ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ladder {
    grid: Grid,
    levels: f32,
    odd: bool,
}

/// A weight matrix with its pruning mask.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    /// `[inputs, outputs]`, row by input.
    pub values: &'a [f32],
    /// Which entries are kept; all without a mask.
    pub keep: Option<&'a [bool]>,
    /// Length of a row.
    pub outputs: usize,
    /// Whether one scale serves the whole matrix.
    pub tensor: bool,
}

impl Kept<'_> {
    /// Sums of `f(output, value)` over the kept entries of each output; where one scale serves the whole matrix, the
    /// total, for each output.
    pub fn sums(&self, f: impl Fn(usize, f32) -> f32) -> Vec<f64> {
        let mut sums = vec![0.0_f64; self.outputs];
        for (row, values) in self.values.chunks_exact(self.outputs).enumerate() {
            let each = sums.iter_mut().zip(values).enumerate();
            match self.keep {
                None => each.for_each(|(o, (sum, v))| *sum += f64::from(f(o, *v))),
                Some(keep) => each.zip(&keep[row * self.outputs..]).for_each(|((o, (sum, v)), keep)| {
                    *sum += if *keep { f64::from(f(o, *v)) } else { 0.0 };
                }),
            }
        }
        self.spread(sums, |a, b| a + b)
    }

    /// The largest magnitude among the kept entries of each output.
    pub fn ranges(&self) -> Vec<f32> {
        let mut ranges = vec![0.0_f32; self.outputs];
        for (i, v) in self.values.iter().enumerate() {
            if self.keep.is_none_or(|keep| keep[i]) {
                let range = &mut ranges[i % self.outputs];
                *range = range.max(v.abs());
            }
        }
        self.spread(ranges, f32::max)
    }

    /// How many entries each scale serves.
    pub fn counts(&self) -> Vec<f64> {
        if self.keep.is_some() {
            return self.sums(|_, _| 1.0);
        }
        let rows = self.values.len() / self.outputs.max(1);
        let served = if self.tensor { self.values.len() } else { rows };
        vec![served as f64; self.outputs]
    }

    fn spread<T: Copy>(&self, each: Vec<T>, join: impl Fn(T, T) -> T) -> Vec<T> {
        match each.iter().copied().reduce(join) {
            Some(all) if self.tensor => vec![all; each.len()],
            _ => each,
        }
    }
}

/// Shares of the largest magnitude, in hundredths, that the search for the best scale starts from.
const TRIED: std::ops::RangeInclusive<u32> = 5..=100;

/// Rounds of least squares after that search.
const ROUNDS: usize = 10;

impl Ladder {
    /// The integers of a grid.
    pub fn of(grid: Grid) -> Self {
        Self { grid, levels: grid.levels() as f32, odd: !grid.has_zero() }
    }

    /// The grid.
    pub fn grid(self) -> Grid {
        self.grid
    }

    /// The integer nearest to `x`, ties as [`Grid::nearest`] decides them.
    #[inline]
    pub fn nearest(self, x: f32) -> f32 {
        // One beyond the levels, so that this far out no place is lost in the rounding.
        let within = x.clamp(-self.levels - 1.0, self.levels + 1.0);
        let member = if self.odd { 2.0 * whole(0.5 * within - 0.5) + 1.0 } else { whole(within) };
        member.clamp(-self.levels, self.levels)
    }

    /// The derivative by the scale of a dequantized entry, which is `x` scales large.
    #[inline]
    fn moved(self, x: f32, reach: f32) -> f32 {
        let q = self.nearest(x);
        if x.abs() <= reach { q - x } else { q }
    }

    /// The integers nearest to the entries, written over `into`.
    pub fn integers(self, entries: Kept<'_>, scales: &[f32], into: &mut Vec<f32>) {
        let inverse: Vec<f32> = scales.iter().map(|s| 1.0 / s).collect();
        into.resize(entries.values.len(), 0.0);
        let rows = entries.values.chunks_exact(entries.outputs);
        for (row, into) in rows.zip(into.chunks_exact_mut(entries.outputs)) {
            for ((into, w), i) in into.iter_mut().zip(row).zip(&inverse) {
                *into = self.nearest(w * i);
            }
        }
    }

    /// Sets the gradient of every entry that is out of range to zero.
    pub fn pass(self, entries: Kept<'_>, scales: &[f32], gradient: &mut [f32]) {
        let reach = self.reach();
        let bounds: Vec<f32> = scales.iter().map(|s| s * reach).collect();
        let rows = entries.values.chunks_exact(entries.outputs);
        for (row, gradient) in rows.zip(gradient.chunks_exact_mut(entries.outputs)) {
            for ((w, g), bound) in row.iter().zip(gradient).zip(&bounds) {
                *g = if w.abs() <= *bound { *g } else { 0.0 };
            }
        }
    }

    /// Beyond this magnitude an entry is out of range: the outer edge of the outermost integer's cell, as in Liu et al.
    /// 2025, arXiv:2502.02631. Esser et al. use the integer itself, which clips the gradient of many entries when there
    /// are few integers: at 2 bits that costs 0.6 points of validation accuracy on R8, with one bit 0.8.
    pub fn reach(self) -> f32 {
        self.levels + if self.odd { 1.0 } else { 0.5 }
    }

    /// The scale of least squared error when the entries keep the integers that they have at `scales`: `⟨w, q⟩ / ⟨q, q⟩`.
    /// Where all of them are zero, the scale is unchanged.
    pub fn refit(self, entries: Kept<'_>, scales: &[f32]) -> Vec<f32> {
        let inverse: Vec<f32> = scales.iter().map(|s| 1.0 / s).collect();
        let over = entries.sums(|o, w| w * self.nearest(w * inverse[o]));
        let under = entries.sums(|o, w| self.nearest(w * inverse[o]).powi(2));
        let fitted = over.iter().zip(&under).map(|(a, b)| (a / b) as f32);
        let usable = |s: &f32| s.is_finite() && *s > 0.0;
        fitted.zip(scales).map(|(new, old)| Some(new).filter(usable).unwrap_or(*old)).collect()
    }

    /// Scales of a squared error that is least among ranges from a twentieth of the largest magnitude to all of it,
    /// then brought down further by [`refit`](Ladder::refit). 1 where every entry is zero.
    pub fn best(self, entries: Kept<'_>) -> Vec<f32> {
        let ranges = entries.ranges();
        let at = |share: f32| -> Vec<f32> {
            let scale = |r: &f32| Some(r * share / self.levels).filter(|s| s.is_normal()).unwrap_or(1.0);
            ranges.iter().map(scale).collect()
        };
        let mut best = at(1.0);
        let mut least = self.errors(entries, &best);
        let consider = |scales: Vec<f32>, best: &mut Vec<f32>, least: &mut Vec<f64>| {
            for (i, error) in self.errors(entries, &scales).into_iter().enumerate() {
                if error < least[i] {
                    (least[i], best[i]) = (error, scales[i]);
                }
            }
        };
        for share in TRIED.rev() {
            consider(at(share as f32 / 100.0), &mut best, &mut least);
        }
        for _ in 0..ROUNDS {
            let next = self.refit(entries, &best);
            consider(next, &mut best, &mut least);
        }
        best
    }

    /// Squared error of each scale among the entries it serves.
    pub fn errors(self, entries: Kept<'_>, scales: &[f32]) -> Vec<f64> {
        let inverse: Vec<f32> = scales.iter().map(|s| 1.0 / s).collect();
        entries.sums(|o, w| (w - scales[o] * self.nearest(w * inverse[o])).powi(2))
    }

    /// The gradient of each scale, given that of the rounded entries (Esser et al. 2019, equation 3): an entry within
    /// range contributes `q − w / scale`, one beyond it the outermost integer. The sum is divided by
    /// `√(entries · levels)`, as in their section 2.2, which brings it to the size of a weight's.
    pub fn scale_gradient(self, entries: Kept<'_>, scales: &[f32], gradient: &[f32]) -> Vec<f32> {
        let inverse: Vec<f32> = scales.iter().map(|s| 1.0 / s).collect();
        let counts = entries.counts();
        let (reach, n) = (self.reach(), entries.outputs);
        let mut moves = vec![0.0_f32; n];
        let rows = entries.values.chunks_exact(n).zip(gradient.chunks_exact(n));
        for (row, (values, gradient)) in rows.enumerate() {
            let each = moves.iter_mut().zip(values).zip(gradient).zip(&inverse);
            match entries.keep {
                None => each.for_each(|(((sum, w), g), i)| *sum += g * self.moved(w * i, reach)),
                Some(keep) => each.zip(&keep[row * n..]).for_each(|((((sum, w), g), i), keep)| {
                    *sum += if *keep { g * self.moved(w * i, reach) } else { 0.0 };
                }),
            }
        }
        let moves = entries.spread(moves, |a, b| a + b);
        let factor = |n: &f64| 1.0 / (n.max(1.0) as f32 * self.levels).sqrt();
        moves.iter().zip(&counts).map(|(m, n)| m * factor(n)).collect()
    }
}

/// Sets the gradient to zero for every entry whose magnitude is beyond `times` its scale and which the gradient would
/// move further from zero.
pub fn hold(entries: Kept<'_>, scales: &[f32], times: f32, gradient: &mut [f32]) {
    let rows = entries.values.chunks_exact(entries.outputs);
    for (row, gradient) in rows.zip(gradient.chunks_exact_mut(entries.outputs)) {
        for ((w, g), s) in row.iter().zip(gradient).zip(scales) {
            // Descent moves a weight against its gradient.
            let outwards = w * *g < 0.0;
            *g = if outwards && w.abs() > times * s { 0.0 } else { *g };
        }
    }
}

/// The nearest whole number of a small one, ties to even: what is added leaves no bits for a fraction. The standard
/// library's rounding is a call for each number, on processors that are not asked for more than the common.
#[inline]
fn whole(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 · 2²³
    (x + SHIFT) - SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;

    fn draw(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = Seed(seed).stream(0);
        // A sum of uniforms has a middle and tails, as weights do.
        (0..n).map(|_| (0..4).map(|_| rng.uniform() - 0.5).sum()).collect()
    }

    fn of(values: &[f32], outputs: usize) -> Kept<'_> {
        Kept { values, keep: None, outputs, tensor: false }
    }

    const GRIDS: [Grid; 6] = [Grid::Int8, Grid::Int4, Grid::Int3, Grid::Int2, Grid::Ternary, Grid::Binary];

    #[test]
    fn the_nearest_member_is_the_grids() {
        for grid in GRIDS {
            let ladder = Ladder::of(grid);
            for i in -1100..=1100 {
                let x = i as f32 * 0.125;
                assert_eq!(ladder.nearest(x) as i32, grid.nearest(f64::from(x)), "{grid:?} {x}");
            }
            for x in [1e30, -1e30, f32::INFINITY] {
                assert_eq!(ladder.nearest(x).abs(), ladder.levels);
            }
        }
    }

    /// Rounded weights as Esser et al. differentiate them: what rounding adds is a constant, clipping is not.
    fn restored(ladder: Ladder, w: f32, rest: f32, scale: f32) -> f64 {
        let bound = ladder.levels;
        let x = f64::from(w) / f64::from(scale);
        let held =
            if rest.is_nan() { x.clamp(f64::from(-bound), f64::from(bound)) } else { x + f64::from(rest) };
        held * f64::from(scale)
    }

    #[test]
    fn the_gradient_of_a_scale_is_the_difference_quotient() {
        let outputs = 3;
        let (values, gradient) = (draw(40 * outputs, 5), draw(40 * outputs, 6));
        let keep: Vec<bool> = (0..values.len()).map(|i| i % 7 != 0).collect();
        for grid in GRIDS {
            for tensor in [false, true] {
                let ladder = Ladder::of(grid);
                let scales = if tensor { vec![0.31; 3] } else { vec![0.11, 0.4, 0.75] };
                let entries = Kept { values: &values, keep: Some(&keep), outputs, tensor };
                let found = ladder.scale_gradient(entries, &scales, &gradient);
                let mut beyond = 0;
                // What rounding adds to each entry, or nothing where it is clipped.
                let rest: Vec<f32> = values
                    .iter()
                    .enumerate()
                    .map(|(i, w)| {
                        let x = w / scales[i % outputs];
                        if x.abs() <= ladder.reach() {
                            ladder.nearest(x) - x
                        } else {
                            beyond += 1;
                            f32::NAN
                        }
                    })
                    .collect();
                assert!(
                    grid == Grid::Int8 || grid == Grid::Int4 || beyond > 0,
                    "{grid:?}: nothing is out of range"
                );
                let loss = |change: f64, output: usize| -> f64 {
                    let served = |i: &usize| keep[*i] && (tensor || i % outputs == output);
                    (0..values.len())
                        .filter(served)
                        .map(|i| {
                            let scale = f64::from(scales[i % outputs]) + change;
                            f64::from(gradient[i]) * restored(ladder, values[i], rest[i], scale as f32)
                        })
                        .sum()
                };
                for (output, found) in found.into_iter().enumerate() {
                    let quotient = (loss(1e-2, output) - loss(-1e-2, output)) / 2e-2;
                    let lives = |i: &usize| keep[*i] && (tensor || i % outputs == output);
                    let served = (0..keep.len()).filter(lives).count();
                    let expected = quotient / (served as f64 * f64::from(ladder.levels)).sqrt();
                    let off = (expected - f64::from(found)).abs();
                    assert!(off < 1e-3 * expected.abs().max(1.0), "{grid:?}: {expected} {found}");
                }
            }
        }
    }

    #[test]
    fn the_best_scale_is_as_good_as_any_of_a_fine_search() {
        let (outputs, values) = (2, draw(200 * 2, 8));
        for grid in GRIDS {
            let ladder = Ladder::of(grid);
            let best = ladder.errors(of(&values, outputs), &ladder.best(of(&values, outputs)));
            for step in 1..=2000 {
                let scale = step as f32 * 2.0 / 2000.0 / ladder.levels;
                let tried = ladder.errors(of(&values, outputs), &[scale; 2]);
                // With many levels the error has many shallow valleys.
                let within = if grid == Grid::Int8 { 1.1 } else { 1.01 };
                let good = best.iter().zip(&tried).all(|(best, tried)| *best <= tried * within + 1e-9);
                assert!(good, "{grid:?}: {best:?} at best, {tried:?} at {scale}");
            }
        }
    }

    #[test]
    fn what_is_not_kept_has_no_say() {
        let mut values = draw(60, 9);
        let keep: Vec<bool> = (0..60).map(|i| i % 4 != 1).collect();
        let ladder = Ladder::of(Grid::Int2);
        let scales = |values: &[f32]| ladder.best(Kept { keep: Some(&keep), ..of(values, 3) });
        let before = scales(&values);
        values.iter_mut().zip(&keep).filter(|(_, k)| !**k).for_each(|(v, _)| *v = 100.0);
        assert_eq!(scales(&values), before);
        assert_ne!(ladder.best(of(&values, 3)), before);
    }

    #[test]
    fn what_is_out_of_range_gets_no_gradient() {
        let ladder = Ladder::of(Grid::Ternary);
        let mut gradient = [1.0; 4];
        ladder.pass(of(&[1.4, -1.4, 1.6, -1.6], 1), &[1.0], &mut gradient);
        assert_eq!(gradient, [1.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn zeros_have_a_scale() {
        for tensor in [false, true] {
            let entries = Kept { tensor, ..of(&[0.0; 6], 2) };
            assert!(Ladder::of(Grid::Int4).best(entries).iter().all(|s| *s == 1.0));
        }
    }
}
