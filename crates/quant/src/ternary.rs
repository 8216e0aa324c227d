//! `quant.ternary`: each weight becomes a scale, its negative, or zero.
//!
//! Ternary weight networks (Li, Zhang and Liu 2016, arXiv:1605.04711): what is smaller than 0.7 times the mean
//! magnitude of an output's weights becomes zero, the rest a sign; their scale is the mean magnitude of what is not
//! zero. Both are close to the least squared error (section 2.2) and take one look at the weights, so they are
//! worked out anew in each step of training. The network is trained with its weights rounded (see
//! the module `shadow`), every weight with the gradient of what it was rounded to.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_packed::{Grid, Per, Values};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, Tuning, parse};
use serde::Deserialize;

use crate::calibration::{ACTIVATIONS, Calibration};
use crate::ladder::Kept;
use crate::lesson::{DISTILL, Lesson};
use crate::qat::{TRAIN, read_per, training};
use crate::shadow::{Course, Rounded, Rule};
use crate::{QuantError, sites};

/// Share of the mean magnitude below which a weight becomes zero (Li, Zhang and Liu 2016, equation 6).
pub const THRESHOLD: f32 = 0.7;

/// The technique's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Ternary {
    per: Per,
    train: Option<Tuning>,
    distill: Option<Lesson>,
    activations: Option<Calibration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    per: Option<String>,
    train: Option<toml::Value>,
    distill: Option<Lesson>,
    activations: Option<Calibration>,
}

impl TryFrom<Raw> for Ternary {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        let per = read_per(raw.per.as_deref())?;
        let (train, distill) = course(raw.train, raw.distill)?;
        Ok(Self { per, train, distill, activations: raw.activations })
    }
}

/// Reads the settings of a training that may be left out.
pub(crate) fn course(
    train: Option<toml::Value>,
    distill: Option<Lesson>,
) -> Result<(Option<Tuning>, Option<Lesson>), QuantError> {
    let bad = |value: String, bound| QuantError::Setting { key: "train", value, bound };
    let train = match train {
        None => Some(training(toml::Table::new())?),
        Some(toml::Value::Boolean(false)) => None,
        Some(toml::Value::Table(table)) => Some(training(table)?),
        Some(other) => return Err(bad(other.to_string(), "a training table, or false for none")),
    };
    if train.is_none() && distill.is_some() {
        return Err(bad("false".into(), "a training table where distill is set: nothing is learnt without"));
    }
    Ok((train, distill))
}

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.ternary",
    family: Family::Quantize,
    summary: "weights become a scale, its negative or zero, and the network is trained with them so",
    source: "Li, Zhang and Liu 2016, arXiv:1605.04711 (ternary weight networks)",
    example: "train = { epochs = 2 }",
    on: &["**"],
    settings: &[
        ("per", "\"channel\" (default): threshold and scale of each output; \"tensor\": of each site"),
        (TRAIN.0, OR_NONE),
        DISTILL,
        ACTIVATIONS,
    ],
    parse: parse::<Ternary>,
};

/// The setting of a training that may be left out.
pub(crate) const OR_NONE: &str = "training with rounded weights, as a training table; by default its learning rate is \
    1e-2, its schedule \"linear\" and its clip_norm 1; its `dropout` replaces the network's. Sites that are not selected \
    are trained as floats. `false`: no training";

/// Rounds by threshold.
#[derive(Debug)]
struct Thresholds;

/// Threshold and scale of each output, from its living weights: `0.7 · mean|w|`, and the mean magnitude of those
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
    fn learn(&mut self, _: Kept<'_>, _: &Rounded, _: &mut [f32], _: f64) {}
}

impl Technique for Ternary {
    fn needs(&self) -> Needs {
        let teacher = self.distill.as_ref().is_some_and(Lesson::needs_teacher);
        let trains = self.train.is_some();
        Needs { training: trains, validation: trains, teacher }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        let after = sites::plan(before, on, Values::int(Grid::Ternary, self.per), problems);
        Calibration::plan_if(self.activations.as_ref(), after, on)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let course = Course {
            tuning: self.train.as_ref(),
            lesson: self.distill.as_ref(),
            tensor: self.per == Per::Tensor,
            activations: self.activations.as_ref(),
            start: &|_| Box::new(Thresholds),
        };
        course.pack(model, on, Grid::Ternary, cx)
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

    #[test]
    fn settings_are_checked_by_name() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ());
        assert_eq!(read("train = false"), Ok(()));
        assert_eq!(read("per = 'tensor'\ntrain = { epochs = 3, dropout = 0.2 }\ndistill = {}"), Ok(()));
        for (bad, says) in [
            ("per = 'row'", "per is \"row\", but it must be \"channel\" or \"tensor\""),
            ("train = true", "train is true, but it must be a training table, or false"),
            ("train = { epochs = 0 }", "train: epochs is 0"),
            ("train = false\ndistill = {}", "train is false, but it must be a training table where distill"),
            ("distill = { share = 0.0 }", "share is 0"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{message}");
        }
    }
}
