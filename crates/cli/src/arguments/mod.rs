//! The command line.

mod compress;
mod data;
mod encoding;
mod fit;
mod folders;
mod recipes;
mod serve;
mod texts;
mod train;
mod values;

use clap::{Args, Parser, Subcommand};
use nlpress::core::BackendKind;
use std::path::PathBuf;

pub(crate) use compress::Compress;
pub(crate) use data::{Columns, Form, Labelled, Layout, Rows, Splits};
pub(crate) use encoding::{EncoderKind, Encoding};
pub(crate) use fit::Fit;
pub(crate) use folders::{Export, Import};
pub(crate) use recipes::{Changes, NewRecipe, Plan, Run, Summary, Tokens, WordEnds};
pub(crate) use serve::{Answering, Bench, Eval, Scaling, UnknownLabels, Way};
pub(crate) use texts::{Embed, Predict, Texts};
pub(crate) use train::{Shape, Solver, Train, TrainLoss};
use values::{place, threads};

/// Makes text classifiers smaller and faster, and proves it.
///
/// Start with `nlpress run recipes/article.toml`, or train on a file of your own:
/// `nlpress train --data reviews.csv --out model.safetensors`, then `nlpress predict model.safetensors "a text"`.
///
/// Exit codes: 0 done; 1 failed, by training that diverges, a row that could not be made, or a machine that gives no
/// more (a full or broken disk); 2 refused recipe, setting, input or place for output; 3 limits that no model keeps
/// (`fit`); 130 stopped; 134 out of memory.
#[derive(Debug, Parser)]
#[command(name = "nlpress", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What to log to stderr, for example `info` or `nlpress=debug`; RUST_LOG when not given.
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a recipe: trains, compresses, writes artifacts, measures them and reports.
    Run(Run),
    /// Shows what a recipe would make and its predicted sizes; trains nothing.
    Plan(Plan),
    /// Trains a network on labelled text and writes an artifact.
    Train(Box<Train>),
    /// Finds the best small model for labelled text within limits on size, latency and quality.
    Fit(Box<Fit>),
    /// Applies one technique to an artifact, without data.
    Compress(Compress),
    /// Makes an artifact of a folder with a pretrained encoder (config.json, model.safetensors, tokenizer.json).
    Import(Import),
    /// Writes an artifact as such a folder.
    Export(Export),
    /// Classifies texts with an artifact: those given, or the lines of standard input.
    Predict(Predict),
    /// Turns texts into vectors with an artifact whose network makes embeddings.
    Embed(Embed),
    /// Scores an artifact on labelled text.
    Eval(Eval),
    /// Measures latency and throughput of artifacts on texts, side by side.
    Bench(Bench),
    /// Shows what is in an artifact: network, layouts, sizes, origin.
    Inspect(Inspect),
    /// Looks at networks.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Lists the techniques that a recipe can use, or explains one.
    Techniques(Techniques),
    /// Writes a commented recipe that fits a file of labelled text, to start from.
    NewRecipe(NewRecipe),
    /// Prints a script that completes the command's words in a shell.
    Completions(Completions),
    /// Prints the manual page, or writes one page a command into a folder.
    Man(Man),
    /// Prints the peak memory of a process that serves an artifact.
    #[command(hide = true)]
    Rss(Rss),
    /// Prints the seconds that one way to train or to serve takes on made-up data.
    #[command(hide = true)]
    Scaling(Scaling),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Prints layers, shapes, parameters, multiply-accumulates and bytes of an artifact's or a recipe's network.
    Summary(Summary),
}

/// Where and with how many threads to compute.
#[derive(Clone, Debug, Args)]
pub(crate) struct Compute {
    /// The engine for training: ndarray, flex or wgpu, as far as they are compiled in.
    #[arg(long, default_value = "ndarray", value_name = "NAME")]
    pub(crate) backend: BackendKind,
    /// Threads to use; all processors when not given. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The artifact.
    pub(crate) artifact: PathBuf,
    /// Print manifest and sizes as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Techniques {
    /// The technique to explain.
    pub(crate) name: Option<String>,
    /// Write one Markdown page a technique, and an index, into this folder.
    #[arg(long, value_name = "DIR", value_parser = place())]
    pub(crate) markdown: Option<PathBuf>,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Folder for one page a command: nlpress.1, nlpress-run.1 and so on.
    #[arg(long, value_name = "DIR", value_parser = place())]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Rss {
    /// The artifact.
    pub(crate) artifact: PathBuf,
}

/// Widths of hidden layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Widths(pub(crate) Vec<usize>);
