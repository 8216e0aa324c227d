//! What a search is asked for.

use nlpress_pipeline::recipe::DataRecipe;
use std::path::Path;
use std::time::Duration;

use crate::limits::{Effort, Limits, Metric};

/// How long a search takes where nothing is said.
const USUAL_TIME: Duration = Duration::from_secs(120);

/// What to look for, and where.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The labelled text. Its encoder is not read: which features there are is part of the search.
    pub data: DataRecipe,
    /// Folder of fetched corpora.
    pub data_dir: &'a Path,
    /// An artifact, or a folder of a pretrained encoder, that students learn from, beside the models that the search itself
    /// trains. There are candidates of an encoder, too.
    pub teacher: Option<&'a Path>,
    /// What the model must keep.
    pub limits: Limits,
    /// What counts as quality.
    pub metric: Metric,
    /// How long to look.
    pub effort: Effort,
    /// Root of all random choices.
    pub seed: u64,
    /// Candidates that are made at the same time. With [`Effort::Trials`] the result does not depend on it.
    pub threads: usize,
    /// Folder for what is made on the way. What an earlier search left there is used again if `resume` says so.
    pub folder: &'a Path,
    /// Whether to go on from what an earlier, stopped search left.
    pub resume: bool,
}

impl<'a> Request<'a> {
    /// A search of two minutes for accuracy, without limits, on all processors; `folder` is for what is made on the way.
    pub fn new(data: DataRecipe, folder: &'a Path) -> Self {
        Self {
            data,
            data_dir: Path::new("data"),
            teacher: None,
            limits: Limits::default(),
            metric: Metric::default(),
            effort: Effort::Time(USUAL_TIME),
            seed: 1,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            folder,
            resume: false,
        }
    }
}
