#![doc = include_str!("../README.md")]
//!
//! # Types
//!
//! - [`fit()`]: the loop: shuffled batches, schedule, penalty, clipping, Adam, validation, early stopping,
//!   checkpoint and resume.
//! - [`LabelTraining`]: a training on labels by the solver that a [`TrainConfig`] names: [`fit()`], or for linear models
//!   [`CoordinateDescent`], which ends at the optimum.
//! - [`Objective`]: a loss as a plain function of logits that returns its own derivative.
//! - [`ClassWeights`]: how much the documents of each class weigh in it.
//! - [`Imitation`]: the knowledge-distillation loss, on another network's logits.
//! - [`KdConfig`]: its weight relative to the loss on labels.
//! - [`LayerDistillation`]: the same with distances of hidden states and attention maps.
//!
//! What else is done in a step goes together, in any choice ([`With`]):
//!
//! - [`Reparameterization`]: what the parameters are before the network computes with them: masked, fake-quantized,
//!   with low-rank adapters added ([`Adapters`]).
//! - [`Penalty`]: a term of the loss that depends on the parameters alone.
//! - [`GradientSource`]: how the gradient of a batch is computed; on one network here, spread over threads in
//!   `nlpress-parallel`.
//! - [`Crew`]: threads that compute parts of a step side by side.
//! - [`Wire`]: what happens to gradients before the optimizer, for example an 8-bit exchange.
//! - [`WordDropout`]: words that a step leaves out.

pub mod adam;
pub mod adapter;
mod by_feature;
pub mod checkpoint;
pub mod class_weights;
pub mod config;
mod coordinate_descent;
mod crew;
pub mod error;
pub mod fit;
pub mod gradients;
mod history;
mod identity;
pub mod imitation;
mod in_place;
pub mod kd;
mod label_training;
pub mod layer_distillation;
mod linear_config;
pub mod objective;
mod on_device;
mod parts;
pub mod places;
mod plan;
pub mod record;
pub mod reparameterization;
mod scores;
mod segments;
mod solve;
mod steps;
mod train_config;
pub mod word_dropout;

#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;

pub use adapter::{AdapterConfig, Adapters};
pub use checkpoint::Progress;
pub use class_weights::ClassWeights;
pub use config::{BadConfig, FitConfig, Loss, ParameterGroup, Schedule};
pub use crew::Crew;
pub use error::TrainError;
pub use fit::fit;
pub use gradients::{Batch, Change, GradientSource, InPlace, OneNetwork, RoundedInputs, Wire};
pub use history::{Epoch, History};
pub use imitation::{Distance, Imitation};
pub use kd::KdConfig;
pub use label_training::LabelTraining;
pub use layer_distillation::LayerDistillation;
pub use linear_config::CoordinateDescent;
pub use objective::{Labels, Objective, mean_loss, softmax};
pub use places::{Place, places};
pub use plan::{Fit, With};
pub use record::Stateful;
pub use reparameterization::{Effective, Penalty, Reparameterization, Step};
pub use scores::{Scores, agreement};
pub use train_config::TrainConfig;
pub use word_dropout::WordDropout;
