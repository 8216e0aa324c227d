//! Dropping entries of the selected sites down to an exact count: what every technique of this crate that
//! drops connections has in common. Which entries go is the technique's own rule.

use nlpress_model::{Form, Layer, Model, Outline, Site, SiteId, Weight};
use nlpress_technique::{Problem, StepError};
use serde::{Deserialize, Serialize};
use std::ops::Range;

use crate::PruneError;
use crate::target::{Target, split};

/// What a sparsity is counted over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All selected sites together: entries compete across sites.
    #[default]
    Global,
    /// Each selected site by itself.
    Site,
    /// The incoming weights of each output of each selected site by themselves: a column of `[inputs, outputs]`.
    Output,
}

/// The setting that names a scope.
pub(crate) const SCOPE: (&str, &str) = (
    "scope",
    "\"global\": weights compete over all selected sites (default); \"site\": within each; \"output\": among \
     the incoming weights of each output",
);

/// A rule: of `weights`, of which `kept` live, it says which `count` entries live on.
pub(crate) type Rule<'a> =
    dyn FnMut(&[&[f32]], &[Vec<bool>], usize) -> Result<Vec<Vec<bool>>, PruneError> + 'a;

/// The selected sites that can be treated, in the outline's order; what cannot goes into `problems`.
pub(crate) fn treatable<'a>(
    before: &'a Outline,
    on: &[SiteId],
    problems: &mut Vec<Problem>,
) -> Vec<&'a Site> {
    if on.is_empty() {
        problems.push(Problem::of_step("no site is selected"));
    }
    for id in on.iter().filter(|id| before.site(id).is_none()) {
        problems.push(Problem::at(id, "there is no such site"));
    }
    let selected = before.sites.iter().filter(|s| on.contains(&s.id));
    selected
        .filter(|site| match site.form {
            Form::Dense | Form::Masked => true,
            form => {
                problems.push(Problem::at(&site.id, format!("it is {form}: prune before packing")));
                false
            }
        })
        .collect()
}

/// Whether an outline says exactly how many entries of a site are kept: all.
pub(crate) fn is_full(site: &Site) -> bool {
    match site.form {
        Form::Dense => true,
        Form::Masked => false,
        Form::Packed(scheme) => scheme.index == nlpress_packed::Index::Full,
    }
}

/// Entries that are kept at `sites`, where the outline tells: it holds the total over all sites only.
pub(crate) fn kept_at(before: &Outline, sites: &[&Site]) -> Option<usize> {
    let weights = |sites: &[&Site]| sites.iter().map(|s| s.shape.weights()).sum::<usize>();
    if sites.iter().all(|s| is_full(s)) {
        return Some(weights(sites));
    }
    let others: Vec<&Site> = before.sites.iter().filter(|s| !sites.iter().any(|t| t.id == s.id)).collect();
    others.iter().all(|s| is_full(s)).then(|| before.kept.saturating_sub(weights(&others)))
}

/// Plans a cut: the outline with fewer kept entries and masked sites.
pub(crate) fn plan(
    before: &Outline,
    on: &[SiteId],
    target: Target,
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

/// A point of a schedule: step `k` of `n`.
pub(crate) type At = (Curve, u64, u64);

/// The entries that compete with each other, and how many of them stay in the end.
#[derive(Debug)]
struct Group {
    /// Places in the list of selected sites.
    members: Range<usize>,
    kept: usize,
    target: usize,
}

/// A cut that is laid over a model, to be made at once or in steps.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The selected sites in the model's order, with their outputs.
    sites: Vec<(SiteId, usize)>,
    scope: Scope,
    groups: Vec<Group>,
}

