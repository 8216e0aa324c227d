//! Data that cannot be made ready.

use nlpress_core::shown::quoted;
use nlpress_model::ModelError;
use nlpress_text::TextError;
use nlpress_train::BadConfig;

use crate::origin::BadOrigin;

/// Data that cannot be made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file, a line, a label or a setting.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A split has nothing in it.
    #[error("corpus {corpus}: the {split} split is empty; it is needed {why}")]
    Empty {
        /// Name of the corpus.
        corpus: String,
        /// The split.
        split: &'static str,
        /// What for.
        why: &'static str,
    },
    /// A corpus name that is neither built in nor fetched.
    #[error(
        "corpus {name:?} is not there: {folder} has no train.jsonl; \
         get it with `cargo xtask data fetch {}`, or give files of your own",
        quoted(name)
    )]
    NotFetched {
        /// Its name.
        name: String,
        /// Where it was looked for.
        folder: String,
    },
    /// The weights of the classes do not fit the labels.
    #[error("{why}; there are: {labels}")]
    ClassWeights {
        /// What is wrong.
        why: BadConfig,
        /// The labels of the data.
        labels: String,
    },
    /// The artifact that a recipe starts from.
    #[error(transparent)]
    Origin(#[from] BadOrigin),
    /// Rows and network do not fit.
    #[error("{0}")]
    Misfit(String),
    /// Encoded rows are refused.
    #[error(transparent)]
    Model(#[from] ModelError),
}
