//! Data, model and task parallelism on threads (article, section 3.5). Results do not depend on scheduling.
//!
//! - [`DataParallel`]: every worker holds the whole network and takes a share of each batch; gradients meet in
//!   rank order, as floats or coded in fewer bytes.
//! - [`ModelParallel`]: every worker holds a range of sites; micro-batches flow through them as a pipeline
//!   (Huang et al. 2019, GPipe).
//! - [`tasks`]: independent trainings side by side, of which the best on the validation rows is kept.
//!
//! The first two are [`Engine`](nlpress_train::Engine)s for the ordinary training loop. Each technique here can
//! train serially as well and then reports the speed-up and how far the two models lie apart.

pub mod data;
pub mod pipeline;
pub mod retrain;
pub mod tasks;

pub use data::DataParallel;
pub use nlpress_quant::Coding;
pub use pipeline::ModelParallel;

use nlpress_technique::Kind;

/// The techniques of this crate.
pub const KINDS: &[Kind] = &[data::KIND, pipeline::KIND, tasks::KIND];
