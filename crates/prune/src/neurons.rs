//! `prune.neurons`: hidden units that contribute least to the quality on the validation rows go.
//!
//! A unit's contribution is measured, not guessed: the rise of the validation loss when its output is held at a
//! constant, which is exactly what removing it does. The constant is its mean over the validation rows, which
//! moves into the next bias (`compensate`), or zero. Matrices become physically smaller, so the network is
//! faster anywhere, without sparse kernels.
//!
//! Holding one unit changes the next site's pre-activation by one column times one row, so that all units of a
//! layer are measured from one forward pass, without touching the network.
//!
//! A masked site keeps its share of live entries: after its units are gone, its smallest entries are dropped (or
//! dropped ones let live again, at zero) until the share is as before. So the planned count is exact.

use nlpress_core::Fraction;
use nlpress_model::network::Input;
use nlpress_model::{
    Dataset, Form, Layer, MlpSpec, Model, Network, Outline, Shape, Site, SiteId, Spec, Weight,
};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use nlpress_train::{FitConfig, Labels, mean_loss};
use serde::Deserialize;

use crate::PruneError;
use crate::activations::{ROWS, pre_activations, relu};
use crate::cut::{cut_sites, is_full, masked, treatable};
use crate::magnitude::keep_largest;
use crate::tune::tune_if;

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.neurons",
    family: Family::Simplify,
    summary: "Removes the hidden units whose loss costs least on the validation rows; matrices shrink.",
    source: "Mozer and Smolensky 1989 (skeletonization); Molchanov et al. 2017, arXiv:1611.06440 (oracle ranking)",
    example: "remove = 0.5\npasses = 2",
    on: &["hidden.*"],
    settings: &[
        (
            "remove",
            "share of the units of each selected hidden layer, more than 0 and at most 1, rounded down; one unit \
             always stays; required",
        ),
        (
            "round_to",
            "the width that is left is rounded up to a multiple of this, from 1 to 1024; 1 by default",
        ),
        ("passes", "removals, with new measurements in between, from 1 to 100; 1 by default"),
        ("compensate", "whether a removed unit's mean output moves into the next bias; true by default"),
        ("finetune", "training afterwards, as a training table; none by default"),
    ],
    parse: parse::<Neurons>,
};

/// The checked configuration of `prune.neurons`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Neurons {
    remove: Fraction,
    round_to: usize,
    passes: usize,
    compensate: bool,
    finetune: Option<FitConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    remove: f64,
    #[serde(default = "one")]
    round_to: usize,
    #[serde(default = "one")]
    passes: usize,
    #[serde(default = "yes")]
    compensate: bool,
    finetune: Option<FitConfig>,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

impl TryFrom<Raw> for Neurons {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let remove = match Fraction::try_from(raw.remove) {
            Ok(share) if raw.remove > 0.0 => share,
            _ => return Err(PruneError::setting("remove", raw.remove, "more than 0 and at most 1")),
        };
        if !(1..=1024).contains(&raw.round_to) {
            return Err(PruneError::setting("round_to", raw.round_to, "between 1 and 1024"));
        }
        if !(1..=100).contains(&raw.passes) {
            return Err(PruneError::setting("passes", raw.passes, "between 1 and 100"));
        }
        let Raw { round_to, passes, compensate, finetune, .. } = raw;
        Ok(Self { remove, round_to, passes, compensate, finetune })
    }
}

impl Neurons {
    /// Units that stay of `width`.
    fn stays(&self, width: usize) -> usize {
        let left = (width - self.remove.of(width)).max(1);
        left.next_multiple_of(self.round_to).min(width)
    }
}

/// Pre-activations `[rows, width]` of a site when one unit before it outputs `level` on every row.
///
/// `pre` are the site's pre-activations, `column` is the unit's output on every row, `outgoing` the site's
/// weights `[width]` from that unit: one rank-one update, appended to `out`.
///
/// # Panics
/// When `outgoing` is empty.
pub fn hold_unit(
    pre: &[f32],
    column: impl Iterator<Item = f32>,
    level: f32,
    outgoing: &[f32],
    out: &mut Vec<f32>,
) {
    for (row, output) in pre.chunks_exact(outgoing.len()).zip(column) {
        out.extend(row.iter().zip(outgoing).map(|(p, w)| p + (level - output) * w));
    }
}

/// The numbers of the `count` units of the smallest loss increase, ascending; the earlier among equals.
pub fn least(increases: &[f64], count: usize) -> Vec<usize> {
    let mut units: Vec<usize> = (0..increases.len()).collect();
    units.sort_by(|a, b| increases[*a].total_cmp(&increases[*b]));
    units.truncate(count);
    units.sort_unstable();
    units
}

