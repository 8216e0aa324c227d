//! A matrix from its [parts](crate::Part), with nothing believed.

use super::parts::dtype_of;
use super::{Matrix, Precision, Store, check};
use crate::book::Book;
use crate::dtype::Dtype;
use crate::entries::{Entries, Sparse};
use crate::index::{self, Given};
use crate::numbers::{Number, read_brains, read_halves, read_shorts, read_whole};
use crate::part::{Lookup, Part};
use crate::quantized::{Quantized, Scales};
use crate::shape::{self, Shape};
use crate::{Activations, Codebook, Grid, Index, Int, Outliers, PackError, Scheme, Values};

impl Matrix {
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
        shape::entries(inputs, outputs)?;
        scheme.check()?;
        if scheme.index == Index::Sparse {
            return Err(PackError::Unresolved(scheme));
        }
        let shape = Shape { inputs, outputs };
        let lookup = &mut lookup;
        let store = match scheme.values {
            Values::F32 => {
                let entries = read_entries(scheme, shape, lookup, read_whole)?;
                check::floats(&entries, outputs)?;
                Store::Floats(entries, Precision::Whole)
            }
            Values::F16 => {
                let entries = read_entries(scheme, shape, lookup, read_halves)?;
                check::floats(&entries, outputs)?;
                Store::Floats(entries, Precision::Half)
            }
            Values::Bf16 => {
                let entries = read_entries(scheme, shape, lookup, read_brains)?;
                check::floats(&entries, outputs)?;
                Store::Floats(entries, Precision::Brain)
            }
            Values::Codebook(codebook) => {
                let book = read_book(shape, codebook, lookup)?;
                let read = |bytes: &[u8], count: usize| codebook.decode(&book.numbers, bytes, count, outputs);
                Store::Floats(read_entries(scheme, shape, lookup, read)?, Precision::Codes(book))
            }
            Values::Int(int) => {
                let means = read_meaning(shape, int, lookup)?;
                if int.grid.is_wide() {
                    let read = if int.grid == Grid::Int16 { read_shorts } else { read_whole };
                    let entries = read_entries(scheme, shape, lookup, read)?;
                    check::integers(&entries, outputs, &means, |q| q)?;
                    Store::Words(entries, means)
                } else {
                    let read = |bytes: &[u8], count: usize| int.grid.decode(int.zero_points, bytes, count);
                    let entries = match (int.grid, scheme.index) {
                        (Grid::Int8, Index::Full) => read_bytes(scheme, shape, lookup)?,
                        _ => read_entries(scheme, shape, lookup, read)?,
                    };
                    check::integers(&entries, outputs, &means, i32::from)?;
                    if let Some(outliers) = &means.outliers {
                        check::outliers(outliers, &entries, outputs, int.grid)?;
                    }
                    Store::Bytes(entries, means)
                }
            }
        };
        Ok(Self { inputs, outputs, index: scheme.index, store })
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

/// Entries that are bytes, all stored; where the part owns its bytes, they are these.
fn read_bytes<'a>(
    scheme: Scheme,
    shape: Shape,
    lookup: &mut impl Lookup<'a>,
) -> Result<Entries<i8>, PackError> {
    let part = Part::take("values", lookup)?;
    part.expect(dtype_of(scheme.values), &[shape.inputs, shape.outputs])?;
    // Collected in place: as long, and as large.
    Ok(Entries::Full(part.bytes.into_owned().into_iter().map(u8::cast_signed).collect()))
}

fn read_entries<'a, T: Number>(
    scheme: Scheme,
    shape: Shape,
    lookup: &mut impl Lookup<'a>,
    decode: impl Fn(&[u8], usize) -> Result<Vec<T>, PackError>,
) -> Result<Entries<T>, PackError> {
    let Scheme { values: kind, index } = scheme;
    let Shape { inputs, outputs } = shape;
    let part = Part::take("values", lookup)?;
    let dtype = dtype_of(kind);
    if index == Index::Full {
        let expected = match kind {
            _ if dtype == Dtype::U8 => vec![kind.bytes(inputs * outputs)],
            _ => vec![inputs, outputs],
        };
        part.expect(dtype, &expected)?;
        return Ok(Entries::Full(decode(&part.bytes, inputs * outputs)?));
    }
    part.expect(dtype, &[part.bytes.len() / dtype.bytes()])?;
    let given = Given { kind, bytes: &part.bytes };
    let lists = index::read(index, shape, &given, lookup, decode)?;
    Ok(Entries::Sparse(Sparse::new(lists, outputs)))
}
