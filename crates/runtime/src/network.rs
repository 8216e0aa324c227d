//! The forward pass: layers with ReLU between them, on one row.

use nlpress_artifact::Layer;
use nlpress_packed::{Input, Scratch as Products};

/// Memory for the activations between layers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activations {
    before: Vec<f32>,
    after: Vec<f32>,
    products: Products,
}

/// The logits of one row: `layers` are those of an artifact, so their shapes fit, and `out` has as many entries
/// as the last has outputs.
pub(crate) fn logits(
    layers: &[Layer],
    columns: &[u32],
    values: &[f32],
    out: &mut [f32],
    scratch: &mut Activations,
) {
    let Activations { before, after, products } = scratch;
    for (n, layer) in layers.iter().enumerate() {
        let input = if n == 0 { Input::Sparse { columns, values } } else { Input::Dense(before) };
        if n + 1 == layers.len() {
            layer.matrix.multiply(input, &layer.bias, out, products);
            return;
        }
        after.resize(layer.bias.len(), 0.0);
        layer.matrix.multiply(input, &layer.bias, after, products);
        for x in after.iter_mut() {
            *x = x.max(0.0);
        }
        std::mem::swap(before, after);
    }
}
