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

use nlpress::runtime::Session;
use std::path::Path;

use crate::outcome::refuse;

/// Most texts whose pairs are ranked.
const MOST_PAIRED: usize = 1_000;

/// Opens the artifact that a user named.
fn open(path: &Path) -> anyhow::Result<Session> {
    if path.is_dir() {
        let folder = path.display();
        return Err(refuse(format!(
            "{folder}: is a folder: `nlpress import {folder} --out model.safetensors` makes an artifact of one with a pretrained encoder"
        )));
    }
    Session::open(path).map_err(refuse)
}
