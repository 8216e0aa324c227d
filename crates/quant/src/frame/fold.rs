//! Factors of a site's inputs, taken out of what makes those inputs.
//!
//! Where nothing but a ReLU, attention's weighted sum or nothing at all lies between two sites, dividing the outputs of
//! the first and multiplying the weights of the second changes nothing.

use nlpress_model::{Layer, SiteId, Weight};
use nlpress_technique::StepError;
use std::collections::BTreeMap;

use crate::lattice::Coded;

/// Divides the outputs of a site that is already packed: its scales and its biases.
pub(crate) fn fold(
    factors: &[f32],
    id: &SiteId,
    layers: &mut [Layer],
    done: &mut BTreeMap<SiteId, Coded>,
) -> Result<(), StepError> {
    let (Some(coded), Some(layer)) = (done.get_mut(id), layers.iter_mut().find(|l| &l.id == id)) else {
        return Err(StepError::at(id, "it was to take factors, and is not there"));
    };
    let Weight::Packed { scheme, matrix } = &mut layer.weight else {
        return Err(StepError::at(id, "it was to take factors, and is not packed"));
    };
    let less: Vec<f32> = factors.iter().map(|f| 1.0 / f).collect();
    coded.scale_outputs(&less);
    let keep = matrix.keep();
    let masked = scheme.index != nlpress_packed::Index::Full;
    *matrix =
        coded.matrix(masked.then_some(keep.as_slice()), scheme.index).map_err(|e| StepError::at(id, e))?;
    layer.bias.iter_mut().zip(&less).for_each(|(b, less)| *b *= less);
    Ok(())
}

/// A weight whose rows are multiplied with the factors of their inputs.
pub fn multiplied(values: &[f32], outputs: usize, factors: &[f32]) -> Vec<f32> {
    let rows = values.chunks_exact(outputs.max(1)).zip(factors);
    rows.flat_map(|(row, factor)| row.iter().map(move |w| w * factor)).collect()
}
