//! One bit for each entry.

use super::{Given, bytes_part};
use crate::PackError;
use crate::dtype::Dtype;
use crate::entries::Mask;
use crate::lists::Lists;
use crate::numbers::Number;
use crate::part::{Lookup, Part};
use crate::shape::Shape;

pub(super) fn bytes(shape: Shape) -> usize {
    (shape.inputs * shape.outputs).div_ceil(8)
}

pub(super) fn write<T: Number>(shape: Shape, lists: &Lists<T>) -> Part<'static> {
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
    let tail = (inputs * outputs) % 8;
    if tail != 0 && part.bytes.last().is_some_and(|last| last >> tail != 0) {
        return Err(PackError::MaskTail);
    }
    let mask = Mask(part.bytes.into_owned());
    let found = mask.0.iter().map(|b| b.count_ones() as usize).sum();
    if !given.are(found) {
        return Err(PackError::Popcount { found, expected: given.most() });
    }
    Ok(mask.lists(shape, found))
}
