//! Derivatives by weights, as the factors that they are products of.

use nlpress_kernels::dense::{View, ViewMut, product};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The factors of `inputsᵀ · upstream`.
#[derive(Clone, Debug)]
pub(crate) struct Outer {
    /// `[rows, inputs]`.
    pub(crate) inputs: Vec<f32>,
    /// `[rows, outputs]`.
    pub(crate) upstream: Vec<f32>,
    /// Inputs and outputs.
    pub(crate) shape: [usize; 2],
}

/// Where an operation of a pass leaves the factors of its weight's derivative.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Outer>>>);

impl Slot {
    /// Keeps the factors.
    pub(crate) fn put(&self, outer: Outer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outer);
    }

    pub(crate) fn take(&self) -> Option<Outer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Outer {
    /// Writes some of its numbers, of whole rows.
    pub(crate) fn write(&self, numbers: Range<usize>, out: &mut [f32]) {
        let [inputs, outputs] = self.shape;
        let (first, count, rows) =
            (numbers.start / outputs, numbers.len() / outputs, self.inputs.len() / inputs);
        let of_tile = View::part(&self.inputs[first..], (rows, count), inputs).transposed();
        product(1.0, of_tile, View::new(&self.upstream, rows, outputs), ViewMut::new(out, count, outputs));
    }
}
