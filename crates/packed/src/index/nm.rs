//! Of every `m` consecutive inputs of one output, `n`: their positions in the group, in as few bits as hold one.
//!
//! Groups run along the inputs, the axis that is summed over, so that every output has as many values as any
//! other. Order: all outputs of the first `m` inputs, then of the next; within a group the positions ascend.
//! A last group of fewer inputs than `n` stores all of them.

use super::{Given, bytes_part};
use crate::dtype::Dtype;
use crate::lists::Lists;
use crate::numbers::Number;
use crate::part::{Lookup, Part};
use crate::scheme::{position_bits, slots};
use crate::shape::Shape;
use crate::{PackError, codes};

/// The kept entries, and the first others of each group until it has as many as are stored.
pub(super) fn cover(shape: Shape, n: usize, m: usize, keep: &[bool]) -> Result<Vec<bool>, PackError> {
    let Shape { inputs, outputs } = shape;
    let mut all = keep.to_vec();
    for (group, top) in (0..inputs).step_by(m).enumerate() {
        let rows = top..inputs.min(top + m);
        let stored = n.min(rows.len());
        for output in 0..outputs {
            let kept = rows.clone().filter(|row| keep[row * outputs + output]).count();
            if kept > n {
                return Err(PackError::Crowded { output, group, found: kept, n, m });
            }
            let others = rows.clone().filter(|row| !keep[row * outputs + output]);
            others.take(stored - kept).for_each(|row| all[row * outputs + output] = true);
        }
    }
    Ok(all)
}

pub(super) fn write<T: Number>(
    shape: Shape,
    n: usize,
    m: usize,
    lists: &Lists<T>,
) -> (Vec<T>, Vec<Part<'static>>) {
    let Shape { inputs, outputs } = shape;
    let count = outputs * slots(inputs, n, m);
    let (mut values, mut positions) = (vec![T::default(); count], vec![0u8; count]);
    let mut filled = vec![0; outputs];
    for top in (0..inputs).step_by(m) {
        let rows = top..inputs.min(top + m);
        let (stored, from) = (n.min(rows.len()), top / m * n * outputs);
        filled.fill(0);
        for row in rows {
            let (columns, numbers) = lists.row(row);
            for (&column, &value) in columns.iter().zip(numbers) {
                let column = column as usize;
                let at = from + column * stored + filled[column];
                values[at] = value;
                positions[at] = (row - top) as u8;
                filled[column] += 1;
            }
        }
    }
    let bits = codes::write_fixed(positions.into_iter(), position_bits(m));
    (values, vec![bytes_part("positions", bits)])
}

pub(super) fn read<'a, T: Number>(
    shape: Shape,
    n: usize,
    m: usize,
    given: &Given<'_>,
    lookup: &mut impl Lookup<'a>,
    decode: impl Fn(&[u8], usize) -> Result<Vec<T>, PackError>,
) -> Result<Lists<T>, PackError> {
    let Shape { inputs, outputs } = shape;
    let (count, width) = (outputs * slots(inputs, n, m), position_bits(m));
    if !given.are(count) {
        return Err(PackError::PartShape {
            name: "values",
            found: vec![given.most()],
            expected: vec![count],
        });
    }
    let part = Part::take("positions", lookup)?;
    part.expect(Dtype::U8, &[(count * width).div_ceil(8)])?;
    let tail = count * width % 8;
    if tail != 0 && part.bytes.last().is_some_and(|last| last >> tail != 0) {
        return Err(PackError::Padding("positions"));
    }
    let values = decode(given.bytes, count)?;
    let mut lists = Lists { starts: vec![0], columns: Vec::new(), values: Vec::new() };
    let mut rows: Vec<Vec<(u32, T)>> = vec![Vec::new(); m];
    let mut at = 0;
    for (group, top) in (0..inputs).step_by(m).enumerate() {
        let inside = m.min(inputs - top);
        for output in 0..outputs {
            let mut next = 0;
            for _ in 0..n.min(inside) {
                let position = usize::from(codes::fixed_at(&part.bytes, at, width));
                if position < next || position >= inside {
                    return Err(PackError::Positions { output, group, position });
                }
                rows[position].push((output as u32, values[at]));
                next = position + 1;
                at += 1;
            }
        }
        for row in &mut rows[..inside] {
            for (column, value) in row.drain(..) {
                lists.columns.push(column);
                lists.values.push(value);
            }
            lists.starts.push(lists.values.len() as u32);
        }
    }
    Ok(lists)
}
