//! A matrix as named runs of little-endian bytes, and back with nothing believed.
//!
//! | part | what | when |
//! |---|---|---|
//! | `values` | `[inputs, outputs]`, or the kept ones `[kept]` in row order | always |
//! | `scales` | f32 `[1]` or `[outputs]` | integers |
//! | `mask` | one bit an entry, row-major, lowest bit first, the last byte filled with zeros | bitmask |
//! | `counts` | kept entries of each row, `[inputs]` | csr |
//! | `columns` | the column of each kept entry, `[kept]`, ascending within a row | csr |
//!
//! Counts and columns are u8, u16 or u32, whichever is the smallest that holds every count (up to `outputs`) and
//! every column (up to `outputs - 1`). All parts together have [`Scheme::bytes`](crate::Scheme::bytes) bytes.

use crate::body::{Body, Element, Lists, Mask};
use crate::matrix::{Store, check_quantized, entries};
use crate::scheme::width;
use crate::{Index, Matrix, PackError, Per, Scales, Scheme, Values};
use std::borrow::Cow;
use std::fmt;

/// The type of the numbers of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit floats.
    F32,
    /// 32-bit signed integers.
    I32,
    /// 8-bit signed integers.
    I8,
    /// 8-bit unsigned integers, or bits.
    U8,
    /// 16-bit unsigned integers.
    U16,
    /// 32-bit unsigned integers.
    U32,
}

/// A named run of little-endian numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<'a> {
    /// `values`, `scales`, `mask`, `counts` or `columns`.
    pub name: &'static str,
    /// What the bytes are.
    pub dtype: Dtype,
    /// How many there are, in each dimension.
    pub shape: Vec<usize>,
    /// The numbers.
    pub bytes: Cow<'a, [u8]>,
}

impl Matrix {
    /// The matrix as it is written, in a fixed order: `values`, then `scales`, then the index.
    pub fn parts(&self) -> Vec<Part<'_>> {
        let mut parts = match &self.store {
            Store::F32(body) => self.value_parts(body, Dtype::F32, None),
            Store::Int32(body, scales) => self.value_parts(body, Dtype::I32, Some(scales)),
            Store::Int8(body, scales) => self.value_parts(body, Dtype::I8, Some(scales)),
        };
        match &self.store {
            Store::F32(body) => self.index_parts(body, &mut parts),
            Store::Int32(body, _) => self.index_parts(body, &mut parts),
            Store::Int8(body, _) => self.index_parts(body, &mut parts),
        }
        parts
    }

    /// Reads a matrix of that shape and layout from its parts; `lookup` gives a part by its name.
    ///
    /// Allocates in proportion to the bytes that are given, never to what `inputs` and `outputs` claim.
    ///
    /// # Errors
    /// [`PackError`] for an impossible shape, a layout whose index is [`Index::Sparse`], and any part that is
    /// missing or wrong: type, shape, length, a float or a scale that is not finite, an integer without
    /// opposite, counts and bits that do not match the values, columns out of order.
    pub fn from_parts<'a>(
        inputs: usize,
        outputs: usize,
        scheme: Scheme,
        mut lookup: impl FnMut(&'static str) -> Option<Part<'a>>,
    ) -> Result<Self, PackError> {
        entries(inputs, outputs)?;
        if scheme.index == Index::Sparse {
            return Err(PackError::Unresolved(scheme));
        }
        let index = scheme.index;
        let shape = Shape { inputs, outputs, index };
        let store = match scheme.values {
            Values::F32 => {
                let body = read_body::<f32>(shape, Dtype::F32, &mut lookup)?;
                body.check_floats(outputs)?;
                Store::F32(body)
            }
            Values::Int32(per) => {
                let scales = read_scales(shape, per, -i32::MAX as f32, &mut lookup)?;
                let body = read_body::<i32>(shape, Dtype::I32, &mut lookup)?;
                body.check_levels(outputs, -i32::MAX, |q| q)?;
                Store::Int32(body, scales)
            }
            Values::Int8(per) => {
                let scales = read_scales(shape, per, -127.0, &mut lookup)?;
                let body = read_body::<i8>(shape, Dtype::I8, &mut lookup)?;
                body.check_levels(outputs, -127, i32::from)?;
                Store::Int8(body, scales)
            }
        };
        Ok(Self { inputs, outputs, index, store })
    }

    fn value_parts<'a, T: Element>(
        &'a self,
        body: &'a Body<T>,
        dtype: Dtype,
        scales: Option<&'a Scales>,
    ) -> Vec<Part<'a>> {
        let bytes = match body {
            Body::Rows { values, stride, mask: None } if *stride == self.outputs => little_endian(values),
            Body::Lists(lists) => little_endian(&lists.values),
            _ => {
                let mut values = Vec::with_capacity(self.kept());
                body.visit(self.outputs, |_, _, value| values.push(value));
                Cow::Owned(little_endian(&values).into_owned())
            }
        };
        let shape =
            if self.index == Index::Full { vec![self.inputs, self.outputs] } else { vec![self.kept()] };
        let mut parts = vec![Part { name: "values", dtype, shape, bytes }];
        if let Some(scales) = scales {
            let all = scales.all();
            let shape = vec![all.len()];
            parts.push(Part { name: "scales", dtype: Dtype::F32, shape, bytes: little_endian(all) });
        }
        parts
    }

    fn index_parts<T: Element>(&self, body: &Body<T>, parts: &mut Vec<Part<'_>>) {
        match self.index {
            Index::Full => {}
            Index::Bitmask => {
                let mut mask = Mask::empty(self.inputs * self.outputs);
                body.visit(self.outputs, |row, column, _| mask.set(row * self.outputs + column));
                let shape = vec![mask.0.len()];
                parts.push(Part { name: "mask", dtype: Dtype::U8, shape, bytes: Cow::Owned(mask.0) });
            }
            Index::Csr | Index::Sparse => {
                let mut counts = vec![0; self.inputs];
                let mut columns = Vec::with_capacity(self.kept());
                body.visit(self.outputs, |row, column, _| {
                    counts[row] += 1;
                    columns.push(column as u32);
                });
                parts.push(narrow("counts", self.outputs, &counts));
                parts.push(narrow("columns", self.outputs - 1, &columns));
            }
        }
    }
}

