//! One bit for each entry.

use super::{Given, Lookup, Shape, bytes_part};
use crate::PackError;
use crate::body::{Element, Lists, Mask};
use crate::parts::{Dtype, Part};

pub(super) fn bytes(shape: Shape) -> usize {
    (shape.inputs * shape.outputs).div_ceil(8)
}

pub(super) fn write<T: Element>(shape: Shape, lists: &Lists<T>) -> Part<'static> {
    let mut mask = Mask::empty(shape.inputs * shape.outputs);
    lists.visit(|row, column, _| mask.set(row * shape.outputs + column));
    bytes_part("mask", mask.0)
}

/// Starts and columns from the bits of a mask that keeps as many entries as values are given.
pub(super) fn read<'a>(
    shape: Shape,
    given: &Given<'_>,
    lookup: &mut impl Lookup<'a>,
) -> Result<(Vec<u32>, Vec<u32>), PackError> {
    let Shape { inputs, outputs } = shape;
    let part = Part::take("mask", lookup)?;
    part.expect(Dtype::U8, &[bytes(shape)])?;
    let mask = &part.bytes;
    let tail = (inputs * outputs) % 8;
    if tail != 0 && mask.last().is_some_and(|last| last >> tail != 0) {
        return Err(PackError::MaskTail);
    }
    let found = mask.iter().map(|b| b.count_ones() as usize).sum();
    if !given.are(found) {
        return Err(PackError::Popcount { found, expected: given.most() });
    }
    let mut starts = Vec::with_capacity(inputs + 1);
    let mut columns = Vec::with_capacity(found);
    let mut end = 0;
    for (byte, &bits) in mask.iter().enumerate() {
        let mut bits = bits;
        while bits != 0 {
            let entry = byte * 8 + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            while entry >= end {
                starts.push(columns.len() as u32);
                end += outputs;
            }
            columns.push((entry + outputs - end) as u32);
        }
    }
    starts.resize(inputs + 1, columns.len() as u32);
    Ok((starts, columns))
}
