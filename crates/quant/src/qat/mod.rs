//! `quant.qat`: quantization-aware training, the network is trained while its weights are rounded.
//!
//! Rounding a trained network to integers of few bits loses accuracy; a network that is trained with rounded weights
//! adapts to them (by the straight-through estimator). The scale of each output is
//!
//! - *learned* (LSQ: Esser et al. 2019, arXiv:1902.08153): it has a gradient of its own,
//!   [`Ladder::scale_gradient`], and is trained beside the weights. Here by Adam, as they are, and by its logarithm:
//!   it stays positive, and its step is in proportion to it;
//! - or follows the *range* of the weights (Jacob et al. 2018, arXiv:1712.05877): each step moves it to the least
//!   squared error for the integers of the step before.
//!
//! Both start at the least squared error. An entry that is out of range gets no gradient, as in both papers; only the
//! scale can bring it back into range.
//!
//! Activations have no scale of their own to learn: they are rounded as the runtime rounds them, to 8 bits row by row,
//! whose noise is far below that of the weights.

pub mod binary;
pub mod ternary;

use nlpress_model::{Model, Outline, SiteId};
use nlpress_packed::{Grid, Per, Values};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, Tuning, parse};
use nlpress_train::adam::Adam;
use serde::Deserialize;

use crate::calibration::{ACTIVATIONS, Calibration};
use crate::kd::{DISTILL, KdSettings};
use crate::ladder::{Kept, Ladder};
use crate::ruled::{read_per, training};
use crate::shadow::{Course, Rounded, Rule};
use crate::words::{WORDS, WordDropout};
use crate::{QuantError, settings, sites};

/// The technique's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Qat {
    ladder: Ladder,
    per: Per,
    step: Step,
    train: Tuning,
    distill: Option<KdSettings>,
    words: WordDropout,
    activations: Option<Calibration>,
}

/// Where scales come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// From gradients of their own.
    #[default]
    Learned,
    /// From the weights.
    Range,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    grid: Option<String>,
    per: Option<String>,
    #[serde(default)]
    step: Step,
    #[serde(default)]
    train: toml::Table,
    distill: Option<KdSettings>,
    #[serde(default)]
    word_dropout: WordDropout,
    activations: Option<Calibration>,
}

impl TryFrom<Raw> for Qat {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        Ok(Self {
            ladder: Ladder::of(raw.grid.as_deref().map_or(Ok(Grid::Int4), settings::grid)?),
            per: read_per(raw.per.as_deref())?,
            step: raw.step,
            train: training(raw.train)?,
            distill: raw.distill,
            words: raw.word_dropout,
            activations: raw.activations,
        })
    }
}

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.qat",
    family: Family::Quantize,
    summary: "quantization-aware training (QAT) with the straight-through estimator: trains the network with fake-quantized \
              weights, whose scales are learned (LSQ) or follow the weights",
    source: "Esser et al. 2019, Learned Step Size Quantization (LSQ), arXiv:1902.08153; Bengio et al. 2013, \
             arXiv:1308.3432 (straight-through estimator); Jacob et al. 2018, arXiv:1712.05877",
    example: "grid = \"int2\"\ntrain = { epochs = 2 }",
    on: &["**"],
    settings: &[
        (
            "grid",
            "what weights become: \"int8\", \"int4\" (default), \"int3\", \"int2\", \"ternary\" or \"binary\"",
        ),
        ("per", "\"channel\" (default): one scale for each output; \"tensor\": one for each site"),
        (
            "step",
            "\"learned\" (default): scales are trained by gradients of their own (LSQ); \"range\": they follow the weights",
        ),
        TRAIN,
        DISTILL,
        WORDS,
        ACTIVATIONS,
    ],
    parse: parse::<Qat>,
};

/// The setting of the training with rounded weights.
pub(crate) const TRAIN: (&str, &str) = (
    "train",
    "training with rounded weights, as a training table; by default its learning rate is 1e-2, its schedule \"linear\" \
     and its clip_norm 1; its `dropout` replaces the network's. Sites that are not selected are trained as floats",
);

/// Learning rate of the logarithms of scales, as a multiple of the weights'; by validation accuracy, among 0.1, 1, 3
/// and 10.
const SCALE_RATE: f64 = 3.0;

/// How far the logarithm of a scale may go from its start: no training needs a part of a million, and no scale may
/// become 0.
const FURTHEST: f32 = 14.0;

/// Scales that are trained.
#[derive(Debug)]
struct Learned {
    ladder: Ladder,
    start: Vec<f32>,
    /// Logarithm of what each scale has become of its start.
    grown: Vec<f32>,
    scales: Vec<f32>,
    adam: Adam,
}

/// Scales that follow the weights.
#[derive(Debug)]
struct Following {
    ladder: Ladder,
    scales: Vec<f32>,
}

impl Learned {
    fn new(ladder: Ladder, scales: Vec<f32>) -> Self {
        let n = scales.len();
        Self { ladder, start: scales.clone(), grown: vec![0.0; n], scales, adam: Adam::new(n) }
    }
}

