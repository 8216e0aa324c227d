#![doc = include_str!("../README.md")]

pub mod cx;
pub mod directions;
pub mod kd;
pub mod kind;
pub mod module;
pub mod settings;
pub mod solve;
pub mod spend;
mod told;
pub mod tune;

pub use cx::{AnswerStore, Answers, Ask, Checkpoint, Cx, Needs, Teacher, Unlabelled};
pub use kd::{DISTILL, KdSettings};
pub use kind::{Family, Kind, parse};
pub use settings::{Setting, Settings};
pub use told::{said, told};
pub use tune::{BadTuning, TRAINING, Training, Tuning};

use nlpress_core::event::Stopped;
use nlpress_model::{Model, ModelError, Outline, SiteId};
use nlpress_text::TextError;
use nlpress_train::TrainError;
use solve::SolveError;
use std::fmt::{Debug, Display};

/// A rewrite of a model.
pub trait Technique: Debug + Send + Sync {
    /// What it needs to run.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// The outline that [`apply`](Technique::apply) will make of `before`, touching no weight.
    ///
    /// `on` names the selected sites. Whatever would keep it from running goes into `problems`; the outline
    /// returned then does not matter.
    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline;

    /// Whatever keeps a model of the outline `before` from learning from a teacher of the outline `teacher` goes into
    /// `problems`; asked while planning, of what [needs](Technique::needs) a teacher.
    fn check_teacher(&self, before: &Outline, teacher: &Outline, problems: &mut Vec<Problem>) {
        let _ = (before, teacher, problems);
    }

    /// Whether it looks into its teacher's network, so that answers alone do not do.
    fn reads_teacher_network(&self) -> bool {
        false
    }

    /// Whether the planned outline is exactly what [`apply`](Technique::apply) will make. A technique that lets the
    /// data decide how a budget is spent plans a bound instead: what it makes then
    /// [fits within](Outline::fits_within) its plan.
    fn exact(&self) -> bool {
        true
    }

    /// Makes exactly the planned outline, or one within it.
    ///
    /// # Errors
    /// [`StepError`]; the model is then given up and nothing has been written.
    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError>;
}

/// What a technique made.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// The model.
    pub model: Model,
    /// The features that it reads of those that there were: their positions, ascending, one for each input of the model;
    /// nothing where it reads all. Documents are then encoded with those alone.
    pub features: Option<Vec<u32>>,
}

impl From<Model> for Made {
    /// A model that reads all the features that there were.
    fn from(model: Model) -> Self {
        Self { model, features: None }
    }
}

/// Something that keeps a technique from running, found while planning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", site.as_ref().map(|s| format!("site {s}: ")).unwrap_or_default())]
pub struct Problem {
    /// The site, where it is one site's.
    pub site: Option<SiteId>,
    /// What is wrong, naming the value and the bound.
    pub why: String,
}

impl Problem {
    /// A problem of one site.
    pub fn at(site: &SiteId, why: impl Into<String>) -> Self {
        Self { site: Some(site.clone()), why: why.into() }
    }

    /// The problems of sites that are selected and not there.
    pub fn missing(before: &Outline, on: &[SiteId]) -> Vec<Self> {
        let missing = on.iter().filter(|id| before.site(id).is_none());
        missing.map(|id| Self::at(id, "there is no such site")).collect()
    }

    /// A problem of the whole step.
    pub fn of_step(why: impl Into<String>) -> Self {
        Self { site: None, why: why.into() }
    }
}

/// A technique failed while it ran.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Training failed.
    #[error(transparent)]
    Train(TrainError),
    /// The model could not be made.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Something it needs is not there.
    #[error("it needs {0}, and there is none")]
    Missing(&'static str),
    /// Anything else, in the technique's own words.
    #[error("{0}")]
    Failed(String),
}

impl StepError {
    /// Something that failed at one site.
    pub fn at(site: &SiteId, why: impl Display) -> Self {
        Self::Failed(format!("site {site}: {why}"))
    }
}

impl From<TextError> for StepError {
    fn from(error: TextError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<SolveError> for StepError {
    fn from(error: SolveError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<TrainError> for StepError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Stopped(stopped) => Self::Stopped(stopped),
            other => Self::Train(other),
        }
    }
}
