//! A matrix as named runs of little-endian bytes, and back with nothing believed.
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

use crate::body::{Body, Element, Lists};
use crate::codebook::{Book, Codebook};
use crate::index::{self, Given, Lookup, Shape};
use crate::matrix::{Precision, Store};
use crate::numbers::{brains, halves, read_brains, read_halves, read_shorts, read_whole, shorts, whole};
use crate::quantized::Quantized;
use crate::{Activations, Grid, Index, Int, Matrix, Outliers, PackError, Scales, Scheme, Values, check};
use std::borrow::Cow;
use std::fmt;

/// The type of the numbers of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// bfloat16.
    Bf16,
    /// 32-bit signed integers.
    I32,
    /// 16-bit signed integers.
    I16,
    /// 8-bit signed integers.
    I8,
    /// 8-bit unsigned integers, or bits.
    U8,
}

/// A named run of little-endian numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<'a> {
    /// `values`, `scales`, `zero_points`, `activations`, `outlier_inputs`, `outliers`, `numbers`, `mask`, `counts`,
    /// `gaps` or `positions`.
    pub name: &'static str,
    /// What the bytes are.
    pub dtype: Dtype,
    /// How many there are, in each dimension.
    pub shape: Vec<usize>,
    /// The numbers.
    pub bytes: Cow<'a, [u8]>,
}

impl Matrix {
    /// The matrix as it is written, in a fixed order: `values`, then what integers stand for, then the index.
    pub fn parts(&self) -> Vec<Part<'_>> {
        match &self.store {
            Store::Floats(body, Precision::Whole) => self.write(body, whole),
            Store::Floats(body, Precision::Half) => self.write(body, halves),
            Store::Floats(body, Precision::Brain) => self.write(body, brains),
            Store::Floats(body, Precision::Codes(book)) => {
                self.write(body, |values| book.codebook.encode(&book.numbers, &values, self.outputs).into())
            }
            Store::Words(body, Quantized { grid: Grid::Int16, .. }) => self.write(body, shorts),
            Store::Words(body, _) => self.write(body, whole),
            Store::Bytes(body, means) => {
                self.write(body, |numbers| means.grid.encode(means.zero_points.is_some(), numbers))
            }
        }
    }

    /// Reads a matrix of that shape and layout from its parts; `lookup` gives a part by its name.
    ///
    /// Allocates in proportion to the bytes that are given, never to what `inputs` and `outputs` claim.
    ///
    /// # Errors
    /// [`PackError`] for an impossible shape or layout, one whose index is [`Index::Sparse`], and any part that
    /// is missing or wrong: type, shape, length, a float or a scale that is not finite, an integer out of range,
    /// counts and bits that do not match the values, places out of order or beyond the matrix, padding that is
    /// not zero.
    pub fn from_parts<'a>(
        inputs: usize,
        outputs: usize,
        scheme: Scheme,
        mut lookup: impl FnMut(&'static str) -> Option<Part<'a>>,
    ) -> Result<Self, PackError> {
        check::entries(inputs, outputs)?;
        scheme.check()?;
        if scheme.index == Index::Sparse {
            return Err(PackError::Unresolved(scheme));
        }
        let shape = Shape { inputs, outputs };
        let lookup = &mut lookup;
        let store = match scheme.values {
            Values::F32 => {
                let body = read_body(scheme, shape, lookup, read_whole)?;
                check::floats(&body, outputs)?;
                Store::Floats(body, Precision::Whole)
            }
            Values::F16 => {
                let body = read_body(scheme, shape, lookup, read_halves)?;
                check::floats(&body, outputs)?;
                Store::Floats(body, Precision::Half)
            }
            Values::Bf16 => {
                let body = read_body(scheme, shape, lookup, read_brains)?;
                check::floats(&body, outputs)?;
                Store::Floats(body, Precision::Brain)
            }
            Values::Codebook(codebook) => {
                let book = read_book(shape, codebook, lookup)?;
                let read = |bytes: &[u8], count: usize| codebook.decode(&book.numbers, bytes, count, outputs);
                Store::Floats(read_body(scheme, shape, lookup, read)?, Precision::Codes(book))
            }
            Values::Int(int) => {
                let means = read_meaning(shape, int, lookup)?;
                if int.grid.is_wide() {
                    let read = if int.grid == Grid::Int16 { read_shorts } else { read_whole };
                    let body = read_body(scheme, shape, lookup, read)?;
                    check::integers(&body, outputs, &means, |q| q)?;
                    Store::Words(body, means)
                } else {
                    let read = |bytes: &[u8], count: usize| int.grid.decode(int.zero_points, bytes, count);
                    let body = read_body(scheme, shape, lookup, read)?;
                    check::integers(&body, outputs, &means, i32::from)?;
                    if let Some(outliers) = &means.outliers {
                        outliers.check_body(&body, outputs, int.grid)?;
                    }
                    Store::Bytes(body, means)
                }
            }
        };
        Ok(Self { inputs, outputs, index: scheme.index, store }.segmented())
    }

    fn write<'a, T: Element>(
        &'a self,
        body: &'a Body<T>,
        encode: impl Fn(Cow<'a, [T]>) -> Cow<'a, [u8]>,
    ) -> Vec<Part<'a>> {
        let Self { inputs, outputs, .. } = *self;
        let (values, places): (Cow<'_, [T]>, _) = match (self.index, body) {
            (Index::Full, Body::Rows { values, stride, .. }) if *stride == outputs => {
                (Cow::Borrowed(&values[..]), vec![])
            }
            (Index::Full, body) => {
                let mut values = Vec::with_capacity(inputs * outputs);
                body.visit(outputs, |_, _, value| values.push(value));
                (Cow::Owned(values), vec![])
            }
            (index, body) => {
                let lists = body.to_lists(inputs, outputs);
                let (values, places) = index::write(index, Shape { inputs, outputs }, lists);
                (Cow::Owned(values), places)
            }
        };
        let kind = self.scheme().values;
        let count = values.len();
        let bytes = encode(values);
        let shape = match (kind, self.index) {
            (kind, _) if Dtype::of(kind) == Dtype::U8 => vec![bytes.len()],
            (_, Index::Full) => vec![inputs, outputs],
            _ => vec![count],
        };
        let mut parts = vec![Part { name: "values", dtype: Dtype::of(kind), shape, bytes }];
        if let Some(means) = self.integers_mean() {
            let floats = |name, all: &'a [f32]| {
                let bytes = whole(Cow::Borrowed(all));
                Part { name, dtype: Dtype::F32, shape: vec![all.len()], bytes }
            };
            parts.push(floats("scales", means.scales.all()));
            if let Some(points) = &means.zero_points {
                let bytes = whole(Cow::Borrowed(&points[..]));
                parts.push(Part { name: "zero_points", dtype: Dtype::I8, shape: vec![points.len()], bytes });
            }
            if let Some(scale) = &means.activations {
                parts.push(floats("activations", std::slice::from_ref(scale)));
            }
            if let Some(outliers) = &means.outliers {
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

impl<'a> Part<'a> {
    pub(crate) fn take(name: &'static str, lookup: &mut impl Lookup<'a>) -> Result<Self, PackError> {
        let mut part = lookup(name).ok_or(PackError::Missing(name))?;
        part.name = name;
        Ok(part)
    }

    pub(crate) fn expect(&self, dtype: Dtype, shape: &[usize]) -> Result<(), PackError> {
        if self.dtype != dtype {
            return Err(PackError::Dtype { name: self.name, found: self.dtype, expected: dtype });
        }
        if self.shape != shape {
            let (found, expected) = (self.shape.clone(), shape.to_vec());
            return Err(PackError::PartShape { name: self.name, found, expected });
        }
        let numbers = shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
        match numbers.and_then(|n| n.checked_mul(dtype.bytes())) {
            Some(expected) if expected == self.bytes.len() => Ok(()),
            expected => Err(PackError::PartBytes {
                name: self.name,
                found: self.bytes.len(),
                expected: expected.unwrap_or(usize::MAX),
            }),
        }
    }
}

impl Dtype {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F16 | Dtype::Bf16 | Dtype::I16 => 2,
            Dtype::I8 | Dtype::U8 => 1,
        }
    }

    /// What values are given as.
    fn of(values: Values) -> Self {
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
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::I32 => "i32",
            Dtype::I16 => "i16",
            Dtype::I8 => "i8",
            Dtype::U8 => "u8",
        })
    }
}

