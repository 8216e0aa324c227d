//! The range of a site's activations, measured on training rows, so that one scale can be fixed for all rows.
//!
//! A dynamic scale fits every row but has to be found for it; a static one costs nothing when it is used, and with it a
//! network runs in integers from end to end. What is beyond the range is clipped, so the calibrator weighs few large
//! numbers against a finer grid for all others. Only numbers that are not zero count: zero is exact on every grid, and
//! text rows and what a ReLU leaves are mostly zeros.

use nlpress_core::Measurement;
use nlpress_model::{Model, Network, Outline, SiteId, Weight};
use nlpress_packed::{Activations, Matrix, Scales, Scheme, Values};
use nlpress_technique::{Cx, StepError};
use nlpress_text::Rows;
use serde::Deserialize;

use crate::{QuantError, sites};

/// Rows of one pass, and of one step of the moving average.
const BATCH: usize = 32;
/// Bins of the histogram whose entropy is compared.
const BINS: usize = 2048;
/// Ranges that [`Calibrator::Mse`] tries, in hundredths of the largest magnitude.
const TRIED: std::ops::RangeInclusive<u32> = 10..=100;

/// The description of `activations`.
pub(crate) const ACTIVATIONS: &str = "none (default): dynamic, a scale for each row when it is served; or a table for one fixed (static) scale: \
     calibrator = \"minmax\", \"moving_average\" (momentum, 0.9), \"percentile\" (percentile, 99.9), \
     \"entropy\" or \"mse\" (default), measured on samples (300 by default, from 1 to 100000) training rows";

/// How a range is found among magnitudes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Calibrator {
    /// The largest.
    MinMax,
    /// The average over batches of their largest, the later ones weighing more: `r ← m · r + (1 - m) · max` (Jacob et
    /// al. 2018, section 3.1).
    MovingAverage {
        /// The weight of what was before, in `[0, 1)`.
        momentum: f32,
    },
    /// A percentile of the magnitudes.
    Percentile {
        /// In `(0, 100]`.
        percent: f64,
    },
    /// The one with which the distribution of the levels is the nearest to that of the magnitudes, by the
    /// Kullback–Leibler divergence (Migacz 2017).
    Entropy,
    /// The one with the least squared error.
    Mse,
}

/// How the activations of sites are calibrated.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Calibration {
    calibrator: Calibrator,
    samples: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    calibrator: Option<String>,
    samples: Option<usize>,
    momentum: Option<f32>,
    percentile: Option<f64>,
}

impl TryFrom<Raw> for Calibration {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        let bad = |key, value: String, bound| Err(QuantError::setting(key, value, bound));
        let word = raw.calibrator.as_deref().unwrap_or("mse");
        let momentum = raw.momentum.unwrap_or(0.9);
        let percent = raw.percentile.unwrap_or(99.9);
        let calibrator = match word {
            "minmax" => Calibrator::MinMax,
            "moving_average" => Calibrator::MovingAverage { momentum },
            "percentile" => Calibrator::Percentile { percent },
            "entropy" => Calibrator::Entropy,
            "mse" => Calibrator::Mse,
            other => {
                let bound = "\"minmax\", \"moving_average\", \"percentile\", \"entropy\" or \"mse\"";
                return bad("calibrator", format!("{other:?}"), bound);
            }
        };
        if !(0.0..1.0).contains(&momentum) {
            return bad("momentum", momentum.to_string(), "at least 0 and less than 1");
        }
        if !(percent > 0.0 && percent <= 100.0) {
            return bad("percentile", percent.to_string(), "more than 0 and at most 100");
        }
        if raw.momentum.is_some() && !matches!(calibrator, Calibrator::MovingAverage { .. }) {
            return bad("momentum", momentum.to_string(), "left out, except with \"moving_average\"");
        }
        if raw.percentile.is_some() && !matches!(calibrator, Calibrator::Percentile { .. }) {
            return bad("percentile", percent.to_string(), "left out, except with \"percentile\"");
        }
        match raw.samples.unwrap_or(300) {
            samples @ 1..=100_000 => Ok(Self { calibrator, samples }),
            other => bad("samples", other.to_string(), "between 1 and 100000"),
        }
    }
}

