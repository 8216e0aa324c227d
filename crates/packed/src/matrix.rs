//! A weight matrix in one layout, checked once when it is made.

use crate::body::{Body, Element, Held, Lists};
use crate::index::{self, Shape};
use crate::numbers::{LARGEST_HALF, round_to_half};
use crate::{Index, PackError, Per, Scheme, Values, check};
use std::borrow::Cow;

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

/// The scales of a quantized matrix: an entry is its integer times the scale.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    /// One for the whole matrix.
    Tensor(f32),
    /// One for each output.
    Channel(Vec<f32>),
}

#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// 32-bit or 16-bit floats.
    Floats(Body<f32>, Precision),
    /// 32-bit integers.
    Words(Body<i32>, Scales),
    /// 8-bit or 4-bit integers.
    Bytes(Body<i8>, Scales, Precision),
}

/// How wide numbers are on disk, beside what they are multiplied as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    Whole,
    Half,
}

/// Evaluates an expression for the body of a store, whatever its type.
macro_rules! each {
    ($store:expr, $body:ident => $value:expr) => {
        match $store {
            Store::Floats($body, _) => $value,
            Store::Words($body, _) => $value,
            Store::Bytes($body, ..) => $value,
        }
    };
}

impl Matrix {
    /// All entries as floats: `values` is `[inputs, outputs]`, row-major.
    ///
    /// # Errors
    /// [`PackError`] for an impossible shape, a wrong length, or a value that is not finite.
    pub fn dense(inputs: usize, outputs: usize, values: Vec<f32>) -> Result<Self, PackError> {
        check::length("values", values.len(), check::entries(inputs, outputs)?)?;
        let body = Body::full(values, outputs);
        check::floats(&body, outputs)?;
        Ok(Self { inputs, outputs, index: Index::Full, store: Store::Floats(body, Precision::Whole) })
    }

    /// The entries of `values` (`[inputs, outputs]`) where `keep` is true, as floats.
    ///
    /// Which entries are kept is the mask, not the values: a kept entry may be zero, and what is not kept is
    /// ignored. An index that [stores zeros](Index::stores_zeros) stores some entries that are not kept, as
    /// zeros, and they count as kept from then on.
    ///
    /// # Errors
    /// [`PackError`] for an impossible shape or index, a wrong length, a kept value that is not finite, or a group
    /// that keeps more than `n` of `m`.
    pub fn sparse(
        inputs: usize,
        outputs: usize,
        values: &[f32],
        keep: &[bool],
        index: Index,
    ) -> Result<Self, PackError> {
        let (body, index) = body(inputs, outputs, values, Some(keep), index)?;
        check::floats(&body, outputs)?;
        Ok(Self { inputs, outputs, index, store: Store::Floats(body, Precision::Whole) })
    }

    /// The entries of `values` where `keep` is true, as floats, in whichever of full, bitmask and csr takes the
    /// fewest bytes for them.
    ///
    /// # Errors
    /// As [`Matrix::sparse`].
    pub fn smallest(inputs: usize, outputs: usize, values: &[f32], keep: &[bool]) -> Result<Self, PackError> {
        let sparse = Self::sparse(inputs, outputs, values, keep, Index::Sparse)?;
        if Scheme::F32.bytes(inputs, outputs, 0) <= sparse.bytes() {
            return Self::sparse(inputs, outputs, values, keep, Index::Full);
        }
        Ok(sparse)
    }

    /// Floats rounded to the nearest of 16 bits, ties to even. Without `keep`, all are kept; with it, as in
    /// [`Matrix::sparse`].
    ///
    /// # Errors
    /// As [`Matrix::sparse`], and [`PackError::Half`] for a kept value that would become infinite.
    pub fn f16(
        inputs: usize,
        outputs: usize,
        values: &[f32],
        keep: Option<&[bool]>,
        index: Index,
    ) -> Result<Self, PackError> {
        let rounded: Vec<f32> = values.iter().map(|&v| round_to_half(v)).collect();
        let (body, index) = body(inputs, outputs, &rounded, keep, index)?;
        if let Err(error) = check::floats(&body, outputs) {
            let PackError::NotFinite { position, .. } = error else { return Err(error) };
            let value = values[position];
            return Err(match value.is_finite() {
                true => PackError::Half { position, value, most: LARGEST_HALF },
                false => PackError::NotFinite { what: "values", position, value },
            });
        }
        Ok(Self { inputs, outputs, index, store: Store::Floats(body, Precision::Half) })
    }

