//! Fits a model to an objective and reports as it goes.
//!
//! - [`fit()`]: the loop: shuffled batches, schedule, penalty, clipping, Adam, validation, early stopping,
//!   checkpoint and resume.
//! - [`Objective`]: a loss as a plain function of logits that returns its own derivative.
//! - [`ClassWeights`]: how much the documents of each class weigh in it.
//! - [`Imitation`]: the loss of one who learns from another network's logits.
//! - [`KdConfig`]: how much of it counts beside the labels.
//! - [`Engine`]: how the gradient of a batch is computed; serial here, spread over threads in
//!   `nlpress-parallel`.
//! - [`Wire`]: what happens to gradients on their way to the optimiser, for example an 8-bit exchange.
//!
//! The loop is deterministic: data order, dropout and initial numbers come from named streams of the seed.

pub mod adam;
mod by_feature;
pub mod checkpoint;
pub mod class_weights;
pub mod config;
pub mod engine;
pub mod error;
pub mod fit;
mod history;
pub mod imitation;
pub mod kd;
pub mod objective;
mod plan;
mod steps;

pub use checkpoint::Progress;
pub use class_weights::ClassWeights;
pub use config::{BadConfig, FitConfig, Loss, Schedule};
pub use engine::{Batch, Engine, Serial, Wire};
pub use error::TrainError;
pub use fit::fit;
pub use history::{Epoch, History};
pub use imitation::{Distance, Imitation};
pub use kd::KdConfig;
pub use objective::{Labels, Objective, mean_loss, softmax};
pub use plan::Fit;
