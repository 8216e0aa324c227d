//! What goes through a network at one site, in plain memory.

use nlpress_model::network::Input;
use nlpress_model::{Dataset, Model, ModelError, Network};
use nlpress_technique::settings::{Rule, or};
use nlpress_technique::{Cx, StepError};
use nlpress_text::Rows;

use crate::PruneError;

/// The description of `rows`, the training rows that are looked at.
pub(crate) const CALIBRATION: &str =
    "training rows to measure inputs on, from 1 to 1000000, drawn by the seed; 512 by default";

/// The rule of [`CALIBRATION`].
pub(crate) fn calibration() -> Rule<usize> {
    or(512).within(1..=1_000_000)
}

/// Rows of one forward pass.
pub(crate) const ROWS: usize = 256;

/// Pre-activations `[indices, outputs]` of site number `site`, dropout off.
pub(crate) fn pre_activations(
    network: &Network,
    site: usize,
    data: &Dataset,
    indices: &[usize],
) -> Result<Vec<f32>, ModelError> {
    network.forward(0..site + 1, Input::Examples(data.examples(), indices), None, 0)?.output()
}

/// Rows without gaps.
pub(crate) fn dense(rows: &Rows) -> Vec<f32> {
    let mut dense = Vec::new();
    rows.densify(0..rows.len(), &mut dense);
    dense
}

/// Calls `take` with the numbers of some sites of a model and their inputs, dropout off, on these rows, some at a time and
/// all sites in one pass: a row of inputs for each row, or, inside an attention network, for each word of them.
pub(crate) fn each_input(
    model: &Model,
    sites: &[usize],
    (data, indices): (&Dataset, &[usize]),
    cx: &Cx<'_>,
    take: &mut dyn FnMut(usize, Rows) -> Result<(), PruneError>,
) -> Result<(), StepError> {
    let network = Network::bind(model, cx.backend);
    for (chunk, part) in indices.chunks(ROWS).enumerate() {
        cx.progress("measuring inputs", chunk * ROWS, indices.len())?;
        network.each_input(sites, data.examples(), part, &mut |site, rows| {
            Ok::<_, StepError>(take(site, rows)?)
        })?;
    }
    Ok(())
}

/// Negative numbers become zero.
pub(crate) fn relu(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x = x.max(0.0));
}
