//! What a network is.

use nlpress_core::shown::shown;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{AttentionSpec, Group, MlpSpec, Shape, SiteId};

/// What a network is, without the form of its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spec {
    /// A multi-layer perceptron over feature rows.
    Mlp(MlpSpec),
    /// Self-attention over the words of a feature row.
    Attention(AttentionSpec),
}

/// Sites whose weight is the product of two: `[inputs, rank]` at the site `NAME.reduce`, then `[rank, outputs]`
/// at `NAME`, with nothing between them.
pub type Ranks = BTreeMap<SiteId, usize>;

/// Widest layer that a specification may ask for.
pub const WIDEST: usize = 1 << 20;
const MOST_LAYERS: usize = 64;
/// Longest list that is read from a file: far more than any network has of anything, so that the checks of
/// [`Spec::check`] say what is wrong, and little enough to be held.
pub(crate) const MOST_LISTED: usize = 1 << 12;
pub(crate) const MOST_PARAMETERS: usize = 1 << 28;

/// A specification that no network can have.
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
}

impl Spec {
    /// Checks every size, so that whatever is built from this specification fits in memory.
    ///
    /// # Errors
    /// [`BadSpec`] naming the field, its value and the bound.
    pub fn check(&self) -> Result<(), BadSpec> {
        // Counted before anything is built that has an entry for each.
        let (what, layers) = match self {
            Spec::Mlp(mlp) => ("hidden", mlp.hidden.len()),
            Spec::Attention(attention) => ("layers", attention.layers.len()),
        };
        if layers > MOST_LAYERS {
            return Err(BadSpec::new(what, format!("{layers} layers"), "at most 64 layers"));
        }
        let widths = match self {
            Spec::Mlp(mlp) => mlp.widths(),
            Spec::Attention(attention) => attention.widths(),
        };
        for (what, width) in widths {
            if !(1..=WIDEST).contains(&width) {
                return Err(BadSpec::new(what, width, "between 1 and 1048576"));
            }
        }
        let dropout = self.dropout();
        if !(0.0..1.0).contains(&dropout) {
            return Err(BadSpec::new("dropout", dropout, "at least 0 and less than 1"));
        }
        if let Spec::Attention(attention) = self {
            attention.check()?;
        }
        let plain = self.plain_sites();
        for (id, &rank) in self.ranks() {
            let Some((_, shape)) = plain.iter().find(|(site, _)| site == id) else {
                let what = format!("ranks.{}", shown(id.as_str()));
                return Err(BadSpec::new(what, rank, "of a site that the network has"));
            };
            if rank == 0 || rank > shape.inputs.min(shape.outputs) {
                let bound = format!("between 1 and {}", shape.inputs.min(shape.outputs));
                return Err(BadSpec::new(format!("ranks.{id}"), rank, &bound));
            }
        }
        let parameters = plain.iter().map(|(_, s)| s.parameters()).fold(0, usize::saturating_add);
        if parameters > MOST_PARAMETERS {
            let bound = format!("at most {MOST_PARAMETERS}: take narrower layers, or fewer inputs");
            return Err(BadSpec::new("the number of parameters", parameters, &bound));
        }
        Ok(())
    }

    /// The sites with their shapes, in the order of the forward pass.
    pub fn sites(&self) -> Vec<(SiteId, Shape)> {
        let ranks = self.ranks();
        let mut sites = Vec::new();
        for (id, shape) in self.plain_sites() {
            match ranks.get(&id) {
                None => sites.push((id, shape)),
                Some(&rank) => {
                    sites.push((id.reduce(), Shape { inputs: shape.inputs, outputs: rank }));
                    sites.push((id, Shape { inputs: rank, outputs: shape.outputs }));
                }
            }
        }
        sites
    }

    /// The sites as they are with no [`Ranks`].
    pub fn plain_sites(&self) -> Vec<(SiteId, Shape)> {
        match self {
            Spec::Mlp(mlp) => mlp.sites(),
            Spec::Attention(attention) => attention.sites(),
        }
    }

