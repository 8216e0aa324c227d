//! `quant.binary`: each weight becomes a scale or its negative.
//!
//! XNOR-Net's binary weights (Rastegari et al. 2016, arXiv:1603.05279): the sign of a weight times the mean magnitude
//! of its output's weights, which is the least squared error (equation 6). The network is trained with its weights
//! rounded (see the module `shadow`), after BinaryConnect (Courbariaux et al. 2015, arXiv:1511.00363): a weight
//! that is already far out gets no gradient that would move it further, because its sign cannot change for that.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_packed::{Grid, Per, Values};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, Tuning, parse};
use serde::Deserialize;

use crate::calibration::{ACTIVATIONS, Calibration};
use crate::ladder::{Kept, hold};
use crate::lesson::{DISTILL, Lesson};
use crate::qat::{TRAIN, read_per};
use crate::shadow::{Course, Rounded, Rule};
use crate::ternary::{OR_NONE, course};
use crate::{QuantError, sites};

/// The technique's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Binary {
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

impl TryFrom<Raw> for Binary {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        let per = read_per(raw.per.as_deref())?;
        let (train, distill) = course(raw.train, raw.distill)?;
        Ok(Self { per, train, distill, activations: raw.activations })
    }
}

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.binary",
    family: Family::Quantize,
    summary: "weights become a scale or its negative, and the network is trained with them so",
    source: "Rastegari et al. 2016, arXiv:1603.05279 (XNOR-Net, binary weights); Courbariaux et al. 2015, \
             arXiv:1511.00363 (BinaryConnect)",
    example: "train = { epochs = 2 }",
    on: &["**"],
    settings: &[
        ("per", "\"channel\" (default): the scale of each output; \"tensor\": of each site"),
        (TRAIN.0, OR_NONE),
        DISTILL,
        ACTIVATIONS,
    ],
    parse: parse::<Binary>,
};

/// The mean magnitude of each output's living weights; 1 where all are zero.
pub fn scales(entries: Kept<'_>) -> Vec<f32> {
    let counts = entries.counts();
    let sums = entries.sums(|_, w| w.abs());
    let scale = |(sum, n): (&f64, &f64)| if *sum > 0.0 { (sum / n) as f32 } else { 1.0 };
    sums.iter().zip(&counts).map(scale).collect()
}

/// How far out a weight is held, in scales. The papers' bound is one; but within the mean magnitude of trained weights
/// most of them hardly move, and of R8's 95 points 82 are left. Two and four are alike, and as good as none.
const CLIP: f32 = 4.0;

/// Rounds to signs.
#[derive(Debug)]
struct Signs;

impl Rule for Signs {
    fn round(&self, entries: Kept<'_>, into: &mut Rounded) {
        into.scales = scales(entries);
        into.integers.clear();
        into.integers.extend(entries.values.iter().map(|w| if *w < 0.0 { -1.0 } else { 1.0 }));
    }

    fn learn(&mut self, entries: Kept<'_>, rounded: &Rounded, gradient: &mut [f32], _: f64) {
        hold(entries, &rounded.scales, CLIP, gradient);
    }
}

impl Technique for Binary {
    fn needs(&self) -> Needs {
        let teacher = self.distill.as_ref().is_some_and(Lesson::needs_teacher);
        let trains = self.train.is_some();
        Needs { training: trains, validation: trains, teacher }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        let after = sites::plan(before, on, Values::int(Grid::Binary, self.per), problems);
        Calibration::plan_if(self.activations.as_ref(), after, on)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let course = Course {
            tuning: self.train.as_ref(),
            lesson: self.distill.as_ref(),
            tensor: self.per == Per::Tensor,
            activations: self.activations.as_ref(),
            start: &|_| Box::new(Signs),
        };
        course.pack(model, on, Grid::Binary, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;

    #[test]
    fn the_scale_is_that_of_least_squares() {
        let mut rng = Seed(2).stream(0);
        let values: Vec<f32> = (0..300).map(|_| rng.uniform() - 0.4).collect();
        let keep: Vec<bool> = (0..300).map(|i| i % 5 != 2).collect();
        let entries = Kept { values: &values, keep: Some(&keep), outputs: 3, tensor: false };
        let found = scales(entries);
        let error = |output: usize, scale: f64| -> f64 {
            let lives = (output..300).step_by(3).filter(|i| keep[*i]);
            lives.map(|i| (f64::from(values[i].abs()) - scale).powi(2)).sum()
        };
        for (output, scale) in found.iter().map(|s| f64::from(*s)).enumerate() {
            let least = error(output, scale);
            for other in 1..=1000 {
                assert!(least <= error(output, f64::from(other) * 1e-3) + 1e-6, "{output}: {scale} {other}");
            }
        }
        let tensor = scales(Kept { tensor: true, ..entries });
        assert!(tensor[0] == tensor[1] && tensor[1] == tensor[2]);
        assert_eq!(scales(Kept { values: &[0.0; 3], keep: None, outputs: 3, tensor: false }), [1.0; 3]);
    }
}
