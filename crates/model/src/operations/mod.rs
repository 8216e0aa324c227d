//! What a pass does with tensors: each operation as burn has it, and in the memory of this process.
//!
//! On a CPU burn makes a tensor for every product, sum and exponential of an operation, and goes over each on one thread.
//! The second way is one operation in burn's graph, with its derivative beside it ([`host`](nlpress_core::backend::host)); its loops
//! are those of [`nlpress_kernels::dense`]. The tests here hold the two against each other.
//!
//! Rows are shared out to the threads of the current pool in parts that depend on their number alone, so that any number
//! of threads gives the same bits.

mod affine;
mod attend;
mod norm;
mod outer;
mod pool;
#[cfg(test)]
mod tests;

use nlpress_core::BackendKind;
use rayon::prelude::*;

pub(crate) use affine::{Projection, activate, affine, product, project};
pub(crate) use attend::attend;
pub(crate) use norm::{layer_norm, norm};
pub(crate) use outer::{Outer, Slot};
pub(crate) use pool::pool;

/// How operations are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By operations of burn.
    Burn,
    /// In the memory of this process, where this backend has its tensors.
    Host(BackendKind),
}

/// Rows that a thread takes at a time, at most.
const PART: usize = 512;

/// Calls `f` for parts of `out` `[rows, width]`, perhaps on several threads, with the first row of each.
fn by_rows(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = out.len() / width.max(1);
    if rows == 0 {
        return;
    }
    let part = rows.div_ceil(rows.div_ceil(PART));
    out.par_chunks_mut(part * width).enumerate().for_each(|(n, out)| f(n * part, out));
}
