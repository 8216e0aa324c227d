//! Which form in memory is the fastest: constants measured by `benches/multiply.rs`.

use super::{Body, Chunks, Element, Group, Held, Lists, Panels, Strips};
use crate::kernels::{LANES, has_panels};

// Measured with 20 and 100 of 1000 activations not zero, and with all and half of 384, 1000 and 128: where the two
// differ, a value between them. The table in `docs/sparse.md` is what they are from.
impl Element for f32 {
    const GROUPS: &'static [Group] = &[Group { inputs: 8, cost: [40, 36] }];
    const SLOTS: usize = 1;
    const ROWS_FROM: usize = 22;
    const STRIP_COST: usize = 8;
    const DENSE: Held = Held::Rows;
}
impl Element for i8 {
    const GROUPS: &'static [Group] =
        &[Group { inputs: 16, cost: [120, 120] }, Group { inputs: 32, cost: [180, 180] }];
    const SLOTS: usize = 4;
    const ROWS_FROM: usize = 80;
    const STRIP_COST: usize = 20;
    const DENSE: Held = Held::Tiles;
}
impl Element for i32 {
    const GROUPS: &'static [Group] = &[Group { inputs: 8, cost: [0, 0] }];
    const SLOTS: usize = 1;
    const ROWS_FROM: usize = 8;
    const STRIP_COST: usize = 8;
    const DENSE: Held = Held::Rows;
}

/// So many panels are made for any matrix; more only for at least as many kept entries, so that memory is never
/// taken for what outputs merely claim.
pub(crate) const FEW_PANELS: usize = 4096;

/// Kept entries of a vector from which on it is faster than as many entries of a list.
const FILLED: usize = 3;
/// What a step costs with narrow values beside what it does with others: their panels are no faster, and the form with
/// all zeros is.
const NARROW_COST: (usize, usize) = (3, 2);
/// Bytes that stay in a cache near enough for its speed not to matter.
const CACHED: usize = 1 << 20;

impl<T: Element> Panels<T> {
    /// The panels with the groups that multiply the fastest, and their cost beside that of eight values of a
    /// matrix that is held with its zeros, in 1/16.
    pub(crate) fn cheapest(lists: &Lists<T>, outputs: usize) -> (Self, usize) {
        let cached = lists.inputs() * outputs * size_of::<T>() <= CACHED;
        let all = T::GROUPS.iter().map(|group| {
            let panels = Self::new(lists, outputs, group.inputs);
            let cost = panels.groups.len() * group.cost[usize::from(!cached)];
            (panels, cost)
        });
        all.min_by_key(|(_, cost)| *cost).expect("every type has groups of some size")
    }
}

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

    /// The form that is the fastest for rows of activations that are mostly not zero. With `narrow`, values are
    /// integers of up to 4 bits.
    pub(crate) fn for_dense_rows(self, inputs: usize, outputs: usize, narrow: bool) -> Self {
        if !has_panels() || outputs == 1 || T::GROUPS[0].cost == [0, 0] {
            return self;
        }
        let (entries, kept) = (inputs * outputs, self.kept(inputs, outputs));
        if outputs.div_ceil(LANES) > kept.max(FEW_PANELS) {
            return self;
        }
        if kept < entries {
            let (panels, cost) = Panels::cheapest(&self.to_lists(inputs, outputs), outputs);
            let cost = if narrow { cost * NARROW_COST.0 / NARROW_COST.1 } else { cost };
            if cost < inputs * outputs.div_ceil(LANES) * 16 {
                return Body::Panels(panels);
            }
        }
        self.held_as(T::DENSE, inputs, outputs)
    }
}
