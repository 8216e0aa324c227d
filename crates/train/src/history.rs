//! What happened in a training.

use serde::{Deserialize, Serialize};

/// One epoch of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Mean training loss over its steps, dropout on, penalties left out.
    pub loss: f64,
    /// Loss on the validation rows.
    pub valid_loss: Option<f64>,
    /// Accuracy on the validation rows.
    pub valid_accuracy: Option<f64>,
}

/// What happened in a training.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Epoch by epoch.
    pub epochs: Vec<Epoch>,
    /// The epoch, from 1, whose parameters were kept.
    pub kept: u32,
    /// Optimiser steps.
    pub steps: u64,
}
