//! The arguments of `nlpress import` and `nlpress export`.

use clap::{Args, ValueEnum};
use nlpress::graph::Pooling;
use std::path::PathBuf;

use super::values::place;

#[derive(Debug, Args)]
#[command(
    after_help = "Known are BERT (MiniLM is one), RoBERTa, XLM-RoBERTa, DistilBERT, ELECTRA, MPNet and ModernBERT, as classifiers \
(…ForSequenceClassification) and as encoders of embeddings, alone or with the modules of sentence-transformers."
)]
pub(crate) struct Import {
    /// Folder with config.json, model.safetensors (in one piece or several) and tokenizer.json.
    pub(crate) folder: PathBuf,
    /// Where to write the artifact.
    #[arg(long, value_name = "FILE", value_parser = place())]
    pub(crate) out: PathBuf,
    /// Most tokens of a text, special ones among them; what the folder says when not given.
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
    /// How tokens become the embedding of a text; what the folder says when not given, and the mean where it says
    /// nothing.
    #[arg(long, value_name = "HOW")]
    pub(crate) pooling: Option<PoolingName>,
}

/// How tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PoolingName {
    /// The mean of all.
    Mean,
    /// The first (cls).
    First,
}

impl From<PoolingName> for Pooling {
    fn from(name: PoolingName) -> Self {
        match name {
            PoolingName::Mean => Pooling::Mean,
            PoolingName::First => Pooling::First,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The artifact: an encoder of tokens whose layers have equal widths.
    pub(crate) artifact: PathBuf,
    /// Folder to write, which must not be there or be empty.
    #[arg(long, value_name = "FOLDER", value_parser = place())]
    pub(crate) hf: PathBuf,
    /// Folder that the model was imported from: its kind of model, its other keys and tensors, and the types of its
    /// numbers are kept. Without it the folder is one of BERT, or of the kind that has a
    /// place for what BERT has none for, in F32.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) like: Option<PathBuf>,
}
