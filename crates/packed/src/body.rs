//! How the stored values lie in memory while they are multiplied by.
//!
//! What lies on disk is decided by the scheme; in memory there are two forms. `Rows` is the whole matrix, zeros
//! included, which vector instructions run through. `Lists` is the kept values of each row with their columns.
//! A sparse matrix that is not sparse enough to be faster as lists is held as rows: at most a fixed multiple of
//! the bytes that it was read from.

use crate::kernels::LANES;
use crate::scheme::Index;

/// Number types that are stored.
pub(crate) trait Element: bytemuck::Pod + PartialEq + Default + std::fmt::Debug {
    /// A sparse matrix is held as rows when at least one in so many entries is kept (measured, see `benches`).
    const EXPAND_FROM: usize;
}

impl Element for f32 {
    const EXPAND_FROM: usize = 8;
}
impl Element for i8 {
    const EXPAND_FROM: usize = 8;
}
impl Element for i32 {
    const EXPAND_FROM: usize = 8;
}

/// Kept values in memory. Invariants: `starts` ascends from 0 to the length of `columns` and `values`; columns
/// ascend strictly within a row and are less than `outputs`; `rows` holds `inputs` rows of `stride` values, of
/// which those at and beyond `outputs`, and those outside the mask, are zero.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body<T> {
    Rows { values: Vec<T>, stride: usize, mask: Option<Mask> },
    Lists(Lists<T>),
}

/// The kept values of each row, with their columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lists<T> {
    pub(crate) starts: Vec<u32>,
    pub(crate) columns: Vec<u32>,
    pub(crate) values: Vec<T>,
}

/// How a sparse matrix is held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The whole matrix, zeros included, for vector instructions to run through.
    Rows,
    /// The kept values of each row, with their columns.
    Lists,
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

    pub(crate) fn get(&self, entry: usize) -> bool {
        self.0[entry / 8] >> (entry % 8) & 1 == 1
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|b| b.count_ones() as usize).sum()
    }
}

/// Columns of a row in memory: rounded up to whole vectors, except for one column, which is one vector as it is.
pub(crate) fn stride(outputs: usize) -> usize {
    if outputs == 1 { 1 } else { outputs.next_multiple_of(LANES) }
}

impl<T: Element> Body<T> {
    /// All entries of a dense slice of `[inputs, outputs]`.
    pub(crate) fn full(dense: Vec<T>, outputs: usize) -> Self {
        let stride = stride(outputs);
        let values = if stride == outputs {
            dense
        } else {
            let mut values = vec![T::default(); dense.len() / outputs * stride];
            for (to, from) in values.chunks_exact_mut(stride).zip(dense.chunks_exact(outputs)) {
                to[..outputs].copy_from_slice(from);
            }
            values
        };
        Body::Rows { values, stride, mask: None }
    }

    /// Lists of kept values, expanded to rows where that is faster.
    pub(crate) fn sparse(lists: Lists<T>, outputs: usize) -> Self {
        let inputs = lists.starts.len() - 1;
        if lists.values.len() < inputs * outputs / T::EXPAND_FROM {
            return Body::Lists(lists);
        }
        lists.expand(outputs)
    }

    /// The same numbers in the other form; all entries stored are always rows.
    pub(crate) fn held_as(self, held: Held, inputs: usize, outputs: usize) -> Self {
        match (&self, held) {
            (Body::Rows { mask: Some(_), .. }, Held::Lists) => {
                let mut lists = Lists { starts: vec![0; inputs + 1], columns: vec![], values: vec![] };
                self.visit(outputs, |row, column, value| {
                    lists.starts[row + 1] += 1;
                    lists.columns.push(column as u32);
                    lists.values.push(value);
                });
                for row in 0..inputs {
                    lists.starts[row + 1] += lists.starts[row];
                }
                Body::Lists(lists)
            }
            (Body::Lists(lists), Held::Rows) => lists.expand(outputs),
            _ => self,
        }
    }

    /// Visits the stored entries in order: row, column, value.
    pub(crate) fn visit(&self, outputs: usize, mut see: impl FnMut(usize, usize, T)) {
        match self {
            Body::Lists(lists) => lists.visit(see),
            Body::Rows { values, stride, mask } => {
                for (row, values) in values.chunks_exact(*stride).enumerate() {
                    for (column, &value) in values[..outputs].iter().enumerate() {
                        if mask.as_ref().is_none_or(|m| m.get(row * outputs + column)) {
                            see(row, column, value);
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn kept(&self, inputs: usize, outputs: usize) -> usize {
        match self {
            Body::Lists(lists) => lists.values.len(),
            Body::Rows { mask: Some(mask), .. } => mask.count(),
            Body::Rows { mask: None, .. } => inputs * outputs,
        }
    }

    pub(crate) fn nonzeros(&self) -> usize {
        let (Body::Rows { values, .. } | Body::Lists(Lists { values, .. })) = self;
        values.iter().filter(|v| **v != T::default()).count()
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        match self {
            Body::Lists(l) => 4 * (l.starts.len() + l.columns.len()) + size_of_val(&l.values[..]),
            Body::Rows { values, mask, .. } => {
                size_of_val(&values[..]) + mask.as_ref().map_or(0, |m| m.0.len())
            }
        }
    }
}

impl<T: Element> Lists<T> {
    /// The kept entries of a dense slice of `[inputs, outputs]`.
    pub(crate) fn gather(dense: &[T], keep: &[bool], outputs: usize) -> Self {
        let mut lists = Lists { starts: vec![0], columns: Vec::new(), values: Vec::new() };
        for (values, keep) in dense.chunks_exact(outputs).zip(keep.chunks_exact(outputs)) {
            for (column, (&value, _)) in values.iter().zip(keep).enumerate().filter(|(_, (_, keep))| **keep) {
                lists.columns.push(column as u32);
                lists.values.push(value);
            }
            lists.starts.push(lists.values.len() as u32);
        }
        lists
    }

    fn expand(&self, outputs: usize) -> Body<T> {
        let inputs = self.starts.len() - 1;
        let stride = stride(outputs);
        let mut values = vec![T::default(); inputs * stride];
        let mut mask = Mask::empty(inputs * outputs);
        self.visit(|row, column, value| {
            values[row * stride + column] = value;
            mask.set(row * outputs + column);
        });
        Body::Rows { values, stride, mask: Some(mask) }
    }

    fn visit(&self, mut see: impl FnMut(usize, usize, T)) {
        for (row, ends) in self.starts.windows(2).enumerate() {
            let range = ends[0] as usize..ends[1] as usize;
            for (&column, &value) in self.columns[range.clone()].iter().zip(&self.values[range]) {
                see(row, column as usize, value);
            }
        }
    }
}

/// The definite index that `index` means for a matrix of this shape.
pub(crate) fn resolve(index: Index, inputs: usize, outputs: usize, kept: usize) -> Index {
    let bytes = |index| crate::Scheme { values: crate::Values::F32, index }.bytes(inputs, outputs, kept);
    match index {
        Index::Sparse if bytes(Index::Csr) <= bytes(Index::Bitmask) => Index::Csr,
        Index::Sparse => Index::Bitmask,
        definite => definite,
    }
}
