//! The fake quantizer of [`qat`](crate::qat): its settings, and where its scales come from.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_packed::{Grid, Per, Values};
use nlpress_technique::{Cx, Problem, Setting, Settings, StepError};
use nlpress_train::adam::Adam;
use nlpress_train::record::{Reader, Writer};
use serde::Deserialize;
use std::io;

use crate::calibration::{ACTIVATIONS, Calibration};
use crate::fake::{FakeQuantizer, Rounded, Rule, Start};
use crate::ladder::{Kept, Ladder};
use crate::ruled::read_per;
use crate::{QuantError, settings, sites};

/// What weights become while they are trained, and the activations that they meet afterwards.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct QuantizerConfig {
    ladder: Ladder,
    per: Per,
    step: Scales,
    activations: Option<Calibration>,
}

/// Where scales come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scales {
    /// From gradients of their own.
    #[default]
    Learned,
    /// From the weights.
    Range,
}

nlpress_technique::settings! {
    struct Raw {
        /// what weights become: "int8", "int4" (default), "int3", "int2", "ternary" or "binary"
        grid: Option<String>,
        /// "channel" (default): one scale for each output; "tensor": one for each site
        per: Option<String>,
        /// "learned" (default): scales are trained by gradients of their own (LSQ); "range": they follow the
        /// weights
        #[serde(default)]
        step: Scales,
        activations: Option<Calibration> as ACTIVATIONS,
    }
}

impl Settings for QuantizerConfig {
    const SETTINGS: &'static [Setting] = Raw::SETTINGS;
}

impl TryFrom<Raw> for QuantizerConfig {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        Ok(Self {
            ladder: Ladder::of(raw.grid.as_deref().map_or(Ok(Grid::Int4), settings::grid)?),
            per: read_per(raw.per.as_deref())?,
            step: raw.step,
            activations: raw.activations,
        })
    }
}

impl QuantizerConfig {
    /// The outline with the selected sites packed; what cannot be goes into `problems`.
    pub fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        let after = sites::plan(before, on, Values::int(self.ladder.grid(), self.per), problems);
        Calibration::plan_if(self.activations.as_ref(), after, on)
    }

    /// The quantizer of the sites `on` of a model; `moving` says that masks may be laid over them while it is trained.
    ///
    /// # Errors
    /// [`StepError`] for a site that cannot be trained.
    pub fn quantizer(&self, model: &Model, on: &[SiteId], moving: bool) -> Result<FakeQuantizer, StepError> {
        FakeQuantizer::new(model, on, self.to(), &self.start(), moving)
    }

    /// Packs a model as its quantizer has it, and fixes the scales of activations where they are to be.
    ///
    /// # Errors
    /// [`StepError`] when the quantizer is another model's, or on a request to stop.
    pub fn pack(
        &self,
        quantizer: &FakeQuantizer,
        model: Model,
        on: &[SiteId],
        cx: &mut Cx<'_>,
    ) -> Result<Model, StepError> {
        Calibration::apply_if(self.activations.as_ref(), quantizer.pack(model, cx)?, on, cx)
    }

    pub(crate) fn to(&self) -> (Grid, Per) {
        (self.ladder.grid(), self.per)
    }

    pub(crate) fn activations(&self) -> Option<&Calibration> {
        self.activations.as_ref()
    }

    /// Makes the rule of a site.
    pub(crate) fn start(&self) -> Box<Start<'static>> {
        let (ladder, step) = (self.ladder, self.step);
        Box::new(move |entries| {
            let scales = ladder.best(entries);
            match step {
                Scales::Learned => Box::new(Learned::new(ladder, scales)),
                Scales::Range => Box::new(Following { ladder, scales }),
            }
        })
    }
}

/// Learning rate of the logarithms of scales, as a multiple of the weights'; by validation accuracy, among 0.1, 1, 3
/// and 10.
const SCALE_RATE: f64 = 3.0;

/// How far the logarithm of a scale may go from its start: no training needs a part of a million, and no scale may
/// become 0.
const FURTHEST: f32 = 14.0;

/// Scales that are trained.
#[derive(Clone, Debug)]
struct Learned {
    ladder: Ladder,
    start: Vec<f32>,
    /// Logarithm of what each scale has become of its start.
    grown: Vec<f32>,
    scales: Vec<f32>,
    adam: Adam,
}

/// Scales that follow the weights.
#[derive(Clone, Debug)]
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

    fn learn(&mut self, entries: Kept<'_>, gradient: &[f32], rate: f64) {
        let mut of_scales = self.ladder.scale_gradient(entries, &self.scales, gradient);
        of_scales.iter_mut().zip(&self.scales).for_each(|(g, s)| *g *= s);
        self.adam.step(&mut self.grown, &of_scales, SCALE_RATE * rate, (0.9, 0.999, 1e-8));
        for ((scale, start), grown) in self.scales.iter_mut().zip(&self.start).zip(&mut self.grown) {
            *grown = grown.clamp(-FURTHEST, FURTHEST);
            *scale = start * grown.exp();
        }
    }

    fn pass(&self, entries: Kept<'_>, rounded: &Rounded, gradient: &mut [f32]) {
        self.ladder.pass(entries, &rounded.scales, gradient);
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.row(&self.grown)?;
        to.row(&self.scales)?;
        self.adam.save(to)
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        from.row_into(&mut self.grown)?;
        from.row_into(&mut self.scales)?;
        self.adam.restore(from)
    }
}

impl Rule for Following {
    fn round(&self, entries: Kept<'_>, into: &mut Rounded) {
        round(self.ladder, &self.scales, entries, into);
    }

    fn learn(&mut self, entries: Kept<'_>, _: &[f32], _: f64) {
        self.scales = self.ladder.refit(entries, &self.scales);
    }

    fn pass(&self, entries: Kept<'_>, rounded: &Rounded, gradient: &mut [f32]) {
        self.ladder.pass(entries, &rounded.scales, gradient);
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }

    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.row(&self.scales)
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        from.row_into(&mut self.scales)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learned_scales_go_down_their_gradient_and_stay_positive() {
        let entries = Kept { values: &[0.9, -0.9], keep: None, outputs: 1, tensor: false };
        let mut learned = Learned::new(Ladder::of(Grid::Ternary), vec![0.5]);
        let before = learned.scales[0];
        // Both are beyond reach: the loss falls with the scale, and neither weight is moved.
        let mut gradient = [-1.0, 1.0];
        let mut rounded = Rounded::default();
        learned.round(entries, &mut rounded);
        learned.learn(entries, &gradient, 0.1);
        assert!(learned.scales[0] > before);
        learned.pass(entries, &rounded, &mut gradient);
        assert_eq!(gradient, [0.0, 0.0]);
        let mut learned = Learned::new(Ladder::of(Grid::Ternary), vec![0.5]);
        for _ in 0..200 {
            learned.learn(entries, &[1.0, -1.0], 0.5);
        }
        assert!(learned.scales[0] > 0.0 && learned.scales[0] < 1e-3, "{:?}", learned.scales);
    }

    #[test]
    fn following_scales_find_the_least_error_of_weights_that_moved() {
        let ladder = Ladder::of(Grid::Int2);
        let entries = Kept { values: &[0.3, -0.1, 0.1, -0.3], keep: None, outputs: 1, tensor: false };
        let mut following = Following { ladder, scales: vec![0.15] };
        for _ in 0..5 {
            following.learn(entries, &[0.0; 4], 0.1);
        }
        assert!((following.scales[0] - 0.1).abs() < 1e-6, "{:?}", following.scales);
    }
}
