//! A weight matrix in one layout, checked once when it is made.

use crate::body::{Body, Element, Held, Lists, resolve};
use crate::{Index, PackError, Per, Scheme, Values};

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
#[derive(Clone, Debug, PartialEq)]
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

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Store {
    F32(Body<f32>),
    Int32(Body<i32>, Scales),
    Int8(Body<i8>, Scales),
}

impl Matrix {
    /// All entries as floats: `values` is `[inputs, outputs]`, row-major.
    ///
    /// # Errors
    /// [`PackError`] for an impossible shape, a wrong length, or a value that is not finite.
    pub fn dense(inputs: usize, outputs: usize, values: Vec<f32>) -> Result<Self, PackError> {
        let entries = entries(inputs, outputs)?;
        same_length("values", values.len(), entries)?;
        all_finite(&values)?;
        Ok(Self { inputs, outputs, index: Index::Full, store: Store::F32(Body::full(values, outputs)) })
    }

    /// The entries of `values` (`[inputs, outputs]`) where `keep` is true, as floats.
    ///
    /// Which entries are kept is the mask, not the values: a kept entry may be zero, and what is not kept is
    /// ignored. With [`Index::Full`], entries that are not kept are stored as zeros, and count as kept from then
    /// on.
    ///
    /// # Errors
    /// [`PackError`] for an impossible shape, a wrong length, or a kept value that is not finite.
    pub fn sparse(
        inputs: usize,
        outputs: usize,
        values: &[f32],
        keep: &[bool],
        index: Index,
    ) -> Result<Self, PackError> {
        let (body, index) = body(inputs, outputs, values, Some(keep), index)?;
        body.check_floats(outputs)?;
        Ok(Self { inputs, outputs, index, store: Store::F32(body) })
    }

    /// The entries of `values` where `keep` is true, as floats, in whichever index takes the fewest bytes.
    ///
    /// # Errors
    /// As [`Matrix::sparse`].
    pub fn smallest(inputs: usize, outputs: usize, values: &[f32], keep: &[bool]) -> Result<Self, PackError> {
        let entries = entries(inputs, outputs)?;
        same_length("keep", keep.len(), entries)?;
        let kept = keep.iter().filter(|k| **k).count();
        let bytes = |index| Scheme { values: Values::F32, index }.bytes(inputs, outputs, kept);
        let full = bytes(Index::Full) <= bytes(Index::Sparse);
        Self::sparse(inputs, outputs, values, keep, if full { Index::Full } else { Index::Sparse })
    }

