//! How much the loss on the validation rows rises when one site alone is cut, by magnitude.

use nlpress_core::Fraction;
use nlpress_model::{Layer, Model, SiteId};
use nlpress_technique::{Cx, StepError};
use nlpress_train::Scores;

use super::keep::keep_largest;
use super::mask::cut_sites;

/// How much the validation loss rises when a site alone is cut to each level, by magnitude; `losses[site][level]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    /// Loss of the model as it is.
    pub loss: f64,
    /// The sites.
    pub sites: Vec<SiteId>,
    /// Rises of the loss, a row for each site and a column for each level.
    pub rises: Vec<Vec<f64>>,
    /// Points of accuracy lost, in the same order.
    pub points: Vec<Vec<f64>>,
}

/// Measures the sensitivity of the selected sites on the step's validation rows.
///
/// # Errors
/// [`StepError`] when the data do not fit, the device fails, or on a request to stop.
pub fn sensitivity(
    model: &Model,
    on: &[SiteId],
    levels: &[Fraction],
    cx: &Cx<'_>,
) -> Result<Sensitivity, StepError> {
    let Scores { loss, accuracy } = cx.scores(model)?;
    let layers: Vec<&Layer> = model.layers_of(on).collect();
    let (mut rises, mut points) = (Vec::new(), Vec::new());
    for (n, layer) in layers.iter().enumerate() {
        let (mut of_site, mut lost) = (Vec::new(), Vec::new());
        for (i, level) in levels.iter().enumerate() {
            cx.progress("measuring sensitivity", n * levels.len() + i, layers.len() * levels.len())?;
            let cut = cut_to(model.clone(), &layer.id, keeps(layer, *level))?;
            let cut = cx.scores(&cut)?;
            of_site.push(cut.loss - loss);
            lost.push(100.0 * (accuracy - cut.accuracy));
        }
        rises.push(of_site);
        points.push(lost);
    }
    Ok(Sensitivity { loss, sites: layers.iter().map(|l| l.id.clone()).collect(), rises, points })
}

/// Entries that a site keeps at a level: never more than it keeps now.
pub(crate) fn keeps(layer: &Layer, level: Fraction) -> usize {
    let size = layer.shape.weights();
    (size - level.of(size)).min(layer.weight.kept())
}

/// Cuts one site, by magnitude.
pub(crate) fn cut_to(model: Model, id: &SiteId, count: usize) -> Result<Model, StepError> {
    cut_sites(model, std::slice::from_ref(id), count, &mut keep_largest)
}