impl Calibrator {
    /// The range of activations that come in batches, for integers within `±levels`: at least 0, and 0 only when there
    /// is nothing but zeros.
    pub fn range(self, batches: &[Vec<f32>], levels: i32) -> f32 {
        let largest = |batch: &Vec<f32>| batch.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        let most = batches.iter().map(largest).fold(0.0, f32::max);
        let magnitudes =
            || -> Vec<f32> { batches.iter().flatten().map(|x| x.abs()).filter(|x| *x > 0.0).collect() };
        match self {
            _ if most == 0.0 => 0.0,
            Self::MinMax => most,
            Self::MovingAverage { momentum } => {
                let mut all = batches.iter().map(largest);
                let first = all.next().unwrap_or(0.0);
                all.fold(first, |range, max| momentum * range + (1.0 - momentum) * max)
            }
            Self::Percentile { percent } => {
                let mut magnitudes = magnitudes();
                magnitudes.sort_unstable_by(f32::total_cmp);
                let rank = (percent / 100.0 * magnitudes.len() as f64).ceil() as usize;
                magnitudes[rank.clamp(1, magnitudes.len()) - 1]
            }
            Self::Entropy => entropy(&magnitudes(), most, levels as usize),
            Self::Mse => least_squares(&magnitudes(), most, levels),
        }
    }
}

/// The range of least squared error among hundredths of the largest magnitude.
fn least_squares(magnitudes: &[f32], most: f32, levels: i32) -> f32 {
    let error = |range: f32| -> f64 {
        let step = f64::from(range) / f64::from(levels);
        let one = |x: &f32| {
            let level = (f64::from(*x) / step).round_ties_even().min(f64::from(levels));
            (f64::from(*x) - level * step).powi(2)
        };
        magnitudes.iter().map(one).sum()
    };
    let tried = TRIED.rev().map(|share| most * share as f32 / 100.0);
    let errors = tried.map(|range| (error(range), range));
    errors.fold((f64::INFINITY, most), |best, at| if at.0 < best.0 { at } else { best }).1
}

/// The range whose levels are distributed the most like the magnitudes.
fn entropy(magnitudes: &[f32], most: f32, levels: usize) -> f32 {
    let mut bins = vec![0.0_f64; BINS];
    for x in magnitudes {
        bins[((x / most * BINS as f32) as usize).min(BINS - 1)] += 1.0;
    }
    let mut best = (f64::INFINITY, BINS);
    for kept in levels.min(BINS)..=BINS {
        // What is clipped piles up in the last bin that is kept.
        let mut clipped = bins[..kept].to_vec();
        clipped[kept - 1] += bins[kept..].iter().sum::<f64>();
        let mut spread = vec![0.0; kept];
        for level in 0..levels {
            let (from, to) = (level * kept / levels, (level + 1) * kept / levels);
            let filled = bins[from..to].iter().filter(|b| **b > 0.0).count();
            let mean = bins[from..to].iter().sum::<f64>() / filled.max(1) as f64;
            (from..to).filter(|b| bins[*b] > 0.0).for_each(|b| spread[b] = mean);
        }
        let divergence = divergence(&clipped, &spread);
        if divergence < best.0 {
            best = (divergence, kept);
        }
    }
    most * best.1 as f32 / BINS as f32
}

/// The Kullback–Leibler divergence of `q` from `p`, both made to sum to one; what `p` has and `q` lacks costs as much
/// as a count of one thousandth.
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    let (total_p, total_q) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
    if total_p == 0.0 || total_q == 0.0 {
        return f64::INFINITY;
    }
    let term = |(p, q): (&f64, &f64)| {
        let (p, q) = (p / total_p, q.max(1e-3) / total_q);
        if p > 0.0 { p * (p / q).ln() } else { 0.0 }
    };
    p.iter().zip(q).map(term).sum()
}