    /// 8-bit integers with scales; `q` is `[inputs, outputs]`, row-major. Without `keep`, all are kept; with it,
    /// as in [`Matrix::sparse`].
    ///
    /// # Errors
    /// As [`Matrix::sparse`], for a scale that is negative or not finite, and for a kept value of -128, which has
    /// no opposite.
    pub fn int8(
        inputs: usize,
        outputs: usize,
        q: &[i8],
        scales: Scales,
        keep: Option<&[bool]>,
        index: Index,
    ) -> Result<Self, PackError> {
        Self::bytes_within(127, (inputs, outputs), q, scales, keep, index)
    }

    /// 4-bit integers in `-7..=7` with scales, each given in a byte; as [`Matrix::int8`].
    ///
    /// # Errors
    /// As [`Matrix::int8`], with kept values in `-7..=7`.
    pub fn int4(
        inputs: usize,
        outputs: usize,
        q: &[i8],
        scales: Scales,
        keep: Option<&[bool]>,
        index: Index,
    ) -> Result<Self, PackError> {
        Self::bytes_within(7, (inputs, outputs), q, scales, keep, index)
    }

    fn bytes_within(
        most: i32,
        (inputs, outputs): (usize, usize),
        q: &[i8],
        scales: Scales,
        keep: Option<&[bool]>,
        index: Index,
    ) -> Result<Self, PackError> {
        let (body, index) = body(inputs, outputs, q, keep, index)?;
        check::quantized(inputs, outputs, &scales, most)?;
        check::levels(&body, outputs, most, i32::from)?;
        let precision = if most == 7 { Precision::Half } else { Precision::Whole };
        Ok(Self { inputs, outputs, index, store: Store::Bytes(body, scales, precision) })
    }

    /// 32-bit integers with scales; as [`Matrix::int8`], and the smallest 32-bit integer is refused.
    ///
    /// # Errors
    /// As [`Matrix::int8`].
    pub fn int32(
        inputs: usize,
        outputs: usize,
        q: &[i32],
        scales: Scales,
        keep: Option<&[bool]>,
        index: Index,
    ) -> Result<Self, PackError> {
        let (body, index) = body(inputs, outputs, q, keep, index)?;
        check::quantized(inputs, outputs, &scales, i32::MAX)?;
        check::levels(&body, outputs, i32::MAX, |q| q)?;
        Ok(Self { inputs, outputs, index, store: Store::Words(body, scales) })
    }

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
            Store::Words(_, scales) => Values::Int32(scales.per()),
            Store::Bytes(_, scales, Precision::Whole) => Values::Int8(scales.per()),
            Store::Bytes(_, scales, Precision::Half) => Values::Int4(scales.per()),
        };
        Scheme { values, index: self.index }
    }

    /// Stored entries; for [`Index::Full`], all.
    pub fn kept(&self) -> usize {
        each!(&self.store, body => body.kept(self.inputs, self.outputs))
    }

    /// Stored entries that are not zero.
    pub fn nonzeros(&self) -> usize {
        each!(&self.store, body => body.nonzeros())
    }

    /// Bytes that the matrix takes on disk, scales and index included: the bytes of its
    /// [`parts`](Matrix::parts).
    pub fn bytes(&self) -> usize {
        self.parts().iter().map(|part| part.bytes.len()).sum()
    }

    /// Bytes that the matrix takes in memory. A sparse matrix that multiplies faster with its zeros in place is
    /// held that way, so this can be more than [`bytes`](Matrix::bytes).
    pub fn resident_bytes(&self) -> usize {
        let scales = self.scales().map_or(0, |scales| 4 * scales.all().len());
        scales + each!(&self.store, body => body.resident_bytes())
    }

    /// How the matrix is held in memory.
    pub fn held(&self) -> Held {
        each!(&self.store, body => body.held())
    }

    /// The same matrix, held in memory in that form, whatever is faster. It stays the same on disk.
    ///
    /// A matrix that stores all entries is held as [`Held::Rows`] or [`Held::Tiles`], and stays as it is otherwise.
    pub fn held_as(self, held: Held) -> Self {
        let Self { inputs, outputs, index, store } = self;
        let store = match store {
            Store::Floats(body, precision) => Store::Floats(body.held_as(held, inputs, outputs), precision),
            Store::Words(body, scales) => Store::Words(body.held_as(held, inputs, outputs), scales),
            Store::Bytes(body, scales, precision) => {
                Store::Bytes(body.held_as(held, inputs, outputs), scales, precision)
            }
        };
        Self { inputs, outputs, index, store }
    }

    /// The same matrix, held in whatever form is the fastest for activations that are mostly not zero.
    ///
    /// Otherwise a matrix is held in the form that is the fastest for activations that are mostly zero, which is
    /// what the first layer of a text network gets. Both forms take both.
    pub fn for_dense_rows(self) -> Self {
        let Self { inputs, outputs, index, store } = self;
        let store = match store {
            Store::Floats(body, precision) => Store::Floats(body.for_dense_rows(inputs, outputs), precision),
            Store::Words(body, scales) => Store::Words(body.for_dense_rows(inputs, outputs), scales),
            Store::Bytes(body, scales, precision) => {
                Store::Bytes(body.for_dense_rows(inputs, outputs), scales, precision)
            }
        };
        Self { inputs, outputs, index, store }
    }

    /// All entries as floats, `[inputs, outputs]`, row-major; an integer is multiplied by its scale in single
    /// precision.
    pub fn unpack(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.inputs * self.outputs];
        let mut put = |row, column, value| dense[row * self.outputs + column] = value;
        match &self.store {
            Store::Floats(body, _) => body.visit(self.outputs, put),
            Store::Words(body, s) => body.visit(self.outputs, |r, c, q| put(r, c, q as f32 * s.of(c))),
            Store::Bytes(body, s, _) => body.visit(self.outputs, |r, c, q| put(r, c, f32::from(q) * s.of(c))),
        }
        dense
    }

    /// The integers of a quantized matrix, `[inputs, outputs]`, row-major, zeros where nothing is stored; `None`
    /// for floats.
    pub fn integers(&self) -> Option<Vec<i32>> {
        let mut dense = vec![0; self.inputs * self.outputs];
        let mut put = |row, column, value| dense[row * self.outputs + column] = value;
        match &self.store {
            Store::Floats(..) => return None,
            Store::Words(body, _) => body.visit(self.outputs, put),
            Store::Bytes(body, ..) => body.visit(self.outputs, |r, c, q| put(r, c, i32::from(q))),
        }
        Some(dense)
    }

    /// The scales of a quantized matrix.
    pub fn scales(&self) -> Option<&Scales> {
        match &self.store {
            Store::Floats(..) => None,
            Store::Words(_, scales) | Store::Bytes(_, scales, _) => Some(scales),
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
            && self.scales() == other.scales();
        alike
            && match (&self.store, &other.store) {
                (Store::Floats(a, _), Store::Floats(b, _)) => a.same(b, inputs, outputs),
                (Store::Words(a, _), Store::Words(b, _)) => a.same(b, inputs, outputs),
                (Store::Bytes(a, ..), Store::Bytes(b, ..)) => a.same(b, inputs, outputs),
                _ => false,
            }
    }
}

