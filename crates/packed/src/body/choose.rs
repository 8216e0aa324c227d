//! Which form in memory is the fastest: constants measured by `benches/multiply.rs`.

use super::{Body, Chunks, Element, Lists, Panels, Strips};
use crate::Index;
use crate::kernels::{LANES, has_panels};

// Entries of a list cost about as much as one to two vectors of a row each, and each list has an overhead.
impl Element for f32 {
    const GROUP: usize = 8;
    const SLOTS: usize = 1;
    const ROWS_FROM: usize = 24;
    const STEP_COST: usize = 16;
}
impl Element for i8 {
    const GROUP: usize = 16;
    const SLOTS: usize = 4;
    const ROWS_FROM: usize = 64;
    const STEP_COST: usize = 16;
}
impl Element for i32 {
    const GROUP: usize = 8;
    const SLOTS: usize = 1;
    const ROWS_FROM: usize = 8;
    const STEP_COST: usize = 0;
}

/// Panels are considered when at least one in so many entries is kept: with fewer, most steps are empty, and the
/// panels themselves would take more memory than the entries.
const PANELS_FROM: usize = 256;

impl<T: Element> Body<T> {
    /// The form that is the fastest for sparse rows of activations.
    pub(crate) fn sparse(lists: Lists<T>, outputs: usize, index: Index) -> Self {
        let entries = lists.inputs() * outputs;
        let kept = lists.values.len();
        if kept < entries / T::ROWS_FROM {
            if matches!(index, Index::Block { columns: 4.., .. }) {
                return Body::Strips(Strips::new(&lists));
            }
            return Body::Lists(Chunks::new(&lists, outputs));
        }
        lists.expand(outputs)
    }

    /// The form that is the fastest for rows of activations that are mostly not zero.
    pub(crate) fn for_dense_rows(self, inputs: usize, outputs: usize) -> Self {
        let entries = inputs * outputs;
        let kept = self.kept(inputs, outputs);
        let one_column = outputs == 1;
        if !has_panels() || T::STEP_COST == 0 || one_column || kept == entries || kept < entries / PANELS_FROM
        {
            return self;
        }
        let panels = Panels::new(&self.to_lists(inputs, outputs), outputs);
        let vectors = inputs * outputs.div_ceil(LANES);
        if panels.groups.len() * T::STEP_COST < vectors * 16 { Body::Panels(panels) } else { self }
    }
}