impl Calibration {
    /// [`plan`](Calibration::plan) where there is a calibration.
    pub(crate) fn plan_if(calibration: Option<&Self>, before: Outline, on: &[SiteId]) -> Outline {
        if calibration.is_some() { Self::plan(before, on) } else { before }
    }

    /// [`apply`](Calibration::apply) where there is a calibration.
    pub(crate) fn apply_if(
        calibration: Option<&Self>,
        model: Model,
        on: &[SiteId],
        cx: &mut Cx<'_>,
    ) -> Result<Model, StepError> {
        match calibration {
            Some(calibration) => calibration.apply(model, on, cx),
            None => Ok(model),
        }
    }

    /// The outline with the activations of the sites fixed, where they are integers.
    fn plan(before: Outline, on: &[SiteId]) -> Outline {
        let mut after = before;
        for id in on {
            if let Some(site) = after.site_mut(id)
                && let nlpress_model::Form::Packed(Scheme { values: Values::Int(int), .. }) = &mut site.form
            {
                int.activations = Activations::Static;
            }
        }
        after
    }

    /// The scale of activations that come in batches, for integers within `±levels`, and their range.
    pub(crate) fn scale(&self, batches: &[Vec<f32>], levels: i32) -> (f32, f32) {
        let range = self.calibrator.range(batches, levels);
        (if range > 0.0 { range / levels as f32 } else { 1.0 }, range)
    }

    /// Fixes the scale of the activations of packed sites by what goes into them while all scales are dynamic.
    ///
    /// # Errors
    /// [`StepError`] when asked to stop, or the network cannot run.
    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let rows = cx.draw(self.samples);
        let packed = |site: &usize| match &model.layers()[*site].weight {
            Weight::Packed { scheme, matrix } => scheme.values.grid().map(|grid| (*scheme, matrix, grid)),
            _ => None,
        };
        let selected: Vec<usize> =
            sites::selected(&model, on)?.into_iter().filter(|site| packed(site).is_some()).collect();
        let (network, mut fixed) = (Network::bind(&model, cx.backend), Vec::new());
        for part in selected.chunks(sites::AT_ONCE) {
            cx.progress("calibrating", fixed.len(), selected.len())?;
            let mut batches = vec![Vec::new(); part.len()];
            for batch in rows.chunks(BATCH) {
                network.each_input(part, cx.train.examples(), batch, &mut |site, inputs| {
                    let of_site = batches.iter_mut().zip(part).filter(|(_, of)| **of == site);
                    of_site
                        .for_each(|(all, _)| all.extend(packed(&site).map(|(_, m, _)| weighted(&inputs, m))));
                    Ok::<_, StepError>(())
                })?;
            }
            for (site, batches) in part.iter().zip(&batches) {
                let Some((mut scheme, matrix, grid)) = packed(site) else { continue };
                let id = model.layers()[*site].id.clone();
                let (scale, range) = self.scale(batches, grid.activation_levels());
                cx.measure(Measurement::lower(&format!("activation_range.{id}"), range.into(), "1"));
                let failed = |e| StepError::at(&id, e);
                let matrix = matrix.clone().with_activations(scale).map_err(failed)?;
                if let Values::Int(int) = &mut scheme.values {
                    int.activations = Activations::Static;
                }
                fixed.push((id, Weight::Packed { scheme, matrix }));
            }
        }
        Ok(fixed.into_iter().try_fold(model, |model, (id, weight)| model.with_weight(&id, weight))?)
    }
}

