//! The forward pass: the sites of an artifact in their order, on one row.

use crate::attention;
use nlpress_artifact::Layer;
use nlpress_kernels::{Aligned, Batch, Linear, Scratch as Products};
use nlpress_outline::{SiteId, Spec};
use nlpress_text::Rows;
use std::ops::Range;

/// A network that answers. The layers are those of an artifact, so their shapes fit the specification.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) spec: Spec,
    pub(crate) layers: Vec<Site>,
    /// Whether a site is the second factor of another, with nothing between them.
    follows_factor: Vec<bool>,
}

/// A site that multiplies.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) id: SiteId,
    pub(crate) weight: Linear,
    pub(crate) bias: Vec<f32>,
}

/// Memory for what lies between layers; it grows and never shrinks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activations {
    before: Aligned<f32>,
    after: Aligned<f32>,
    pub(crate) products: Products,
    pub(crate) attention: attention::Room,
}

impl Network {
    /// The network of an artifact. The first layer is laid out for sparse rows, the others for rows that are mostly not
    /// zero; of no other layer than the one at hand both the numbers and what is laid out are held.
    pub(crate) fn new(spec: Spec, layers: Vec<Layer>) -> Self {
        let follows_factor = layers.iter().map(|l| spec.ranks().contains_key(&l.id)).collect();
        let site = |(n, Layer { id, matrix, bias })| {
            let weight =
                if n == 0 { Linear::for_sparse_rows(matrix) } else { Linear::for_dense_rows(matrix) };
            Site { id, weight, bias }
        };
        let layers = layers.into_iter().enumerate().map(site).collect();
        Self { spec, layers, follows_factor }
    }

    /// The logits of one row; `out` has as many entries as the last layer has outputs.
    pub(crate) fn logits(&self, columns: &[u32], values: &[f32], out: &mut [f32], scratch: &mut Activations) {
        if let Spec::Attention(spec) = &self.spec {
            return attention::logits(self, spec, columns, values, out, scratch);
        }
        let offsets = &[0, columns.len()];
        self.forward(Batch::Sparse { offsets, columns, values }, 1, out, scratch);
    }

    /// The logits of consecutive rows, `[rows, outputs]`: what [`logits`](Network::logits) makes of each.
    pub(crate) fn logits_of(
        &self,
        rows: &Rows,
        range: Range<usize>,
        out: &mut [f32],
        scratch: &mut Activations,
    ) {
        if let Spec::Attention(_) = self.spec {
            for (row, out) in range.zip(out.chunks_exact_mut(self.spec.outputs())) {
                let row = rows.row(row);
                self.logits(row.columns, row.values, out, scratch);
            }
            return;
        }
        let offsets = &rows.offsets()[range.start..=range.end];
        let batch = Batch::Sparse { offsets, columns: rows.columns(), values: rows.values() };
        self.forward(batch, range.len(), out, scratch);
    }

    /// The logits of so many rows, by a chain of sites.
    fn forward(&self, first: Batch<'_>, rows: usize, out: &mut [f32], scratch: &mut Activations) {
        let Activations { before, after, products, .. } = scratch;
        let mut width = 0;
        for (n, layer) in self.layers.iter().enumerate() {
            let batch = if n == 0 { first } else { Batch::Dense(&before[..rows * width]) };
            if n + 1 == self.layers.len() {
                layer.weight.multiply_rows(batch, &layer.bias, out, products);
                return;
            }
            width = layer.bias.len();
            let out = after.room(rows * width);
            layer.weight.multiply_rows(batch, &layer.bias, out, products);
            if !self.follows_factor[n + 1] {
                relu(out);
            }
            std::mem::swap(before, after);
        }
    }

    /// Whether a site is the second factor of the one before it; false beyond the last.
    pub(crate) fn is_second_factor(&self, site: usize) -> bool {
        self.follows_factor.get(site).copied().unwrap_or(false)
    }
}

pub(crate) fn relu(values: &mut [f32]) {
    for x in values {
        *x = x.max(0.0);
    }
}
