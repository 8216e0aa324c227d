//! Whole blocks: a count for each row of blocks (a band), a gap for each block, the values of a block row-major.
//!
//! Blocks lie on a fixed grid from the first entry on. Those at the edges reach beyond the matrix; what lies
//! beyond is stored as zeros and must be.

use super::{Given, csr};
use crate::PackError;
use crate::lists::Lists;
use crate::numbers::Number;
use crate::part::{Lookup, Part};
use crate::shape::Shape;

/// All entries of the blocks in which anything is kept.
pub(super) fn cover(shape: Shape, rows: usize, columns: usize, keep: &[bool]) -> Vec<bool> {
    let Shape { inputs, outputs } = shape;
    let mut all = vec![false; keep.len()];
    for top in (0..inputs).step_by(rows) {
        let rows = top..inputs.min(top + rows);
        for left in (0..outputs).step_by(columns) {
            let columns = left..outputs.min(left + columns);
            let of = |row: usize| row * outputs + columns.start..row * outputs + columns.end;
            if rows.clone().any(|row| keep[of(row)].contains(&true)) {
                rows.clone().for_each(|row| all[of(row)].fill(true));
            }
        }
    }
    all
}

pub(super) fn write<T: Number>(
    shape: Shape,
    rows: usize,
    columns: usize,
    lists: &Lists<T>,
) -> (Vec<T>, Vec<Part<'static>>) {
    let (mut starts, mut blocks, mut values) = (vec![0], Vec::new(), Vec::new());
    for top in (0..shape.inputs).step_by(rows) {
        // Blocks are kept whole, so the first row of a band has a column of each.
        let first = blocks.len();
        for &column in lists.row(top).0 {
            let block = column / columns as u32;
            if blocks[first..].last() != Some(&block) {
                blocks.push(block);
            }
        }
        let from = values.len();
        let size = rows * columns;
        values.resize(from + (blocks.len() - first) * size, T::default());
        for row in top..shape.inputs.min(top + rows) {
            let mut block = 0;
            let (all, numbers) = lists.row(row);
            for (&column, &value) in all.iter().zip(numbers) {
                while blocks[first + block] < column / columns as u32 {
                    block += 1;
                }
                let at = from + block * size + (row - top) * columns + column as usize % columns;
                values[at] = value;
            }
        }
        starts.push(blocks.len() as u32);
    }
    (values, csr::write(&starts, &blocks).into())
}

pub(super) fn read<'a, T: Number>(
    shape: Shape,
    rows: usize,
    columns: usize,
    given: &Given<'_>,
    lookup: &mut impl Lookup<'a>,
    decode: impl Fn(&[u8], usize) -> Result<Vec<T>, PackError>,
) -> Result<Lists<T>, PackError> {
    let Shape { inputs, outputs } = shape;
    let grid = Shape { inputs: inputs.div_ceil(rows), outputs: outputs.div_ceil(columns) };
    let size = rows * columns;
    let fits = |blocks: usize| blocks.checked_mul(size).is_some_and(|count| given.are(count));
    let (starts, blocks) = csr::read(grid, given.most() / size, fits, lookup)?;
    let values = decode(given.bytes, blocks.len() * size)?;
    let mut lists = Lists { starts: vec![0], columns: Vec::new(), values: Vec::new() };
    for (band, ends) in starts.windows(2).enumerate() {
        let ends = ends[0] as usize..ends[1] as usize;
        for row in 0..rows {
            for at in ends.clone() {
                let left = blocks[at] as usize * columns;
                let inside = if band * rows + row < inputs { columns.min(outputs - left) } else { 0 };
                let values = &values[at * size + row * columns..][..columns];
                if values[inside..].iter().any(|v| *v != T::default()) {
                    return Err(PackError::Padding("values"));
                }
                lists.columns.extend(left as u32..(left + inside) as u32);
                lists.values.extend_from_slice(&values[..inside]);
            }
            if band * rows + row < inputs {
                lists.starts.push(lists.values.len() as u32);
            }
        }
    }
    Ok(lists)
}
