//! Weights that are the product of two.

use nlpress_core::shown::shown;
use std::collections::BTreeMap;

use crate::bad::BadSpec;
use crate::site::{Shape, SiteId};

/// Sites whose weight is the product of two: `[inputs, rank]` at the site `NAME.reduce`, then `[rank, outputs]`
/// at `NAME`, with nothing between them.
pub type Ranks = BTreeMap<SiteId, usize>;

/// Refuses ranks that the sites of a network without them cannot have.
pub(crate) fn check(ranks: &Ranks, sites: &[(SiteId, Shape)]) -> Result<(), BadSpec> {
    for (id, &rank) in ranks {
        let Some((_, shape)) = sites.iter().find(|(site, _)| site == id) else {
            let what = format!("ranks.{}", shown(id.as_str()));
            return Err(BadSpec::new(what, rank, "of a site that the network has"));
        };
        let most = shape.inputs.min(shape.outputs);
        if !(1..=most).contains(&rank) {
            return Err(BadSpec::new(format!("ranks.{id}"), rank, &format!("between 1 and {most}")));
        }
    }
    Ok(())
}
