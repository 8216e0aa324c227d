//! What the techniques of this crate have in common.
//!
//! | module | what |
//! |---|---|
//! | [`criterion`] | unstructured pruning: a [`Criterion`] scores connections, [`Unstructured`] does the rest |
//! | [`target`], [`scope`] | how many entries are kept, and which of them compete with each other |
//! | [`keep`], [`mask`] | masks from scores, as plain functions and over a model |
//! | [`curve`], [`schedule`], `finetune` | steps of a schedule, and training between and after them |
//! | [`pack`] | the sparse layouts that masked weights are stored in |
//! | [`sensitivity`] | how much the loss rises when one site alone is pruned |
//! | [`importance`], [`units`], `reconstruct` | structured pruning: scores of units, their removal, reconstruction |
//! | [`selector`] | feature selection: a [`WordScore`](selector::WordScore) scores words, [`Selector`](selector::Selector) does the rest |
//! | `activations` | inputs of a site in plain memory |

pub(crate) mod activations;
pub mod criterion;
pub mod curve;
pub(crate) mod finetune;
pub mod importance;
pub mod keep;
pub mod mask;
pub mod pack;
pub(crate) mod reconstruct;
pub mod schedule;
pub mod scope;
pub mod selector;
pub mod sensitivity;
pub mod target;
pub mod units;

pub(crate) use activations::{CALIBRATION, ROWS, calibration, dense, each_input, pre_activations, relu};
pub(crate) use criterion::Shared;
pub use criterion::{BYTES, Criterion, FINETUNE, NONZEROS, SCHEDULE, SCOPE, SPARSITY, TARGET, Unstructured};
pub use curve::{Curve, SchedulePoint};
pub use finetune::Tuning;
pub(crate) use finetune::{AFTERWARDS, retrain, retrain_if, tune_if};
pub use keep::{KeepRule, keep_highest, keep_largest};
pub(crate) use keep::{keep_each_output, keep_in_outputs, kept_by_output, mask_from, unpruned};
pub use mask::MaskBuilder;
pub(crate) use mask::{masked, plan_masks};
pub(crate) use nlpress_technique::directions::directions;
pub use pack::Places;
pub(crate) use reconstruct::{RIDGE, only_dense, reconstruct, ridge};
pub use schedule::{PruningSchedule, Schedule};
pub use scope::Scope;
pub(crate) use scope::treatable;
pub use target::{SparsityTarget, split};
