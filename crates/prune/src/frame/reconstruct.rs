//! Layer-wise reconstruction after a removal of units: every site that reads fewer units is fitted anew, by linear least
//! squares on the training rows, to what it put out before.
//!
//! Layers are repaired in the order of the forward pass, each from the inputs that it gets once those before it are repaired, so
//! that a later site also repairs what an earlier one could not. Where a site's output is added to what stood before the
//! block, how far that drifted is fitted, too (Kwon et al. 2022). No label and no training is needed.

use nlpress_model::graph::Op;
use nlpress_model::{
    Dataset, Form, Graph, Group, Layer, Model, ModelError, Network, Outline, SiteId, Weight,
};
use nlpress_technique::settings::{Rule, or};
use nlpress_technique::{Cx, Problem, StepError};
use nlpress_text::ExamplesRef;

use super::activations::{ROWS, dense};
use crate::solve::LeastSquares;

/// The description of `ridge`, the weight of the squares in the fit.
pub(crate) const RIDGE: &str = "weight of the squares of the fitted weights, by the mean variance of the inputs, from 1e-9 to 1000; 1e-3 \
     by default";

/// Widest site that is fitted anew.
const WIDEST_SOLVED: usize = 4096;

/// Tokens of the texts that a fit looks at: several for each number that goes into the widest sites of usual encoders.
const TOKENS: usize = 32_768;

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

/// Fits the sites of `model` that read units of `groups` to what they put out in `original`. Where something is added to
/// that (what stood before an encoder's attention or feed-forward block), the sum is what is fitted to.
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
    let rows = looked_at(cx.train);
    for (site, id) in ids.iter().enumerate().filter(|(_, id)| reads_fewer(id)) {
        let layer = &model.layers()[site];
        let shape = layer.shape;
        // What is solved for has a bias, which a site without one has no place for.
        if shape.inputs > WIDEST_SOLVED || layer.bias.is_empty() {
            continue;
        }
        // The columns that are still there, by their numbers in the original.
        let columns: Vec<usize> = match pairs().find(|(g, _)| g.columns.contains(id)) {
            Some((g, stay)) => stay.iter().flat_map(|u| u * g.block..(u + 1) * g.block).collect(),
            None => (0..shape.outputs).collect(),
        };
        let added = added_to(model.graph(), id).and_then(|id| ids.iter().position(|other| *other == id));
        let sites: Vec<usize> = std::iter::once(site).chain(added).collect();
        let part = Network::bind(&model, cx.backend);
        let mut fit = LeastSquares::new(shape.inputs, shape.outputs);
        for (n, some) in rows.chunks(ROWS).enumerate() {
            cx.progress("fitting what is left", n * ROWS, rows.len())?;
            let [was, is] = [&whole, &part].map(|network| inputs(network, &sites, cx.train, some));
            let (was, is) = (was?, is?);
            let mut targets = outputs(&original.layers()[site], &was[0], &columns);
            if let ([_, was], [_, is]) = (&was[..], &is[..]) {
                let drift = was.iter().zip(is).map(|(was, is)| was - is);
                targets.iter_mut().zip(drift).for_each(|(target, drift)| *target += drift);
            }
            fit.add(&is[0], &targets)?;
        }
        let Some(linear) = fit.solve(ridge) else { continue };
        let (graph, mut layers) = model.into_parts();
        layers[site].weight = Weight::Dense(linear.weight);
        layers[site].bias = linear.bias;
        model = Model::new(graph, layers)?;
    }
    Ok(model)
}

/// Rows that a fit looks at: all feature rows; of texts, evenly spread, as many as have about [`TOKENS`] tokens.
fn looked_at(data: &Dataset) -> Vec<usize> {
    let tokens = match data.examples() {
        ExamplesRef::Tokens(rows) => rows.tokens(),
        ExamplesRef::Features(_) => 0,
    };
    (0..data.len()).step_by(tokens.div_ceil(TOKENS).max(1)).collect()
}

/// A site that reads what the output of site `id` is added to, if that is added to anything.
fn added_to(graph: &Graph, id: &SiteId) -> Option<SiteId> {
    let readers = graph.readers();
    let mut node = graph.nodes.iter().position(|node| node.op.site() == Some(id))?;
    let sum = loop {
        let [reader] = readers[node][..] else { return None };
        match graph.nodes[reader].op {
            Op::Dropout { .. } => node = reader,
            Op::Add => break reader,
            _ => return None,
        }
    };
    let other = graph.nodes[sum].from.iter().find(|from| **from != node)?;
    readers[*other].iter().find_map(|reader| graph.nodes[*reader].op.site().cloned())
}

/// What goes into some sites, `[rows, inputs]` each, in the order of `sites`.
fn inputs(
    network: &Network,
    sites: &[usize],
    data: &Dataset,
    rows: &[usize],
) -> Result<Vec<Vec<f32>>, StepError> {
    let mut seen = vec![Vec::new(); sites.len()];
    network.each_input(sites, data.examples(), rows, &mut |site, inputs| {
        let places = sites.iter().zip(&mut seen).filter(|(of, _)| **of == site);
        places.for_each(|(_, seen)| *seen = dense(&inputs));
        Ok::<_, ModelError>(())
    })?;
    Ok(seen)
}

/// Some columns of what a layer makes of dense inputs.
fn outputs(layer: &Layer, inputs: &[f32], columns: &[usize]) -> Vec<f32> {
    let (weight, width) = (layer.weight.values(), layer.shape.outputs);
    let mut targets = Vec::with_capacity(inputs.len() / layer.shape.inputs.max(1) * columns.len());
    for row in inputs.chunks_exact(layer.shape.inputs) {
        let mut out = layer.bias.clone();
        for (x, weights) in row.iter().zip(weight.chunks_exact(width)).filter(|(x, _)| **x != 0.0) {
            out.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * w);
        }
        targets.extend(columns.iter().map(|n| out[*n]));
    }
    targets
}