/// What becomes integers: the inputs that are no outliers, times the scales of rows where a weight has them.
pub(crate) fn weighted(inputs: &Rows, matrix: &Matrix) -> Vec<f32> {
    let outliers = matrix.outliers().map_or(&[][..], |outliers| outliers.inputs());
    let mut all = Vec::with_capacity(inputs.nonzeros());
    for row in inputs.iter() {
        let rest = row.columns.iter().zip(row.values).filter(|(c, _)| outliers.binary_search(c).is_err());
        match matrix.scales() {
            Some(Scales::Row(scales)) => all.extend(rest.map(|(c, x)| x * scales[*c as usize])),
            _ => all.extend(rest.map(|(_, x)| *x)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exponential magnitudes with alternating signs, and one number far away: those of
    /// `tests/reference/calibrators.py`.
    fn batches() -> Vec<Vec<f32>> {
        let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
        let number = |n: usize| {
            let magnitude = -(1.0 - ((n + 1) as f64 * golden) % 1.0).ln();
            if n.is_multiple_of(2) { magnitude as f32 } else { -magnitude as f32 }
        };
        let mut batches: Vec<Vec<f32>> =
            (0..8).map(|batch| (500 * batch..500 * (batch + 1)).map(number).collect()).collect();
        batches[3][7] = -40.0;
        batches
    }

    /// Against a program that was written from the papers: `tests/reference/calibrators.py` prints these.
    #[test]
    fn every_calibrator_finds_the_reference_range() {
        let batches = batches();
        for (calibrator, levels, expected) in [
            (Calibrator::MinMax, 127, 40.0),
            (Calibrator::MovingAverage { momentum: 0.9 }, 127, 9.061108),
            (Calibrator::Percentile { percent: 99.9 }, 127, 7.375882),
            (Calibrator::Percentile { percent: 100.0 }, 127, 40.0),
            (Calibrator::Entropy, 127, 8.671875),
            (Calibrator::Mse, 127, 39.2),
            (Calibrator::Mse, 7, 6.4),
        ] {
            let found = calibrator.range(&batches, levels);
            assert!((found - expected).abs() < 1e-5, "{calibrator:?}, {levels} levels: {found} {expected}");
        }
    }

    #[test]
    fn the_squared_error_is_the_least_where_it_says() {
        let batches = batches();
        let error = |range: f32| -> f64 {
            let step = range / 7.0;
            let one = |x: &f32| (x - (x / step).round().clamp(-7.0, 7.0) * step).powi(2);
            batches.iter().flatten().map(|x| f64::from(one(x))).sum()
        };
        let found = error(Calibrator::Mse.range(&batches, 7));
        for range in [6.0, 12.0, 24.0, 40.0] {
            assert!(found <= error(range) * 1.001, "{range}");
        }
    }

    #[test]
    fn zeros_alone_have_no_range() {
        for calibrator in [
            Calibrator::MinMax,
            Calibrator::MovingAverage { momentum: 0.5 },
            Calibrator::Percentile { percent: 50.0 },
            Calibrator::Entropy,
            Calibrator::Mse,
        ] {
            assert_eq!(calibrator.range(&[vec![0.0; 3], vec![]], 127), 0.0);
            assert_eq!(calibrator.range(&[], 127), 0.0);
            let one = calibrator.range(&[vec![0.25]], 127);
            assert!(one > 0.2 && one <= 0.25, "{calibrator:?}: {one}");
        }
    }

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| toml::from_str::<Calibration>(text).map_err(|e| e.message().to_owned());
        assert_eq!(read("").unwrap(), Calibration { calibrator: Calibrator::Mse, samples: 300 });
        for (text, says) in [
            ("calibrator = 'best'", "calibrator is \"best\""),
            ("calibrator = 'moving_average'\nmomentum = 1.0", "momentum is 1"),
            ("momentum = 0.5", "momentum is 0.5, but it must be left out"),
            ("calibrator = 'percentile'\npercentile = 0", "percentile is 0"),
            ("samples = 0", "samples is 0"),
            ("rows = 4", "unknown field `rows`"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(says), "{message}");
        }
    }
}
