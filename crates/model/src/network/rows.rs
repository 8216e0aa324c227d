//! The first site of a multi-layer perceptron, which reads feature rows.
//!
//! It is linear in a constant input, so its product and its gradient need no graph; on the CPU both run on the rows
//! where they lie ([`kernel`]).

use nlpress_graph::Shape;
use nlpress_text::Rows;

use super::start::Start;
use super::{Network, host};
use crate::{ModelError, kernel};

/// Below this share of non-zeros the sparse product is the faster one.
const SPARSE_BELOW: f64 = 0.25;
/// With fewer outputs, register tiles have nothing to fill them.
const TILED_OUTPUTS: usize = 16;

impl Network {
    /// Pre-activation of the first site, `[indices, outputs]`, of rows that fit and are as it takes them. Rows with gaps
    /// that it needs without are left in `dense`.
    pub(super) fn first_site(
        &self,
        rows: &Rows,
        indices: &[usize],
        dense: &mut Vec<f32>,
    ) -> Result<Vec<f32>, ModelError> {
        let site = &self.sites[0];
        if let Some(placed) = &site.on_device {
            rows.densify(indices.iter().copied(), dense);
            let input = self.tensor(dense.clone(), [indices.len(), rows.width()], &self.device);
            return host(placed.evaluate(input));
        }
        let mut out = vec![0.0; indices.len() * site.shape.outputs];
        if self.is_sparse(rows) {
            let rows = indices.iter().map(|i| rows.row(*i));
            kernel::rows_times_weight(rows, &site.weight, &site.bias, &mut out);
        } else {
            if !is_full(rows) {
                rows.densify(indices.iter().copied(), dense);
            }
            kernel::full_rows_times_weight(
                &full_rows(rows, indices, dense),
                &site.weight,
                &site.bias,
                &mut out,
            );
        }
        Ok(out)
    }

    /// Appends the gradient of the first site's weight and bias to `flat`.
    pub(super) fn first_site_gradient(
        &self,
        (rows, indices): (&Rows, &[usize]),
        Start { rounded, dense, .. }: &Start,
        upstream: &[f32],
        flat: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        // The weight's gradient is by what it was multiplied with.
        let (rows, indices) = rounded.as_ref().map_or((rows, indices), |(rows, all)| (rows, all));
        let Shape { inputs, outputs, .. } = self.sites[0].shape;
        if self.sites[0].on_device.is_some() {
            let input = self.tensor(dense.clone(), [indices.len(), inputs], &self.device);
            let upstream = self.tensor(upstream.to_vec(), [indices.len(), outputs], &self.device);
            flat.extend(host(input.transpose().matmul(upstream))?);
        } else {
            let start = flat.len();
            flat.resize(start + inputs * outputs, 0.0);
            if self.is_sparse(rows) {
                let rows = indices.iter().map(|i| rows.row(*i));
                kernel::add_weight_gradient(rows, upstream, outputs, &mut flat[start..]);
            } else {
                let rows = full_rows(rows, indices, dense);
                kernel::add_full_weight_gradient(&rows, upstream, outputs, &mut flat[start..]);
            }
        }
        let start = flat.len();
        flat.resize(start + outputs, 0.0);
        for row in upstream.chunks_exact(outputs) {
            flat[start..].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        Ok(())
    }

    fn is_sparse(&self, rows: &Rows) -> bool {
        rows.density() < SPARSE_BELOW || self.sites[0].shape.outputs < TILED_OUTPUTS
    }
}

/// Whether no entry of the rows is left out, so that a row's values are the row.
fn is_full(rows: &Rows) -> bool {
    rows.nonzeros() == rows.len() * rows.width()
}

/// The rows as plain slices: where they lie if they have no gaps, else in `dense`.
fn full_rows<'a>(rows: &'a Rows, indices: &[usize], dense: &'a [f32]) -> Vec<&'a [f32]> {
    if is_full(rows) {
        return indices.iter().map(|i| rows.row(*i).values).collect();
    }
    dense.chunks_exact(rows.width()).collect()
}
