//! Sparse feature rows times dense weights, and the gradient of that product: the two loops that burn has no
//! operation for.
//!
//! Text rows have a few dozen non-zeros among a thousand features, so the first layer of a network over them
//! costs a few percent of the dense product. Both loops go through the rows in order: the result does not
//! depend on the machine's thread count. `pulp` picks the instruction set at run time.

use nlpress_text::Rows;
use pulp::Arch;

/// `out[i] = rows[indices[i]] · weight + bias`, with `weight` `[width, outputs]` and `out` `[indices, outputs]`.
///
/// # Panics
/// When a length does not fit; lengths are proven by the caller.
pub fn rows_times_weight(rows: &Rows, indices: &[usize], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    let outputs = bias.len();
    assert_eq!(out.len(), indices.len() * outputs);
    assert_eq!(weight.len(), rows.width() * outputs);
    Arch::new().dispatch(|| {
        for (&i, out) in indices.iter().zip(out.chunks_exact_mut(outputs)) {
            out.copy_from_slice(bias);
            let row = rows.row(i);
            for (&column, &value) in row.columns.iter().zip(row.values) {
                let start = column as usize * outputs;
                axpy(value, &weight[start..start + outputs], out);
            }
        }
    });
}

/// Adds `rows[indices]ᵀ · upstream` to `gradient` `[width, outputs]`, and the column sums to `bias_gradient`.
///
/// # Panics
/// When a length does not fit.
pub fn add_weight_gradient(
    rows: &Rows,
    indices: &[usize],
    upstream: &[f32],
    gradient: &mut [f32],
    bias_gradient: &mut [f32],
) {
    let outputs = bias_gradient.len();
    assert_eq!(upstream.len(), indices.len() * outputs);
    assert_eq!(gradient.len(), rows.width() * outputs);
    Arch::new().dispatch(|| {
        for (&i, upstream) in indices.iter().zip(upstream.chunks_exact(outputs)) {
            let row = rows.row(i);
            for (&column, &value) in row.columns.iter().zip(row.values) {
                let start = column as usize * outputs;
                axpy(value, upstream, &mut gradient[start..start + outputs]);
            }
            axpy(1.0, upstream, bias_gradient);
        }
    });
}

#[inline(always)]
fn axpy(a: f32, x: &[f32], y: &mut [f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}
