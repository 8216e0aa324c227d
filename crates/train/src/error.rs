//! Why a training ended without a model.

use nlpress_core::event::Stopped;
use nlpress_model::ModelError;
use std::path::PathBuf;

use crate::config::{BadConfig, Loss};

/// Training failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The model, the data or the device.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// Asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A part of the training.
    #[error("the training failed: {0}")]
    Failed(String),
    /// A source of gradients was asked before it had a network.
    #[error("the training failed: it was not begun")]
    NotBegun,
    /// A group of parameters without any.
    #[error("groups: {0:?} select no site that is trained; there are {1}")]
    NoGroup(Vec<String>, String),
    /// A network that a solver of linear models cannot train.
    #[error("solver = \"coordinate_descent\" trains linear models of feature rows, but {0}")]
    NotLinear(String),
    /// The loss is no longer a number.
    #[error(
        "training diverged in epoch {epoch}: the loss is {loss}, or a weight is no finite number any more; lower learning_rate or set clip_norm"
    )]
    Diverged {
        /// Epoch, from 1.
        epoch: u32,
        /// The loss.
        loss: f64,
    },
    /// The training has a loss of its own, beside the one that is set.
    #[error("loss is {0:?}, but this training has a loss of its own: leave `loss` out")]
    LossGiven(Loss),
    /// Early stopping has nothing to look at.
    #[error("patience is {0}, but there are no validation rows to judge an epoch by")]
    NoValidation(u32),
    /// A checkpoint.
    #[error("checkpoint {}: {}", .0.display(), .1)]
    Checkpoint(PathBuf, String),
    /// A checkpoint cannot be written.
    #[error("checkpoint {}: cannot be written: {}", .0.display(), .1)]
    Write(PathBuf, #[source] std::io::Error),
}
