//! The first site of a multi-layer perceptron, which reads feature rows, on the CPU.
//!
//! It is linear in a constant input, so its product and its gradient need no graph; both run on the rows where they lie
//! ([`kernel`]).

use nlpress_graph::Shape;
use nlpress_text::Rows;
use std::sync::Arc;

use super::Network;
use super::factors::{Part, Sums};
use super::parameters::Derivative;
use super::start::Start;
use crate::kernel;

/// Below this share of non-zeros the sparse product is the faster one.
const SPARSE_BELOW: f64 = 0.25;
/// With fewer outputs, register tiles have nothing to fill them.
const TILED_OUTPUTS: usize = 16;

impl Network {
    /// Pre-activation of the first site, `[indices, outputs]`, of rows that fit and are as it takes them. Rows with gaps
    /// that it needs without are left in `dense`.
    pub(super) fn first_site(&self, rows: &Rows, indices: &[usize], dense: &mut Vec<f32>) -> Vec<f32> {
        let site = &self.sites[0];
        let mut out = vec![0.0; indices.len() * site.shape.outputs];
        let is_sparse = self.is_sparse(rows);
        if !is_sparse && !is_full(rows) {
            rows.densify(indices.iter().copied(), dense);
        }
        self.placed(0).with_numbers(|weight, bias| {
            if is_sparse {
                let rows = indices.iter().map(|i| rows.row(*i));
                kernel::rows_times_weight(rows, weight, bias, &mut out);
            } else {
                kernel::full_rows_times_weight(&full_rows(rows, indices, dense), weight, bias, &mut out);
            }
        });
        out
    }

    /// The derivative by the first site's weight and bias.
    pub(super) fn first_site_derivative(
        &self,
        (rows, indices): (&Rows, &[usize]),
        Start { rounded, dense, .. }: &Start,
        upstream: &Arc<Vec<f32>>,
    ) -> Derivative {
        // The weight's gradient is by what it was multiplied with.
        let (rows, indices) = rounded.as_ref().map_or((rows, indices), |(rows, all)| (rows, all));
        let Shape { inputs, outputs, .. } = self.sites[0].shape;
        let weight = if self.is_sparse(rows) {
            let entries = (0..).zip(indices).flat_map(|(place, i)| {
                let row = rows.row(*i);
                row.columns.iter().zip(row.values).map(move |(column, value)| (*column, place, *value))
            });
            Part::Sums(Sums::of(inputs, entries, (upstream.clone(), outputs)))
        } else {
            let mut weight = vec![0.0; inputs * outputs];
            let rows = full_rows(rows, indices, dense);
            kernel::add_full_weight_gradient(&rows, upstream, outputs, &mut weight);
            Part::Numbers(weight)
        };
        let mut bias = vec![0.0; outputs];
        for row in upstream.chunks_exact(outputs) {
            bias.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        Derivative::Made { weight, bias }
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