impl Part<'_> {
    fn expect(&self, dtype: Dtype, shape: &[usize]) -> Result<(), PackError> {
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
            Dtype::F32 | Dtype::I32 | Dtype::U32 => 4,
            Dtype::U16 => 2,
            Dtype::I8 | Dtype::U8 => 1,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F32 => "f32",
            Dtype::I32 => "i32",
            Dtype::I8 => "i8",
            Dtype::U8 => "u8",
            Dtype::U16 => "u16",
            Dtype::U32 => "u32",
        })
    }
}

#[derive(Clone, Copy)]
struct Shape {
    inputs: usize,
    outputs: usize,
    index: Index,
}

fn take<'a>(
    name: &'static str,
    lookup: &mut impl FnMut(&'static str) -> Option<Part<'a>>,
) -> Result<Part<'a>, PackError> {
    let mut part = lookup(name).ok_or(PackError::Missing(name))?;
    part.name = name;
    Ok(part)
}

fn read_scales<'a>(
    shape: Shape,
    per: Per,
    least: f32,
    lookup: &mut impl FnMut(&'static str) -> Option<Part<'a>>,
) -> Result<Scales, PackError> {
    let part = take("scales", lookup)?;
    let scales = match per {
        Per::Tensor => {
            part.expect(Dtype::F32, &[1])?;
            Scales::Tensor(numbers::<f32>(&part.bytes)[0])
        }
        Per::Channel => {
            part.expect(Dtype::F32, &[shape.outputs])?;
            Scales::Channel(numbers(&part.bytes))
        }
    };
    check_quantized(shape.inputs, shape.outputs, &scales, least)?;
    Ok(scales)
}

fn read_body<'a, T: Element>(
    shape: Shape,
    dtype: Dtype,
    lookup: &mut impl FnMut(&'static str) -> Option<Part<'a>>,
) -> Result<Body<T>, PackError> {
    let Shape { inputs, outputs, index } = shape;
    let values = take("values", lookup)?;
    if index == Index::Full {
        values.expect(dtype, &[inputs, outputs])?;
        return Ok(Body::full(numbers(&values.bytes), outputs));
    }
    let kept = values.bytes.len() / dtype.bytes();
    values.expect(dtype, &[kept])?;
    if index == Index::Bitmask {
        let mask = take("mask", lookup)?;
        mask.expect(Dtype::U8, &[(inputs * outputs).div_ceil(8)])?;
        let (starts, columns) = read_mask(inputs, outputs, kept, &mask.bytes)?;
        return Ok(Body::sparse(Lists { starts, columns, values: numbers(&values.bytes) }, outputs));
    }
    let counts = take("counts", lookup)?;
    counts.expect(unsigned(outputs), &[inputs])?;
    let columns = take("columns", lookup)?;
    columns.expect(unsigned(outputs - 1), &[kept])?;
    let starts = read_counts(kept, &widen(&counts))?;
    let columns = widen(&columns);
    for (row, ends) in starts.windows(2).enumerate() {
        let mut next = 0;
        for &column in &columns[ends[0] as usize..ends[1] as usize] {
            let column = column as usize;
            if column < next || column >= outputs {
                return Err(PackError::Columns { row, column, outputs });
            }
            next = column + 1;
        }
    }
    Ok(Body::sparse(Lists { starts, columns, values: numbers(&values.bytes) }, outputs))
}

