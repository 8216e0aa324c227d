//! Masks of an exact size over the selected sites: planned from shapes, then laid over a model by scores.
//!
//! What every technique of this crate that drops connections has in common. Which entries go is its criterion's own.

use nlpress_model::{Form, Layer, Model, Outline, Site, SiteId, Weight};
use nlpress_technique::{Problem, StepError};
use nlpress_train::places;
use std::ops::Range;

use super::curve::SchedulePoint;
use super::keep::{KeepRule, keep_each_output};
use super::scope::{Scope, kept_at, treatable};
use super::target::SparsityTarget;
use crate::PruneError;

/// The outline with fewer kept entries and masked sites.
pub(crate) fn plan_masks(
    before: &Outline,
    on: &[SiteId],
    target: SparsityTarget,
    scope: Scope,
    problems: &mut Vec<Problem>,
) -> Outline {
    let mut after = before.clone();
    let sites = treatable(before, on, problems);
    if sites.is_empty() {
        return after;
    }
    let all: usize = sites.iter().map(|s| s.shape.weights()).sum();
    match (target.counts(before, &sites, scope), kept_at(before, &sites)) {
        (Err(problem), _) => problems.push(problem),
        (_, None) => problems.push(Problem::of_step(
            "some selected sites and some others are sparse already, so that the kept entries of the selected \
             ones cannot be told beforehand: select all sparse sites, or none",
        )),
        (Ok(counts), Some(kept)) => {
            let count = counts.iter().sum::<usize>();
            if count >= kept {
                problems.push(Problem::of_step(format!(
                    "{target} leaves {count} of {all} entries, but only {kept} are kept already: it must be {}",
                    target.must_be()
                )));
            }
            after.kept = before.kept.saturating_sub(kept) + count;
        }
    }
    for site in sites {
        if let Some(site) = after.site_mut(&site.id) {
            site.form = Form::Masked;
        }
    }
    after
}

/// The entries that compete with each other, and how many of them stay in the end.
#[derive(Clone, Debug)]
struct Group {
    /// Places in the list of selected sites.
    members: Range<usize>,
    kept: usize,
    target: usize,
}

/// Builds the masks of the selected sites of a model, at once or in the steps of a schedule.
#[derive(Clone, Debug)]
pub struct MaskBuilder {
    /// The selected sites in the model's order, with their outputs.
    sites: Vec<(SiteId, usize)>,
    scope: Scope,
    groups: Vec<Group>,
}

impl MaskBuilder {
    /// Lays a target over the selected sites of a model.
    ///
    /// # Errors
    /// [`StepError`] when fewer entries are kept than must stay, or not one fits into the bytes.
    pub fn of(model: &Model, on: &[SiteId], target: SparsityTarget, scope: Scope) -> Result<Self, StepError> {
        let layers: Vec<&Layer> = model.layers_of(on).collect();
        let outline = model.outline();
        let selected: Vec<&Site> = outline.sites.iter().filter(|s| on.contains(&s.id)).collect();
        let counts = target.counts(&outline, &selected, scope);
        let counts = counts.map_err(|problem| StepError::Failed(problem.to_string()))?;
        let ranges: Vec<Range<usize>> = match scope {
            Scope::Global => std::iter::once(0..layers.len()).collect(),
            Scope::Site | Scope::Output => (0..layers.len()).map(|i| i..i + 1).collect(),
        };
        let mut groups = Vec::new();
        for (members, target) in ranges.into_iter().zip(counts) {
            let layers = &layers[members.clone()];
            let size: usize = layers.iter().map(|l| l.shape.weights()).sum();
            let kept: usize = layers.iter().map(|l| l.weight.kept()).sum();
            if kept < target {
                let names = layers.iter().map(|l| l.id.as_str()).collect::<Vec<_>>().join(", ");
                return Err(StepError::Failed(format!(
                    "{names}: {kept} of {size} entries are kept, fewer than the {target} that are to stay: use the \
                     global scope or drop more"
                )));
            }
            groups.push(Group { members, kept, target });
        }
        let sites = layers.iter().map(|l| (l.id.clone(), l.shape.outputs)).collect();
        Ok(Self { sites, scope, groups })
    }