    /// 8-bit integers with scales; `q` is `[inputs, outputs]`, row-major. Without `keep`, all are kept; with it,
    /// as in [`Matrix::sparse`].
    ///
    /// # Errors
    /// [`PackError`] for an impossible shape, a wrong length, a scale that is negative or not finite, or a kept
    /// value of -128, which has no opposite.
    pub fn int8(
        inputs: usize,
        outputs: usize,
        q: &[i8],
        scales: Scales,
        keep: Option<&[bool]>,
        index: Index,
    ) -> Result<Self, PackError> {
        let (body, index) = body(inputs, outputs, q, keep, index)?;
        check_quantized(inputs, outputs, &scales, -127.0)?;
        body.check_levels(outputs, -127, i32::from)?;
        Ok(Self { inputs, outputs, index, store: Store::Int8(body, scales) })
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
        check_quantized(inputs, outputs, &scales, -i32::MAX as f32)?;
        body.check_levels(outputs, -i32::MAX, |q| q)?;
        Ok(Self { inputs, outputs, index, store: Store::Int32(body, scales) })
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
            Store::F32(_) => Values::F32,
            Store::Int32(_, scales) => Values::Int32(scales.per()),
            Store::Int8(_, scales) => Values::Int8(scales.per()),
        };
        Scheme { values, index: self.index }
    }

    /// Stored entries; for [`Index::Full`], all.
    pub fn kept(&self) -> usize {
        match &self.store {
            Store::F32(body) => body.kept(self.inputs, self.outputs),
            Store::Int32(body, _) => body.kept(self.inputs, self.outputs),
            Store::Int8(body, _) => body.kept(self.inputs, self.outputs),
        }
    }

    /// Stored entries that are not zero.
    pub fn nonzeros(&self) -> usize {
        match &self.store {
            Store::F32(body) => body.nonzeros(),
            Store::Int32(body, _) => body.nonzeros(),
            Store::Int8(body, _) => body.nonzeros(),
        }
    }

    /// Bytes that the matrix takes on disk, scales and index included: the bytes of its
    /// [`parts`](Matrix::parts).
    pub fn bytes(&self) -> usize {
        self.scheme().bytes(self.inputs, self.outputs, self.kept())
    }

    /// Bytes that the matrix takes in memory. A sparse matrix that multiplies faster with its zeros in place is
    /// held that way, so this can be more than [`bytes`](Matrix::bytes).
    pub fn resident_bytes(&self) -> usize {
        match &self.store {
            Store::F32(body) => body.resident_bytes(),
            Store::Int32(body, scales) => body.resident_bytes() + 4 * scales.all().len(),
            Store::Int8(body, scales) => body.resident_bytes() + 4 * scales.all().len(),
        }
    }

    /// The same matrix, held in memory in that form, whatever is faster. It stays the same on disk.
    ///
    /// A matrix that stores all entries is always held as rows.
    pub fn held_as(self, held: Held) -> Self {
        let Self { inputs, outputs, index, store } = self;
        let store = match store {
            Store::F32(body) => Store::F32(body.held_as(held, inputs, outputs)),
            Store::Int32(body, scales) => Store::Int32(body.held_as(held, inputs, outputs), scales),
            Store::Int8(body, scales) => Store::Int8(body.held_as(held, inputs, outputs), scales),
        };
        Self { inputs, outputs, index, store }
    }

    /// All entries as floats, `[inputs, outputs]`, row-major; an integer is multiplied by its scale in single
    /// precision.
    pub fn unpack(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.inputs * self.outputs];
        let mut put = |row, column, value| dense[row * self.outputs + column] = value;
        match &self.store {
            Store::F32(body) => body.visit(self.outputs, put),
            Store::Int32(body, s) => body.visit(self.outputs, |r, c, q| put(r, c, q as f32 * s.of(c))),
            Store::Int8(body, s) => body.visit(self.outputs, |r, c, q| put(r, c, f32::from(q) * s.of(c))),
        }
        dense
    }

    /// The integers of a quantized matrix, `[inputs, outputs]`, row-major, zeros where nothing is stored; `None`
    /// for floats.
    pub fn integers(&self) -> Option<Vec<i32>> {
        let mut dense = vec![0; self.inputs * self.outputs];
        let mut put = |row, column, value| dense[row * self.outputs + column] = value;
        match &self.store {
            Store::F32(_) => return None,
            Store::Int32(body, _) => body.visit(self.outputs, put),
            Store::Int8(body, _) => body.visit(self.outputs, |r, c, q| put(r, c, i32::from(q))),
        }
        Some(dense)
    }

    /// The scales of a quantized matrix.
    pub fn scales(&self) -> Option<&Scales> {
        match &self.store {
            Store::F32(_) => None,
            Store::Int32(_, scales) | Store::Int8(_, scales) => Some(scales),
        }
    }

    /// Which entries are stored, `[inputs, outputs]`, row-major.
    pub fn keep(&self) -> Vec<bool> {
        let mut keep = vec![false; self.inputs * self.outputs];
        let mut put = |row, column| keep[row * self.outputs + column] = true;
        match &self.store {
            Store::F32(body) => body.visit(self.outputs, |r, c, _| put(r, c)),
            Store::Int32(body, _) => body.visit(self.outputs, |r, c, _| put(r, c)),
            Store::Int8(body, _) => body.visit(self.outputs, |r, c, _| put(r, c)),
        }
        keep
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

impl Body<f32> {
    pub(crate) fn check_floats(&self, outputs: usize) -> Result<(), PackError> {
        // Padding and entries that are not kept are zero, so all of the memory can be looked at at once.
        let (Body::Rows { values, .. } | Body::Lists(Lists { values, .. })) = self;
        if values.iter().all(|v| v.is_finite()) {
            return Ok(());
        }
        let mut bad = None;
        self.visit(outputs, |row, column, value| {
            if !value.is_finite() {
                bad.get_or_insert((row * outputs + column, value));
            }
        });
        match bad {
            None => Ok(()),
            Some((position, value)) => Err(PackError::NotFinite { what: "values", position, value }),
        }
    }
}

impl<T: Element> Body<T> {
    pub(crate) fn check_levels(
        &self,
        outputs: usize,
        least: i32,
        widen: impl Fn(T) -> i32,
    ) -> Result<(), PackError> {
        let mut bad = None;
        self.visit(outputs, |row, column, q| {
            let value = widen(q);
            if value < least {
                bad.get_or_insert(PackError::Level { position: row * outputs + column, value, least });
            }
        });
        bad.map_or(Ok(()), Err)
    }
}

/// The product of the sides, where a matrix may have that shape.
pub(crate) fn entries(inputs: usize, outputs: usize) -> Result<usize, PackError> {
    match inputs.checked_mul(outputs) {
        Some(entries) if (1..=MOST_ENTRIES).contains(&entries) => Ok(entries),
        _ => Err(PackError::Shape { inputs, outputs, most: MOST_ENTRIES }),
    }
}

/// Checks the sides and the scales of a matrix whose integers go down to `least`.
pub(crate) fn check_quantized(
    inputs: usize,
    outputs: usize,
    scales: &Scales,
    least: f32,
) -> Result<(), PackError> {
    if inputs > MOST_QUANTIZED_INPUTS {
        return Err(PackError::Inputs { inputs, most: MOST_QUANTIZED_INPUTS });
    }
    if let Scales::Channel(scales) = scales {
        same_length("scales", scales.len(), outputs)?;
    }
    for (position, &value) in scales.all().iter().enumerate() {
        if !(value >= 0.0 && (value * least).is_finite()) {
            return Err(PackError::Scale { position, value, most: f32::MAX / -least });
        }
    }
    Ok(())
}

fn body<T: Element>(
    inputs: usize,
    outputs: usize,
    dense: &[T],
    keep: Option<&[bool]>,
    index: Index,
) -> Result<(Body<T>, Index), PackError> {
    let entries = entries(inputs, outputs)?;
    same_length("values", dense.len(), entries)?;
    let all;
    let keep = match keep {
        Some(keep) => keep,
        None => {
            all = vec![true; entries];
            &all
        }
    };
    same_length("keep", keep.len(), entries)?;
    if index == Index::Full {
        let dense = dense.iter().zip(keep).map(|(&v, &keep)| if keep { v } else { T::default() }).collect();
        return Ok((Body::full(dense, outputs), Index::Full));
    }
    let lists = Lists::gather(dense, keep, outputs);
    let index = resolve(index, inputs, outputs, lists.values.len());
    Ok((Body::sparse(lists, outputs), index))
}

fn same_length(what: &'static str, found: usize, expected: usize) -> Result<(), PackError> {
    if found == expected { Ok(()) } else { Err(PackError::Length { what, found, expected }) }
}

fn all_finite(values: &[f32]) -> Result<(), PackError> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(position) => Err(PackError::NotFinite { what: "values", position, value: values[position] }),
    }
}
