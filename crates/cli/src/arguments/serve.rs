//! What asks artifacts, scores them and times them.

use clap::{Args, ValueEnum};
use nlpress::core::BackendKind;
use std::path::PathBuf;

use super::Labelled;
use super::values::{made_up, place, rounds, shares, threads};

/// An artifact, and in which numbers it answers.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Answering {
    /// The artifact.
    pub(crate) artifact: PathBuf,
    /// Answer in integers alone, from counts of words to logits; every site needs integers of up to 8 bits and a
    /// fixed scale of its activations. What `predict` prints beside the label is then the winning logit.
    #[arg(long)]
    pub(crate) integers: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Embeddings name no class. They are scored by retrieval of documents of the same label, for each document \
among all others, ranked by cosine: nDCG@10, recall@10, recall@100, and how often the nearest has the same label."
)]
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) answering: Answering,
    #[command(flatten)]
    pub(crate) labelled: Labelled,
    /// What happens to documents whose label the artifact does not know.
    #[arg(long, default_value = "skip", value_name = "HOW")]
    pub(crate) unknown_labels: UnknownLabels,
    /// Another artifact, to say how often the two agree, or how near embeddings are to its own.
    #[arg(long, value_name = "ARTIFACT")]
    pub(crate) against: Option<PathBuf>,
    /// Write the documents that were classified wrongly into this file (.jsonl or .csv): text, label, prediction,
    /// its score, and where the document stands.
    #[arg(long, value_name = "FILE", value_parser = place())]
    pub(crate) errors: Option<PathBuf>,
    /// Print `{"quality": …}` as in report.json, and everything else that is found, as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Threads to use; all processors when not given. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
}

/// What happens to documents whose label the artifact does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UnknownLabels {
    /// They are counted and left out.
    Skip,
    /// They are counted as wrong.
    Wrong,
}

#[derive(Debug, Args)]
#[command(mut_arg("label_column", |label| label.hide(true)))]
pub(crate) struct Bench {
    /// The artifacts; they take turns, and each is compared with the first.
    #[arg(required = true)]
    pub(crate) artifacts: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) labelled: Labelled,
    /// Rounds in which the artifacts take turns, 5 to 10000; when not given, as many as fit into 5 seconds for each
    /// kind of call, and at most 150.
    #[arg(long, value_name = "N", value_parser = rounds)]
    pub(crate) rounds: Option<usize>,
    /// Threads for the throughput, beside one.
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// Print `{"speed": …}` as in report.json; a list when there are several artifacts.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A way to compute that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// A training on one network.
    Plain,
    /// The same with data parallelism.
    Data,
    /// The same with the shares' gradients coded in 8 bits, as they travel between processes.
    DataInt8,
    /// The same with its sites in stages.
    Model,
    /// The same with its weights split by columns and rows.
    Tensor,
    /// Trainings side by side.
    Tasks,
    /// Texts that are classified.
    Serve,
}

#[derive(Debug, Args)]
pub(crate) struct Scaling {
    /// What is timed.
    pub(crate) way: Way,
    /// The engine for training.
    #[arg(long, default_value = "ndarray", value_name = "NAME")]
    pub(crate) backend: BackendKind,
    /// Threads.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = threads)]
    pub(crate) threads: usize,
    /// Shares of a batch, or stages of the network.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = shares)]
    pub(crate) shares: usize,
    /// Rows of a step.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = made_up)]
    pub(crate) batch: usize,
    /// Rows, or texts.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = made_up)]
    pub(crate) rows: usize,
    /// Width of the hidden layers, or of the encoder.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = made_up)]
    pub(crate) hidden: usize,
    /// Train an encoder of two blocks on tokens in place of a network on feature rows.
    #[arg(long)]
    pub(crate) encoder: bool,
    /// Serve this artifact in place of a network with random numbers.
    #[arg(long, value_name = "FILE")]
    pub(crate) artifact: Option<PathBuf>,
}
