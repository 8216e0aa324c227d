//! What the two families of networks are called by in recipes, and in artifacts of schemas before 4.

use serde::Deserialize;
use std::collections::BTreeMap;

use crate::{AttentionSpec, Graph, MlpSpec, SiteId};

/// Sites whose weight is the product of two: `[inputs, rank]` at the site `NAME.reduce`, then `[rank, outputs]`
/// at `NAME`, with nothing between them.
pub type Ranks = BTreeMap<SiteId, usize>;

/// Widest layer that a network may have.
pub const WIDEST: usize = 1 << 20;
pub(crate) const MOST_LAYERS: usize = 64;
/// Longest list that is read from a file: far more than any network has of anything, so that the checks of
/// [`Graph::check`] say what is wrong, and little enough to be held.
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

/// A network by its family, as artifacts before schema 4 have it.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Spec {
    Mlp(MlpSpec),
    Attention(AttentionSpec),
}

impl TryFrom<Spec> for Graph {
    type Error = BadSpec;

    fn try_from(spec: Spec) -> Result<Self, BadSpec> {
        match spec {
            Spec::Mlp(mlp) => mlp.check().map(|()| mlp.into()),
            Spec::Attention(attention) => attention.check().map(|()| attention.into()),
        }
    }
}

/// Refuses ranks that the sites of a network without them cannot have.
pub(crate) fn check_ranks(ranks: &Ranks, plain: &Graph) -> Result<(), BadSpec> {
    let sites = plain.sites();
    for (id, &rank) in ranks {
        let Some((_, shape)) = sites.iter().find(|(site, _)| site == id) else {
            let what = format!("ranks.{}", nlpress_core::shown::shown(id.as_str()));
            return Err(BadSpec::new(what, rank, "of a site that the network has"));
        };
        let most = shape.inputs.min(shape.outputs);
        if !(1..=most).contains(&rank) {
            return Err(BadSpec::new(format!("ranks.{id}"), rank, &format!("between 1 and {most}")));
        }
    }
    Ok(())
}
