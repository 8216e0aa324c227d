//! Layer-wise reconstruction after a removal of units: every site that reads fewer units is fitted anew, by linear least
//! squares on the training rows, to what it put out before.
//!
//! Layers are repaired in the order of the forward pass, each from the inputs that it gets once those before it are repaired, so
//! that a later site also repairs what an earlier one could not. No label and no training is needed.

use nlpress_model::{Form, Group, Model, Network, Outline, SiteId, Weight};
use nlpress_technique::settings::{Rule, or};
use nlpress_technique::{Cx, Problem, StepError};

use super::activations::{ROWS, dense};
use crate::solve::LeastSquares;

/// The description of `ridge`, the weight of the squares in the fit.
pub(crate) const RIDGE: &str = "weight of the squares of the fitted weights, by the mean variance of the inputs, from 1e-9 to 1000; 1e-3 \
     by default";

/// Widest site that is fitted anew.
const WIDEST_SOLVED: usize = 4096;

/// The rule of [`RIDGE`].
pub(crate) fn ridge() -> Rule<f64> {
    or(1e-3).when(|ridge: &f64| (1e-9..=1e3).contains(ridge), "between 1e-9 and 1000")
}

/// Finds the sites of groups that are not dense, and so cannot be fitted.
pub(crate) fn only_dense(before: &Outline, groups: &[Group], problems: &mut Vec<Problem>) {
    for id in groups.iter().flat_map(|g| g.columns.iter().chain(&g.rows)) {
        if let Some(site) = before.site(id).filter(|s| s.form != Form::Dense) {
            let why =
                format!("it is {}, and a site that is fitted anew is dense: remove units before", site.form);
            let problem = Problem::at(id, why);
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
}

/// Fits the sites of `model` that read units of `groups` to what they put out in `original`.
///
/// `stayed` are the numbers that the units of `model` had in `original`, ascending, for each group.
///
/// # Errors
/// [`StepError`] when the data do not fit, the device fails, or on a request to stop.
pub(crate) fn reconstruct(
    original: &Model,
    mut model: Model,
    groups: &[Group],
    stayed: &[Vec<usize>],
    ridge: f64,
    cx: &Cx<'_>,
) -> Result<Model, StepError> {
    let ids: Vec<SiteId> = model.layers().iter().map(|l| l.id.clone()).collect();
    let pairs = || groups.iter().zip(stayed);
    let reads_fewer = |id: &SiteId| pairs().any(|(g, stay)| stay.len() < g.units && g.rows.contains(id));
    let whole = Network::bind(original, cx.backend);
    for (site, id) in ids.iter().enumerate().filter(|(_, id)| reads_fewer(id)) {
        let shape = model.layers()[site].shape;
        // What is solved for has a bias, which a site without one has no place for.
        if shape.inputs > WIDEST_SOLVED || model.layers()[site].bias.is_empty() {
            continue;
        }
        // The columns that are still there, by their numbers in the original.
        let columns: Vec<usize> = match pairs().find(|(g, _)| g.columns.contains(id)) {
            Some((g, stay)) => stay.iter().flat_map(|u| u * g.block..(u + 1) * g.block).collect(),
            None => (0..shape.outputs).collect(),
        };
        let before = &original.layers()[site];
        let (weight, width) = (before.weight.values(), before.shape.outputs);
        let part = Network::bind(&model, cx.backend);
        let mut fit = LeastSquares::new(shape.inputs, shape.outputs);
        let all: Vec<usize> = (0..cx.train.len()).collect();
        for (n, rows) in all.chunks(ROWS).enumerate() {
            cx.progress("fitting what is left", n * ROWS, all.len())?;
            let mut targets = Vec::new();
            for row in whole.site_inputs(site, cx.train.examples(), rows)?.iter() {
                let mut out = before.bias.clone();
                for (&input, &x) in row.columns.iter().zip(row.values) {
                    let weights = &weight[input as usize * width..][..width];
                    out.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * w);
                }
                targets.extend(columns.iter().map(|n| out[*n]));
            }
            let now = dense(&part.site_inputs(site, cx.train.examples(), rows)?);
            fit.add(&now, &targets)?;
        }
        let Some(linear) = fit.solve(ridge) else { continue };
        let (graph, mut layers) = model.into_parts();
        layers[site].weight = Weight::Dense(linear.weight);
        layers[site].bias = linear.bias;
        model = Model::new(graph, layers)?;
    }
    Ok(model)
}
