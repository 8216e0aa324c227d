//! Which form in memory is the fastest: by what `benches/multiply.rs` measured (see [`Element`]).

use super::element::Element;
use super::panels::Panels;
use super::{Body, Held};
use crate::lanes::LANES;
use nlpress_packed::{Entries, Lists};

/// So many panels are made for any matrix; more only for at least as many kept entries, so that memory is never
/// taken for what outputs merely claim.
const FEW_PANELS: usize = 4096;

/// Kept entries of a vector from which on it is faster than as many entries of a list.
const FILLED: usize = 3;
/// What a step costs with narrow values beside what it does with others: their panels are no faster, and the form with
/// all zeros is.
const NARROW_COST: (usize, usize) = (3, 2);

impl<T: Element> Body<T> {
    /// The form that is the fastest for sparse rows of activations.
    pub(crate) fn for_sparse_rows(entries: Entries<T>, inputs: usize, outputs: usize) -> Self {
        match entries {
            Entries::Full(values) => Self::full(values, outputs),
            sparse => Self::sparse(&sparse.into_lists(inputs, outputs), outputs),
        }
    }

    /// The form that is the fastest for rows of activations that are mostly not zero. With `narrow`, values are
    /// integers of up to 4 bits; without `panels`, the processor has no fast loop for them.
    pub(crate) fn for_dense_rows(
        entries: Entries<T>,
        (inputs, outputs): (usize, usize),
        narrow: bool,
        panels: bool,
    ) -> Self {
        let fast = panels && outputs > 1 && T::GROUPS[0].cost != [0, 0];
        let lists = match entries {
            Entries::Full(_) if fast => return Self::held_as(entries, T::DENSE, inputs, outputs),
            Entries::Full(values) => return Self::full(values, outputs),
            sparse => sparse.into_lists(inputs, outputs),
        };
        let kept = lists.values.len();
        if !fast || outputs.div_ceil(LANES) > kept.max(FEW_PANELS) {
            return Self::sparse(&lists, outputs);
        }
        if kept < inputs * outputs {
            let (panels, cost) = Panels::cheapest(&lists, outputs);
            let cost = if narrow { cost * NARROW_COST.0 / NARROW_COST.1 } else { cost };
            if cost < inputs * outputs.div_ceil(LANES) * 16 {
                return Body::Panels(panels);
            }
        }
        Self::sparse_as(&lists, T::DENSE, outputs)
    }

    fn sparse(lists: &Lists<T>, outputs: usize) -> Self {
        let (inputs, kept) = (lists.inputs(), lists.values.len());
        let strips = strips(lists);
        let held = if strips * FILLED <= kept && strips * T::STRIP_COST < inputs * outputs.div_ceil(LANES) {
            Held::Strips
        } else if kept < inputs * outputs / T::ROWS_FROM {
            Held::Lists
        } else {
            Held::Rows
        };
        Self::sparse_as(lists, held, outputs)
    }
}

/// Vectors of eight outputs, over all rows, in which anything is kept.
fn strips<T: Element>(lists: &Lists<T>) -> usize {
    let vectors = |row| {
        let (columns, _) = lists.row(row);
        columns.chunk_by(|a, b| *a as usize / LANES == *b as usize / LANES).count()
    };
    (0..lists.inputs()).map(vectors).sum()
}
