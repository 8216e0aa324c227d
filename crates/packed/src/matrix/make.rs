//! Matrices from numbers, with every number checked.

use super::{Matrix, Precision, Store, check};
use crate::book::Book;
use crate::entries::{Entries, Sparse};
use crate::lists::Lists;
use crate::numbers::{LARGEST_HALF, Number, round_to_brain, round_to_half};
use crate::quantized::{Quantized, Scales};
use crate::shape::{self, Shape, check_length};
use crate::{Codebook, Grid, Index, Outliers, PackError, Scheme, Values, index};
use std::borrow::Cow;

impl Matrix {
    /// All entries as floats: `values` is `[inputs, outputs]`, row-major.
    ///
    /// # Errors
    /// [`PackError`] for an impossible shape, a wrong length, or a value that is not finite.
    pub fn dense(inputs: usize, outputs: usize, values: Vec<f32>) -> Result<Self, PackError> {
        check_length("values", values.len(), shape::entries(inputs, outputs)?)?;
        let entries = Entries::Full(values);
        check::floats(&entries, outputs)?;
        Ok(Self { inputs, outputs, index: Index::Full, store: Store::Floats(entries, Precision::Whole) })
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
        let (entries, index) = stored((inputs, outputs), values, Some(keep), index, true)?;
        check::floats(&entries, outputs)?;
        Ok(Self { inputs, outputs, index, store: Store::Floats(entries, Precision::Whole) })
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
        let (entries, index) = stored((inputs, outputs), &rounded, keep, index, true)?;
        match check::floats(&entries, outputs) {
            Err(PackError::NotFinite { what, position, .. }) => {
                Err(PackError::NotFinite { what, position, value: values[position] })
            }
            Err(other) => Err(other),
            Ok(()) => Ok(Self { inputs, outputs, index, store: Store::Floats(entries, precision) }),
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
        let entries = shape::entries(inputs, outputs)?;
        let scheme = Scheme { values: Values::Codebook(codebook), index };
        scheme.check()?;
        codebook.check(Shape { inputs, outputs })?;
        check_length("numbers", numbers.len(), codebook.numbers(outputs))?;
        check_length("codes", codes.len(), entries / usize::from(codebook.width))?;
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
        let (entries, index) = stored((inputs, outputs), &values, keep, index, false)?;
        let precision = Precision::Codes(Book { codebook, numbers: rounded });
        Ok(Self { inputs, outputs, index, store: Store::Floats(entries, precision) })
    }

    fn integers_of(
        shape: (usize, usize),
        q: &[i32],
        quantized: Quantized,
        keep: Option<&[bool]>,
        index: Index,
    ) -> Result<Self, PackError> {
        let (inputs, outputs) = shape;
        shape::entries(inputs, outputs)?;
        Scheme { values: Values::Int(quantized.int()), index }.check()?;
        quantized.check(inputs, outputs)?;
        let patterns = quantized.grid.has_zero();
        let (store, index) = if quantized.grid.is_wide() {
            let (entries, index) = stored(shape, q, keep, index, patterns)?;
            check::integers(&entries, outputs, &quantized, |q| q)?;
            (Store::Words(entries, quantized), index)
        } else {
            // What does not fit into a byte stays what is on no grid.
            let bytes: Vec<i8> = q.iter().map(|&q| i8::try_from(q).unwrap_or(i8::MIN)).collect();
            let (entries, index) = stored(shape, &bytes, keep, index, patterns)?;
            check::integers(&entries, outputs, &quantized, i32::from).map_err(|error| as_given(error, q))?;
            (Store::Bytes(entries, quantized), index)
        };
        Ok(Self { inputs, outputs, index, store })
    }

    /// The same matrix, whose activations become integers with this scale, whatever is in a row: an activation `x`
    /// becomes `round(x / scale)`, within the levels. Floats have no use for it and stay as they are.
    ///
    /// # Errors
    /// [`PackError::Step`] when it is not a positive, finite number.
    pub fn with_activations(mut self, scale: f32) -> Result<Self, PackError> {
        let (inputs, outputs) = (self.inputs, self.outputs);
        if let Store::Words(_, quantized) | Store::Bytes(_, quantized) = &mut self.store {
            quantized.activations = Some(scale);
            quantized.check(inputs, outputs)?;
        }
        Ok(self)
    }

    /// The same matrix, in which the inputs of `rows`, ascending, are [outliers](Outliers): their weights are `values`,
    /// `[rows, outputs]`, rounded to 16-bit floats, whatever they were before. Which entries are kept does not change:
    /// what `values` has for others is ignored, and what was kept of these inputs stays stored, as the integer nearest
    /// to zero. Outliers that it had before and that are not among `rows` lose their weights.
    ///
    /// # Errors
    /// [`PackError`] for floats, for integers that have no outliers (see [`Scheme::check`]), for rows out of order or
    /// beyond the inputs, for a wrong length, and for a value that is not finite or beyond 16-bit floats.
    pub fn with_outliers(self, rows: Vec<u32>, values: &[f32]) -> Result<Self, PackError> {
        let (inputs, outputs, index) = (self.inputs, self.outputs, self.index);
        let (Some(mut q), Some(mut quantized)) = (self.integers(), self.quantization().cloned()) else {
            let why = "only integers have outliers";
            return Err(PackError::Scheme { scheme: self.scheme(), why });
        };
        let mut values = values.to_vec();
        let keep = self.keep();
        let placeholder = quantized.grid.nearest(0.0);
        for (values, &row) in values.chunks_mut(outputs).zip(&rows) {
            // Rows beyond the matrix are refused below.
            let first = (row as usize).saturating_mul(outputs);
            for (value, at) in values.iter_mut().zip(first..q.len()) {
                q[at] = placeholder;
                if !keep[at] {
                    *value = 0.0;
                }
            }
        }
        quantized.outliers = Outliers::new(rows, &values, (inputs, outputs))?.map(Box::new);
        Self::integers_of((inputs, outputs), &q, quantized, Some(&keep), index)
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

/// The entries that are stored, and the definite index. Where `patterns` are not allowed, a sparse index never becomes one that is filled up with zeros.
fn stored<T: Number>(
    (inputs, outputs): (usize, usize),
    dense: &[T],
    keep: Option<&[bool]>,
    index: Index,
    patterns: bool,
) -> Result<(Entries<T>, Index), PackError> {
    let entries = shape::entries(inputs, outputs)?;
    check_length("values", dense.len(), entries)?;
    Scheme { values: Values::F32, index }.check()?;
    let keep = match keep {
        Some(keep) => Cow::Borrowed(keep),
        None => Cow::Owned(vec![true; entries]),
    };
    check_length("keep", keep.len(), entries)?;
    let kept = || dense.iter().zip(keep.iter()).map(|(&v, &keep)| if keep { v } else { T::default() });
    if index == Index::Full {
        return Ok((Entries::Full(kept().collect()), Index::Full));
    }
    let shape = Shape { inputs, outputs };
    let lists = match index::cover(index, shape, &keep)? {
        Cow::Borrowed(keep) => Lists::gather(dense, keep, outputs),
        Cow::Owned(stored) => Lists::gather(&kept().collect::<Vec<T>>(), &stored, outputs),
    };
    let index = index::resolve(index, shape, &lists, patterns);
    Ok((Entries::Sparse(Sparse::new(lists, outputs)), index))
}
