//! The form of a recipe as TOML has it: what may stand where, and nothing of what it means.

use nlpress_model::BlockSpec;
use nlpress_model::graph::Pooling;
use nlpress_text::{CorpusOptions, Files, Source};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use toml::Spanned;

use super::{Controls, ReportRecipe};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) schema: Spanned<u32>,
    pub(super) name: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) seed: u64,
    pub(super) seeds: Option<Spanned<u32>>,
    pub(super) model: Spanned<RawModel>,
    pub(super) data: Spanned<RawData>,
    pub(super) train: Option<Spanned<Table>>,
    pub(super) controls: Option<Spanned<Controls>>,
    pub(super) report: Option<Spanned<ReportRecipe>>,
    #[serde(default)]
    pub(super) steps: Vec<Spanned<RawStep>>,
    #[serde(default)]
    pub(super) variants: Vec<Spanned<RawVariant>>,
}

/// A table whose values have their places, to be read when it is known what they are.
pub(super) type Table = BTreeMap<String, Spanned<toml::Value>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModel {
    pub(super) path: Option<Spanned<PathBuf>>,
    pub(super) network: Option<Spanned<RawNetwork>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawNetwork {
    Mlp(RawMlp),
    Attention(RawAttention),
    Static(RawStatic),
    Encoder(RawEncoder),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMlp {
    pub(super) inputs: Option<Spanned<usize>>,
    #[serde(default)]
    pub(super) hidden: Vec<usize>,
    pub(super) outputs: Option<Spanned<usize>>,
    #[serde(default)]
    pub(super) dropout: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAttention {
    pub(super) inputs: Option<Spanned<usize>>,
    pub(super) width: usize,
    pub(super) head_width: usize,
    #[serde(default)]
    pub(super) layers: Vec<BlockSpec>,
    pub(super) outputs: Option<Spanned<usize>>,
    #[serde(default)]
    pub(super) dropout: f64,
    #[serde(default = "most_tokens")]
    pub(super) tokens: usize,
}

/// Token embeddings whose mean goes through hidden layers, if any.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStatic {
    pub(super) width: usize,
    #[serde(default)]
    pub(super) hidden: Vec<usize>,
    pub(super) outputs: Option<Spanned<usize>>,
    #[serde(default)]
    pub(super) dropout: f64,
}

/// Layers of attention among tokens, as BERT has them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEncoder {
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    /// Four times the width where it is not given.
    pub(super) intermediate: Option<usize>,
    #[serde(default = "mean")]
    pub(super) pooling: Pooling,
    pub(super) outputs: Option<Spanned<usize>>,
    #[serde(default)]
    pub(super) dropout: f64,
}

fn mean() -> Pooling {
    Pooling::Mean
}

fn most_tokens() -> usize {
    128
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawData {
    pub(super) corpus: Option<String>,
    pub(super) files: Option<Source>,
    pub(super) unlabelled: Option<Files>,
    pub(super) read: Option<Spanned<CorpusOptions>>,
    pub(super) encoder: Option<Spanned<Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawVariant {
    pub(super) id: String,
    pub(super) from: Option<String>,
    pub(super) teacher: Option<RawTeacher>,
    pub(super) steps: Vec<Spanned<RawStep>>,
}

/// A row, or an artifact.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RawTeacher {
    Row(String),
    File(RawTeacherFile),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTeacherFile {
    pub(super) path: PathBuf,
    pub(super) sha256: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    #[serde(rename = "use")]
    pub(super) kind: String,
    #[serde(default = "everywhere")]
    pub(super) on: Vec<String>,
    #[serde(default)]
    pub(super) with: toml::Table,
    pub(super) gate: Option<RawGate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGate {
    pub(super) max_drop: f64,
}

fn everywhere() -> Vec<String> {
    vec!["**".into()]
}