impl Cut {
    /// Lays a target over the selected sites of a model.
    pub(crate) fn of(model: &Model, on: &[SiteId], target: Target, scope: Scope) -> Result<Self, StepError> {
        let layers: Vec<&Layer> = model.layers().iter().filter(|l| on.contains(&l.id)).collect();
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

    /// The selected layers of a model, in its order.
    pub(crate) fn layers<'a>(&self, model: &'a Model) -> Vec<&'a Layer> {
        model.layers().iter().filter(|l| self.sites.iter().any(|(id, _)| id == &l.id)).collect()
    }

    /// Which of the selected sites that is, from 0.
    pub(crate) fn place(&self, id: &SiteId) -> Option<usize> {
        self.sites.iter().position(|(site, _)| site == id)
    }

    /// The selected sites' weights among numbers in the order of [`Model::flat`].
    pub(crate) fn of_flat(&self, model: &Model, flat: &[f32]) -> Vec<Vec<f32>> {
        self.ranges(model).into_iter().map(|range| flat[range].to_vec()).collect()
    }

    /// Where the selected sites' weights are in [`Model::flat`].
    pub(crate) fn ranges(&self, model: &Model) -> Vec<Range<usize>> {
        let (mut start, mut ranges) = (0, Vec::new());
        for layer in model.layers().iter().filter(|l| l.weight.is_trainable()) {
            if self.place(&layer.id).is_some() {
                ranges.push(start..start + layer.shape.weights());
            }
            start += layer.shape.parameters();
        }
        ranges
    }

    /// The weights of the selected sites: the scores that magnitude ranks by.
    pub(crate) fn weights(&self, model: &Model) -> Vec<Vec<f32>> {
        self.layers(model).iter().map(|l| l.weight.values().into_owned()).collect()
    }

    /// Masks of the selected sites at `share` of the way along a curve (see [`Curve::count`]): `rule` chooses by
    /// `scores`, one row of them for each selected site, among the entries that are `kept`.
    pub(crate) fn choose(
        &self,
        scores: &[Vec<f32>],
        kept: &[Vec<bool>],
        (curve, step, steps): At,
        rule: &mut Rule<'_>,
    ) -> Result<Vec<Vec<bool>>, PruneError> {
        let mut masks = Vec::with_capacity(scores.len());
        for group in &self.groups {
            let count = curve.count(group.kept, group.target, step, steps);
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
        rule: &mut Rule<'_>,
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

    /// Drops entries down to the final count, by the weights.
    pub(crate) fn make(&self, model: Model, rule: &mut Rule<'_>) -> Result<Model, StepError> {
        let scores = self.weights(&model);
        self.make_by(model, &scores, (Curve::Cubic, 1, 1), rule)
    }

    /// Drops entries down to the count at a point of a curve, by scores.
    pub(crate) fn make_by(
        &self,
        mut model: Model,
        scores: &[Vec<f32>],
        at: At,
        rule: &mut Rule<'_>,
    ) -> Result<Model, StepError> {
        let kept: Vec<Vec<bool>> = self.layers(&model).iter().map(|l| l.weight.keep()).collect();
        let masks = self.choose(scores, &kept, at, rule).map_err(|e| StepError::Failed(e.to_string()))?;
        for ((id, _), keep) in self.sites.iter().zip(masks) {
            model = masked(model, id, keep)?;
        }
        Ok(model)
    }

    /// [`make_by`](Cut::make_by) for the selected site number `place` alone, where each is cut by itself.
    pub(crate) fn make_one(
        &self,
        model: Model,
        place: usize,
        scores: &[f32],
        (curve, step, steps): At,
        rule: &mut Rule<'_>,
    ) -> Result<Model, StepError> {
        let id = &self.sites[place].0;
        let group = &self.groups[place];
        let count = curve.count(group.kept, group.target, step, steps);
        let kept: Vec<Vec<bool>> = model.layer(id).iter().map(|l| l.weight.keep()).collect();
        let masks = self.choose_in(group, &[scores.to_vec()], &kept, count, rule);
        let mask = masks.map_err(|e| StepError::Failed(e.to_string()))?.into_iter().next();
        masked(model, id, mask.expect("one site gives one mask"))
    }
}

/// [`Rule`] on each output's incoming weights by themselves: `values` are `[inputs, outputs]`.
///
/// Every output keeps the same share of `count`, one more or less; an output that has fewer left keeps them all,
/// and the others share the rest.
///
/// # Errors
/// [`PruneError`] when the lengths differ or fewer than `count` are kept.
pub(crate) fn keep_each_output(
    values: &[f32],
    kept: &[bool],
    outputs: usize,
    count: usize,
    rule: &mut Rule<'_>,
) -> Result<Vec<bool>, PruneError> {
    PruneError::same_length("kept", kept.len(), values.len())?;
    let have = kept_by_output(kept, outputs);
    keep_in_outputs(values, kept, &fill(count, &have)?, rule)
}

/// Entries of each output in a mask `[inputs, outputs]`.
pub(crate) fn kept_by_output(kept: &[bool], outputs: usize) -> Vec<usize> {
    (0..outputs).map(|o| kept.iter().skip(o).step_by(outputs).filter(|k| **k).count()).collect()
}

/// [`Rule`] on each output's incoming weights by themselves, with a count for each.
pub(crate) fn keep_in_outputs(
    values: &[f32],
    kept: &[bool],
    counts: &[usize],
    rule: &mut Rule<'_>,
) -> Result<Vec<bool>, PruneError> {
    PruneError::same_length("kept", kept.len(), values.len())?;
    let column = |o: usize| (o..values.len()).step_by(counts.len());
    let mut mask = vec![false; values.len()];
    for (o, &count) in counts.iter().enumerate() {
        let of: Vec<f32> = column(o).map(|i| values[i]).collect();
        let was: Vec<bool> = column(o).map(|i| kept[i]).collect();
        for (i, keep) in column(o).zip(rule(&[&of], &[was], count)?.into_iter().flatten()) {
            mask[i] = keep;
        }
    }
    Ok(mask)
}

/// Spreads `count` evenly over places that hold at most so many each.
fn fill(count: usize, room: &[usize]) -> Result<Vec<usize>, PruneError> {
    let kept: usize = room.iter().sum();
    if count > kept {
        return Err(PruneError::TooFew { wanted: count, kept });
    }
    let mut given = vec![0; room.len()];
    let mut left = count;
    while left > 0 {
        let open: Vec<usize> = (0..room.len()).filter(|i| given[*i] < room[*i]).collect();
        for (&i, share) in open.iter().zip(split(left, &vec![1; open.len()])) {
            let more = share.min(room[i] - given[i]);
            given[i] += more;
            left -= more;
        }
    }
    Ok(given)
}

/// Drops entries of the named sites, together, until `count` are left.
pub(crate) fn cut_sites(
    mut model: Model,
    sites: &[SiteId],
    count: usize,
    rule: &mut Rule<'_>,
) -> Result<Model, StepError> {
    let layers: Vec<&Layer> = model.layers().iter().filter(|l| sites.contains(&l.id)).collect();
    let values: Vec<_> = layers.iter().map(|l| l.weight.values()).collect();
    let slices: Vec<&[f32]> = values.iter().map(|v| v.as_ref()).collect();
    let kept: Vec<Vec<bool>> = layers.iter().map(|l| l.weight.keep()).collect();
    let masks = rule(&slices, &kept, count).map_err(|e| StepError::Failed(e.to_string()))?;
    let ids: Vec<SiteId> = layers.iter().map(|l| l.id.clone()).collect();
    for (id, keep) in ids.into_iter().zip(masks) {
        model = masked(model, &id, keep)?;
    }
    Ok(model)
}

/// Puts a mask on a site; what it does not keep becomes zero.
pub(crate) fn masked(model: Model, id: &SiteId, keep: Vec<bool>) -> Result<Model, StepError> {
    let Some(layer) = model.layer(id) else {
        return Err(StepError::Failed(format!("site {id}: there is no such site")));
    };
    let values = layer.weight.values().iter().zip(&keep).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
    Ok(model.with_weight(id, Weight::Masked { values, keep })?)
}

/// The way from what is kept to what stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// Zhu and Gupta (2017): much goes while much is redundant and little near the end.
    Cubic,
    /// The same share of what is left goes at each step (Han et al. 2015; Frankle and Carbin 2019).
    Geometric,
}

