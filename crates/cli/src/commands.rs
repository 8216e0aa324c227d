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
    refuse_folder(path)?;
    Session::open(path).map_err(refuse)
}

/// Refuses a folder where an artifact is wanted, and says what makes one of it, where something does.
fn refuse_folder(path: &Path) -> anyhow::Result<()> {
    if !path.is_dir() {
        return Ok(());
    }
    let folder = path.display();
    let advice = match path.join("config.json").exists() {
        true => format!(
            ": `nlpress import {folder} --out model.safetensors` makes an artifact of one with a pretrained encoder"
        ),
        false => ", expected a regular file".into(),
    };
    Err(refuse(format!("{folder}: is a folder{advice}")))
}