/// The lists that codes are of.
fn read_book<'a>(shape: Shape, codebook: Codebook, lookup: &mut impl Lookup<'a>) -> Result<Book, PackError> {
    codebook.check(shape)?;
    let count = codebook.numbers(shape.outputs);
    let part = Part::take("numbers", lookup)?;
    part.expect(Dtype::F16, &[count])?;
    let numbers = read_halves(&part.bytes, count)?;
    match numbers.iter().position(|v| !v.is_finite()) {
        None => Ok(Book { codebook, numbers }),
        Some(position) => Err(PackError::NotFinite { what: "numbers", position, value: numbers[position] }),
    }
}

/// What the integers stand for.
fn read_meaning<'a>(shape: Shape, int: Int, lookup: &mut impl Lookup<'a>) -> Result<Quantized, PackError> {
    let count = int.per.scales(shape.inputs, shape.outputs);
    let mut floats = |name, count| {
        let part = Part::take(name, lookup)?;
        part.expect(Dtype::F32, &[count])?;
        read_whole::<f32>(&part.bytes, count)
    };
    let scales = Scales::of(int.per, floats("scales", count)?);
    let activations = match int.activations {
        Activations::Dynamic => None,
        Activations::Static => Some(floats("activations", 1)?[0]),
    };
    let zero_points = if int.zero_points {
        let part = Part::take("zero_points", lookup)?;
        part.expect(Dtype::I8, &[count])?;
        Some(read_whole::<i8>(&part.bytes, count)?)
    } else {
        None
    };
    let outliers = Outliers::read(int.outliers, shape, lookup)?.map(Box::new);
    let means = Quantized { grid: int.grid, scales, zero_points, activations, outliers };
    means.check(shape.inputs, shape.outputs)?;
    Ok(means)
}

fn read_body<'a, T: Element>(
    scheme: Scheme,
    shape: Shape,
    lookup: &mut impl Lookup<'a>,
    decode: impl Fn(&[u8], usize) -> Result<Vec<T>, PackError>,
) -> Result<Body<T>, PackError> {
    let Scheme { values: kind, index } = scheme;
    let Shape { inputs, outputs } = shape;
    let part = Part::take("values", lookup)?;
    let dtype = Dtype::of(kind);
    if index == Index::Full {
        let expected = match kind {
            _ if dtype == Dtype::U8 => vec![kind.bytes(inputs * outputs)],
            _ => vec![inputs, outputs],
        };
        part.expect(dtype, &expected)?;
        return Ok(Body::full(decode(&part.bytes, inputs * outputs)?, outputs));
    }
    part.expect(dtype, &[part.bytes.len() / dtype.bytes()])?;
    let given = Given { kind, bytes: &part.bytes };
    let lists: Lists<T> = index::read(index, shape, &given, lookup, decode)?;
    Ok(Body::sparse(lists, outputs))
}
