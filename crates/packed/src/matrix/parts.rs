//! A matrix as named runs of little-endian bytes.
//!
//! | part | what | when |
//! |---|---|---|
//! | `values` | `[inputs, outputs]`, or the stored ones `[stored]` in the order of the index | always |
//! | `scales` | f32 `[1]`, `[outputs]`, `[inputs]` or `[groups · outputs]` | integers |
//! | `zero_points` | i8, one for each scale | integers with zero points |
//! | `activations` | f32 `[1]`: the scale of the activations | integers whose activations have a static one |
//! | `outlier_inputs` | i32 `[outliers]`, ascending | integers with outliers |
//! | `outliers` | f16 `[outliers, outputs]`: their weights, zero where nothing is kept | integers with outliers |
//! | `numbers` | f16 `[lists · entries · width]` | codes |
//! | `mask` | one bit an entry, row-major, lowest bit first, the last byte filled with zeros | bitmask |
//! | `counts` | stored entries of each row, or blocks of each row of blocks, coded | csr, block |
//! | `gaps` | from each stored entry (or block) to the next in its row, coded | csr, block |
//! | `positions` | of each stored entry in its group, in bits | n:m |
//!
//! The code of counts and gaps is the shortest of fixed widths and Golomb codes, which its first byte names.
//! Integers of less than 8 bits are given as bytes, several in each. All parts together have [`Matrix::bytes`] bytes.

use super::{Matrix, Precision, Store};
use crate::dtype::Dtype;
use crate::entries::Entries;
use crate::numbers::{Number, brains, halves, shorts, whole};
use crate::part::Part;
use crate::quantized::Quantized;
use crate::shape::Shape;
use crate::{Grid, Index, Values, index};
use std::borrow::Cow;

impl Matrix {
    /// The matrix as it is written, in a fixed order: `values`, then what integers stand for, then the index.
    pub fn parts(&self) -> Vec<Part<'_>> {
        match &self.store {
            Store::Floats(entries, Precision::Whole) => self.write(entries, whole),
            Store::Floats(entries, Precision::Half) => self.write(entries, halves),
            Store::Floats(entries, Precision::Brain) => self.write(entries, brains),
            Store::Floats(entries, Precision::Codes(book)) => self
                .write(entries, |values| book.codebook.encode(&book.numbers, &values, self.outputs).into()),
            Store::Words(entries, Quantized { grid: Grid::Int16, .. }) => self.write(entries, shorts),
            Store::Words(entries, _) => self.write(entries, whole),
            Store::Bytes(entries, quantized) => {
                self.write(entries, |numbers| quantized.grid.encode(quantized.zero_points.is_some(), numbers))
            }
        }
    }

    fn write<'a, T: Number>(
        &'a self,
        entries: &'a Entries<T>,
        encode: impl Fn(Cow<'a, [T]>) -> Cow<'a, [u8]>,
    ) -> Vec<Part<'a>> {
        let Self { inputs, outputs, .. } = *self;
        let (values, places): (Cow<'_, [T]>, _) = match entries {
            Entries::Full(values) => (Cow::Borrowed(values), vec![]),
            Entries::Sparse(_) => {
                let shape = Shape { inputs, outputs };
                let (values, places) = index::write(self.index, shape, entries.to_lists(shape));
                (Cow::Owned(values), places)
            }
        };
        let kind = self.scheme().values;
        let count = values.len();
        let bytes = encode(values);
        let shape = match (kind, self.index) {
            (kind, _) if dtype_of(kind) == Dtype::U8 => vec![bytes.len()],
            (_, Index::Full) => vec![inputs, outputs],
            _ => vec![count],
        };
        let mut parts = vec![Part { name: "values", dtype: dtype_of(kind), shape, bytes }];
        if let Some(quantized) = self.quantization() {
            let floats = |name, all: &'a [f32]| {
                let bytes = whole(Cow::Borrowed(all));
                Part { name, dtype: Dtype::F32, shape: vec![all.len()], bytes }
            };
            parts.push(floats("scales", quantized.scales.all()));
            if let Some(points) = &quantized.zero_points {
                let bytes = whole(Cow::Borrowed(&points[..]));
                parts.push(Part { name: "zero_points", dtype: Dtype::I8, shape: vec![points.len()], bytes });
            }
            if let Some(scale) = &quantized.activations {
                parts.push(floats("activations", std::slice::from_ref(scale)));
            }
            if let Some(outliers) = &quantized.outliers {
                parts.extend(outliers.parts(outputs));
            }
        }
        if let Some(numbers) = self.codebook() {
            let bytes = halves(Cow::Borrowed(numbers));
            parts.push(Part { name: "numbers", dtype: Dtype::F16, shape: vec![numbers.len()], bytes });
        }
        parts.extend(places);
        parts
    }
}

/// What values are given as.
pub(super) fn dtype_of(values: Values) -> Dtype {
    match values {
        Values::F32 => Dtype::F32,
        Values::F16 => Dtype::F16,
        Values::Bf16 => Dtype::Bf16,
        Values::Codebook(_) => Dtype::U8,
        Values::Int(int) => match int.grid {
            Grid::Int32 => Dtype::I32,
            Grid::Int16 => Dtype::I16,
            Grid::Int8 => Dtype::I8,
            _ => Dtype::U8,
        },
    }
}
