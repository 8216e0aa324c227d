//! The arguments of what answers texts: `nlpress predict` and `nlpress embed`.

use clap::Args;
use std::path::PathBuf;

use super::values::{class_count, share, threads, word_count};
use super::{Answering, Rows};

/// Which texts, and how they are worked on.
#[derive(Debug, Args)]
pub(crate) struct Texts {
    /// Texts; without any, or with `-`, every line of standard input is one, and is answered as it comes.
    pub(crate) texts: Vec<String>,
    #[command(flatten)]
    pub(crate) rows: Rows,
    /// Two texts are one example, as cross-encoders take them: texts are given two by two, and a line of standard input
    /// has both, separated by a tab or as JSON, {"text": …, "pair": …}.
    #[arg(long, conflicts_with = "data")]
    pub(crate) pairs: bool,
    /// Stop at the first line that is no text, in place of answering the others.
    #[arg(long, conflicts_with = "data")]
    pub(crate) strict: bool,
    /// Threads to use. Answers and their order do not depend on it.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = threads)]
    pub(crate) threads: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Predict {
    #[command(flatten)]
    pub(crate) answering: Answering,
    #[command(flatten)]
    pub(crate) texts: Texts,
    /// Print so many classes a text, with their scores: the answer first, then by score.
    #[arg(long, value_name = "K", value_parser = class_count, conflicts_with = "integers")]
    pub(crate) top: Option<usize>,
    /// Name no class whose score is below this: `-` stands in its place, null in JSON.
    #[arg(long, value_name = "SCORE", value_parser = share, conflicts_with = "integers")]
    pub(crate) threshold: Option<f32>,
    /// Print how many tokens of the text the artifact knows. JSON always has it.
    #[arg(long, conflicts_with = "json")]
    pub(crate) known: bool,
    /// Print the N words that decided (5 when not given), with what each added to the logit of the class. Exact for
    /// linear models, value times slope for hidden layers.
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "5",
        value_parser = word_count,
        conflicts_with = "integers"
    )]
    pub(crate) explain: Option<usize>,
    /// Print the text, on one line, after its answer.
    #[arg(long)]
    pub(crate) with_text: bool,
    /// Print one JSON object a text, with all scores (or with all logits in integers), the tokens and how many of them
    /// are known.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Prints a JSON array of numbers a text. Vectors of an encoder whose last step is to length 1 can be \
compared by their dot product."
)]
pub(crate) struct Embed {
    /// The artifact.
    pub(crate) artifact: PathBuf,
    #[command(flatten)]
    pub(crate) texts: Texts,
    /// Print one JSON object a text, with the tokens and how many of them are known.
    #[arg(long)]
    pub(crate) json: bool,
}
