//! A count for each row, and for each kept entry the gap from the one before it in its row.
//!
//! The gap is how many entries lie between the two, or before the first. Counts and gaps are each one run of
//! [`codes`](crate::codes). Blocks use the same for their rows of blocks.

use super::{bytes_part, take_bytes};
use crate::lists::Lists;
use crate::numbers::Number;
use crate::part::{Lookup, Part};
use crate::shape::Shape;
use crate::{PackError, codes};

/// Fewest bits of a count: so a matrix never has more rows than its part of counts has bits.
const COUNT_BITS: usize = 1;
/// Fewest bits of a gap: each has a value, which is backed by bytes of its own.
const GAP_BITS: usize = 0;

/// Bytes of the two parts.
pub(super) fn bytes<T: Number>(lists: &Lists<T>) -> usize {
    let (counts, gaps) = split(&lists.starts, &lists.columns);
    codes::measure(&counts, COUNT_BITS) + codes::measure(&gaps, GAP_BITS)
}

pub(super) fn write(starts: &[u32], columns: &[u32]) -> [Part<'static>; 2] {
    let (counts, gaps) = split(starts, columns);
    [
        bytes_part("counts", codes::write(&counts, COUNT_BITS)),
        bytes_part("gaps", codes::write(&gaps, GAP_BITS)),
    ]
}

/// Starts and columns of at most `most` entries, whose number `fits`.
pub(super) fn read<'a>(
    shape: Shape,
    most: usize,
    fits: impl Fn(usize) -> bool,
    lookup: &mut impl Lookup<'a>,
) -> Result<(Vec<u32>, Vec<u32>), PackError> {
    let Shape { inputs, outputs } = shape;
    let counts = codes::read("counts", &take_bytes("counts", lookup)?.bytes, inputs, COUNT_BITS)?;
    let found: u64 = counts.iter().map(|&n| u64::from(n)).sum();
    let kept = usize::try_from(found).ok().filter(|&kept| kept <= inputs * outputs && fits(kept));
    let Some(kept) = kept else { return Err(PackError::Counts { found, expected: most }) };
    let mut columns = codes::read("gaps", &take_bytes("gaps", lookup)?.bytes, kept, GAP_BITS)?;
    let mut starts = Vec::with_capacity(inputs + 1);
    starts.push(0);
    let mut end = 0;
    for (row, &count) in counts.iter().enumerate() {
        let mut next = 0u32;
        let start = end as usize;
        end += count;
        for gap in &mut columns[start..end as usize] {
            // Both are less than 2^31: a column is at most `outputs`, which is at most 2^28.
            let column = next + *gap;
            if column as usize >= outputs {
                return Err(PackError::Columns { row, column: column as usize, outputs });
            }
            *gap = column;
            next = column + 1;
        }
        starts.push(end);
    }
    Ok((starts, columns))
}

fn split(starts: &[u32], columns: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let counts = starts.windows(2).map(|ends| ends[1] - ends[0]).collect();
    let mut gaps = Vec::with_capacity(columns.len());
    for ends in starts.windows(2) {
        let mut next = 0;
        for &column in &columns[ends[0] as usize..ends[1] as usize] {
            gaps.push(column - next);
            next = column + 1;
        }
    }
    (counts, gaps)
}
