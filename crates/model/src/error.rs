//! Why a model cannot be made or bound.

use nlpress_graph::{BadSpec, SiteId};
use nlpress_packed::PackError;

/// A model that cannot be made or bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The specification is impossible.
    #[error(transparent)]
    Graph(#[from] BadSpec),
    /// The layers do not fit the specification.
    #[error("site {site}: {why}")]
    Site {
        /// The site.
        site: SiteId,
        /// What does not fit.
        why: String,
    },
    /// The rows do not fit.
    #[error("data: {0}")]
    Data(String),
    /// A layout refused the numbers.
    #[error("site {site}: {source}")]
    Pack {
        /// The site.
        site: SiteId,
        /// Why.
        source: PackError,
    },
    /// A tensor could not be read back from the device.
    #[error("the device did not give a tensor back: {0}")]
    Device(String),
}
