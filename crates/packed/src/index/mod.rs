//! Which entries are stored, and where: one file for each index, with how it is written and how it is read with
//! nothing believed. All of them turn into [`Lists`], row by row, and back.

mod bitmask;
mod block;
mod csr;
mod nm;

use crate::dtype::Dtype;
use crate::lists::Lists;
use crate::numbers::Number;
use crate::part::{Lookup, Part};
use crate::shape::Shape;
use crate::{Index, PackError, Values};
use std::borrow::Cow;

/// The entries that an index stores when it has to store those of `keep`.
pub(crate) fn cover(index: Index, shape: Shape, keep: &[bool]) -> Result<Cow<'_, [bool]>, PackError> {
    match index {
        Index::Block { rows, columns } => {
            Ok(Cow::Owned(block::cover(shape, rows.into(), columns.into(), keep)))
        }
        Index::Nm { n, m } => nm::cover(shape, n.into(), m.into(), keep).map(Cow::Owned),
        _ => Ok(Cow::Borrowed(keep)),
    }
}

/// Patterns that [`Index::Sparse`] looks for: blocks, and groups of inputs.
const BLOCKS: [(u8, u8); 7] = [(4, 8), (4, 4), (8, 8), (1, 8), (8, 1), (4, 1), (1, 4)];
const GROUPS: [u8; 3] = [4, 8, 16];

/// The definite index that `index` means for these entries: the smallest, measured. Blocks and groups are among them
/// only where the entries are whole ones, so that no zero is stored for their sake, and where `patterns` are allowed.
pub(crate) fn resolve<T: Number>(index: Index, shape: Shape, lists: &Lists<T>, patterns: bool) -> Index {
    if index != Index::Sparse {
        return index;
    }
    let mut best = (csr::bytes(lists), Index::Csr);
    let mut consider = |bytes: usize, index: Index| {
        if bytes < best.0 {
            best = (bytes, index);
        }
    };
    consider(bitmask::bytes(shape), Index::Bitmask);
    let count = lists.values.len();
    if count == 0 || !patterns {
        return best.1;
    }
    let mut keep = vec![false; shape.inputs * shape.outputs];
    lists.visit(|row, column, _| keep[row * shape.outputs + column] = true);
    let blocks = BLOCKS.into_iter().map(|(rows, columns)| Index::Block { rows, columns });
    let groups = GROUPS.into_iter().filter_map(|m| {
        let n = (count * usize::from(m)).div_ceil(keep.len());
        (n < usize::from(m)).then_some(Index::Nm { n: n as u8, m })
    });
    for pattern in blocks.chain(groups) {
        if cover(pattern, shape, &keep).is_ok_and(|all| *all == keep[..]) {
            let (values, parts) = write(pattern, shape, lists.clone());
            if values.len() == count {
                consider(parts.iter().map(|p| p.bytes.len()).sum(), pattern);
            }
        }
    }
    best.1
}

/// The values in the order in which the index stores them, and the parts that say where they are. `index` is
/// neither full nor sparse.
pub(crate) fn write<T: Number>(index: Index, shape: Shape, lists: Lists<T>) -> (Vec<T>, Vec<Part<'static>>) {
    match index {
        Index::Block { rows, columns } => block::write(shape, rows.into(), columns.into(), &lists),
        Index::Nm { n, m } => nm::write(shape, n.into(), m.into(), &lists),
        Index::Bitmask => {
            let parts = vec![bitmask::write(shape, &lists)];
            (lists.values, parts)
        }
        Index::Csr | Index::Sparse | Index::Full => {
            let parts = csr::write(&lists.starts, &lists.columns).into();
            (lists.values, parts)
        }
    }
}

/// Values that are given in bytes, which their index counts.
pub(crate) struct Given<'a> {
    pub(crate) kind: Values,
    pub(crate) bytes: &'a [u8],
}

impl Given<'_> {
    /// Most values that the bytes may be: where several share a byte, a few less may be meant.
    pub(crate) fn most(&self) -> usize {
        self.kind.most(self.bytes.len())
    }

    /// Whether the bytes are exactly so many values.
    pub(crate) fn are(&self, count: usize) -> bool {
        count <= self.most() && self.kind.bytes(count) == self.bytes.len()
    }
}

/// Reads the entries of an index that is neither full nor sparse; `decode` makes the numbers.
pub(crate) fn read<'a, T: Number>(
    index: Index,
    shape: Shape,
    given: &Given<'_>,
    lookup: &mut impl Lookup<'a>,
    decode: impl Fn(&[u8], usize) -> Result<Vec<T>, PackError>,
) -> Result<Lists<T>, PackError> {
    match index {
        Index::Block { rows, columns } => {
            block::read(shape, rows.into(), columns.into(), given, lookup, decode)
        }
        Index::Nm { n, m } => nm::read(shape, n.into(), m.into(), given, lookup, decode),
        Index::Bitmask => {
            let (starts, columns) = bitmask::read(shape, given, lookup)?;
            let values = decode(given.bytes, columns.len())?;
            Ok(Lists { starts, columns, values })
        }
        Index::Csr | Index::Sparse | Index::Full => {
            let fits = |count| given.are(count);
            let (starts, columns) = csr::read(shape, given.most(), fits, lookup)?;
            let values = decode(given.bytes, columns.len())?;
            Ok(Lists { starts, columns, values })
        }
    }
}

/// A part of bytes or bits, whatever their count.
fn take_bytes<'a>(name: &'static str, lookup: &mut impl Lookup<'a>) -> Result<Part<'a>, PackError> {
    let part = Part::take(name, lookup)?;
    let length = part.bytes.len();
    part.expect(Dtype::U8, &[length])?;
    Ok(part)
}

fn bytes_part(name: &'static str, bytes: Vec<u8>) -> Part<'static> {
    Part { name, dtype: Dtype::U8, shape: vec![bytes.len()], bytes: Cow::Owned(bytes) }
}
