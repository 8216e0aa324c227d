//! A weight matrix in one layout, checked once when it is made.

use crate::body::{Body, Element, Held, Lists};
use crate::codebook::Book;
use crate::index::{self, Shape};
use crate::numbers::{LARGEST_HALF, round_to_brain, round_to_half};
use crate::quantized::{Quantized, Scales};
use crate::{Codebook, Grid, Index, PackError, Scheme, Values, check};
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
        let (body, index) = body((inputs, outputs), values, Some(keep), index, true)?;
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

    /// Floats rounded to the nearest binary16, ties to even. Without `keep`, all are kept; with it, as in
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
        let made = Self::rounded((inputs, outputs), values, keep, index, (Precision::Half, round_to_half));
        made.map_err(|error| match error {
            PackError::NotFinite { position, value, .. } if value.is_finite() => {
                PackError::Half { position, value, most: LARGEST_HALF }
            }
            other => other,
        })
    }

    /// Floats rounded to the nearest bfloat16, ties to even; as [`Matrix::f16`].
    ///
    /// # Errors
    /// As [`Matrix::sparse`], for a kept value that would become infinite too.
    pub fn bf16(
        inputs: usize,
        outputs: usize,
        values: &[f32],
        keep: Option<&[bool]>,
        index: Index,
    ) -> Result<Self, PackError> {
        Self::rounded((inputs, outputs), values, keep, index, (Precision::Brain, round_to_brain))
    }

    /// An error names the value as it was given.
    fn rounded(
        (inputs, outputs): (usize, usize),
        values: &[f32],
        keep: Option<&[bool]>,
        index: Index,
        (precision, round): (Precision, fn(f32) -> f32),
    ) -> Result<Self, PackError> {
        let rounded: Vec<f32> = values.iter().map(|&v| round(v)).collect();
        let (body, index) = body((inputs, outputs), &rounded, keep, index, true)?;
        match check::floats(&body, outputs) {
            Err(PackError::NotFinite { what, position, .. }) => {
                Err(PackError::NotFinite { what, position, value: values[position] })
            }
            Err(other) => Err(other),
            Ok(()) => Ok(Self { inputs, outputs, index, store: Store::Floats(body, precision) }),
        }
    }

    /// Integers of a grid with scales; `q` is `[inputs, outputs]`, row-major. Without `keep`, all are kept; with it,
    /// as in [`Matrix::sparse`].
    ///
    /// # Errors
    /// As [`Matrix::sparse`], for a scale that is negative or not finite, as many scales as there should not be, and
    /// a stored value that is not on the grid, such as the zero of an entry that is not kept where the index
    /// [stores zeros](Index::stores_zeros) and the grid has none.
    pub fn quantized(
        (inputs, outputs): (usize, usize),
        grid: Grid,
        q: &[i32],
        scales: Scales,
        keep: Option<&[bool]>,
        index: Index,
    ) -> Result<Self, PackError> {
        let quantized = Quantized::symmetric(grid, scales);
        Self::integers_of((inputs, outputs), q, quantized, keep, index)
    }

    /// Integers of a grid with scales and zero points, as many of one as of the other: an entry is its integer, less
    /// the zero point, times the scale. All entries are stored.
    ///
    /// # Errors
    /// As [`Matrix::quantized`], and for a grid without a [range for zero points](Grid::with_zero_point) and a zero
    /// point beyond it.
    pub fn affine(
        (inputs, outputs): (usize, usize),
        grid: Grid,
        q: &[i32],
        scales: Scales,
        zero_points: Vec<i8>,
    ) -> Result<Self, PackError> {
        let quantized = Quantized { zero_points: Some(zero_points), ..Quantized::symmetric(grid, scales) };
        Self::integers_of((inputs, outputs), q, quantized, None, Index::Full)
    }

    /// Codes of entries in lists; `numbers` is `[lists, entries, width]` (see [`Codebook`]) and is rounded to 16-bit
    /// floats. `codes` has one for each entry of the matrix, or for each `width` outputs of one input, row-major;
    /// without `keep` all are stored, with it, for a width of 1, those that are kept.
    ///
    /// # Errors
    /// As [`Matrix::sparse`], for a list of another length, a number that is not finite or beyond 16-bit floats, a code
    /// that has more bits, and a mask where the index stores zeros.
    pub fn coded(
        (inputs, outputs): (usize, usize),
        codebook: Codebook,
        numbers: &[f32],
        codes: &[u8],
        (keep, index): (Option<&[bool]>, Index),
    ) -> Result<Self, PackError> {
        let entries = check::entries(inputs, outputs)?;
        let scheme = Scheme { values: Values::Codebook(codebook), index };
        scheme.check()?;
        codebook.check(Shape { inputs, outputs })?;
        check::length("numbers", numbers.len(), codebook.numbers(outputs))?;
        check::length("codes", codes.len(), entries / usize::from(codebook.width))?;
        if index == Index::Full && keep.is_some_and(|keep| keep.contains(&false)) {
            let why = "a codebook need not have a zero for what is not kept";
            return Err(PackError::Scheme { scheme, why });
        }
        let rounded: Vec<f32> = numbers.iter().map(|&v| round_to_half(v)).collect();
        if let Some(position) = rounded.iter().position(|v| !v.is_finite()) {
            let value = numbers[position];
            return Err(match value.is_finite() {
                true => PackError::Half { position, value, most: LARGEST_HALF },
                false => PackError::NotFinite { what: "numbers", position, value },
            });
        }
        let most = codebook.entries() - 1;
        if let Some(position) = codes.iter().position(|code| usize::from(*code) > most) {
            let (value, most) = (codes[position].into(), most as i32);
            return Err(PackError::Level { position, value, least: 0, most });
        }
        let values = codebook.values(&rounded, codes, outputs);
        let (body, index) = body((inputs, outputs), &values, keep, index, false)?;
        let precision = Precision::Codes(Book { codebook, numbers: rounded });
        Ok(Self { inputs, outputs, index, store: Store::Floats(body, precision) })
    }

    /// The lists of a matrix of codes, `[lists, entries, width]`.
    pub fn codebook(&self) -> Option<&[f32]> {
        match &self.store {
            Store::Floats(_, Precision::Codes(book)) => Some(&book.numbers),
            _ => None,
        }
    }

    fn integers_of(
        shape: (usize, usize),
        q: &[i32],
        quantized: Quantized,
        keep: Option<&[bool]>,
        index: Index,
    ) -> Result<Self, PackError> {
        let (inputs, outputs) = shape;
        check::entries(inputs, outputs)?;
        Scheme { values: Values::Int(quantized.int()), index }.check()?;
        quantized.check(inputs, outputs)?;
        let patterns = quantized.grid.has_zero();
        let (store, index) = if quantized.grid.is_wide() {
            let (body, index) = body(shape, q, keep, index, patterns)?;
            check::integers(&body, outputs, &quantized, |q| q)?;
            (Store::Words(body, quantized), index)
        } else {
            // What does not fit into a byte stays what is on no grid.
            let bytes: Vec<i8> = q.iter().map(|&q| i8::try_from(q).unwrap_or(i8::MIN)).collect();
            let (body, index) = body(shape, &bytes, keep, index, patterns)?;
            check::integers(&body, outputs, &quantized, i32::from).map_err(|error| as_given(error, q))?;
            (Store::Bytes(body, quantized), index)
        };
        Ok(Self { inputs, outputs, index, store }.segmented())
    }

    /// The same matrix, whose activations become integers with this scale, whatever is in a row: an activation `x`
    /// becomes `round(x / scale)`, within the levels. Floats have no use for it and stay as they are.
    ///
    /// # Errors
    /// [`PackError::Scale`] when it is not a positive, finite number.
    pub fn with_activations(mut self, scale: f32) -> Result<Self, PackError> {
        let (inputs, outputs) = (self.inputs, self.outputs);
        if let Store::Words(_, quantized) | Store::Bytes(_, quantized) = &mut self.store {
            quantized.activations = Some(scale);
            quantized.check(inputs, outputs)?;
        }
        Ok(self)
    }

    /// Scales for groups of inputs are multiplied by group by group, for which only rows are made.
    pub(crate) fn segmented(self) -> Self {
        match self.scales() {
            Some(Scales::Group { .. }) => self.into_held(Held::Rows),
            _ => self,
        }
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
        let lists = self.codebook().map_or(0, size_of_val);
        let scales = self.integers_mean().map_or(lists, |quantized| {
            4 * quantized.scales.all().len() + quantized.zero_points.as_ref().map_or(0, Vec::len)
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
    /// scale in single precision.
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

    /// The integers of a quantized matrix, `[inputs, outputs]`, row-major, zeros where nothing is stored; `None`
    /// for floats.
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

/// The error of an integer as it was before it became a byte that it does not fit into.
fn as_given(error: PackError, q: &[i32]) -> PackError {
    const TOO_LARGE: i32 = i8::MIN as i32;
    match error {
        PackError::Level { position, value: TOO_LARGE, least, most } => {
            PackError::Level { position, value: q[position], least, most }
        }
        PackError::Grid { position, value: TOO_LARGE, grid } => {
            PackError::Grid { position, value: q[position], grid }
        }
        other => other,
    }
}

/// Where `patterns` are not allowed, a sparse index never becomes one that is filled up with zeros.
fn body<T: Element>(
    (inputs, outputs): (usize, usize),
    dense: &[T],
    keep: Option<&[bool]>,
    index: Index,
    patterns: bool,
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
    let index = index::resolve(index, shape, &lists, patterns);
    Ok((Body::sparse(lists, outputs), index))
}
