//! A weight matrix in one layout, checked once when it is made.

mod make;

use crate::body::{Body, Held};
use crate::codebook::Book;
use crate::quantized::{Quantized, Scales};
use crate::{Index, Outliers, Scheme, Values};

/// Most entries of a matrix, stored or not.
pub const MOST_ENTRIES: usize = 1 << 28;
/// Most inputs of a quantized matrix: so many products never overflow their sum, whatever the values.
///
/// `127 · 127 · 2^17 < 2^31` and `(2^31 - 1) · 32767 · 2^17 < 2^63`.
pub const MOST_QUANTIZED_INPUTS: usize = 1 << 17;

/// A `[inputs, outputs]` weight matrix in one layout.
///
/// It can only be made through checks: the counts fit, floats and scales are finite, integers have opposites,
/// columns ascend. So multiplying needs none.
///
/// Two are equal when they are the same on disk, however they are [held](Held) in memory.
#[derive(Clone, Debug)]
pub struct Matrix {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) index: Index,
    pub(crate) store: Store,
}

#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// Floats.
    Floats(Body<f32>, Precision),
    /// Integers of more than 8 bits.
    Words(Body<i32>, Quantized),
    /// Integers of up to 8 bits.
    Bytes(Body<i8>, Quantized),
}

/// How wide floats are on disk; they are multiplied as 32-bit floats.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Precision {
    /// 32 bits.
    Whole,
    /// binary16.
    Half,
    /// bfloat16.
    Brain,
    /// Codes.
    Codes(Book),
}

