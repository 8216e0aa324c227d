//! What no network can have, and the sentence that refuses it.

/// Widest layer that a network may have.
pub const WIDEST: usize = 1 << 20;
pub(crate) const MOST_LAYERS: usize = 64;
/// Longest list that is read from a file: far more than any network has of anything, so that the checks of
/// [`Graph::check`](crate::Graph::check) say what is wrong, and little enough to be held.
pub(crate) const MOST_LISTED: usize = 1 << 12;
pub(crate) const MOST_PARAMETERS: usize = 1 << 28;

/// A network that cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{what} is {value}, but it must be {bound}")]
pub struct BadSpec {
    /// The field.
    pub what: String,
    /// Its value.
    pub value: String,
    /// What would be accepted.
    pub bound: String,
}

impl BadSpec {
    pub(crate) fn new(what: impl Into<String>, value: impl ToString, bound: &str) -> Self {
        Self { what: what.into(), value: value.to_string(), bound: bound.into() }
    }

    /// Refuses a width that no layer can have.
    pub(crate) fn width(what: &str, width: usize) -> Result<(), Self> {
        if (1..=WIDEST).contains(&width) {
            return Ok(());
        }
        Err(Self::new(what, width, "between 1 and 1048576"))
    }

    /// Refuses more layers than a network may have, before anything is built that has an entry for each.
    pub(crate) fn layers(what: &str, layers: usize) -> Result<(), Self> {
        if layers <= MOST_LAYERS {
            return Ok(());
        }
        Err(Self::new(what, format!("{layers} layers"), "at most 64 layers"))
    }

    /// Refuses a rate that is no share.
    pub(crate) fn dropout(what: &str, rate: f64) -> Result<(), Self> {
        if (0.0..1.0).contains(&rate) {
            return Ok(());
        }
        Err(Self::new(what, rate, "at least 0 and less than 1"))
    }
}