    /// What the count of kept entries is counted over.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The selected layers of a model, in its order.
    pub fn layers<'a>(&self, model: &'a Model) -> Vec<&'a Layer> {
        model.layers().iter().filter(|l| self.sites.iter().any(|(id, _)| id == &l.id)).map(|l| &**l).collect()
    }

    /// The number of a site among the selected ones, from 0.
    pub fn place(&self, id: &SiteId) -> Option<usize> {
        self.sites.iter().position(|(site, _)| site == id)
    }

    /// The selected sites' weights among numbers in the order of [`Model::flat`].
    pub fn of_flat(&self, model: &Model, flat: &[f32]) -> Vec<Vec<f32>> {
        self.ranges(model).into_iter().map(|range| flat[range].to_vec()).collect()
    }

    /// Where the selected sites' weights are in [`Model::flat`].
    pub fn ranges(&self, model: &Model) -> Vec<Range<usize>> {
        let places = places(model).into_iter().filter(|place| self.place(&place.id).is_some());
        places.map(|place| place.weights).collect()
    }

    /// The weights of the selected sites: the scores that magnitude ranks by.
    pub fn weights(&self, model: &Model) -> Vec<Vec<f32>> {
        self.layers(model).iter().map(|l| l.weight.values().into_owned()).collect()
    }

    /// Masks of the selected sites at a point of a schedule: `rule` chooses by `scores`, one row of them for each
    /// selected site, among the entries that are `kept`.
    ///
    /// # Errors
    /// [`PruneError`] when the lengths differ or fewer are kept than must stay.
    pub fn choose(
        &self,
        scores: &[Vec<f32>],
        kept: &[Vec<bool>],
        at: SchedulePoint,
        rule: &mut KeepRule<'_>,
    ) -> Result<Vec<Vec<bool>>, PruneError> {
        let mut masks = Vec::with_capacity(scores.len());
        for group in &self.groups {
            let count = at.count(group.kept, group.target);
            let members = group.members.clone();
            masks.extend(self.choose_in(group, &scores[members.clone()], &kept[members], count, rule)?);
        }
        Ok(masks)
    }

    fn choose_in(
        &self,
        group: &Group,
        scores: &[Vec<f32>],
        kept: &[Vec<bool>],
        count: usize,
        rule: &mut KeepRule<'_>,
    ) -> Result<Vec<Vec<bool>>, PruneError> {
        let slices: Vec<&[f32]> = scores.iter().map(Vec::as_slice).collect();
        match self.scope {
            Scope::Global | Scope::Site => rule(&slices, kept, count),
            Scope::Output => {
                let outputs = self.sites[group.members.start].1;
                Ok(vec![keep_each_output(slices[0], &kept[0], outputs, count, rule)?])
            }
        }
    }

    /// A model with fewer entries: as [`choose`](MaskBuilder::choose) has it at a point of a schedule.
    ///
    /// # Errors
    /// [`StepError`] when the scores do not fit, or fewer entries are kept than must stay.
    pub fn prune(
        &self,
        mut model: Model,
        scores: &[Vec<f32>],
        at: SchedulePoint,
        rule: &mut KeepRule<'_>,
    ) -> Result<Model, StepError> {
        let kept: Vec<Vec<bool>> = self.layers(&model).iter().map(|l| l.weight.keep()).collect();
        let masks = self.choose(scores, &kept, at, rule)?;
        for ((id, _), keep) in self.sites.iter().zip(masks) {
            model = masked(model, id, keep)?;
        }
        Ok(model)
    }

    /// [`prune`](MaskBuilder::prune) for the selected site number `place` alone, where each is pruned by itself.
    ///
    /// # Errors
    /// As [`prune`](MaskBuilder::prune).
    ///
    /// # Panics
    /// When there is no such site, or the scope is global.
    pub fn prune_site(
        &self,
        model: Model,
        place: usize,
        scores: &[f32],
        at: SchedulePoint,
        rule: &mut KeepRule<'_>,
    ) -> Result<Model, StepError> {
        let id = &self.sites[place].0;
        let group = &self.groups[place];
        let count = at.count(group.kept, group.target);
        let kept: Vec<Vec<bool>> = model.layer(id).iter().map(|l| l.weight.keep()).collect();
        let mask = self.choose_in(group, &[scores.to_vec()], &kept, count, rule)?.into_iter().next();
        masked(model, id, mask.expect("one site gives one mask"))
    }
}