/// What the units of one hidden layer contribute, on some rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Contributions {
    /// Loss of the network as it is.
    pub loss: f64,
    /// Rise of the loss when a unit outputs its level on every row.
    pub increases: Vec<f64>,
    /// The level that each unit was held at: its mean output, or zero.
    pub levels: Vec<f32>,
}

/// Measures every unit of the hidden layer that site number `site` makes.
///
/// # Errors
/// [`StepError`] when there is no such hidden layer, the data do not fit, the device fails, or on a request to
/// stop.
pub fn measure(
    model: &Model,
    site: usize,
    data: &Dataset,
    compensate: bool,
    cx: &Cx<'_>,
) -> Result<Contributions, StepError> {
    let Some(next) = model.layers().get(site + 1) else {
        return Err(StepError::Failed(format!("site number {site} makes no hidden layer")));
    };
    let Shape { inputs: units, outputs: width } = next.shape;
    let (network, rows) = (Network::bind(model, cx.backend), data.len());
    let mut hidden = Vec::with_capacity(rows * units);
    let mut pre = Vec::with_capacity(rows * width);
    let mut levels = vec![0.0; units];
    for first in (0..rows).step_by(ROWS) {
        let indices: Vec<usize> = (first..rows.min(first + ROWS)).collect();
        let mut part = pre_activations(&network, site, data, &indices)?;
        pre.extend(network.forward(site + 1..site + 2, Input::Activations(&part), None, 0)?.output()?);
        relu(&mut part);
        hidden.extend(part);
    }
    if compensate {
        let mut sums = vec![0.0_f64; units];
        for row in hidden.chunks_exact(units) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        levels = sums.iter().map(|sum| (sum / rows as f64) as f32).collect();
    }
    let weight = next.weight.values();
    let rest = site + 2..network.sites();
    let labels = Labels::of(data);
    let losses = |pre: &[f32]| -> Result<Vec<f64>, StepError> {
        let logits = if rest.is_empty() {
            pre.to_vec()
        } else {
            network.forward(rest.clone(), Input::Activations(pre), None, 0)?.output()?
        };
        let per_unit = logits.chunks_exact(rows * model.spec().outputs());
        Ok(per_unit.map(|logits| mean_loss(&labels, logits, rows)).collect())
    };
    let loss = losses(&pre)?[0];
    let mut increases = Vec::with_capacity(units);
    let at_once = (ROWS * 16 / rows).max(1);
    let mut held = Vec::new();
    for first in (0..units).step_by(at_once) {
        cx.progress("measuring units", first, units)?;
        held.clear();
        for unit in first..units.min(first + at_once) {
            let column = hidden.iter().skip(unit).step_by(units).copied();
            hold_unit(&pre, column, levels[unit], &weight[unit * width..(unit + 1) * width], &mut held);
        }
        increases.extend(losses(&held)?.into_iter().map(|held| held - loss));
    }
    Ok(Contributions { loss, increases, levels })
}

