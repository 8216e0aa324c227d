//! Everything that keeps a number from being measured, in one list.

use std::error::Error;

/// Predictions, labels or calls that cannot be scored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// There is nothing to measure.
    #[error("no {0} to score")]
    Empty(&'static str),
    /// Two things that must be equally long are not.
    #[error("{found} {what}, expected {expected}")]
    Length {
        /// What was counted.
        what: &'static str,
        /// How many there must be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A label names a class that the logits do not have.
    #[error("row {row}: label {label} is outside the {classes} classes of the logits")]
    Label {
        /// The row, from 0.
        row: usize,
        /// The label.
        label: u32,
        /// How many classes there are.
        classes: usize,
    },
    /// A logit or a per-document value is infinite or no number.
    #[error("row {row}: {value} is not a finite number")]
    NotFinite {
        /// The row, from 0.
        row: usize,
        /// The value.
        value: f64,
    },
    /// A setting is outside its bounds.
    #[error("{name} is {value}, must be at least {least}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: usize,
        /// The bound.
        least: usize,
    },
    /// A setting is above its bound.
    #[error("{name} is {value}, must be at most {most}")]
    TooMany {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: usize,
        /// The bound.
        most: usize,
    },
    /// Whoever watched a measurement ended it.
    #[error("the measurement was stopped")]
    Stopped,
    /// A call that was timed failed, so its time says nothing.
    #[error("{subject}: call {call} failed: {source}")]
    Call {
        /// The subject's name.
        subject: String,
        /// The call's number.
        call: usize,
        /// Why it failed.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Proves that two lengths agree.
pub(crate) fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), EvalError> {
    if expected == found { Ok(()) } else { Err(EvalError::Length { what, expected, found }) }
}
