//! Why a distillation cannot be set up.

use nlpress_train::BadConfig;

/// A setting that no distillation can run with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DistillError {
    /// A setting is out of its bounds.
    #[error(transparent)]
    Setting(#[from] BadConfig),
    /// A table of settings cannot be read.
    #[error(transparent)]
    Table(#[from] nlpress_technique::settings::BadTable),
    /// A setting that another one makes meaningless.
    #[error("{key} is set, but with {with} it would have no effect: leave it out")]
    NoEffect {
        /// The key.
        key: &'static str,
        /// The setting that it does not go with.
        with: &'static str,
    },
}

impl DistillError {
    pub(crate) fn setting(key: &'static str, value: impl ToString, bound: &'static str) -> Self {
        BadConfig { field: key, value: value.to_string(), bound }.into()
    }
}

/// Checks one setting.
pub(crate) fn check(
    ok: bool,
    key: &'static str,
    value: impl ToString,
    bound: &'static str,
) -> Result<(), DistillError> {
    if ok { Ok(()) } else { Err(DistillError::setting(key, value, bound)) }
}
