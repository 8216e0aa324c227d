//! Which sites a technique can prune, which of their entries compete with each other, and how many are kept already.

use nlpress_model::{Form, Outline, Site, SiteId};
use nlpress_technique::Problem;
use serde::{Deserialize, Serialize};

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

/// The selected sites that can be treated, in the outline's order; what cannot goes into `problems`.
pub(crate) fn treatable<'a>(
    before: &'a Outline,
    on: &[SiteId],
    problems: &mut Vec<Problem>,
) -> Vec<&'a Site> {
    if on.is_empty() {
        problems.push(Problem::of_step("no site is selected"));
    }
    problems.extend(Problem::missing(before, on));
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
