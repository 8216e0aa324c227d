//! The command line.

mod compress;
mod encoding;
mod fit;
mod folders;
mod texts;
mod values;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nlpress::core::BackendKind;
use nlpress::pipeline::prepared::fetched_files;
use nlpress::text::{Format, SplitRule, TextEncoding};
use std::path::PathBuf;

pub(crate) use compress::Compress;
pub(crate) use encoding::{EncoderKind, Encoding};
pub(crate) use fit::Fit;
pub(crate) use folders::{Export, Import};
pub(crate) use texts::{Embed, Predict, Texts};
use values::{delimiter, finite, place, rounds, seeds, threads};

/// Makes text classifiers smaller and faster, and proves it.
///
/// Start with `nlpress run recipes/article.toml`, or train on a file of your own:
/// `nlpress train --data reviews.csv --out model.safetensors`, then `nlpress predict model.safetensors "a text"`.
///
/// Exit codes: 0 done; 1 failed, by training that diverges, a row that could not be made, or a machine that gives no
/// more (a full or broken disk); 2 refused recipe, setting, input or place for output; 3 limits that no model keeps
/// (`fit`); 130 stopped.
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

/// How texts are cut into tokens.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Tokens")]
pub(crate) struct Tokens {
    /// Character n-grams of these lengths in place of words, for example `1-2` for Chinese.
    #[arg(long, value_name = "MIN-MAX", conflicts_with_all = ["word_ngrams", "symbols", "stop_words", "boundaries"])]
    pub(crate) ngrams: Option<String>,
    /// Character n-grams begin and end within a word, with a space at either end.
    #[arg(long, requires = "ngrams")]
    pub(crate) within_words: bool,
    /// Runs of so many neighbouring words, for example `1-2` for words and pairs of words.
    #[arg(long, value_name = "MIN-MAX")]
    pub(crate) word_ngrams: Option<String>,
    /// Runs of symbols and punctuation marks such as `:)` are tokens, too; emoji always are.
    #[arg(long)]
    pub(crate) symbols: bool,
    /// File of words that are no features, one a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) stop_words: Option<PathBuf>,
    /// Where words end; `unicode` when neither this nor a recipe says anything.
    #[arg(long, value_name = "WHERE")]
    pub(crate) boundaries: Option<WordEnds>,
}

/// Where words end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WordEnds {
    /// Where Unicode says (UAX 29).
    Unicode,
    /// At white space alone, for text that was cut into words before.
    Spaces,
}

/// Changes to a recipe.
#[derive(Clone, Debug, Args)]
pub(crate) struct Changes {
    /// Corpus in place of the recipe's: `embedded`, or one fetched by `cargo xtask data fetch`.
    #[arg(long, value_name = "NAME")]
    pub(crate) corpus: Option<String>,
    /// File in place of the recipe's corpus, read as the recipe says (columns `text` and `label` unless it names
    /// others). Given several times, the files are read as one.
    #[arg(long, value_name = "FILE", conflicts_with = "corpus")]
    pub(crate) data: Vec<PathBuf>,
    /// Folder with fetched corpora.
    #[arg(long, default_value = "data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) tokens: Tokens,
    /// Repetitions with different seeds, in place of the recipe's.
    #[arg(long, value_name = "N", value_parser = seeds)]
    pub(crate) seeds: Option<u32>,
    /// At most 300 documents a split, one seed (or as many as --seeds says) and short timings: to see that everything
    /// runs.
    #[arg(long)]
    pub(crate) quick: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The recipe.
    pub(crate) recipe: PathBuf,
    /// Folder for artifacts and report.
    #[arg(long, default_value = "out", value_name = "DIR", value_parser = place())]
    pub(crate) out: PathBuf,
    /// Go on from what an earlier, stopped run left in that folder.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print report.json to standard output in place of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Append every event of the run to this file, one JSON object a line.
    #[arg(long, value_name = "FILE", value_parser = place())]
    pub(crate) events: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) changes: Changes,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The recipe.
    pub(crate) recipe: PathBuf,
    /// Print the plan as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) changes: Changes,
}

