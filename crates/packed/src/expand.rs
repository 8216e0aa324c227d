//! How much memory a matrix takes once it is read, told before it is: from its sides, its layout, and how many bytes its
//! values have in the file.

use crate::body::{Element, FEW_PANELS, QUAD, UNROLL};
use crate::kernels::LANES;
use crate::{Index, Per, Scheme, Values};

/// Bytes of a kept entry in the widest form that is made for few: a step of a panel that holds no other.
const LONELY: usize = 68;
/// Panels may take a little more than what they replace, in quarters.
const PANELS: (usize, usize) = (5, 4);

impl Scheme {
    /// At most so many bytes are held for the entries of a `[inputs, outputs]` matrix, in whatever form, when the values
    /// have `value_bytes` bytes in the file; scales, lists of numbers and outliers come on top. Saturates.
    pub fn expanded_bytes(self, inputs: usize, outputs: usize, value_bytes: usize) -> usize {
        let (size, rows_from) = match self.values {
            Values::Int(int) if !int.grid.is_wide() => (1, <i8 as Element>::ROWS_FROM),
            Values::Int(_) => (4, <i32 as Element>::ROWS_FROM),
            _ => (4, <f32 as Element>::ROWS_FROM),
        };
        let across = if outputs == 1 { 1 } else { whole(outputs, LANES) };
        let dense = whole(inputs, QUAD).saturating_mul(across).saturating_mul(size);
        if self.index == Index::Full {
            return dense;
        }
        let entries = inputs.saturating_mul(outputs);
        let kept = self.values.most(value_bytes).min(entries);
        let with_mask = dense.saturating_add(entries / 8 + 1);
        // Groups of scales are multiplied by as rows with all their zeros, however few entries are kept.
        let in_groups = matches!(self.values, Values::Int(int) if matches!(int.per, Per::Group(_)));
        if in_groups || kept >= entries / rows_from {
            return (with_mask / PANELS.1).saturating_mul(PANELS.0);
        }
        // Where panels are made, each with an entry is filled up to whole rounds of its loop, and each has its end.
        let panels = outputs.div_ceil(LANES).min(kept.max(FEW_PANELS));
        let padding = panels.min(kept).saturating_mul(UNROLL * LONELY).saturating_add(panels * 4);
        let rows = inputs.saturating_add(1).saturating_mul(4);
        let few = kept.saturating_mul(LONELY).saturating_add(rows).saturating_add(padding);
        few.min((with_mask / PANELS.1).saturating_mul(PANELS.0))
    }
}

fn whole(count: usize, of: usize) -> usize {
    count.checked_next_multiple_of(of).unwrap_or(usize::MAX)
}
