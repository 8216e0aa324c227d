//! A weight matrix in one layout, checked once when it is made.

mod check;
mod make;
mod parts;
mod read;

use crate::book::Book;
use crate::entries::Entries;
use crate::quantized::{Quantized, Scales};
use crate::{Index, Outliers, Scheme, Values};

/// A `[inputs, outputs]` weight matrix in one layout.
///
/// It can only be made through checks: the counts fit, floats and scales are finite, integers have opposites,
/// columns ascend. So multiplying, which is for another crate, needs none.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    inputs: usize,
    outputs: usize,
    index: Index,
    store: Store,
}

#[derive(Clone, Debug, PartialEq)]
enum Store {
    /// Floats.
    Floats(Entries<f32>, Precision),
    /// Integers of more than 8 bits.
    Words(Entries<i32>, Quantized),
    /// Integers of up to 8 bits.
    Bytes(Entries<i8>, Quantized),
}

/// The stored numbers of a matrix, of whatever type they are.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Floats, as which those of 16 bits and the entries of lists are exact.
    Floats(Entries<f32>),
    /// Integers of more than 8 bits, and what they stand for.
    Words(Entries<i32>, Quantized),
    /// Integers of up to 8 bits, and what they stand for.
    Bytes(Entries<i8>, Quantized),
}

/// How wide floats are on disk; they are multiplied as 32-bit floats.
#[derive(Clone, Debug, PartialEq)]
enum Precision {
    /// 32 bits.
    Whole,
    /// binary16.
    Half,
    /// bfloat16.
    Brain,
    /// Codes.
    Codes(Book),
}

/// Evaluates an expression for the entries of a store, whatever its type.
macro_rules! each {
    ($store:expr, $entries:ident => $value:expr) => {
        match $store {
            Store::Floats($entries, _) => $value,
            Store::Words($entries, _) => $value,
            Store::Bytes($entries, _) => $value,
        }
    };
}

impl Matrix {
    /// Rows: the length of an input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Columns: the length of an output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The layout; its index is never [`Index::Sparse`], but what that became for this matrix.
    pub fn scheme(&self) -> Scheme {
        let values = match &self.store {
            Store::Floats(_, Precision::Whole) => Values::F32,
            Store::Floats(_, Precision::Half) => Values::F16,
            Store::Floats(_, Precision::Brain) => Values::Bf16,
            Store::Floats(_, Precision::Codes(book)) => Values::Codebook(book.codebook),
            Store::Words(_, quantized) | Store::Bytes(_, quantized) => Values::Int(quantized.int()),
        };
        Scheme { values, index: self.index }
    }

    /// Stored entries; for [`Index::Full`], all.
    pub fn kept(&self) -> usize {
        each!(&self.store, entries => entries.numbers().len())
    }

    /// Stored entries that are not zero.
    pub fn nonzeros(&self) -> usize {
        let Some(outliers) = self.outliers() else {
            return each!(&self.store, entries => entries.nonzeros());
        };
        // What is stored in place of an outlier's weights is not one of them.
        let mut count = outliers.values().iter().filter(|value| **value != 0.0).count();
        if let Store::Bytes(entries, _) = &self.store {
            entries.visit(self.outputs, |input, _, q| {
                count += usize::from(q != 0 && outliers.row(input).is_none());
            });
        }
        count
    }

    /// Bytes that the matrix takes on disk, scales and index included: the bytes of its
    /// [`parts`](Matrix::parts).
    pub fn bytes(&self) -> usize {
        self.parts().iter().map(|part| part.bytes.len()).sum()
    }

    /// Bytes that the matrix takes in memory: at least one for each integer, and four for each float.
    pub fn resident_bytes(&self) -> usize {
        let lists = self.codebook().map_or(0, size_of_val);
        let scales = self.quantization().map_or(lists, |quantized| {
            4 * quantized.scales.all().len()
                + quantized.zero_points.as_ref().map_or(0, Vec::len)
                + quantized.outliers.as_ref().map_or(0, |outliers| outliers.resident_bytes())
        });
        scales + each!(&self.store, entries => entries.resident_bytes())
    }

    /// Takes the matrix apart into its numbers, which move.
    pub fn into_numbers(self) -> Numbers {
        match self.store {
            Store::Floats(entries, _) => Numbers::Floats(entries),
            Store::Words(entries, quantized) => Numbers::Words(entries, quantized),
            Store::Bytes(entries, quantized) => Numbers::Bytes(entries, quantized),
        }
    }

    /// All entries as floats, `[inputs, outputs]`, row-major; an integer, less its zero point, is multiplied by its
    /// scale in single precision; weights of outliers are what they are.
    pub fn unpack(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.inputs * self.outputs];
        let mut put = |row, column, value| dense[row * self.outputs + column] = value;
        match &self.store {
            Store::Floats(entries, _) => entries.visit(self.outputs, put),
            Store::Words(entries, quantized) => {
                entries.visit(self.outputs, |r, c, q| put(r, c, quantized.value(r, c, self.outputs, q)));
            }
            Store::Bytes(entries, quantized) => {
                entries
                    .visit(self.outputs, |r, c, q| put(r, c, quantized.value(r, c, self.outputs, q.into())));
            }
        }
        dense
    }

    /// The integers of a quantized matrix, `[inputs, outputs]`, row-major, zeros where nothing is stored, and the
    /// integer nearest to zero where an outlier's weights would be; `None` for floats.
    pub fn integers(&self) -> Option<Vec<i32>> {
        let mut dense = vec![0; self.inputs * self.outputs];
        let mut put = |row, column, value| dense[row * self.outputs + column] = value;
        match &self.store {
            Store::Floats(..) => return None,
            Store::Words(entries, _) => entries.visit(self.outputs, put),
            Store::Bytes(entries, _) => entries.visit(self.outputs, |r, c, q| put(r, c, i32::from(q))),
        }
        Some(dense)
    }

    /// The scales of a quantized matrix.
    pub fn scales(&self) -> Option<&Scales> {
        self.quantization().map(|quantized| &quantized.scales)
    }

    /// The zero points of a quantized matrix, one for each scale, where it has any.
    pub fn zero_points(&self) -> Option<&[i8]> {
        self.quantization()?.zero_points.as_deref()
    }

    /// The scale with which activations become integers, where it is static.
    pub fn activations(&self) -> Option<f32> {
        self.quantization()?.activations
    }

    /// The inputs of a quantized matrix whose weights are floats, where it has any.
    pub fn outliers(&self) -> Option<&Outliers> {
        self.quantization()?.outliers.as_deref()
    }

    /// The lists of a matrix of codes, `[lists, entries, width]`.
    pub fn codebook(&self) -> Option<&[f32]> {
        match &self.store {
            Store::Floats(_, Precision::Codes(book)) => Some(&book.numbers),
            _ => None,
        }
    }

    /// What the integers of a quantized matrix stand for.
    pub fn quantization(&self) -> Option<&Quantized> {
        match &self.store {
            Store::Floats(..) => None,
            Store::Words(_, quantized) | Store::Bytes(_, quantized) => Some(quantized),
        }
    }

    /// Which entries are stored, `[inputs, outputs]`, row-major.
    pub fn keep(&self) -> Vec<bool> {
        let mut keep = vec![false; self.inputs * self.outputs];
        each!(&self.store, entries => entries.visit(self.outputs, |r, c, _| keep[r * self.outputs + c] = true));
        keep
    }
}
