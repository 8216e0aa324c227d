//! Pruning and structure simplification, one file per technique.
//!
//! | technique | what goes | what it becomes |
//! |---|---|---|
//! | [`neurons`] | hidden units that cost least on the validation rows | smaller matrices |
//! | [`layers`] | whole hidden layers | fewer, merged matrices |
//! | [`low_rank`] | the directions of a matrix that its outputs vary least in | two thin matrices |
//! | [`magnitude`] | the smallest connections | masked |
//! | [`random`] | connections by lot, as the control | masked |
//! | [`penalty`] | the smallest after training under L1 or L2 | masked |
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
mod error;
pub mod heads;
mod jacobi;
pub mod layers;
pub mod low_rank;
pub mod magnitude;
pub mod module;
pub mod neurons;
mod pack;
pub mod penalty;
pub mod random;
pub mod select;
pub mod sensitivity;
pub mod solve;
pub mod sparse;
mod tune;
pub mod units;
pub mod worth;

pub use cut::{Scope, cubic};
pub use error::PruneError;
pub use nlpress_core::{BackendKind, Fraction, Seed, Selectors};
pub use pack::Places;

use nlpress_technique::Kind;

/// Every technique of this crate.
pub const KINDS: &[Kind] = &[
    neurons::KIND,
    heads::HEADS,
    heads::WIDTH,
    budget::KIND,
    magnitude::KIND,
    layers::KIND,
    low_rank::KIND,
    sparse::KIND,
    penalty::L1,
    penalty::L2,
    clip::KIND,
    random::KIND,
    select::chi2::KIND,
    select::information::KIND,
    select::frequency::KIND,
    select::l1::KIND,
    select::norm::KIND,
    select::words::KIND,
];
