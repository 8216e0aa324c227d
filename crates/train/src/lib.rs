#![doc = include_str!("../README.md")]
//!
//! # Types
//!
//! - [`fit()`]: the loop: shuffled batches, schedule, penalty, clipping, Adam, validation, early stopping,
//!   checkpoint and resume.
//! - [`Objective`]: a loss as a plain function of logits that returns its own derivative.
//! - [`ClassWeights`]: how much the documents of each class weigh in it.
//! - [`Imitation`]: the knowledge-distillation loss, on another network's logits.
//! - [`KdConfig`]: its weight relative to the loss on labels.
//! - [`Engine`]: how the gradient of a batch is computed; serial here, spread over threads in
//!   `nlpress-parallel`.
//! - [`Wire`]: what happens to gradients before the optimizer, for example an 8-bit exchange.

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