/// Drops entries of the named sites, together, until `count` are left.
pub(crate) fn cut_sites(
    mut model: Model,
    sites: &[SiteId],
    count: usize,
    rule: &mut KeepRule<'_>,
) -> Result<Model, StepError> {
    let layers: Vec<&Layer> = model.layers_of(sites).collect();
    let values: Vec<_> = layers.iter().map(|l| l.weight.values()).collect();
    let slices: Vec<&[f32]> = values.iter().map(|v| v.as_ref()).collect();
    let kept: Vec<Vec<bool>> = layers.iter().map(|l| l.weight.keep()).collect();
    let masks = rule(&slices, &kept, count)?;
    let ids: Vec<SiteId> = layers.iter().map(|l| l.id.clone()).collect();
    for (id, keep) in ids.into_iter().zip(masks) {
        model = masked(model, &id, keep)?;
    }
    Ok(model)
}

/// Puts a mask on a site; what it does not keep becomes zero.
pub(crate) fn masked(model: Model, id: &SiteId, keep: Vec<bool>) -> Result<Model, StepError> {
    let Some(layer) = model.layer(id) else {
        return Err(StepError::at(id, "there is no such site"));
    };
    let values = layer.weight.values().iter().zip(&keep).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
    Ok(model.with_weight(id, Weight::Masked { values, keep })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_model::{Graph, MlpSpec};

    fn outline(forms: [Form; 3], kept: usize) -> Outline {
        let graph = Graph::from(MlpSpec::new(10, &[10, 10], 1, 0.0));
        let mut outline = Outline::dense(&graph);
        outline.sites.iter_mut().zip(forms).for_each(|(s, f)| s.form = f);
        outline.kept = kept;
        outline
    }

    fn problems(before: &Outline, on: &[SiteId], sparsity: f64, scope: Scope) -> (Outline, Vec<Problem>) {
        let mut problems = Vec::new();
        let target = SparsityTarget::Sparsity(sparsity.try_into().unwrap());
        let after = plan_masks(before, on, target, scope, &mut problems);
        (after, problems)
    }

    #[test]
    fn plans_count_what_is_dropped_already() {
        use Form::{Dense, Masked};
        let on = [SiteId::hidden(0), SiteId::hidden(1)];
        let (after, none) = problems(&outline([Dense, Dense, Dense], 210), &on, 0.9, Scope::Global);
        assert_eq!((after.kept, none), (20 + 10, vec![]));
        let (after, none) = problems(&outline([Masked, Dense, Dense], 160), &on, 0.5, Scope::Global);
        assert_eq!((after.kept, none), (100 + 10, vec![]));
        // 100 of 200 are kept at the selected sites: a sparsity of a half would drop nothing.
        let (_, some) = problems(&outline([Masked, Dense, Dense], 110), &on, 0.5, Scope::Global);
        assert!(some[0].to_string().contains("must be larger"), "{some:?}");
    }

    #[test]
    fn plans_refuse_what_they_cannot_count_or_treat() {
        use Form::{Dense, Masked, Packed};
        let (_, some) =
            problems(&outline([Masked, Masked, Dense], 100), &[SiteId::hidden(0)], 0.9, Scope::Global);
        assert!(some[0].to_string().contains("select all sparse sites"), "{some:?}");
        let packed = outline([Packed(nlpress_packed::Scheme::F32), Dense, Dense], 210);
        let (_, some) = problems(&packed, &[SiteId::hidden(0)], 0.9, Scope::Global);
        assert!(some[0].to_string().contains("prune before packing"), "{some:?}");
        let (_, some) = problems(&packed, &[], 0.9, Scope::Global);
        assert_eq!(some.len(), 1);
        let (_, some) = problems(&packed, &[SiteId::output()], 0.05, Scope::Site);
        assert!(some[0].to_string().contains("must be larger"), "{some:?}");
    }
}
