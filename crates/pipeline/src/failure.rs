//! Why a run did not come to its end.

use nlpress_core::PeersError;
use nlpress_core::event::Stopped;
use nlpress_technique::StepError;
use nlpress_train::TrainError;
use std::path::PathBuf;

use crate::data_error::DataError;
use crate::measure::MeasureError;
use crate::recipe::RecipeError;
use crate::ship::ShipError;
use crate::threshold::ThresholdError;

/// A run that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Asked to stop; what was written stays, and the run can be resumed.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Training the teacher.
    #[error("teacher: {0}")]
    Train(TrainError),
    /// A step.
    #[error("{variant}: {technique}: {source}")]
    Step {
        /// The row.
        variant: String,
        /// The technique.
        technique: &'static str,
        /// Why.
        source: Box<StepError>,
    },
    /// The threshold of a model of two classes.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
    /// Writing or opening an artifact.
    #[error(transparent)]
    Ship(#[from] ShipError),
    /// Measuring.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// A file that cannot be read.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, #[source] std::io::Error),
    /// A file that cannot be written.
    #[error("{}: cannot be written: {}", .0.display(), .1)]
    Write(PathBuf, #[source] std::io::Error),
    /// Another run writes into the folder.
    #[error("{}: another run is at work in this folder; wait for it to end, or give another folder", .0.display())]
    Busy(PathBuf),
    /// Another process of the run.
    #[error(transparent)]
    Peers(PeersError),
    /// An artifact that was written cannot be measured.
    #[error("{}: {}", .0.display(), .1)]
    Artifact(PathBuf, #[source] Box<MeasureError>),
    /// A promise of nlpress itself was broken.
    #[error("{0}; this is a bug in nlpress")]
    Internal(String),
}

impl RunError {
    pub(crate) fn step(variant: &str, technique: &'static str, source: StepError) -> Self {
        match source {
            StepError::Stopped(stopped) => Self::Stopped(stopped),
            source => Self::Step { variant: variant.into(), technique, source: Box::new(source) },
        }
    }

    /// The reason why a row failed, if the other rows can go on without it: not when the run was asked to stop, and
    /// not when the machine gives no more.
    pub(crate) fn of_one_row(self) -> Result<String, Self> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&self);
        while let Some(this) = cause {
            if this.is::<std::io::Error>() || this.is::<Stopped>() {
                return Err(self);
            }
            cause = this.source();
        }
        match self {
            Self::Stopped(_)
            | Self::File(..)
            | Self::Write(..)
            | Self::Busy(_)
            | Self::Recipe(_)
            | Self::Peers(_) => Err(self),
            // The row is named already.
            Self::Step { technique, source, .. } => Ok(format!("{technique}: {source}")),
            other => Ok(other.to_string()),
        }
    }
}

impl From<TrainError> for RunError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Stopped(stopped) => Self::Stopped(stopped),
            other => Self::Train(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_fails_alone_unless_the_machine_or_the_user_says_stop() {
        let step = |why: &str| RunError::step("row", "quant.f16", StepError::Failed(why.into()));
        assert_eq!(step("too large").of_one_row().unwrap(), "quant.f16: too large");
        assert!(RunError::Internal("a promise".into()).of_one_row().unwrap().contains("a bug in nlpress"));
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let path = PathBuf::from("row.safetensors");
        let write = nlpress_artifact::ArtifactError::Write(full());
        for error in [RunError::Write(path, full()), ShipError::from(write).into(), Stopped.into()] {
            assert!(error.of_one_row().is_err());
        }
    }
}
