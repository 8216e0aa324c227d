//! One module a subcommand.

pub(crate) mod bench;
pub(crate) mod compress;
pub(crate) mod embed;
pub(crate) mod eval;
pub(crate) mod fit;
pub(crate) mod folders;
pub(crate) mod generated;
pub(crate) mod inspect;
pub(crate) mod new_recipe;
mod numbers;
pub(crate) mod plan;
pub(crate) mod predict;
pub(crate) mod run;
pub(crate) mod scaling;
pub(crate) mod techniques;
mod texts;
pub(crate) mod train;