/// Where labelled text comes from.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Labelled {
    /// A file of labelled text: .csv, .tsv, .jsonl, .json or fastText's .ft, perhaps compressed (.gz, .zst), or `-` for
    /// standard input. Given several times, the files are read as one.
    #[arg(long, value_name = "FILE", conflicts_with = "corpus")]
    pub(crate) data: Vec<PathBuf>,
    /// `embedded`, or the name of a corpus fetched by `cargo xtask data fetch`.
    #[arg(long, value_name = "NAME")]
    pub(crate) corpus: Option<String>,
    /// Folder with fetched corpora.
    #[arg(long, default_value = "data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Column of the label: a name, or a number from 0.
    #[arg(long, default_value = "label", value_name = "COLUMN")]
    pub(crate) label_column: String,
    #[command(flatten)]
    pub(crate) layout: Layout,
}

/// How the files of a command are written, and which column is the text.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Layout {
    /// Column of the text: a name, or a number from 0.
    #[arg(long, default_value = "text", value_name = "COLUMN")]
    pub(crate) text_column: String,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// How files are written.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Form {
    /// How the files are written, when their names do not tell: csv, tsv, jsonl, json, fasttext or parquet.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// Encoding of the files: utf-8, utf-16le, utf-16be, latin-1, windows-1252, gbk, shift_jis, …; UTF-8, or what the
    /// byte order mark says, when not given.
    #[arg(long, value_name = "NAME")]
    pub(crate) encoding: Option<TextEncoding>,
    /// The CSV or TSV file has no header line; give columns by number.
    #[arg(long)]
    pub(crate) no_header: bool,
    /// Character between fields, when it is not the usual one; `\\t` is a tab. `new-recipe` finds out.
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    pub(crate) delimiter: Option<char>,
    /// Leave out up to this many rows that cannot be used (no text, no label, a wrong number of fields, …).
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) skip_bad_rows: u64,
}

/// The columns of a file, which are guessed where they are not given, and how it is written.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Columns {
    /// Column of the text: a name, or a number from 0; guessed when not given.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) text_column: Option<String>,
    /// Column of the label: a name, or a number from 0; guessed when not given.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label_column: Option<String>,
    #[command(flatten)]
    pub(crate) form: Form,
}

/// Which documents train, choose and score.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Splits {
    /// A file of documents to choose between epochs by; taken from --data when not given.
    #[arg(long, value_name = "FILE", requires = "data")]
    pub(crate) valid: Vec<PathBuf>,
    /// A file of documents to score on; taken from --data when not given.
    #[arg(long, value_name = "FILE", requires = "data")]
    pub(crate) test: Vec<PathBuf>,
    /// Percentages of --data that train, validate and test.
    #[arg(long, default_value = "80/10/10", value_name = "TRAIN/VALID/TEST", requires = "data")]
    pub(crate) split: SplitRule,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) labelled: Labelled,
    #[command(flatten)]
    pub(crate) splits: Splits,
    /// Where to write the artifact.
    #[arg(long, value_name = "FILE", value_parser = place())]
    pub(crate) out: PathBuf,
    /// An artifact to start from, with its encoder and all of its numbers: a classifier of the same labels is trained on,
    /// and what makes embeddings (see `nlpress import`) gets a classifier and is fine-tuned.
    #[arg(
        long,
        value_name = "ARTIFACT",
        conflicts_with_all = ["encoder", "tokenizer", "vocabulary", "max_tokens", "hidden", "layers", "dropout"]
    )]
    pub(crate) from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) encoding: Encoding,
    /// What finds the parameters.
    #[arg(long, default_value = "adam", value_name = "SOLVER")]
    pub(crate) solver: Solver,
    /// With --solver coordinate-descent: what an error costs beside the penalty on weights, as `C` of scikit-learn; 1
    /// when not given.
    #[arg(long, value_name = "C", value_parser = finite)]
    pub(crate) cost: Option<f64>,
    /// With --solver coordinate-descent: how near to the optimum it ends; 1e-4 when not given.
    #[arg(long, value_name = "SIZE", value_parser = finite)]
    pub(crate) tolerance: Option<f64>,
    /// What training reduces; the cross-entropy when not given, the squared hinge with --solver coordinate-descent.
    #[arg(long, value_name = "LOSS")]
    pub(crate) loss: Option<TrainLoss>,
    /// Passes over the training rows; 10 when not given, at most 1000 with --solver coordinate-descent.
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<u32>,
    /// Rows of a step.
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) batch: usize,
    /// Adam's learning rate.
    #[arg(long, default_value_t = 1e-3, value_name = "RATE", value_parser = finite, allow_negative_numbers = true)]
    pub(crate) learning_rate: f64,
    /// How the learning rate moves.
    #[arg(long, default_value = "constant", value_name = "SHAPE")]
    pub(crate) schedule: Shape,
    /// End after this many epochs without a better validation loss, and keep the best.
    #[arg(long, value_name = "EPOCHS")]
    pub(crate) patience: Option<u32>,
    /// Weights of the classes in the loss: `balanced` for the inverse of their frequency, or `LABEL=WEIGHT,…`, where a
    /// label that is not named weighs 1.
    #[arg(long, value_name = "WEIGHTS")]
    pub(crate) class_weights: Option<String>,
    /// Where a model of two classes decides for the second: a score such as 0.3, or chosen on the validation documents
    /// for `f1` (of the second class, in byte order), `macro-f1` or `balanced-accuracy`. The artifact keeps it.
    #[arg(long, value_name = "AIM")]
    pub(crate) threshold: Option<String>,
    /// Scale gradients down to this Euclidean norm.
    #[arg(long, value_name = "NORM", value_parser = finite)]
    pub(crate) clip_norm: Option<f64>,
    /// Take this share, times the learning rate, from every weight in each step (AdamW).
    #[arg(long, default_value_t = 0.0, value_name = "SHARE", value_parser = finite)]
    pub(crate) weight_decay: f64,
    /// Root of all random choices.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    /// File to keep the state of training in, written after each epoch.
    #[arg(long, value_name = "FILE", value_parser = place())]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Go on from the checkpoint when it is there.
    #[arg(long, requires = "checkpoint")]
    pub(crate) resume: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) compute: Compute,
}

