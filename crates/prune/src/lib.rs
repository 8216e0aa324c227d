#![doc = include_str!("../README.md")]
//!
//! # Techniques
//!
//! | module | what is removed | what the weights become |
//! |---|---|---|
//! | [`neurons`] | hidden units whose removal raises the validation loss least, or by another importance | smaller matrices |
//! | [`heads`] | attention heads; columns of the embedding | smaller matrices |
//! | [`search`] | units of the whole network under a budget, repaired by least squares | smaller matrices |
//! | [`low_rank`] | the directions of a matrix that its outputs vary least in | two thin matrices |
//! | [`group_lasso`] | the weakest units after training under a penalty on their norms | smaller matrices |
//! | [`layers`] | whole hidden layers | fewer, merged matrices |
//! | [`depth`] | whole attention blocks | fewer matrices |
//! | [`magnitude`] | the smallest connections | masked |
//! | [`lamp`] | the smallest beside the larger ones of their site | masked |
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
//! Techniques that drop single connections are one [`Criterion`] each, in [`Unstructured`]; those that keep words one
//! [`WordScore`](select::WordScore), in [`Selector`](select::Selector).

mod error;
pub mod frame;
pub mod module;
pub mod select;
mod structure;
mod unstructured;

pub use error::PruneError;
pub use frame::{
    Criterion, Curve, MaskBuilder, Places, Schedule, Scope, SparsityTarget, Tuning, Unstructured, importance,
    keep, sensitivity, split, units,
};
pub use nlpress_core::{BackendKind, Fraction, Seed, Selectors};
pub use nlpress_technique::solve;
pub use structure::{depth, group_lasso, heads, layers, low_rank, neurons, search};
pub use unstructured::{
    budget, clip, elastic, gradient, lamp, lottery, magnitude, movement, moving, pattern, penalty, random,
    sparse, sparsegpt, wanda,
};

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
    lamp::KIND,
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

/// The criterion in the documentation compiles and keeps the contract.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/adding-a-criterion.md")]
struct AddingACriterion;
