//! `quant.qat`: quantization-aware training, the network is trained while its weights are rounded.
//!
//! Rounding a trained network to integers of few bits loses accuracy; a network that is trained with rounded weights
//! adapts to them (by the straight-through estimator). The scale of each output is
//!
//! - *learned* (LSQ: Esser et al. 2019, arXiv:1902.08153): it has a gradient of its own,
//!   `Ladder::scale_gradient`, and is trained beside the weights. Here by Adam, as they are, and by its logarithm:
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
pub mod scales;
pub mod ternary;

use nlpress_model::{Model, Outline, SiteId};
use nlpress_technique::{
    Cx, DISTILL, Family, KdSettings, Kind, Made, Needs, Problem, Setting, Settings, StepError, Technique,
    Tuning, parse, settings,
};
use nlpress_train::WordDropout;
use serde::Deserialize;

use crate::QuantError;
use crate::course::Course;
use crate::ruled::training;
use scales::QuantizerConfig;

/// The technique's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct Qat {
    quantize: QuantizerConfig,
    train: Tuning,
    distill: Option<KdSettings>,
    words: WordDropout,
}

settings! {
    /// The settings of the training.
    struct Trained {
        /// training with rounded weights, as a training table; by default its learning rate is 1e-2, its schedule
        /// "linear" and its clip_norm 1; its `dropout` replaces the network's. Sites that are not selected are
        /// trained as floats
        #[serde(default)]
        train: toml::Table,
        distill: Option<KdSettings> as DISTILL,
        #[serde(default)]
        word_dropout: WordDropout as WordDropout::SETTING,
    }
}

impl TryFrom<toml::Table> for Qat {
    type Error = QuantError;

    fn try_from(table: toml::Table) -> Result<Self, QuantError> {
        let (trained, quantize): (Trained, _) = settings::split(table, KIND.settings)?;
        let train = training(trained.train)?;
        Ok(Self { quantize, train, distill: trained.distill, words: trained.word_dropout })
    }
}

/// The settings of the quantizer: those before the training's, and those of the activations.
const QUANTIZER: (&[Setting], &[Setting]) = QuantizerConfig::SETTINGS.split_at(3);

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
    settings: &[QUANTIZER.0, Trained::SETTINGS, QUANTIZER.1],
    parse: parse::<Qat>,
};

impl Technique for Qat {
    fn needs(&self) -> Needs {
        let teacher = self.distill.as_ref().is_some_and(KdSettings::needs_teacher);
        Needs { teacher, ..Needs::TRAINING }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        self.quantize.plan(before, on, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let course = Course {
            tuning: Some(&self.train),
            kd: self.distill.as_ref(),
            to: self.quantize.to(),
            words: self.words,
            activations: self.quantize.activations(),
            start: &self.quantize.start(),
        };
        Ok(course.run(model, on, cx)?.into())
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
}
