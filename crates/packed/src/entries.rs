//! The stored numbers of a matrix as they lie in memory: all of them, or the kept ones and where they are.
//!
//! No form takes much more than the bytes that it was read from: places are one bit an entry, or the columns of each
//! row, whichever is smaller.

use crate::lists::Lists;
use crate::numbers::Number;
use crate::shape::Shape;

/// The stored numbers of a `[inputs, outputs]` matrix.
#[derive(Clone, Debug, PartialEq)]
pub enum Entries<T> {
    /// All of them, row-major.
    Full(Vec<T>),
    /// The kept ones.
    Sparse(Sparse<T>),
}

/// The kept entries of a matrix, row by row in the order of their columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse<T> {
    places: Places,
    values: Vec<T>,
}

/// Where kept entries are.
#[derive(Clone, Debug, PartialEq)]
enum Places {
    /// By a bit for each entry.
    Mask(Mask),
    /// As [`Lists`] has them.
    Lists { starts: Vec<u32>, columns: Vec<u32> },
}

/// One bit for each entry, in the order of the entries, lowest bit first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mask(pub(crate) Vec<u8>);

impl Mask {
    pub(crate) fn empty(entries: usize) -> Self {
        Self(vec![0; entries.div_ceil(8)])
    }

    pub(crate) fn set(&mut self, entry: usize) {
        self.0[entry / 8] |= 1 << (entry % 8);
    }

    /// Visits the entries that are marked, ascending.
    fn visit(&self, mut see: impl FnMut(usize)) {
        for (byte, &bits) in self.0.iter().enumerate() {
            let mut bits = bits;
            while bits != 0 {
                see(byte * 8 + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }

    /// The starts of rows and the columns of the entries that are marked, as in [`Lists`].
    pub(crate) fn lists(&self, shape: Shape, kept: usize) -> (Vec<u32>, Vec<u32>) {
        let Shape { inputs, outputs } = shape;
        let mut starts = Vec::with_capacity(inputs + 1);
        let mut columns = Vec::with_capacity(kept);
        let mut end = 0;
        self.visit(|entry| {
            while entry >= end {
                starts.push(columns.len() as u32);
                end += outputs;
            }
            columns.push((entry + outputs - end) as u32);
        });
        starts.resize(inputs + 1, columns.len() as u32);
        (starts, columns)
    }
}

impl<T: Number> Sparse<T> {
    pub(crate) fn new(lists: Lists<T>, outputs: usize) -> Self {
        let entries = lists.inputs() * outputs;
        let Lists { starts, columns, values } = lists;
        if 4 * (starts.len() + columns.len()) <= entries.div_ceil(8) {
            return Self { places: Places::Lists { starts, columns }, values };
        }
        let mut mask = Mask::empty(entries);
        for (row, ends) in starts.windows(2).enumerate() {
            let columns = &columns[ends[0] as usize..ends[1] as usize];
            columns.iter().for_each(|&column| mask.set(row * outputs + column as usize));
        }
        Self { places: Places::Mask(mask), values }
    }

    fn into_lists(self, shape: Shape) -> Lists<T> {
        let Self { places, values } = self;
        let (starts, columns) = match places {
            Places::Mask(mask) => mask.lists(shape, values.len()),
            Places::Lists { starts, columns } => (starts, columns),
        };
        Lists { starts, columns, values }
    }

    fn visit(&self, outputs: usize, mut see: impl FnMut(usize, usize, T)) {
        match &self.places {
            Places::Mask(mask) => {
                let mut values = self.values.iter();
                mask.visit(|entry| {
                    let value = values.next().expect("a mask marks as many entries as there are values");
                    see(entry / outputs, entry % outputs, *value);
                });
            }
            Places::Lists { starts, columns } => {
                for (row, ends) in starts.windows(2).enumerate() {
                    let range = ends[0] as usize..ends[1] as usize;
                    for (&column, &value) in columns[range.clone()].iter().zip(&self.values[range]) {
                        see(row, column as usize, value);
                    }
                }
            }
        }
    }
}

impl<T: Number> Entries<T> {
    /// The kept entries as lists.
    pub(crate) fn to_lists(&self, shape: Shape) -> Lists<T> {
        self.clone().into_lists(shape.inputs, shape.outputs)
    }

    /// The stored entries of a matrix with these sides as lists.
    pub fn into_lists(self, inputs: usize, outputs: usize) -> Lists<T> {
        let shape = Shape { inputs, outputs };
        match self {
            Entries::Sparse(sparse) => sparse.into_lists(shape),
            Entries::Full(values) => Lists {
                starts: (0..=inputs).map(|row| (row * outputs) as u32).collect(),
                columns: (0..inputs).flat_map(|_| 0..outputs as u32).collect(),
                values,
            },
        }
    }

    /// Visits the stored entries row by row, in the order of their columns.
    pub(crate) fn visit(&self, outputs: usize, mut see: impl FnMut(usize, usize, T)) {
        match self {
            Entries::Sparse(sparse) => sparse.visit(outputs, see),
            Entries::Full(values) => {
                for (row, values) in values.chunks_exact(outputs).enumerate() {
                    values.iter().enumerate().for_each(|(column, &value)| see(row, column, value));
                }
            }
        }
    }

    /// The stored numbers, row by row in the order of their columns.
    pub(crate) fn numbers(&self) -> &[T] {
        match self {
            Entries::Full(values) => values,
            Entries::Sparse(sparse) => &sparse.values,
        }
    }

    pub(crate) fn nonzeros(&self) -> usize {
        self.numbers().iter().filter(|v| **v != T::default()).count()
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        let places = match self {
            Entries::Full(_) => 0,
            Entries::Sparse(sparse) => match &sparse.places {
                Places::Mask(mask) => mask.0.len(),
                Places::Lists { starts, columns } => 4 * (starts.len() + columns.len()),
            },
        };
        size_of_val(self.numbers()) + places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_kept_in_the_smaller_way() {
        let shape = Shape { inputs: 4, outputs: 1000 };
        for step in [1, 3, 64, 2000, 5000] {
            let keep: Vec<bool> = (0..4000).map(|i| i % step == step - 1).collect();
            let dense: Vec<i8> = (0..4000).map(|i| (i % 100) as i8).collect();
            let lists = Lists::gather(&dense, &keep, 1000);
            let entries = Entries::Sparse(Sparse::new(lists.clone(), 1000));
            let kept = lists.values.len();
            assert_eq!(entries.resident_bytes(), kept + (4000 / 8).min(4 * (5 + kept)), "{step}");
            let mut seen = Vec::new();
            entries.visit(1000, |row, column, value| seen.push((row * 1000 + column, value)));
            let expected: Vec<_> = (0..4000).filter(|i| keep[*i]).map(|i| (i, dense[i])).collect();
            assert_eq!(seen, expected, "{step}");
            assert_eq!(entries.into_lists(shape.inputs, shape.outputs), lists, "{step}");
        }
    }
}
