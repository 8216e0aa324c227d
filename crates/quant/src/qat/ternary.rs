//! `quant.ternary`: ternary weights, each becomes plus or minus a scale, or zero.
//!
//! Ternary weight networks (Li, Zhang and Liu 2016, arXiv:1605.04711): what is smaller than 0.7 times the mean
//! magnitude of an output's weights becomes zero, the rest a sign; their scale is the mean magnitude of what is not
//! zero. Both are close to the least squared error (section 2.2) and take one look at the weights, so they are
//! computed anew in each step of training. The network is trained with its weights rounded, every weight with the
//! gradient of its rounded value (straight-through estimator).

use nlpress_packed::Grid;
use nlpress_technique::{Family, Kind, Settings, parse};

use crate::fake::{Rounded, Rule};
use crate::ladder::Kept;
use crate::ruled::{Fixed, Raw, Ruled};

/// Share of the mean magnitude below which a weight becomes zero (Li, Zhang and Liu 2016, equation 6).
pub const THRESHOLD: f32 = 0.7;

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.ternary",
    family: Family::Quantize,
    summary: "ternary weight networks (TWN) by quantization-aware training: each weight becomes plus or minus a scale, or \
              zero",
    source: "Li, Zhang and Liu 2016, arXiv:1605.04711 (ternary weight networks)",
    example: "train = { epochs = 2 }",
    on: &["**"],
    settings: &[
        &[Raw::SETTINGS[0]
            .saying("\"channel\" (default): threshold and scale of each output; \"tensor\": of each site")],
        Raw::SETTINGS.split_at(1).1,
    ],
    parse: parse::<Ruled<Thresholds>>,
};

/// Rounds by threshold.
#[derive(Clone, Copy, Debug, Default)]
struct Thresholds;

impl Fixed for Thresholds {
    const GRID: Grid = Grid::Ternary;
}

/// Threshold and scale of each output, from its kept weights: `0.7 · mean|w|`, and the mean magnitude of those
/// above it. The scale is 1 where every weight is zero.
pub fn thresholds(entries: Kept<'_>) -> (Vec<f32>, Vec<f32>) {
    let counts = entries.counts();
    let sums = entries.sums(|_, w| w.abs());
    let bounds: Vec<f32> =
        sums.iter().zip(&counts).map(|(s, n)| THRESHOLD * (s / n.max(1.0)) as f32).collect();
    let above = entries.sums(|o, w| if w.abs() > bounds[o] { w.abs() } else { 0.0 });
    let many = entries.sums(|o, w| if w.abs() > bounds[o] { 1.0 } else { 0.0 });
    let scales = above.iter().zip(&many).map(|(s, n)| if *n > 0.0 { (s / n) as f32 } else { 1.0 });
    (bounds, scales.collect())
}

impl Rule for Thresholds {
    fn round(&self, entries: Kept<'_>, into: &mut Rounded) {
        let (bounds, scales) = thresholds(entries);
        into.scales = scales;
        into.integers.clear();
        for row in entries.values.chunks_exact(entries.outputs) {
            let sign = |(w, b): (&f32, &f32)| if w.abs() > *b { w.signum() } else { 0.0 };
            into.integers.extend(row.iter().zip(&bounds).map(sign));
        }
    }

    // Every weight has the gradient of what it was rounded to, as in the paper: holding back the outermost, as
    // `quant.binary` does, was no better.
    fn copy(&self) -> Box<dyn Rule> {
        Box::new(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;

    fn of(values: &[f32], outputs: usize) -> Kept<'_> {
        Kept { values, keep: None, outputs, tensor: false }
    }

    /// The squared error of a threshold with the scale that is best for it.
    fn error(values: &[f32], bound: f32) -> f64 {
        let above: Vec<f64> =
            values.iter().map(|w| f64::from(w.abs())).filter(|w| *w > f64::from(bound)).collect();
        let all: f64 = values.iter().map(|w| f64::from(*w).powi(2)).sum();
        all - above.iter().sum::<f64>().powi(2) / above.len().max(1) as f64
    }

    #[test]
    fn threshold_and_scale_are_near_the_best_of_all() {
        let mut rng = Seed(3).stream(0);
        // Uniform, and with a middle and tails: the rule is derived for the normal distribution.
        for (terms, within) in [(1, 1.05), (2, 1.02), (12, 1.02)] {
            let values: Vec<f32> = (0..2000).map(|_| (0..terms).map(|_| rng.uniform() - 0.5).sum()).collect();
            let (bounds, scales) = thresholds(of(&values, 1));
            let best = values.iter().map(|w| error(&values, w.abs())).fold(f64::INFINITY, f64::min);
            let found: f64 = values
                .iter()
                .map(|w| if w.abs() > bounds[0] { w - w.signum() * scales[0] } else { *w })
                .map(|d| f64::from(d).powi(2))
                .sum();
            assert!((found - error(&values, bounds[0])).abs() < 1e-3 * found, "the scale is the best for it");
            assert!(found <= within * best, "{terms} terms: {found} {best}");
        }
    }

    #[test]
    fn they_are_worked_out_by_hand() {
        let values = [1.0, 0.0, -3.0, 0.0, 0.5, 0.0, 2.0, 0.0];
        let (bounds, scales) = thresholds(of(&values, 2));
        assert!((bounds[0] - 0.7 * 6.5 / 4.0).abs() < 1e-6, "{bounds:?}");
        assert_eq!((scales[0], scales[1]), (2.5, 1.0));
        let mut rounded = Rounded::default();
        Thresholds.round(of(&values, 2), &mut rounded);
        assert_eq!(rounded.integers, [0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let keep = [true, true, false, true, true, true, true, true];
        let masked = Kept { keep: Some(&keep), ..of(&values, 2) };
        let (bounds, scales) = thresholds(masked);
        assert!((bounds[0] - 0.7 * 3.5 / 3.0).abs() < 1e-6, "{bounds:?}");
        assert_eq!(scales[0], 1.5);
    }
}