fn round(ladder: Ladder, scales: &[f32], entries: Kept<'_>, into: &mut Rounded) {
    into.scales.clear();
    into.scales.extend_from_slice(scales);
    ladder.integers(entries, scales, &mut into.integers);
}

impl Rule for Learned {
    fn round(&self, entries: Kept<'_>, into: &mut Rounded) {
        round(self.ladder, &self.scales, entries, into);
    }

    fn learn(&mut self, entries: Kept<'_>, _: &Rounded, gradient: &mut [f32], rate: f64) {
        let mut of_scales = self.ladder.scale_gradient(entries, &self.scales, gradient);
        of_scales.iter_mut().zip(&self.scales).for_each(|(g, s)| *g *= s);
        self.ladder.pass(entries, &self.scales, gradient);
        self.adam.step(&mut self.grown, &of_scales, SCALE_RATE * rate, (0.9, 0.999, 1e-8));
        for ((scale, start), grown) in self.scales.iter_mut().zip(&self.start).zip(&mut self.grown) {
            *grown = grown.clamp(-FURTHEST, FURTHEST);
            *scale = start * grown.exp();
        }
    }
}

impl Rule for Following {
    fn round(&self, entries: Kept<'_>, into: &mut Rounded) {
        round(self.ladder, &self.scales, entries, into);
    }

    fn learn(&mut self, entries: Kept<'_>, _: &Rounded, gradient: &mut [f32], _: f64) {
        self.ladder.pass(entries, &self.scales, gradient);
        self.scales = self.ladder.refit(entries, &self.scales);
    }
}

impl Technique for Qat {
    fn needs(&self) -> Needs {
        let teacher = self.distill.as_ref().is_some_and(KdSettings::needs_teacher);
        Needs { training: true, validation: true, teacher }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        let after = sites::plan(before, on, Values::int(self.ladder.grid(), self.per), problems);
        Calibration::plan_if(self.activations.as_ref(), after, on)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let start = |entries: Kept<'_>| -> Box<dyn Rule> {
            let (ladder, scales) = (self.ladder, self.ladder.best(entries));
            match self.step {
                Step::Learned => Box::new(Learned::new(ladder, scales)),
                Step::Range => Box::new(Following { ladder, scales }),
            }
        };
        let course = Course {
            tuning: Some(&self.train),
            kd: self.distill.as_ref(),
            grid: self.ladder.grid(),
            tensor: self.per == Per::Tensor,
            words: self.words,
            activations: self.activations.as_ref(),
            start: &start,
        };
        course.pack(model, on, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_by_name() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ());
        assert_eq!(read("grid = 'int3'\nstep = 'range'\ndistill = { teacher = 'self' }"), Ok(()));
        for (bad, says) in [
            ("grid = 'int16'", "grid is \"int16\", but it must be \"int8\", \"int4\""),
            ("per = 'row'", "per is \"row\", but it must be \"channel\" or \"tensor\""),
            ("step = 'fixed'", "unknown value `fixed`"),
            ("train = { epochs = 0 }", "epochs is 0"),
            ("distill = { temperature = 0.0 }", "temperature is 0"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn a_teacher_is_asked_for_only_where_one_teaches() {
        let needs = |text: &str| (KIND.parse)(&text.parse().unwrap()).unwrap().needs().teacher;
        assert!(!needs("") && !needs("distill = { teacher = 'self' }") && needs("distill = {}"));
    }

    #[test]
    fn learned_scales_go_down_their_gradient_and_stay_positive() {
        let entries = Kept { values: &[0.9, -0.9], keep: None, outputs: 1, tensor: false };
        let mut learned = Learned::new(Ladder::of(Grid::Ternary), vec![0.5]);
        let before = learned.scales[0];
        // Both are beyond reach: the loss falls with the scale, and neither weight is moved.
        let mut gradient = [-1.0, 1.0];
        learned.learn(entries, &Rounded::default(), &mut gradient, 0.1);
        assert!(learned.scales[0] > before);
        assert_eq!(gradient, [0.0, 0.0]);
        let mut learned = Learned::new(Ladder::of(Grid::Ternary), vec![0.5]);
        for _ in 0..200 {
            learned.learn(entries, &Rounded::default(), &mut [1.0, -1.0], 0.5);
        }
        assert!(learned.scales[0] > 0.0 && learned.scales[0] < 1e-3, "{:?}", learned.scales);
    }

    #[test]
    fn following_scales_find_the_least_error_of_weights_that_moved() {
        let ladder = Ladder::of(Grid::Int2);
        let entries = Kept { values: &[0.3, -0.1, 0.1, -0.3], keep: None, outputs: 1, tensor: false };
        let mut following = Following { ladder, scales: vec![0.15] };
        for _ in 0..5 {
            following.learn(entries, &Rounded::default(), &mut [0.0; 4], 0.1);
        }
        assert!((following.scales[0] - 0.1).abs() < 1e-6, "{:?}", following.scales);
    }
}