/// Starts and columns from the bits of a mask that keeps `kept` entries.
fn read_mask(
    inputs: usize,
    outputs: usize,
    kept: usize,
    mask: &[u8],
) -> Result<(Vec<u32>, Vec<u32>), PackError> {
    let tail = (inputs * outputs) % 8;
    if tail != 0 && mask.last().is_some_and(|last| last >> tail != 0) {
        return Err(PackError::MaskTail);
    }
    let found = mask.iter().map(|b| b.count_ones() as usize).sum();
    if found != kept {
        return Err(PackError::Popcount { found, expected: kept });
    }
    let mut starts = Vec::with_capacity(inputs + 1);
    let mut columns = Vec::with_capacity(kept);
    let mut end = 0;
    for (byte, &bits) in mask.iter().enumerate() {
        let mut bits = bits;
        while bits != 0 {
            let entry = byte * 8 + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            while entry >= end {
                starts.push(columns.len() as u32);
                end += outputs;
            }
            columns.push((entry + outputs - end) as u32);
        }
    }
    starts.resize(inputs + 1, columns.len() as u32);
    Ok((starts, columns))
}

/// Starts from the counts of rows that keep `kept` entries together.
fn read_counts(kept: usize, counts: &[u32]) -> Result<Vec<u32>, PackError> {
    let found = counts.iter().map(|&n| u64::from(n)).sum();
    if found != kept as u64 {
        return Err(PackError::Counts { found, expected: kept });
    }
    // A sum of `kept` values was given in bytes, so none of the partial sums overflows 64 bits; but it may
    // exceed 32 bits on absurd input, which then has columns out of order as it exceeds the entries.
    if u32::try_from(kept).is_err() {
        return Err(PackError::Counts { found, expected: u32::MAX as usize });
    }
    let mut starts = Vec::with_capacity(counts.len() + 1);
    let mut start = 0u32;
    starts.push(start);
    for &count in counts {
        start += count;
        starts.push(start);
    }
    Ok(starts)
}

/// The type of unsigned numbers up to `largest`.
fn unsigned(largest: usize) -> Dtype {
    match width(largest) {
        1 => Dtype::U8,
        2 => Dtype::U16,
        _ => Dtype::U32,
    }
}

fn narrow(name: &'static str, largest: usize, numbers: &[u32]) -> Part<'static> {
    let dtype = unsigned(largest);
    let bytes = match dtype {
        Dtype::U8 => numbers.iter().map(|&n| n as u8).collect(),
        Dtype::U16 => numbers.iter().flat_map(|&n| (n as u16).to_le_bytes()).collect(),
        _ => numbers.iter().flat_map(|&n| n.to_le_bytes()).collect(),
    };
    Part { name, dtype, shape: vec![numbers.len()], bytes: Cow::Owned(bytes) }
}

fn widen(part: &Part<'_>) -> Vec<u32> {
    match part.dtype {
        Dtype::U8 => part.bytes.iter().map(|&n| u32::from(n)).collect(),
        Dtype::U16 => part.bytes.as_chunks().0.iter().map(|&b| u32::from(u16::from_le_bytes(b))).collect(),
        _ => part.bytes.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect(),
    }
}

/// Numbers as bytes, without a copy where the machine is little-endian.
fn little_endian<T: Element>(numbers: &[T]) -> Cow<'_, [u8]> {
    let bytes: &[u8] = bytemuck::cast_slice(numbers);
    if cfg!(target_endian = "little") {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(bytes.chunks_exact(size_of::<T>()).flat_map(|n| n.iter().rev().copied()).collect())
}

/// Numbers from bytes, whose length is a multiple of the size of a number.
fn numbers<T: Element>(bytes: &[u8]) -> Vec<T> {
    let mut numbers = vec![T::default(); bytes.len() / size_of::<T>()];
    let into: &mut [u8] = bytemuck::cast_slice_mut(&mut numbers);
    into.copy_from_slice(bytes);
    if cfg!(target_endian = "big") {
        into.chunks_exact_mut(size_of::<T>()).for_each(<[u8]>::reverse);
    }
    numbers
}
