//! Taking units away from a network of any kind: what structured techniques have in common.
//!
//! A unit is columns of some sites and rows of others ([`Group`]). Taking it away leaves physically smaller matrices
//! at all of them, so that the network is faster anywhere, without sparse kernels. A masked site keeps its share of
//! live entries: afterwards its smallest entries are dropped (or dropped ones let live again, at zero) until the share
//! is as before. So the planned count is exact.

use nlpress_core::Fraction;
use nlpress_model::{Form, Graph, Group, Layer, Model, Outline, Shape, Site, SiteId, Units, Weight};
use nlpress_technique::{Problem, StepError};

use std::collections::BTreeSet;

use super::keep::keep_largest;
use super::mask::{cut_sites, masked};
use super::scope::{is_full, treatable};
use crate::PruneError;

/// A model without some units of a group.
///
/// `gone` are the units' numbers, ascending, and one must stay. `levels` are what the numbers of every unit are
/// replaced by, `[units · block]`: they move into the biases of the sites that read them. Without, it is zero.
///
/// # Errors
/// [`StepError`] when the model has no such group or unit, a site that would shrink is packed, or a factored site
/// would be narrower than its rank.
pub fn remove(
    model: Model,
    group: &Group,
    gone: &[usize],
    levels: Option<&[f32]>,
) -> Result<Model, StepError> {
    let failed = |why: String| Err(StepError::Failed(why));
    let lead = group.lead();
    let Some(group) = model.graph().groups().into_iter().find(|g| g.lead() == lead) else {
        return failed(format!("site {lead} makes no units that could go"));
    };
    if !gone.is_sorted_by(|a, b| a < b) || gone.last().is_some_and(|last| *last >= group.units) {
        return failed(format!("units to remove must ascend and be less than {}", group.units));
    }
    if gone.len() == group.units {
        return failed(format!("{lead}: one unit must stay"));
    }
    let numbers = group.units * group.block;
    if let Some(levels) = levels {
        PruneError::same_length("levels", levels.len(), numbers)?;
    }
    let stay: Vec<usize> = (0..numbers).filter(|n| gone.binary_search(&(n / group.block)).is_err()).collect();
    let (graph, mut layers) = model.into_parts();
    let after = graph.clone().with_units(&group, group.units - gone.len());
    if after.ranks() != graph.ranks() {
        return failed(format!("{lead}: a factored site would be narrower than its rank"));
    }
    for vector in layers.vectors.iter_mut().filter(|vector| group.vectors.contains(&vector.id)) {
        let numbers = vector.values.chunks_exact(vector.values.len() / group.units);
        let stay = numbers.enumerate().filter(|(unit, _)| gone.binary_search(unit).is_err());
        vector.values = stay.flat_map(|(_, numbers)| numbers.iter().copied()).collect();
    }
    for layer in &mut layers.sites {
        if group.rows.contains(&layer.id) {
            if let Some(levels) = levels {
                absorb(layer, &stay, levels);
            }
            let columns: Vec<usize> = (0..layer.shape.outputs).collect();
            pick(layer, &stay, &columns)?;
        }
        if group.columns.contains(&layer.id) {
            let rows: Vec<usize> = (0..layer.shape.inputs).collect();
            let bias = if layer.shape.bias { &stay[..] } else { &[] };
            layer.bias = bias.iter().map(|n| layer.bias[*n]).collect();
            pick(layer, &rows, &stay)?;
        }
    }
    Ok(Model::new(after, layers)?)
}

/// Adds to a bias what the inputs that go would have brought at their levels.
fn absorb(layer: &mut Layer, stay: &[usize], levels: &[f32]) {
    let weight = layer.weight.values().into_owned();
    for (input, row) in weight.chunks_exact(layer.shape.outputs).enumerate() {
        if stay.binary_search(&input).is_err() {
            layer.bias.iter_mut().zip(row).for_each(|(b, w)| *b += levels[input] * w);
        }
    }
}