/// What finds the parameters of a model.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Solver {
    /// Steps along the gradients of batches: for every network.
    Adam,
    /// For linear models (--hidden none): the optimum of the squared hinge and a penalty on weights, as LIBLINEAR and
    /// scikit-learn's LinearSVC find it. There is no learning rate, batch or schedule to set.
    CoordinateDescent,
}

/// What a training reduces.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TrainLoss {
    /// The negative logarithm of the label's probability.
    CrossEntropy,
    /// The squared hinge loss of each class against the rest, as linear support vector machines have it: often more
    /// accurate for a linear model of many words, but the scores are no probabilities.
    SquaredHinge,
}

/// How a learning rate moves over training.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shape {
    /// It stays.
    Constant,
    /// It falls to zero in a straight line.
    Linear,
    /// It falls to zero along half a cosine.
    Cosine,
}

/// A file of texts to answer.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Rows {
    /// A file whose rows have a text each, in the formats that `train` reads; labels are not looked at. Given several
    /// times, the files are read as one.
    #[arg(long, value_name = "FILE", conflicts_with = "texts")]
    pub(crate) data: Vec<PathBuf>,
    /// Column to print before each answer: a name, or a number from 0.
    #[arg(long, value_name = "COLUMN", requires = "data")]
    pub(crate) id_column: Option<String>,
    #[command(flatten)]
    pub(crate) layout: Layout,
}

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
pub(crate) struct Eval {
    #[command(flatten)]
    pub(crate) answering: Answering,
    #[command(flatten)]
    pub(crate) labelled: Labelled,
    /// What happens to documents whose label the artifact does not know.
    #[arg(long, default_value = "skip", value_name = "HOW")]
    pub(crate) unknown_labels: UnknownLabels,
    /// Another artifact, to say how often the two agree.
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

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The artifact.
    pub(crate) artifact: PathBuf,
    /// Print manifest and sizes as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Summary {
    /// An artifact (.safetensors) or a recipe (.toml).
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) changes: Changes,
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
pub(crate) struct NewRecipe {
    /// A file of labelled text, as `train` reads it.
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// Where to write the recipe; a file that is there is left alone. `-` prints it.
    #[arg(long, default_value = "recipe.toml", value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) columns: Columns,
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

impl Splits {
    /// The files that are read, each with the option that names it.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let valid = self.valid.iter().map(|file| ("--valid", file));
        valid.chain(self.test.iter().map(|file| ("--test", file)))
    }
}

impl Labelled {
    /// The files that are read, each with the option that names it.
    pub(crate) fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let data = self.data.iter().map(|file| ("--data", file.clone()));
        let fetched = self.corpus.iter().flat_map(|name| fetched_files(name, &self.data_dir));
        data.chain(fetched.map(|file| ("--corpus", file))).collect()
    }
}
