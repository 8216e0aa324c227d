//! Why a pruning cannot be done.

use nlpress_technique::StepError;
use nlpress_technique::module::ModuleError;
use nlpress_technique::settings::BadTable;
use nlpress_technique::solve::SolveError;
use nlpress_train::BadConfig;

/// A setting, a slice or a module that pruning refuses.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// A setting is out of its bounds.
    #[error(transparent)]
    Setting(#[from] BadConfig),
    /// A table of settings cannot be read.
    #[error(transparent)]
    Table(#[from] BadTable),
    /// A training table is refused.
    #[error("training after the cut: {0}")]
    Training(String),
    /// A slice has the wrong length.
    #[error("{what} has {found} entries, expected {expected}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that fits.
        expected: usize,
    },
    /// More entries would have to be kept than there are.
    #[error("{wanted} entries are to be kept, but only {kept} are left")]
    TooFew {
        /// Entries to keep.
        wanted: usize,
        /// Entries that are kept now.
        kept: usize,
    },
    /// A list of words cannot be read.
    #[error("{}: {why}", path.display())]
    List {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A module of which nothing is selected, or a parameter cannot be read.
    #[error(transparent)]
    Module(#[from] ModuleError),
}

impl From<SolveError> for PruneError {
    fn from(error: SolveError) -> Self {
        Self::Length { what: error.what, found: error.found, expected: error.expected }
    }
}

impl From<PruneError> for StepError {
    fn from(error: PruneError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl PruneError {
    pub(crate) fn setting(key: &'static str, value: impl ToString, bound: &'static str) -> Self {
        BadConfig { field: key, value: value.to_string(), bound }.into()
    }

    pub(crate) fn same_length(what: &'static str, found: usize, expected: usize) -> Result<(), Self> {
        if found == expected { Ok(()) } else { Err(Self::Length { what, found, expected }) }
    }
}

/// Checks a share of entries to drop.
pub(crate) fn sparsity(value: f64) -> Result<nlpress_core::Fraction, PruneError> {
    match nlpress_core::Fraction::try_from(value) {
        Ok(share) if value > 0.0 && value < 1.0 => Ok(share),
        _ => Err(PruneError::setting("sparsity", value, "more than 0 and less than 1")),
    }
}
