#![doc = include_str!("../README.md")]
//!
//! # Types
//!
//! - [`Recipe`]: what a user wrote, checked, with line numbers.
//! - [`Prepared`]: the corpus, its fitted encoder and the encoded splits.
//! - [`Plan`]: the recipe laid over an outline, before anything is trained.
//! - [`run`](run::run): makes every row for every seed, writes its artifact, opens it again and measures that.
//! - [`report`]: what was measured, as JSON, Markdown and one HTML page.

mod asked;
mod assemble;
pub mod compress;
pub mod controls;
mod data_error;
pub mod draft;
mod failure;
pub mod features;
pub mod folder;
pub mod foresee;
mod identity;
mod integers;
pub mod joint;
pub mod kinds;
mod lock;
pub mod made;
mod make;
pub mod measure;
mod options;
pub mod origin;
pub mod plan;
pub mod prepared;
mod probe;
pub mod recipe;
mod recorder;
pub mod report;
mod room;
mod rows;
pub mod run;
mod schedule;
pub mod ship;
mod teachers;
pub mod threshold;
pub mod together;

pub use asked::{Asking, Probed, Taught};
pub use data_error::DataError;
pub use failure::RunError;
pub use lock::Lock;
pub use options::{MemoryProbe, RunOptions};
pub use origin::Origin;
pub use plan::Plan;
pub use prepared::Prepared;
pub use recipe::{Recipe, RecipeError, TeacherFile};
pub use report::Report;
pub use run::{make_rows, plan_of, run};
pub use teachers::{Teachers, probed};
pub use threshold::{Threshold, ThresholdError};