/// Evaluates an expression for the body of a store, whatever its type.
macro_rules! each {
    ($store:expr, $body:ident => $value:expr) => {
        match $store {
            Store::Floats($body, _) => $value,
            Store::Words($body, _) => $value,
            Store::Bytes($body, _) => $value,
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
        each!(&self.store, body => body.kept(self.inputs, self.outputs))
    }

    /// Stored entries that are not zero.
    pub fn nonzeros(&self) -> usize {
        let Some(outliers) = self.outliers() else { return each!(&self.store, body => body.nonzeros()) };
        // What is stored in place of an outlier's weights is not one of them.
        let mut count = outliers.values().iter().filter(|value| **value != 0.0).count();
        if let Store::Bytes(body, _) = &self.store {
            body.visit(self.outputs, |input, _, q| {
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

    /// Bytes that the matrix takes in memory. A sparse matrix that multiplies faster with its zeros in place is
    /// held that way, so this can be more than [`bytes`](Matrix::bytes).
    pub fn resident_bytes(&self) -> usize {
        let lists = self.codebook().map_or(0, size_of_val);
        let scales = self.integers_mean().map_or(lists, |quantized| {
            4 * quantized.scales.all().len()
                + quantized.zero_points.as_ref().map_or(0, Vec::len)
                + quantized.outliers.as_ref().map_or(0, |outliers| outliers.resident_bytes())
        });
        scales + each!(&self.store, body => body.resident_bytes())
    }

    /// How the matrix is held in memory.
    pub fn held(&self) -> Held {
        each!(&self.store, body => body.held())
    }

    /// The same matrix, held in memory in that form, whatever is faster. It stays the same on disk.
    ///
    /// A matrix that stores all entries is held as [`Held::Rows`] or [`Held::Tiles`], and stays as it is otherwise;
    /// one with scales for groups is always held as rows.
    pub fn held_as(self, held: Held) -> Self {
        match self.scales() {
            Some(Scales::Group { .. }) => self,
            _ => self.into_held(held),
        }
    }

    /// Scales for groups of inputs are multiplied by group by group, for which only rows are made.
    pub(crate) fn segmented(self) -> Self {
        match self.scales() {
            Some(Scales::Group { .. }) => self.into_held(Held::Rows),
            _ => self,
        }
    }

    fn into_held(self, held: Held) -> Self {
        let Self { inputs, outputs, index, store } = self;
        let store = match store {
            Store::Floats(body, precision) => Store::Floats(body.held_as(held, inputs, outputs), precision),
            Store::Words(body, quantized) => Store::Words(body.held_as(held, inputs, outputs), quantized),
            Store::Bytes(body, quantized) => Store::Bytes(body.held_as(held, inputs, outputs), quantized),
        };
        Self { inputs, outputs, index, store }
    }

    /// The same matrix, held in whatever form is the fastest for activations that are mostly not zero.
    ///
    /// Otherwise a matrix is held in the form that is the fastest for activations that are mostly zero, which is
    /// what the first layer of a text network gets. Both forms take both.
    pub fn for_dense_rows(self) -> Self {
        if let Some(Scales::Group { .. }) = self.scales() {
            return self;
        }
        let Self { inputs, outputs, index, store } = self;
        let store = match store {
            Store::Floats(body, precision) => {
                Store::Floats(body.for_dense_rows(inputs, outputs, false), precision)
            }
            Store::Words(body, means) => Store::Words(body.for_dense_rows(inputs, outputs, false), means),
            Store::Bytes(body, means) => {
                let narrow = means.narrow();
                Store::Bytes(body.for_dense_rows(inputs, outputs, narrow), means)
            }
        };
        Self { inputs, outputs, index, store }
    }

    /// All entries as floats, `[inputs, outputs]`, row-major; an integer, less its zero point, is multiplied by its
    /// scale in single precision; weights of outliers are what they are.
    pub fn unpack(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.inputs * self.outputs];
        let mut put = |row, column, value| dense[row * self.outputs + column] = value;
        match &self.store {
            Store::Floats(body, _) => body.visit(self.outputs, put),
            Store::Words(body, means) => {
                body.visit(self.outputs, |r, c, q| put(r, c, means.value(r, c, self.outputs, q)));
            }
            Store::Bytes(body, means) => {
                body.visit(self.outputs, |r, c, q| put(r, c, means.value(r, c, self.outputs, q.into())));
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
            Store::Words(body, _) => body.visit(self.outputs, put),
            Store::Bytes(body, _) => body.visit(self.outputs, |r, c, q| put(r, c, i32::from(q))),
        }
        Some(dense)
    }

    /// The scales of a quantized matrix.
    pub fn scales(&self) -> Option<&Scales> {
        self.integers_mean().map(|quantized| &quantized.scales)
    }

    /// The zero points of a quantized matrix, one for each scale, where it has any.
    pub fn zero_points(&self) -> Option<&[i8]> {
        self.integers_mean()?.zero_points.as_deref()
    }

    /// The scale with which activations become integers, where it is static.
    pub fn activations(&self) -> Option<f32> {
        self.integers_mean()?.activations
    }

    /// The inputs of a quantized matrix whose weights are floats, where it has any.
    pub fn outliers(&self) -> Option<&Outliers> {
        self.integers_mean()?.outliers.as_deref()
    }

    /// The lists of a matrix of codes, `[lists, entries, width]`.
    pub fn codebook(&self) -> Option<&[f32]> {
        match &self.store {
            Store::Floats(_, Precision::Codes(book)) => Some(&book.numbers),
            _ => None,
        }
    }

    pub(crate) fn integers_mean(&self) -> Option<&Quantized> {
        match &self.store {
            Store::Floats(..) => None,
            Store::Words(_, quantized) | Store::Bytes(_, quantized) => Some(quantized),
        }
    }

    /// Which entries are stored, `[inputs, outputs]`, row-major.
    pub fn keep(&self) -> Vec<bool> {
        let mut keep = vec![false; self.inputs * self.outputs];
        each!(&self.store, body => body.visit(self.outputs, |r, c, _| keep[r * self.outputs + c] = true));
        keep
    }
}

impl PartialEq for Matrix {
    fn eq(&self, other: &Self) -> bool {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let alike = (inputs, outputs) == (other.inputs, other.outputs)
            && self.scheme() == other.scheme()
            && self.integers_mean() == other.integers_mean()
            && self.codebook() == other.codebook();
        alike
            && match (&self.store, &other.store) {
                (Store::Floats(a, _), Store::Floats(b, _)) => a.same(b, inputs, outputs),
                (Store::Words(a, _), Store::Words(b, _)) => a.same(b, inputs, outputs),
                (Store::Bytes(a, _), Store::Bytes(b, _)) => a.same(b, inputs, outputs),
                _ => false,
            }
    }
}
