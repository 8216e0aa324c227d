//! Units that can be taken away, and everything that goes with them.

use serde::{Deserialize, Serialize};

use crate::site::SiteId;

/// What the units of a group are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Units {
    /// Neurons of a hidden or a feed-forward layer.
    Neurons,
    /// Attention heads.
    Heads,
    /// Columns of the embedding, which run through the whole network.
    Width,
}

/// Units that can be taken away, and the sites that lose something with each (a dependency group: Fang et al.
/// 2023, arXiv:2301.12900).
///
/// Unit `u` is columns `u·block .. (u+1)·block` of every site in `columns`, with their biases, and the same rows
/// of every site in `rows`, and the same share of every vector in `vectors`: its numbers from `u·n` on where there are
/// `n` for each unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What the units are.
    pub what: Units,
    /// How many there are.
    pub units: usize,
    /// Columns or rows of one unit.
    pub block: usize,
    /// Sites that make the units.
    pub columns: Vec<SiteId>,
    /// Sites that read the units.
    pub rows: Vec<SiteId>,
    /// Vectors that have numbers for each unit: of normalisations, and of attention's bias by distance.
    pub vectors: Vec<SiteId>,
}

impl Group {
    /// The site that the group is called and selected by: the first that makes its units.
    pub fn lead(&self) -> &SiteId {
        &self.columns[0]
    }
}
