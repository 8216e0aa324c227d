//! Why a distillation cannot be set up.

/// A setting that no distillation can run with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DistillError {
    /// A setting is out of its bounds.
    #[error("{key} is {value}, but it must be {bound}")]
    Setting {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What would be accepted.
        bound: &'static str,
    },
    /// A table of settings cannot be read.
    #[error(transparent)]
    Table(#[from] nlpress_technique::settings::BadTable),
    /// A setting of the loss is out of its bounds.
    #[error(transparent)]
    Loss(#[from] nlpress_train::BadConfig),
    /// A setting that another one makes meaningless.
    #[error("{key} is set, but with {with} it would have no effect: leave it out")]
    NoEffect {
        /// The key.
        key: &'static str,
        /// The setting that it does not go with.
        with: &'static str,
    },
}

/// Checks one setting.
pub(crate) fn check(
    ok: bool,
    key: &'static str,
    value: impl ToString,
    bound: &'static str,
) -> Result<(), DistillError> {
    if ok { Ok(()) } else { Err(DistillError::Setting { key, value: value.to_string(), bound }) }
}