/// A model without some units of the hidden layer that site number `site` makes.
///
/// `gone` are the units' numbers, ascending; their `levels` go into the next bias.
///
/// # Errors
/// [`StepError`] when there is no such hidden layer, or a site that would shrink is packed.
pub fn remove_units(model: Model, site: usize, gone: &[usize], levels: &[f32]) -> Result<Model, StepError> {
    let (spec, mut layers) = model.into_parts();
    let Spec::Mlp(mut mlp) = spec else {
        return Err(StepError::Failed("the network is no multi-layer perceptron".into()));
    };
    let (Some(width), true) = (mlp.hidden.get_mut(site), site + 1 < layers.len()) else {
        return Err(StepError::Failed(format!("site number {site} makes no hidden layer")));
    };
    PruneError::same_length("levels", levels.len(), *width).map_err(|e| StepError::Failed(e.to_string()))?;
    if !gone.is_sorted_by(|a, b| a < b) || gone.last().is_some_and(|last| last >= width) {
        return Err(StepError::Failed(format!("units to remove must ascend and be less than {width}")));
    }
    let stay: Vec<usize> = (0..*width).filter(|unit| gone.binary_search(unit).is_err()).collect();
    *width = stay.len();
    let next = &mut layers[site + 1];
    let outgoing = next.weight.values().into_owned();
    for &unit in gone {
        let row = &outgoing[unit * next.shape.outputs..(unit + 1) * next.shape.outputs];
        next.bias.iter_mut().zip(row).for_each(|(b, w)| *b += levels[unit] * w);
    }
    let rows: Vec<usize> = (0..next.shape.outputs).collect();
    pick(next, &stay, &rows)?;
    let this = &mut layers[site];
    let columns: Vec<usize> = (0..this.shape.inputs).collect();
    this.bias = stay.iter().map(|unit| this.bias[*unit]).collect();
    pick(this, &columns, &stay)?;
    Ok(Model::new(Spec::Mlp(mlp), layers)?)
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
    layer.shape = Shape { inputs: rows.len(), outputs: columns.len() };
    Ok(())
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

impl Neurons {
    /// The selected hidden layers by number, with the width each will have.
    fn widths(&self, spec: &MlpSpec, on: &[SiteId]) -> Vec<(usize, usize)> {
        let hidden = spec.hidden.iter().enumerate();
        hidden.filter(|(i, _)| on.contains(&SiteId::hidden(*i))).map(|(i, w)| (i, self.stays(*w))).collect()
    }

    fn smaller(&self, spec: &Spec, on: &[SiteId]) -> Spec {
        let Spec::Mlp(mut mlp) = spec.clone() else { return spec.clone() };
        for (i, width) in self.widths(&mlp, on) {
            mlp.hidden[i] = width;
        }
        Spec::Mlp(mlp)
    }
}

impl Technique for Neurons {
    fn needs(&self) -> Needs {
        Needs { training: self.finetune.is_some(), validation: true, teacher: false }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        treatable(before, on, problems);
        let spec = self.smaller(&before.spec, on);
        if spec == before.spec {
            let share = self.remove.get();
            problems.push(Problem::of_step(format!(
                "remove {share} with round_to {} removes no unit of the selected sites; hidden sites have units, \
                 the output's are the classes",
                self.round_to
            )));
            return before.clone();
        }
        let shapes: Vec<Shape> = spec.sites().into_iter().map(|(_, shape)| shape).collect();
        let pairs = || before.sites.iter().zip(&shapes);
        let (shrinking, staying): (Vec<_>, Vec<_>) = pairs().partition(|(site, shape)| site.shape != **shape);
        for (site, _) in
            shrinking.iter().filter(|(s, _)| matches!(s.form, Form::Packed(_)) && !on.contains(&s.id))
        {
            let why = format!("it follows a selected site and is {}: remove units before packing", site.form);
            problems.push(Problem::at(&site.id, why));
        }
        // What does not shrink keeps what it has, known or not; dense sites that shrink stay full; masked ones
        // keep their share, which can be told when no other site is sparse.
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
                    "some sites that shrink and some that do not are sparse already, so that the kept entries of \
                     the former cannot be told beforehand: remove units before pruning connections",
                ));
            }
        }
        let mut after = Outline { spec, sites: before.sites.clone(), kept };
        after.sites.iter_mut().zip(shapes).for_each(|(site, shape)| site.shape = shape);
        after
    }

    fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let Spec::Mlp(start) = model.spec().clone() else {
            return Err(StepError::Failed("the network is no multi-layer perceptron".into()));
        };
        let widths = self.widths(&start, on);
        let forms: Vec<(Shape, Form)> = model.layers().iter().map(|l| (l.shape, l.weight.form())).collect();
        let kept: Vec<usize> = model.layers().iter().map(|l| l.weight.kept()).collect();
        for pass in 1..=self.passes {
            for &(site, target) in &widths {
                let width = model.layers()[site].shape.outputs;
                let left = start.hidden[site] - (start.hidden[site] - target) * pass / self.passes;
                if left == width {
                    continue;
                }
                let found = measure(&model, site, cx.valid, self.compensate, cx)?;
                let gone = least(&found.increases, width - left);
                model = remove_units(model, site, &gone, &found.levels)?;
            }
        }
        let shapes: Vec<Shape> = model.layers().iter().map(|l| l.shape).collect();
        let (old, new) = masked_sizes(&forms, &shapes);
        if old > 0 {
            let shrunk: Vec<usize> = (0..shapes.len())
                .filter(|i| forms[*i].0 != shapes[*i] && forms[*i].1 == Form::Masked)
                .collect();
            let count = same_share(shrunk.iter().map(|i| kept[*i]).sum(), old, new);
            let ids: Vec<SiteId> = shrunk.iter().map(|i| model.layers()[*i].id.clone()).collect();
            model = keep_exactly(model, &ids, count)?;
        }
        for (site, target) in widths {
            cx.note(format!("hidden.{site}: {} of {} units stay", target, start.hidden[site]));
        }
        tune_if(model, self.finetune.as_ref(), cx)
    }
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
