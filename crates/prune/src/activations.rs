//! What goes through a network at one site, in plain memory.

use nlpress_model::network::Input;
use nlpress_model::{Dataset, ModelError, Network};

/// Rows of one forward pass.
pub(crate) const ROWS: usize = 256;

/// Pre-activations `[indices, outputs]` of site number `site`, dropout off.
pub(crate) fn pre_activations(
    network: &Network,
    site: usize,
    data: &Dataset,
    indices: &[usize],
) -> Result<Vec<f32>, ModelError> {
    network.forward(0..site + 1, Input::Rows(data.rows(), indices), None, 0)?.output()
}

/// Negative numbers become zero.
pub(crate) fn relu(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x = x.max(0.0));
}
