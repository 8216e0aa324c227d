//! `quant.ternary`: each weight becomes a scale, its negative, or zero.
//!
//! Ternary weight networks (Li, Zhang and Liu 2016, arXiv:1605.04711): what is smaller than 0.7 times the mean
//! magnitude of an output's weights becomes zero, the rest a sign; their scale is the mean magnitude of what is not
//! zero. Both are close to the least squared error (section 2.2) and take one look at the weights, so they are
//! worked out anew in each step of training. The network is trained with its weights rounded (see
//! [`shadow`](crate::shadow)), every weight with the gradient of what it was rounded to.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_packed::{Grid, Per, Values};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, Tuning, parse};
use serde::Deserialize;

use crate::lattice::Kept;
use crate::lesson::{DISTILL, Lesson};
use crate::qat::{TRAIN, read_per};
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    per: Option<String>,
    train: Option<toml::Value>,
    distill: Option<Lesson>,
}

impl TryFrom<Raw> for Ternary {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        let per = read_per(raw.per.as_deref())?;
        let (train, distill) = course(raw.train, raw.distill)?;
        Ok(Self { per, train, distill })
    }
}

/// Reads the settings of a training that may be left out.
pub(crate) fn course(
    train: Option<toml::Value>,
    distill: Option<Lesson>,
) -> Result<(Option<Tuning>, Option<Lesson>), QuantError> {
    let bad = |value: String, bound| QuantError::Setting { key: "train", value, bound };
    let train = match train {
        None => Some(Tuning::default()),
        Some(toml::Value::Boolean(false)) => None,
        Some(toml::Value::Table(table)) => {
            Some(Tuning::try_from(table).map_err(|e| QuantError::Training(e.to_string()))?)
        }
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
    ],
    parse: parse::<Ternary>,
};

/// The setting of a training that may be left out.
pub(crate) const OR_NONE: &str = "training with rounded weights, as a training table, whose learning rate is 1e-2 and \
    whose schedule \"linear\" by default; its `dropout` replaces the network's. Sites that are not selected are trained \
    as floats. `false`: no training";

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

    fn learn(&mut self, _: Kept<'_>, _: &Rounded, _: &mut [f32], _: f64) {}
}

impl Technique for Ternary {
    fn needs(&self) -> Needs {
        let teacher = self.distill.as_ref().is_some_and(Lesson::needs_teacher);
        let trains = self.train.is_some();
        Needs { training: trains, validation: trains, teacher }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        sites::plan(before, on, Values::int(Grid::Ternary, self.per), problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let course = Course {
            tuning: self.train.as_ref(),
            lesson: self.distill.as_ref(),
            tensor: self.per == Per::Tensor,
            start: &|_| Box::new(Thresholds),
        };
        course.pack(model, on, Grid::Ternary, cx)
    }
}