/// Leaves the given rows and columns of a layer's weight.
fn pick(layer: &mut Layer, rows: &[usize], columns: &[usize]) -> Result<(), StepError> {
    let outputs = layer.shape.outputs;
    let places = || rows.iter().flat_map(|r| columns.iter().map(move |c| r * outputs + c));
    layer.weight = match &layer.weight {
        Weight::Dense(values) => Weight::Dense(places().map(|i| values[i]).collect()),
        Weight::Masked { values, keep } => Weight::Masked {
            values: places().map(|i| values[i]).collect(),
            keep: places().map(|i| keep[i]).collect(),
        },
        packed => {
            return Err(StepError::Failed(format!(
                "site {}: it is {}: remove units before packing",
                layer.id,
                packed.form()
            )));
        }
    };
    layer.shape = Shape { inputs: rows.len(), outputs: columns.len(), ..layer.shape };
    Ok(())
}

/// The units within a layer.
pub(crate) const INNER: [Units; 2] = [Units::Neurons, Units::Heads];

/// The groups of one of these kinds whose lead is selected.
pub(crate) fn selected(graph: &Graph, on: &[SiteId], kinds: &[Units]) -> Vec<Group> {
    graph.groups().into_iter().filter(|g| kinds.contains(&g.what) && on.contains(g.lead())).collect()
}

/// Groups as they are in a network by now, of those that have more units than are to be left, with how many those are.
pub(crate) fn above<'a>(
    graph: &Graph,
    left: impl Iterator<Item = (&'a Group, usize)>,
) -> Vec<(Group, usize)> {
    let all = graph.groups();
    let now = left.filter_map(|(group, left)| Some((all.iter().find(|g| g.lead() == group.lead())?, left)));
    now.filter(|(group, left)| group.units > *left).map(|(group, left)| (group.clone(), left)).collect()
}

/// Which selectors find groups of these kinds in a network, for whoever found none.
pub(crate) fn selectors(graph: &Graph, kinds: &[Units]) -> String {
    let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let groups = graph.groups().into_iter().filter(|g| kinds.contains(&g.what));
    let all: BTreeSet<String> = groups
        .map(|g| {
            let parts = g.lead().as_str().split('.').map(|part| if number(part) { "*" } else { part });
            parts.collect::<Vec<_>>().join(".")
        })
        .collect();
    match all.len() {
        0 => "this network has none".into(),
        _ => format!("here they are selected by {}", Vec::from_iter(all).join(", ")),
    }
}

/// A share of the units of the selected groups of some kinds: those that go.
pub(crate) struct Share<'a> {
    pub(crate) kinds: &'a [Units],
    pub(crate) remove: Fraction,
    /// The counts that stay are rounded up to a multiple of this.
    pub(crate) round_to: usize,
}

impl Share<'_> {
    /// Units that stay of a group of so many: one at least.
    fn stays(&self, units: usize) -> usize {
        (units - self.remove.of(units)).max(1).next_multiple_of(self.round_to).min(units)
    }

    /// The groups, with how many units of each stay.
    pub(crate) fn groups(&self, graph: &Graph, on: &[SiteId]) -> Vec<(Group, usize)> {
        let groups = selected(graph, on, self.kinds).into_iter();
        groups.map(|group| (self.stays(group.units), group)).map(|(count, group)| (group, count)).collect()
    }

    /// The outline without those that go; what stands in the way goes into `problems`.
    pub(crate) fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        treatable(before, on, problems);
        let groups = self.groups(&before.graph, on);
        let graph = groups.iter().fold(before.graph.clone(), |graph, (g, count)| graph.with_units(g, *count));
        if graph != before.graph {
            return plan(before, graph, on, problems);
        }
        let rounded =
            if self.round_to > 1 { format!(" with round_to {}", self.round_to) } else { String::new() };
        problems.push(Problem::of_step(format!(
            "remove {}{rounded} removes no unit of the selected sites; {}",
            self.remove.get(),
            selectors(&before.graph, self.kinds)
        )));
        before.clone()
    }
}

