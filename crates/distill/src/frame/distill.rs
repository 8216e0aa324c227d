//! Knowledge distillation: a student is trained on a loss that compares its outputs with a teacher's.

use nlpress_core::Seed;
use nlpress_model::{Dataset, Model, Outline, SiteId};
use nlpress_technique::{Cx, Kind, Made, Needs, Problem, Setting, Settings, StepError, Technique, settings};
use nlpress_train::{Fit, FitConfig, KdConfig, Objective, fit};
use serde::de::DeserializeOwned;

use super::start::Start;
use super::teacher::TeacherCache;
use crate::DistillError;

/// The description of `temperature`, which softens outputs.
pub(crate) const TEMPERATURE: &str = "what logits are divided by, between 0.1 and 100, default 2";
/// The description of `fit`, the training.
pub(crate) const FIT: &str = "how to train; the defaults of training when left out";

/// A distillation: the checked configuration of `distill.student`, `distill.outputs` and each round of
/// `distill.validation`.
#[derive(Clone, Debug, PartialEq)]
pub struct Distill {
    student: Start,
    loss: KdConfig,
    fit: FitConfig,
}

settings! {
    /// The settings that all distillations share.
    struct Shared {
        /// "fresh" (default): a new dense student; "model": the incoming model, its form kept
        from: Option<String>,
        /// widths of a fresh student's hidden layers, default [16]; [] makes it linear
        hidden: Option<Vec<usize>>,
        /// a fresh student's dropout rate, at least 0 and less than 1, default 0
        dropout: Option<f64>,
        temperature: Option<f64> as TEMPERATURE,
        #[serde(default)]
        fit: FitConfig as FIT,
    }
}

/// The settings of a student, which come first.
pub(crate) const STUDENT: &[Setting] = Shared::SETTINGS.split_at(3).0;
/// The setting that softens outputs.
pub(crate) const SOFTENED: Setting = Setting::of::<Shared>("temperature");
/// The setting of the training.
pub(crate) const TRAINED: Setting = Setting::of::<Shared>("fit");

impl Distill {
    /// Reads a table that has the settings of this struct and those of `Own`; `loss` makes the loss of the latter and of
    /// the temperature.
    pub(crate) fn read<Own: DeserializeOwned>(
        with: &toml::Table,
        kind: &Kind,
        loss: impl FnOnce(&Own, Option<f64>) -> Result<KdConfig, DistillError>,
    ) -> Result<(Self, Own), DistillError> {
        let (shared, own): (Shared, Own) = settings::split(with.clone(), kind.settings)?;
        let loss = loss(&own, shared.temperature)?;
        let student = Start::read(shared.from.as_deref().unwrap_or("fresh"), shared.hidden, shared.dropout)?;
        Ok((Self { student, loss, fit: shared.fit }, own))
    }

    /// Reads the table of a technique that is this and its loss.
    pub(crate) fn parse<Own: DeserializeOwned>(
        with: &toml::Table,
        kind: &Kind,
        loss: impl FnOnce(&Own, Option<f64>) -> Result<KdConfig, DistillError>,
    ) -> Result<Box<dyn Technique>, String> {
        let (distill, _) = Self::read(with, kind, loss).map_err(|e| e.to_string())?;
        Ok(Box::new(distill))
    }

    /// A distillation of these parts.
    pub(crate) fn of(student: Start, loss: KdConfig, fit: FitConfig) -> Self {
        Self { student, loss, fit }
    }

    /// The loss.
    pub(crate) fn loss(&self) -> KdConfig {
        self.loss
    }

    /// The student before its first training.
    pub(crate) fn student(&self, model: Model, cx: &Cx<'_>) -> Result<Model, StepError> {
        Ok(self.student.make(model, cx.seed)?)
    }

    /// Trains a student on a loss over the rows of `train`.
    pub(crate) fn train(
        &self,
        student: Model,
        (objective, train): (&dyn Objective, &Dataset),
        seed: Seed,
        cx: &Cx<'_>,
    ) -> Result<Model, StepError> {
        let how = Fit {
            valid: Some(cx.valid),
            objective: Some(objective),
            ..Fit::new(&self.fit, cx.backend, train, seed, cx.sink)
        };
        Ok(fit(student, how)?.0)
    }
}

impl Technique for Distill {
    fn needs(&self) -> Needs {
        Needs { teacher: true, ..Needs::TRAINING }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        self.student.plan(before, on, problems)
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let mut teacher = TeacherCache::ask(&model, cx)?;
        let joined = teacher.with_unlabelled(cx)?;
        let train = joined.as_ref().unwrap_or(cx.train);
        // Labels are those of the labelled rows, which come first.
        let objective = self.loss.objective(&teacher.train, cx.train);
        let student = self.student(model, cx)?;
        let student = self.train(student, (&objective, train), cx.seed.derive("distill"), cx)?;
        teacher.compare(&student, cx)?;
        Ok(student.into())
    }
}
