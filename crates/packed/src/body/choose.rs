//! Which form in memory is the fastest: constants measured by `benches/multiply.rs`.

use super::{Body, Chunks, Element, Held, Lists, Panels, Strips};
use crate::Index;
use crate::kernels::{LANES, has_panels};

// Entries of a list cost about as much as one to two vectors of a row each, and each list has an overhead.
impl Element for f32 {
    const GROUP: usize = 8;
    const SLOTS: usize = 1;
    const ROWS_FROM: usize = 24;
    const STEP_COST: [usize; 2] = [48, 24];
    const DENSE: Held = Held::Rows;
}
impl Element for i8 {
    const GROUP: usize = 16;
    const SLOTS: usize = 4;
    const ROWS_FROM: usize = 64;
    const STEP_COST: [usize; 2] = [64, 64];
    const DENSE: Held = Held::Tiles;
}
impl Element for i32 {
    const GROUP: usize = 8;
    const SLOTS: usize = 1;
    const ROWS_FROM: usize = 8;
    const STEP_COST: [usize; 2] = [0, 0];
    const DENSE: Held = Held::Rows;
}

/// Panels are considered when at least one in so many entries is kept: with fewer, most steps are empty, and the
/// panels themselves would take more memory than the entries.
const PANELS_FROM: usize = 256;

/// Bytes that stay in a cache near enough for its speed not to matter.
const CACHED: usize = 1 << 20;

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
        if !has_panels() || outputs == 1 || T::STEP_COST == [0, 0] {
            return self;
        }
        let (entries, kept) = (inputs * outputs, self.kept(inputs, outputs));
        if kept < entries / PANELS_FROM {
            return self;
        }
        if kept < entries {
            let panels = Panels::new(&self.to_lists(inputs, outputs), outputs);
            let vectors = inputs * outputs.div_ceil(LANES);
            let cost = T::STEP_COST[usize::from(vectors * LANES * size_of::<T>() > CACHED)];
            if panels.groups.len() * cost < vectors * 16 {
                return Body::Panels(panels);
            }
        }
        self.held_as(T::DENSE, inputs, outputs)
    }
}
