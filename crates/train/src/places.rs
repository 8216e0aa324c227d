//! Where the numbers of each site lie in the one row that the optimizer moves.

use nlpress_model::{Model, SiteId};
use std::ops::Range;

/// Where the numbers of a site that can be trained lie in [`Model::flat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The site.
    pub id: SiteId,
    /// Its number among all sites of the network.
    pub site: usize,
    /// Its outputs: the length of a row of its weights.
    pub outputs: usize,
    /// Its weights, `[inputs, outputs]`.
    pub weights: Range<usize>,
    /// Its biases.
    pub biases: Range<usize>,
}

/// The places of all sites that can be trained, in the order of the network.
pub fn places(model: &Model) -> Vec<Place> {
    let mut end = 0;
    let layers = model.layers().iter().enumerate().filter(|(_, layer)| layer.weight.is_trainable());
    layers
        .map(|(site, layer)| {
            let (start, middle) = (end, end + layer.shape.weights());
            end += layer.shape.parameters();
            let outputs = layer.shape.outputs;
            Place { id: layer.id.clone(), site, outputs, weights: start..middle, biases: middle..end }
        })
        .collect()
}
