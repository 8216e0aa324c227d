//! Quantization-aware training whose threshold and scale are a closed formula of the weights (ternary, binary): one
//! technique, for any [`Fixed`] rule.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_packed::{Grid, Per, Values};
use nlpress_technique::{
    Cx, DISTILL, KdSettings, Made, Needs, Problem, StepError, Technique, Tuning, settings,
};
use nlpress_train::WordDropout;
use serde::Deserialize;
use std::fmt::Debug;

use crate::calibration::{ACTIVATIONS, Calibration};
use crate::course::Course;
use crate::fake::Rule;
use crate::{QuantError, sites};

/// Reads where scales belong.
pub(crate) fn read_per(word: Option<&str>) -> Result<Per, QuantError> {
    let words = [("channel", Per::Channel), ("tensor", Per::Tensor)];
    sites::choose("per", word.unwrap_or("channel"), "\"channel\" or \"tensor\"", &words)
}

/// Reads how a network is trained. Coarse weights change only where they cross from one integer to the next, which
/// takes larger steps than floats do, and those a bound: chosen by validation accuracy, on R8, R52, MR and the embedded
/// corpus, among rates from 3e-4 to 4e-2.
pub(crate) fn training(table: toml::Table) -> Result<Tuning, QuantError> {
    let defaults = [("learning_rate", 1e-2.into()), ("schedule", "linear".into()), ("clip_norm", 1.0.into())];
    Tuning::read(table, &defaults).map_err(|e| QuantError::Training(e.to_string()))
}

/// A quantizer without parameters of its own.
pub(crate) trait Fixed: Rule + Copy + Default + Sync + 'static {
    /// What it rounds to.
    const GRID: Grid;
}

/// Quantization-aware training with the rule `R`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Raw", bound = "")]
pub(crate) struct Ruled<R> {
    per: Per,
    train: Option<Tuning>,
    distill: Option<KdSettings>,
    words: WordDropout,
    activations: Option<Calibration>,
    rule: std::marker::PhantomData<R>,
}

settings! {
    pub(crate) struct Raw {
        /// "channel" (default): the scale of each output; "tensor": of each site
        per: Option<String>,
        /// training with rounded weights, as a training table; by default its learning rate is 1e-2, its schedule
        /// "linear" and its clip_norm 1; its `dropout` replaces the network's. Sites that are not selected are
        /// trained as floats. `false`: no training
        train: Option<toml::Value>,
        distill: Option<KdSettings> as DISTILL,
        #[serde(default)]
        word_dropout: WordDropout as WordDropout::SETTING,
        activations: Option<Calibration> as ACTIVATIONS,
    }
}

impl<R> TryFrom<Raw> for Ruled<R> {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        let per = read_per(raw.per.as_deref())?;
        let bad = |value: String, bound| QuantError::setting("train", value, bound);
        let train = match raw.train {
            None => Some(training(toml::Table::new())?),
            Some(toml::Value::Boolean(false)) => None,
            Some(toml::Value::Table(table)) => Some(training(table)?),
            Some(other) => return Err(bad(other.to_string(), "a training table, or false for none")),
        };
        if train.is_none() && raw.distill.is_some() {
            let bound = "a training table where distill is set: nothing is learnt without";
            return Err(bad("false".into(), bound));
        }
        let words = raw.word_dropout;
        if train.is_none() && !words.is_off() {
            let bound = "a training table where word_dropout is set: nothing is left out without";
            return Err(bad("false".into(), bound));
        }
        let rule = std::marker::PhantomData;
        Ok(Self { per, train, distill: raw.distill, words, activations: raw.activations, rule })
    }
}

impl<R: Fixed> Technique for Ruled<R> {
    fn needs(&self) -> Needs {
        let teacher = self.distill.as_ref().is_some_and(KdSettings::needs_teacher);
        let trains = Needs { teacher, ..Needs::TRAINING }.when(self.train.is_some());
        trains.and(Needs::INPUTS.when(self.activations.is_some()))
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        let after = sites::plan(before, on, Values::int(R::GRID, self.per), problems);
        Calibration::plan_if(self.activations.as_ref(), after, on)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let course = Course {
            tuning: self.train.as_ref(),
            kd: self.distill.as_ref(),
            to: (R::GRID, self.per),
            words: self.words,
            activations: self.activations.as_ref(),
            start: &|_| Box::new(R::default()),
        };
        Ok(course.run(model, on, cx)?.into())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn settings_are_checked_by_name() {
        for kind in [crate::ternary::KIND, crate::binary::KIND] {
            let read = |text: &str| (kind.parse)(&text.parse().unwrap()).map(|_| ());
            assert_eq!(read("train = false"), Ok(()));
            assert_eq!(read("per = 'tensor'\ntrain = { epochs = 3, dropout = 0.2 }\ndistill = {}"), Ok(()));
            for (bad, says) in [
                ("per = 'row'", "per is \"row\", but it must be \"channel\" or \"tensor\""),
                ("train = true", "train is true, but it must be a training table, or false"),
                ("train = { epochs = 0 }", "train: epochs is 0"),
                (
                    "train = false\ndistill = {}",
                    "train is false, but it must be a training table where distill",
                ),
                ("distill = { share = 0.0 }", "share is 0"),
            ] {
                let message = read(bad).unwrap_err();
                assert!(message.contains(says), "{message}");
            }
        }
    }
}
