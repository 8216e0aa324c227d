//! The arguments of `nlpress fit`.

use clap::Args;
use nlpress::search::{Bytes, Effort, Limits, Metric, Micros};
use std::path::PathBuf;
use std::time::Duration;

use super::values::{minutes, place, points, threads};
use super::{Columns, Splits};

/// Minutes where nothing is said.
const USUAL_MINUTES: f64 = 2.0;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nlpress fit reviews.csv --max-size 60KB --out model.safetensors
  nlpress fit reviews.csv --max-size 100KB --max-latency 20us --minutes 5 --out model.safetensors
  nlpress fit tickets.jsonl --metric macro-f1 --max-drop 0.5 --trials 60 --seed 1 --out model.safetensors

Exit codes: as of every command, and 3 when no model was found that keeps the limits; the nearest is then written.")]
pub(crate) struct Fit {
    /// Files of labelled text: .csv, .tsv, .jsonl, .json or fastText's .ft, perhaps compressed (.gz, .zst); several are
    /// read as one.
    #[arg(value_name = "FILE", conflicts_with = "corpus", required_unless_present = "corpus")]
    pub(crate) data: Vec<PathBuf>,
    /// `embedded`, or the name of a corpus fetched by `cargo xtask data fetch`.
    #[arg(long, value_name = "NAME")]
    pub(crate) corpus: Option<String>,
    /// Folder with fetched corpora.
    #[arg(long, default_value = "data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) columns: Columns,
    #[command(flatten)]
    pub(crate) splits: Splits,
    /// Where to write the model. The report, the recipe that makes it again and what is made on the way go into a folder
    /// of the same name with `.fit` at its end.
    #[arg(long, value_name = "FILE", value_parser = place())]
    pub(crate) out: PathBuf,
    /// Largest file, such as 60KB, 1.5MB or 64KiB.
    #[arg(long, value_name = "SIZE")]
    max_size: Option<Bytes>,
    /// Longest way from a text to its answer, the median on one thread of this machine, such as 20us or 0.5ms.
    #[arg(long, value_name = "TIME")]
    max_latency: Option<Micros>,
    /// Points of quality that may be lost against the best model found, whatever its size; 1 when there is no limit.
    #[arg(long, value_name = "POINTS", value_parser = points)]
    max_drop: Option<f64>,
    /// An artifact that teaches, or a folder of a pretrained encoder: students learn from what it answers, beside what they
    /// learn from labels. A classifier must have the same labels, and may be of any family and size; what makes embeddings
    /// teaches by a linear probe of them. There are candidates of an encoder, too.
    #[arg(long, value_name = "ARTIFACT|FOLDER")]
    pub(crate) teacher: Option<PathBuf>,
    /// A file of texts without labels, written as the data are; a label is not looked at. Students learn from what the
    /// teacher, or the model they are made from, answers to them. Given several times, the files are read as one.
    #[arg(long, value_name = "FILE")]
    pub(crate) unlabelled: Vec<PathBuf>,
    /// What counts as quality: accuracy, macro-f1 or f1:LABEL.
    #[arg(long, default_value = "accuracy", value_name = "METRIC")]
    pub(crate) metric: Metric,
    /// How long to look; 2 minutes when neither this nor --trials is given.
    #[arg(long, value_name = "MINUTES", value_parser = minutes, conflicts_with = "trials")]
    minutes: Option<f64>,
    /// How many candidates to make, in place of minutes. The same seed then gives the same file for any number of threads, on
    /// every machine with a processor of the kind, unless there is a limit on latency.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    trials: Option<u32>,
    /// Root of all random choices.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Go on from what a stopped search left in its folder.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Candidates to make at the same time; all processors when not given.
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Fit {
    /// What the model must keep.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_bytes: self.max_size.map(|b| b.0),
            max_latency_us: self.max_latency.map(|m| m.0),
            max_drop: self.max_drop,
        }
    }

    /// How long to look; 2 minutes when neither this nor --trials is given.
    pub(crate) fn effort(&self) -> Effort {
        match self.trials {
            Some(trials) => Effort::Trials(trials as usize),
            None => Effort::Time(Duration::from_secs_f64(60.0 * self.minutes.unwrap_or(USUAL_MINUTES))),
        }
    }
}
