//! How much the loss on the validation rows rises when one site alone is cut, by magnitude.

use nlpress_core::Fraction;
use nlpress_model::dataset::accuracy;
use nlpress_model::{Layer, Model, Network, SiteId};
use nlpress_technique::{Cx, StepError};
use nlpress_train::{Labels, mean_loss};

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
    let (loss, right) = score(model, cx)?;
    let layers: Vec<&Layer> = model.layers_of(on).collect();
    let (mut rises, mut points) = (Vec::new(), Vec::new());
    for (n, layer) in layers.iter().enumerate() {
        let (mut of_site, mut lost) = (Vec::new(), Vec::new());
        for (i, level) in levels.iter().enumerate() {
            cx.progress("measuring sensitivity", n * levels.len() + i, layers.len() * levels.len())?;
            let cut = cut_to(model.clone(), &layer.id, keeps(layer, *level))?;
            let (cut_loss, cut_right) = score(&cut, cx)?;
            of_site.push(cut_loss - loss);
            lost.push(100.0 * (right - cut_right));
        }
        rises.push(of_site);
        points.push(lost);
    }
    Ok(Sensitivity { loss, sites: layers.iter().map(|l| l.id.clone()).collect(), rises, points })
}

/// Loss and accuracy on the validation rows.
pub(crate) fn score(model: &Model, cx: &Cx<'_>) -> Result<(f64, f64), StepError> {
    let logits = Network::bind(model, cx.backend).logits_of(cx.valid)?;
    let right = accuracy(&logits, cx.valid.outputs(), cx.valid.labels());
    Ok((mean_loss(&Labels::of(cx.valid), &logits, cx.valid.len()), right))
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
