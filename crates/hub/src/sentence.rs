//! What sentence-transformers says of a folder: how tokens become one vector, and how many there may be.

use nlpress_graph::Pooling;
use serde_json::Value;
use std::path::{Component, Path, PathBuf};

use crate::HubError;
use crate::json::{self, Object};

/// What follows the encoder, and the longest text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sentence {
    pub(crate) pooling: Pooling,
    /// Whether vectors are made of length 1.
    pub(crate) unit: bool,
}

/// Names of the modes of pooling that have a value of ours.
const MODES: [(&str, Pooling); 2] =
    [("pooling_mode_mean_tokens", Pooling::Mean), ("pooling_mode_cls_token", Pooling::First)];

impl Sentence {
    /// Reads `modules.json` and what it names; none where the folder has none. The second is the folder of the encoder.
    pub(crate) fn read(folder: &Path) -> Result<Option<(Self, PathBuf)>, HubError> {
        let file = folder.join("modules.json");
        let Some(modules) = json::value(&file)? else { return Ok(None) };
        let modules =
            modules.as_array().ok_or_else(|| HubError::file(&file, "it is not a list of modules"))?;
        let mut read = Vec::new();
        for module in modules.iter().take(MOST_MODULES + 1) {
            let text = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default();
            let kind = text("type").rsplit('.').next().unwrap_or_default();
            read.push((
                kind,
                inside(folder, text("path")).ok_or_else(|| {
                    HubError::key(
                        &file,
                        "path",
                        format!("is {:?}, which is not inside the folder", text("path")),
                    )
                })?,
            ));
        }
        let (encoder, pooling, unit) = match &read[..] {
            [("Transformer", encoder), ("Pooling", pooling)] => (encoder, pooling, false),
            [("Transformer", encoder), ("Pooling", pooling), ("Normalize", _)] => (encoder, pooling, true),
            _ => {
                let kinds: Vec<&str> = read.iter().map(|(kind, _)| *kind).collect();
                let known = "only Transformer, Pooling and perhaps Normalize, in this order, are known";
                return Err(HubError::file(&file, format!("its modules are {}: {known}", kinds.join(", "))));
            }
        };
        Ok(Some((Self { pooling: pooling_of(pooling)?, unit }, encoder.clone())))
    }
}

/// Most modules that are looked at.
const MOST_MODULES: usize = 8;

/// The folder of a module, which must be inside that of the model.
fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let plain =
        Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    plain.then(|| folder.join(path))
}

/// How a module of pooling does it.
fn pooling_of(folder: &Path) -> Result<Pooling, HubError> {
    let file = folder.join("config.json");
    let config = Object::read(file.clone())?.ok_or_else(|| HubError::file(&file, "it is not there"))?;
    let on = |key: &&String| key.starts_with("pooling_mode_") && config.keys[*key] == Value::Bool(true);
    let mut modes: Vec<&str> = config.keys.keys().filter(on).map(|key| &**key).collect();
    // As newer versions write it.
    let newer = config.text("pooling_mode")?.map(|mode| match mode {
        "mean" => "pooling_mode_mean_tokens",
        "cls" => "pooling_mode_cls_token",
        other => other,
    });
    modes.extend(newer);
    match modes[..] {
        [mode] => {
            MODES.iter().find(|(name, _)| *name == mode).map(|(_, pooling)| *pooling).ok_or_else(|| {
                config.bad(
                    mode,
                    "is the way of pooling; only the mean of the tokens and the first token (cls) are known",
                )
            })
        }
        _ => Err(HubError::file(
            &file,
            format!("it has {} ways of pooling at once, expected one", modes.len()),
        )),
    }
}
