//! `prune.sparse`: weights become sparse matrices that take less space.
//!
//! A masked weight still lies in memory whole; here only its kept entries are stored, with their places: as one
//! bit for each entry, or as a column for each kept one (compressed sparse rows). A dense weight has nothing
//! that can be left out, so it needs a `sparsity` first. The result is final and is no longer trained.

use nlpress_technique::{Family, Kind, Settings, parse, settings};

use crate::frame::{BYTES, Criterion, FINETUNE, NONZEROS, Places, SCOPE, SPARSITY, Unstructured};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.sparse",
    family: Family::Simplify,
    summary: "Sparse storage (bitmask or CSR): stores the kept entries only, after magnitude pruning where \
              asked to.",
    source: "Tinney and Walker 1967 (compressed sparse rows); Han et al. 2016, arXiv:1510.00149",
    example: "sparsity = 0.8\nindex = \"auto\"",
    on: &["**"],
    settings: &[
        &[SPARSITY.saying(
            "share of the selected sites' weights to drop first, more than 0 and less than 1; this, nonzeros or \
             bytes is required where a site is dense",
        ), NONZEROS, BYTES, SCOPE],
        Sparse::SETTINGS,
        &[FINETUNE],
    ],
    parse: parse::<Unstructured<Sparse>>,
};

settings! {
    /// The smallest weights go where some are to go; the others are packed.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Sparse {
        /// "auto": the smaller for each site (default); "bitmask"; "csr"
        #[serde(default)]
        index: Places,
    }
}

impl Criterion for Sparse {
    const KIND: Kind = KIND;
    const NEEDS_TARGET: bool = false;

    fn layout(&self) -> Option<Places> {
        Some(self.index)
    }
}
