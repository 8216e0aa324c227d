//! Number types that are multiplied, with what was measured for each.

use super::held::Held;
use nlpress_packed::Number;

/// Number types that are multiplied.
pub(crate) trait Element: Number {
    /// What a step of a panel can pick from, the fewest inputs first.
    const GROUPS: &'static [Group];
    /// Values of one output in a step of a panel.
    const SLOTS: usize;
    /// A sparse matrix is held as rows rather than lists when at least one in so many entries is kept.
    const ROWS_FROM: usize;
    /// What a strip costs beside eight values of a row.
    const STRIP_COST: usize;
    /// The form with all zeros that is the fastest for activations that are mostly not zero.
    const DENSE: Held;
}

/// Inputs that a step of a panel picks from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// How many, one after the other.
    pub(crate) inputs: usize,
    /// What a step costs beside eight values of a matrix that is held with its zeros, in 1/16: where all of those
    /// stay in a cache, and where they do not. Zeros where panels have no fast loop.
    pub(crate) cost: [usize; 2],
}

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