/// The outline with the network of `graph`, whose sites are those of `before`, some of them smaller; what stands in
/// the way goes into `problems`.
pub(crate) fn plan(before: &Outline, graph: Graph, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
    if graph.ranks() != before.graph.ranks() {
        problems.push(Problem::of_step("a factored site would be narrower than its rank"));
    }
    let shapes: Vec<Shape> = graph.sites().into_iter().map(|(_, shape)| shape).collect();
    let pairs = || before.sites.iter().zip(&shapes);
    let (shrinking, staying): (Vec<_>, Vec<_>) = pairs().partition(|(site, shape)| site.shape != **shape);
    for (site, _) in
        shrinking.iter().filter(|(s, _)| matches!(s.form, Form::Packed(_)) && !on.contains(&s.id))
    {
        let why = format!("it follows a selected site and is {}: remove units before packing", site.form);
        problems.push(Problem::at(&site.id, why));
    }
    // What does not shrink keeps what it has, known or not; dense sites that shrink stay full; masked ones keep their
    // share, which can be told when no other site is sparse.
    let full = |of: &[(&Site, &Shape)]| {
        of.iter().filter(|(s, _)| is_full(s)).map(|(s, _)| s.shape.weights()).sum::<usize>()
    };
    let new_full: usize =
        shrinking.iter().filter(|(s, _)| is_full(s)).map(|(_, shape)| shape.weights()).sum();
    let forms: Vec<(Shape, Form)> = before.sites.iter().map(|s| (s.shape, s.form)).collect();
    let (old, new) = masked_sizes(&forms, &shapes);
    let mut kept = before.kept.saturating_sub(full(&shrinking)) + new_full;
    if old > 0 {
        let masked = before.kept.saturating_sub(full(&shrinking) + full(&staying));
        kept = kept.saturating_sub(masked) + same_share(masked, old, new);
        if !staying.iter().all(|(s, _)| is_full(s)) {
            problems.push(Problem::of_step(
                "some sites that shrink and some that do not are sparse already, so that the kept entries of the \
                 former cannot be told beforehand: remove units before pruning connections",
            ));
        }
    }
    let mut after = Outline { graph, sites: before.sites.clone(), kept };
    after.sites.iter_mut().zip(shapes).for_each(|(site, shape)| site.shape = shape);
    after
}

/// What the masked sites of a model kept, to be restored when it has shrunk.
#[derive(Debug)]
pub(crate) struct Shares {
    forms: Vec<(Shape, Form)>,
    kept: Vec<usize>,
}

impl Shares {
    /// The shares of a model.
    pub(crate) fn of(model: &Model) -> Self {
        let layers = model.layers();
        Self {
            forms: layers.iter().map(|l| (l.shape, l.weight.form())).collect(),
            kept: layers.iter().map(|l| l.weight.kept()).collect(),
        }
    }

    /// A model of the same sites, some of them smaller, with the same share of the shrunk masked ones kept.
    pub(crate) fn restore(&self, model: Model) -> Result<Model, StepError> {
        let shapes: Vec<Shape> = model.layers().iter().map(|l| l.shape).collect();
        let (old, new) = masked_sizes(&self.forms, &shapes);
        if old == 0 {
            return Ok(model);
        }
        let shrunk: Vec<usize> = (0..shapes.len())
            .filter(|i| self.forms[*i].0 != shapes[*i] && self.forms[*i].1 == Form::Masked)
            .collect();
        let count = same_share(shrunk.iter().map(|i| self.kept[*i]).sum(), old, new);
        let ids: Vec<SiteId> = shrunk.iter().map(|i| model.layers()[*i].id.clone()).collect();
        keep_exactly(model, &ids, count)
    }
}

/// Weights of the masked sites that lose rows or columns, before and after: what the share is carried over by.
fn masked_sizes(before: &[(Shape, Form)], after: &[Shape]) -> (usize, usize) {
    let shrinking = before.iter().zip(after).filter(|((b, f), a)| b != *a && *f == Form::Masked);
    shrinking.fold((0, 0), |(m, n), ((b, _), a)| (m + b.weights(), n + a.weights()))
}

/// So many of `kept` entries stay when `before` weights become `after`: the same share, rounded.
fn same_share(kept: usize, before: usize, after: usize) -> usize {
    let exact = kept as u128 * after as u128;
    ((exact + before as u128 / 2) / (before as u128).max(1)) as usize
}

/// Drops the smallest entries of masked sites, or lets dropped ones live again at zero, first ones first, until
/// exactly `count` live.
fn keep_exactly(mut model: Model, ids: &[SiteId], count: usize) -> Result<Model, StepError> {
    let kept: usize = ids.iter().filter_map(|id| model.layer(id)).map(|l| l.weight.kept()).sum();
    if kept >= count {
        return cut_sites(model, ids, count, &mut keep_largest);
    }
    let mut missing = count - kept;
    for id in ids {
        let Some(layer) = model.layer(id) else { continue };
        let mut keep = layer.weight.keep();
        for k in keep.iter_mut().filter(|k| !**k).take(missing) {
            *k = true;
            missing -= 1;
        }
        model = masked(model, id, keep)?;
    }
    Ok(model)
}