    /// The units that can be taken away from the network, with every site that each of them touches.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups = match self {
            Spec::Mlp(mlp) => mlp.groups(),
            Spec::Attention(attention) => attention.groups(),
        };
        let ranks = self.ranks();
        for site in groups.iter_mut().flat_map(|g| &mut g.rows) {
            if ranks.contains_key(site) {
                *site = site.reduce();
            }
        }
        groups
    }

    /// The same network with another number of units in a group; unchanged when it has no such group.
    #[must_use]
    pub fn with_units(mut self, group: &Group, units: usize) -> Self {
        match &mut self {
            Spec::Mlp(mlp) => mlp.set_units(group, units),
            Spec::Attention(attention) => attention.set_units(group, units),
        }
        // A factor is never wider than what it factors.
        let plain: BTreeMap<SiteId, Shape> = self.plain_sites().into_iter().collect();
        self.ranks_mut().iter_mut().for_each(|(id, rank)| {
            let most = plain.get(id).map_or(*rank, |s| s.inputs.min(s.outputs));
            *rank = (*rank).min(most.max(1));
        });
        self
    }

    /// The same network on another number of features.
    #[must_use]
    pub fn with_inputs(mut self, inputs: usize) -> Self {
        match &mut self {
            Spec::Mlp(mlp) => mlp.inputs = inputs,
            Spec::Attention(attention) => attention.inputs = inputs,
        }
        self
    }

    /// The same network for another number of logits.
    #[must_use]
    pub fn with_outputs(mut self, outputs: usize) -> Self {
        match &mut self {
            Spec::Mlp(mlp) => mlp.outputs = outputs,
            Spec::Attention(attention) => attention.outputs = outputs,
        }
        self
    }

    /// Features of a row.
    pub fn inputs(&self) -> usize {
        match self {
            Spec::Mlp(mlp) => mlp.inputs,
            Spec::Attention(attention) => attention.inputs,
        }
    }

    /// Logits of a row.
    pub fn outputs(&self) -> usize {
        match self {
            Spec::Mlp(mlp) => mlp.outputs,
            Spec::Attention(attention) => attention.outputs,
        }
    }

    /// Dropout rate while training.
    pub fn dropout(&self) -> f64 {
        match self {
            Spec::Mlp(mlp) => mlp.dropout,
            Spec::Attention(attention) => attention.dropout,
        }
    }

    /// The factored sites.
    pub fn ranks(&self) -> &Ranks {
        match self {
            Spec::Mlp(mlp) => &mlp.ranks,
            Spec::Attention(attention) => &attention.ranks,
        }
    }

    /// The factored sites, to be changed.
    pub fn ranks_mut(&mut self) -> &mut Ranks {
        match self {
            Spec::Mlp(mlp) => &mut mlp.ranks,
            Spec::Attention(attention) => &mut attention.ranks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn article() -> MlpSpec {
        MlpSpec::new(1000, &[128, 64], 1, 0.5)
    }

    #[test]
    fn refuses_impossible_sizes() {
        let with = |f: &dyn Fn(&mut MlpSpec)| {
            let mut mlp = article();
            f(&mut mlp);
            Spec::Mlp(mlp).check().map_err(|e| e.to_string())
        };
        assert!(with(&|_| {}).is_ok());
        assert!(with(&|m| m.inputs = 0).is_err());
        assert!(with(&|m| m.hidden = vec![usize::MAX]).is_err());
        assert!(with(&|m| m.dropout = f64::NAN).is_err());
        assert!(with(&|m| m.hidden = vec![WIDEST, WIDEST]).is_err());
        let rank = |id: SiteId, rank| {
            with(&|m| {
                m.ranks.insert(id.clone(), rank);
            })
        };
        assert!(rank(SiteId::hidden(0), 16).is_ok());
        assert!(rank(SiteId::hidden(0), 129).unwrap_err().contains("between 1 and 128"));
        assert!(rank(SiteId::hidden(0), 0).is_err());
        assert!(rank(SiteId::hidden(7), 1).unwrap_err().contains("of a site that the network has"));
    }

    #[test]
    fn a_factored_site_is_two() {
        let mut spec = Spec::Mlp(article());
        spec.ranks_mut().insert(SiteId::hidden(1), 16);
        let names: Vec<String> = spec.sites().iter().map(|(id, _)| id.to_string()).collect();
        assert_eq!(names, ["hidden.0", "hidden.1.reduce", "hidden.1", "output"]);
        assert_eq!(spec.sites()[1].1, Shape { inputs: 128, outputs: 16 });
        assert_eq!(spec.sites()[2].1, Shape { inputs: 16, outputs: 64 });
        let groups = spec.groups();
        assert_eq!(groups[0].rows, [SiteId::hidden(1).reduce()]);
        let smaller = spec.with_units(&groups[0], 10);
        assert_eq!(smaller.ranks()[&SiteId::hidden(1)], 10);
        assert!(smaller.check().is_ok());
    }
}
