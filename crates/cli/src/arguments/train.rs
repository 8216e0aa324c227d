//! What trains a network.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

use super::values::{finite, place};
use super::{Compute, Encoding, Labelled, Splits};

#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) labelled: Labelled,
    #[command(flatten)]
    pub(crate) splits: Splits,
    /// Where to write the artifact.
    #[arg(long, value_name = "FILE", value_parser = place())]
    pub(crate) out: PathBuf,
    /// An artifact to start from, or a folder of a pretrained encoder, with its encoder and all of its numbers: a classifier of
    /// the same labels is trained on, and what makes embeddings gets a classifier and is fine-tuned; with
    /// `--solver coordinate-descent` it stays as it is, and the classifier alone is trained.
    #[arg(
        long,
        value_name = "ARTIFACT",
        conflicts_with_all = ["encoder", "tokenizer", "vocabulary", "max_tokens", "hidden", "layers", "dropout", "sublinear", "hashed"]
    )]
    pub(crate) from: Option<PathBuf>,
    /// The labels are numbers, such as how alike two texts are, which the network learns to say as they are, by the mean squared
    /// error.
    #[arg(
        long,
        requires = "from",
        conflicts_with_all = ["corpus", "class_weights", "threshold", "loss", "solver", "cost", "tolerance"]
    )]
    pub(crate) numbers: bool,
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
    /// Passes over the training rows; 10 when not given, 3 with --from a pretrained encoder, at most 1000 with --solver
    /// coordinate-descent.
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<u32>,
    /// Rows of a step.
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) batch: usize,
    /// Adam's learning rate; 1e-3 when not given, 5e-5 with --from a pretrained encoder.
    #[arg(long, value_name = "RATE", value_parser = finite, allow_negative_numbers = true)]
    pub(crate) learning_rate: Option<f64>,
    /// How the learning rate moves; constant when not given, linear with --from a pretrained encoder.
    #[arg(long, value_name = "SHAPE")]
    pub(crate) schedule: Option<Shape>,
    /// Share of the steps over which the learning rate rises from zero; 0 when not given, 0.1 with --from a pretrained
    /// encoder.
    #[arg(long, value_name = "SHARE", value_parser = finite)]
    pub(crate) warmup: Option<f64>,
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
    /// Scale gradients down to this Euclidean norm; 1 with --from a pretrained encoder when not given.
    #[arg(long, value_name = "NORM", value_parser = finite)]
    pub(crate) clip_norm: Option<f64>,
    /// Take this share, times the learning rate, from every weight in each step (AdamW); 0 when not given, 0.01 with --from a
    /// pretrained encoder.
    #[arg(long, value_name = "SHARE", value_parser = finite)]
    pub(crate) weight_decay: Option<f64>,
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