impl Scales {
    /// How many there are.
    pub fn per(&self) -> Per {
        match self {
            Scales::Tensor(_) => Per::Tensor,
            Scales::Channel(_) => Per::Channel,
        }
    }

    /// The scale of an output.
    ///
    /// # Panics
    /// When there is no such output.
    pub fn of(&self, output: usize) -> f32 {
        match self {
            Scales::Tensor(scale) => *scale,
            Scales::Channel(scales) => scales[output],
        }
    }

    /// All of them: one, or one for each output.
    pub fn all(&self) -> &[f32] {
        match self {
            Scales::Tensor(scale) => std::slice::from_ref(scale),
            Scales::Channel(scales) => scales,
        }
    }
}

fn body<T: Element>(
    inputs: usize,
    outputs: usize,
    dense: &[T],
    keep: Option<&[bool]>,
    index: Index,
) -> Result<(Body<T>, Index), PackError> {
    let entries = check::entries(inputs, outputs)?;
    check::length("values", dense.len(), entries)?;
    Scheme { values: Values::F32, index }.check()?;
    let keep = match keep {
        Some(keep) => Cow::Borrowed(keep),
        None => Cow::Owned(vec![true; entries]),
    };
    check::length("keep", keep.len(), entries)?;
    let kept = || dense.iter().zip(keep.iter()).map(|(&v, &keep)| if keep { v } else { T::default() });
    if index == Index::Full {
        return Ok((Body::full(kept().collect(), outputs), Index::Full));
    }
    let shape = Shape { inputs, outputs };
    let lists = match index::cover(index, shape, &keep)? {
        Cow::Borrowed(keep) => Lists::gather(dense, keep, outputs),
        Cow::Owned(stored) => Lists::gather(&kept().collect::<Vec<T>>(), &stored, outputs),
    };
    let index = index::resolve(index, shape, &lists);
    Ok((Body::sparse(lists, outputs), index))
}
