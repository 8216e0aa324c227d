//! The arguments of `nlpress compress`.

use clap::Args;
use std::path::PathBuf;

use super::Compute;
use super::values::place;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nlpress compress minilm.safetensors --use quant.int8 --out small.safetensors --texts lines.txt
  nlpress compress minilm.safetensors --use quant.int4 --on 'embeddings.word_embeddings' --out words.safetensors
  nlpress compress minilm.safetensors --use prune.low_rank --on 'encoder.**.dense' --with 'rank = 128' --texts lines.txt --out factored.safetensors
  nlpress compress minilm.safetensors --use quant.gptq --on 'encoder.**' --texts lines.txt --out calibrated.safetensors

Techniques that calibrate look at the texts, which need no labels; every fourth text they do not see, and the artifacts are
compared on those. Techniques that train need labelled text, and are steps of a recipe: `model = { path = ARTIFACT }`.")]
pub(crate) struct Compress {
    /// The artifact, or a folder of a pretrained encoder.
    pub(crate) artifact: PathBuf,
    /// The technique; `nlpress techniques` lists them.
    #[arg(long = "use", value_name = "TECHNIQUE")]
    pub(crate) kind: String,
    /// Its settings, as in a recipe's `with`: `rank = 16`, or one a line.
    #[arg(long, default_value = "", value_name = "TOML", hide_default_value = true)]
    pub(crate) with: String,
    /// Sites by their names or patterns, as in a recipe's `on`. May be given several times.
    #[arg(long, default_value = "**", value_name = "SELECTOR")]
    pub(crate) on: Vec<String>,
    /// Where to write the artifact.
    #[arg(long, value_name = "FILE", value_parser = place())]
    pub(crate) out: PathBuf,
    /// A text a line: what a technique calibrates by, and over which the answers of the two artifacts are compared. A file, a
    /// pipe, or `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) texts: Option<PathBuf>,
    /// Root of random choices.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) compute: Compute,
}