impl Curve {
    /// Entries kept after `step` of `steps`, on the way from `from` to `to`.
    ///
    /// Step 0 gives `from`, the last step and any beyond it exactly `to`.
    pub fn count(self, from: usize, to: usize, step: u64, steps: u64) -> usize {
        if step >= steps || from <= to {
            return to;
        }
        let done = step as f64 / steps as f64;
        match self {
            Curve::Cubic => to + ((from - to) as f64 * (1.0 - done).powi(3)).round() as usize,
            Curve::Geometric => {
                let left = (to.max(1) as f64 / from as f64).powf(done);
                ((from as f64 * left).round() as usize).clamp(to, from)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::magnitude::keep_largest;
    use nlpress_model::{MlpSpec, Spec};

    fn outline(forms: [Form; 3], kept: usize) -> Outline {
        let spec = Spec::Mlp(MlpSpec::new(10, &[10, 10], 1, 0.0));
        let mut outline = Outline::dense(&spec);
        outline.sites.iter_mut().zip(forms).for_each(|(s, f)| s.form = f);
        outline.kept = kept;
        outline
    }

    fn problems(before: &Outline, on: &[SiteId], sparsity: f64, scope: Scope) -> (Outline, Vec<Problem>) {
        let mut problems = Vec::new();
        let target = Target::Sparsity(sparsity.try_into().unwrap());
        let after = plan(before, on, target, scope, &mut problems);
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

    #[test]
    fn curves_end_exactly() {
        let at = |curve: Curve| (0..=4).map(|t| curve.count(1000, 100, t, 4)).collect::<Vec<_>>();
        assert_eq!(at(Curve::Cubic), [1000, 480, 213, 114, 100]);
        assert_eq!(at(Curve::Geometric), [1000, 562, 316, 178, 100]);
        for curve in [Curve::Cubic, Curve::Geometric] {
            assert_eq!(curve.count(5, 5, 1, 3), 5);
            assert_eq!(curve.count(5, 2, 9, 3), 2);
            assert_eq!(curve.count(5, 0, 3, 3), 0);
        }
    }

    #[test]
    fn every_output_keeps_its_share_and_a_poor_one_all() {
        // Three inputs, four outputs; the third output has one entry left.
        let values = [9.0, 1.0, 5.0, 3.0, 8.0, 2.0, 6.0, 2.0, 7.0, 3.0, 7.0, 1.0];
        let mut kept = [true; 12];
        (kept[2], kept[6]) = (false, false);
        let masks = |count| keep_each_output(&values, &kept, 4, count, &mut keep_largest);
        let by_output = |mask: &[bool]| -> Vec<usize> {
            (0..4).map(|o| mask.iter().skip(o).step_by(4).filter(|k| **k).count()).collect()
        };
        let mask = masks(8).unwrap();
        assert_eq!(by_output(&mask).iter().sum::<usize>(), 8);
        assert_eq!(by_output(&mask)[2], 1);
        assert!(by_output(&mask).iter().all(|n| *n >= 1));
        assert_eq!(by_output(&masks(4).unwrap()), [1, 1, 1, 1]);
        assert!(masks(4).unwrap()[0] && masks(4).unwrap()[9] && masks(4).unwrap()[3]);
        assert!(masks(11).is_err());
    }
}
