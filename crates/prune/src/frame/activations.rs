//! What goes through a network at one site, in plain memory.

use nlpress_model::network::Input;
use nlpress_model::{Dataset, Model, ModelError, Network};
use nlpress_technique::{Cx, StepError};

use crate::PruneError;

/// The setting that names how many training rows are looked at.
pub(crate) const CALIBRATION: (&str, &str) =
    ("rows", "training rows to measure inputs on, from 1 to 1000000, drawn by the seed; 512 by default");

/// Checks [`CALIBRATION`].
pub(crate) fn calibration_rows(rows: Option<usize>) -> Result<usize, PruneError> {
    match rows.unwrap_or(512) {
        rows if (1..=1_000_000).contains(&rows) => Ok(rows),
        rows => Err(PruneError::setting("rows", rows, "between 1 and 1000000")),
    }
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

/// What goes into site number `site`, dropout off: a row of `inputs` numbers for each of `indices`, or, inside an
/// attention network, for each word of them.
pub(crate) fn inputs(
    network: &Network,
    site: usize,
    data: &Dataset,
    indices: &[usize],
) -> Result<Vec<f32>, ModelError> {
    let rows = network.site_inputs(site, data.examples(), indices)?;
    let mut dense = Vec::new();
    rows.densify(0..rows.len(), &mut dense);
    Ok(dense)
}

/// Calls `take` with the inputs of site number `site` of a model, on up to `rows` rows of the training data drawn
/// by the step's seed, some at a time.
pub(crate) fn each_input(
    model: &Model,
    site: usize,
    rows: usize,
    what: &str,
    cx: &Cx<'_>,
    take: &mut dyn FnMut(&[f32]) -> Result<(), PruneError>,
) -> Result<(), StepError> {
    let network = Network::bind(model, cx.backend);
    let drawn = cx.draw_ascending(rows);
    for (chunk, indices) in drawn.chunks(ROWS).enumerate() {
        cx.progress(what, chunk * ROWS, drawn.len())?;
        let inputs = inputs(&network, site, cx.train, indices)?;
        take(&inputs).map_err(|e| StepError::Failed(e.to_string()))?;
    }
    Ok(())
}

/// Negative numbers become zero.
pub(crate) fn relu(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x = x.max(0.0));
}
