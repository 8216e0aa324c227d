//! Dropping entries of the selected sites down to an exact count: what every technique of this crate that
//! drops connections has in common. Which entries go is the technique's own rule.

use nlpress_core::Fraction;
use nlpress_model::{Form, Layer, Model, Outline, Site, SiteId, Weight};
use nlpress_technique::{Problem, StepError};
use serde::{Deserialize, Serialize};

use crate::PruneError;

/// What a sparsity is counted over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All selected sites together: entries compete across sites.
    #[default]
    Global,
    /// Each selected site by itself.
    Site,
}

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

/// Plans a cut to `sparsity`: the outline with fewer kept entries and masked sites.
pub(crate) fn plan(
    before: &Outline,
    on: &[SiteId],
    sparsity: Fraction,
    scope: Scope,
    problems: &mut Vec<Problem>,
) -> Outline {
    let mut after = before.clone();
    let sites = treatable(before, on, problems);
    if sites.is_empty() {
        return after;
    }
    let sizes: Vec<usize> = sites.iter().map(|s| s.shape.weights()).collect();
    let total: usize = sizes.iter().sum();
    let target = match scope {
        Scope::Global => total - sparsity.of(total),
        Scope::Site => sizes.iter().map(|n| n - sparsity.of(*n)).sum(),
    };
    match kept_at(before, &sites) {
        None => problems.push(Problem::of_step(
            "some selected sites and some others are sparse already, so that the kept entries of the selected \
             ones cannot be told beforehand: select all sparse sites, or none",
        )),
        Some(kept) if target >= kept => problems.push(Problem::of_step(format!(
            "sparsity {} leaves {target} of {total} entries, but only {kept} are kept already: it must be larger",
            sparsity.get()
        ))),
        Some(kept) => after.kept = before.kept.saturating_sub(kept) + target,
    }
    for site in sites {
        if let Some(site) = after.site_mut(&site.id) {
            site.form = Form::Masked;
        }
    }
    after
}

/// The entries that compete with each other, and how many of them stay in the end.
#[derive(Debug)]
struct Group {
    sites: Vec<SiteId>,
    kept: usize,
    target: usize,
}

/// A cut that is laid over a model, to be made at once or in steps.
#[derive(Debug)]
pub(crate) struct Cut(Vec<Group>);

impl Cut {
    /// Lays a sparsity over the selected sites of a model.
    pub(crate) fn of(
        model: &Model,
        on: &[SiteId],
        sparsity: Fraction,
        scope: Scope,
    ) -> Result<Self, StepError> {
        let layers: Vec<&Layer> = model.layers().iter().filter(|l| on.contains(&l.id)).collect();
        let groups: Vec<&[&Layer]> = match scope {
            Scope::Global => vec![&layers[..]],
            Scope::Site => layers.chunks(1).collect(),
        };
        let mut cut = Vec::new();
        for layers in groups {
            let size: usize = layers.iter().map(|l| l.shape.weights()).sum();
            let kept: usize = layers.iter().map(|l| l.weight.kept()).sum();
            let target = size - sparsity.of(size);
            let sites: Vec<SiteId> = layers.iter().map(|l| l.id.clone()).collect();
            if kept < target {
                let names = sites.iter().map(SiteId::as_str).collect::<Vec<_>>().join(", ");
                let share = sparsity.get();
                return Err(StepError::Failed(format!(
                    "{names}: {kept} of {size} entries are kept, fewer than the {target} of sparsity {share}: \
                     use the global scope or a larger sparsity"
                )));
            }
            cut.push(Group { sites, kept, target });
        }
        Ok(Self(cut))
    }

    /// Drops entries down to the final count.
    pub(crate) fn make(&self, model: Model, rule: &mut Rule<'_>) -> Result<Model, StepError> {
        self.make_step(model, 1, 1, rule)
    }

    /// Drops entries down to the count of step `step` of `steps`, along [`cubic`].
    pub(crate) fn make_step(
        &self,
        mut model: Model,
        step: u32,
        steps: u32,
        rule: &mut Rule<'_>,
    ) -> Result<Model, StepError> {
        for group in &self.0 {
            let count = cubic(group.kept, group.target, step, steps);
            model = cut_sites(model, &group.sites, count, rule)?;
        }
        Ok(model)
    }
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

/// Entries kept after `step` of `steps`, on the way from `from` to `to`: the cubic curve of Zhu and Gupta
/// (2017), which drops much while much is redundant and little near the end.
///
/// Step 0 gives `from`, the last step and any beyond it exactly `to`.
pub fn cubic(from: usize, to: usize, step: u32, steps: u32) -> usize {
    if step >= steps {
        return to;
    }
    let left = (1.0 - f64::from(step) / f64::from(steps)).powi(3);
    to + (from.saturating_sub(to) as f64 * left).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let after = plan(before, on, sparsity.try_into().unwrap(), scope, &mut problems);
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
    fn the_cubic_curve_falls_fast_and_ends_exactly() {
        let curve: Vec<usize> = (0..=4).map(|t| cubic(1000, 100, t, 4)).collect();
        assert_eq!(curve, [1000, 480, 213, 114, 100]);
        assert_eq!(cubic(5, 5, 1, 3), 5);
        assert_eq!(cubic(5, 2, 9, 3), 2);
    }
}
