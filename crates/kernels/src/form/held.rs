//! The forms in memory, by name.

use std::fmt;

/// How a weight is held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The whole matrix, zeros included, for vector instructions to run through.
    Rows,
    /// The kept values of each row, with their columns.
    Lists,
    /// For each row, the vectors of eight outputs in which anything is kept. For blocks and sparse activations.
    Strips,
    /// For every eight outputs, vectors of kept values that each say which activations they are multiplied by.
    /// For activations that are mostly not zero.
    Panels,
    /// The whole matrix, zeros included, in the order of one long loop. For 8-bit integers, and activations that
    /// are mostly not zero.
    Tiles,
}

impl Held {
    /// Whether zeros are held, and multiplied by, like everything else: always for a matrix that stores all
    /// entries; for a sparse one because it is below the crossover from which on anything else is faster.
    pub fn with_zeros(self) -> bool {
        matches!(self, Held::Rows | Held::Tiles)
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Held::Rows => "rows",
            Held::Lists => "lists",
            Held::Strips => "strips",
            Held::Panels => "panels",
            Held::Tiles => "tiles",
        })
    }
}
