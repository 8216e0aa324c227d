//! Pruning and structure simplification, one file per technique.
//!
//! | technique | what goes | what it becomes |
//! |---|---|---|
//! | [`neurons`] | neurons that cost least on the validation rows, or by another criterion | smaller matrices |
//! | [`heads`] | attention heads; columns of the embedding | smaller matrices |
//! | [`search`] | units of the whole network under a budget, repaired by least squares | smaller matrices |
//! | [`low_rank`] | the directions of a matrix that its outputs vary least in | two thin matrices |
//! | [`group_lasso`] | the weakest units after training under a penalty on their norms | smaller matrices |
//! | [`layers`] | whole hidden layers | fewer, merged matrices |
//! | [`depth`] | whole attention blocks | fewer matrices |
//! | [`magnitude`] | the smallest connections | masked |
//! | [`lottery`] | the smallest, in rounds that rewind | masked |
//! | [`budget`] | the smallest, where the measured sensitivity allows it | masked |
//! | [`random`] | connections at random, as the control | masked |
//! | [`penalty`] | the smallest after training under L1 or L2 | masked |
//! | [`elastic`] | the smallest after training under both | masked |
//! | [`gradient`] | the connections of the least effect on the loss, to first order (SNIP, Taylor) | masked |
//! | [`wanda`] | the smallest magnitude times input norm | masked |
//! | [`sparsegpt`] | what second derivatives find cheapest, made up for by the others | masked |
//! | [`pattern`] | n of m inputs, blocks, whole rows or columns | masked |
//! | [`movement`] | what training moves towards zero, hard or soft | masked |
//! | [`sparse`] | nothing, or the smallest | packed sparse |
//! | [`clip`] | the smallest of each sparse matrix | packed sparse |
//! | [`select`] | whole features: words of the vocabulary | a smaller first matrix and vocabulary |
//!
//! Every rule is also a plain function on slices ([`magnitude::keep_largest`], [`worth::least`],
//! [`layers::product`], …), and [`module`] applies the main one to a burn module of your own. This crate refuses
//! to know how a recipe is read or an artifact written.

mod activations;
pub mod budget;
pub mod clip;
mod cut;
pub mod depth;
pub mod elastic;
mod error;
pub mod gradient;
pub mod group_lasso;
pub mod heads;
mod jacobi;
pub mod layers;
pub mod lottery;
pub mod low_rank;
pub mod magnitude;
pub mod module;
pub mod movement;
pub mod neurons;
mod pack;
pub mod pattern;
pub mod penalty;
pub mod random;
mod repair;
mod schedule;
pub mod search;
pub mod select;
pub mod sensitivity;
pub mod sparse;
pub mod sparsegpt;
mod target;
mod tune;
pub mod units;
pub mod wanda;
pub mod worth;

pub use cut::{Curve, Scope};
pub use error::PruneError;
pub use nlpress_core::{BackendKind, Fraction, Seed, Selectors};
pub use nlpress_technique::solve;
pub use pack::Places;
pub use schedule::Schedule;
pub use target::{Target, split};
pub use tune::Tuning;

use nlpress_technique::Kind;

/// Every technique of this crate.
pub const KINDS: &[Kind] = &[
    neurons::KIND,
    search::KIND,
    group_lasso::KIND,
    heads::HEADS,
    heads::WIDTH,
    budget::KIND,
    magnitude::KIND,
    lottery::KIND,
    layers::KIND,
    low_rank::KIND,
    depth::KIND,
    sparse::KIND,
    penalty::L1,
    penalty::L2,
    elastic::KIND,
    gradient::SNIP,
    gradient::TAYLOR,
    wanda::KIND,
    sparsegpt::KIND,
    pattern::KIND,
    movement::HARD,
    movement::SOFT,
    clip::KIND,
    random::KIND,
    select::chi2::KIND,
    select::information::KIND,
    select::frequency::KIND,
    select::l1::KIND,
    select::norm::KIND,
    select::words::KIND,
];
