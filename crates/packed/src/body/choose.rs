//! Which form in memory is the fastest: constants measured by `benches/multiply.rs`.

use super::{Body, Chunks, Element, Held, Lists, Panels, Strips};
use crate::kernels::{LANES, has_panels};

// Measured with 20 and 100 of 1000 activations not zero, and with all and half of 384, 1000 and 128: where the two
// differ, a value between them. The table in `docs/sparse.md` is what they are from.
impl Element for f32 {
    const GROUP: usize = 8;
    const SLOTS: usize = 1;
    const ROWS_FROM: usize = 22;
    const STRIP_COST: usize = 8;
    const STEP_COST: [usize; 2] = [40, 36];
    const DENSE: Held = Held::Rows;
}
impl Element for i8 {
    const GROUP: usize = 16;
    const SLOTS: usize = 4;
    const ROWS_FROM: usize = 80;
    const STRIP_COST: usize = 20;
    const STEP_COST: [usize; 2] = [120, 120];
    const DENSE: Held = Held::Tiles;
}
impl Element for i32 {
    const GROUP: usize = 8;
    const SLOTS: usize = 1;
    const ROWS_FROM: usize = 8;
    const STRIP_COST: usize = 8;
    const STEP_COST: [usize; 2] = [0, 0];
    const DENSE: Held = Held::Rows;
}

/// So many panels are made for any matrix; more only for at least as many kept entries, so that memory is never
/// taken for what outputs merely claim.
const FEW_PANELS: usize = 4096;

/// Kept entries of a vector from which on it is faster than as many entries of a list.
const FILLED: usize = 3;
/// Bytes that stay in a cache near enough for its speed not to matter.
const CACHED: usize = 1 << 20;

impl<T: Element> Body<T> {
    /// The form that is the fastest for sparse rows of activations.
    pub(crate) fn sparse(lists: Lists<T>, outputs: usize) -> Self {
        let (inputs, kept) = (lists.inputs(), lists.values.len());
        let strips = lists.strips();
        if strips * FILLED <= kept && strips * T::STRIP_COST < inputs * outputs.div_ceil(LANES) {
            return Body::Strips(Strips::new(&lists));
        }
        if kept < inputs * outputs / T::ROWS_FROM {
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
        if outputs.div_ceil(LANES) > kept.max(FEW_PANELS) {
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
