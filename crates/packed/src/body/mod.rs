//! How the stored values lie in memory while they are multiplied by.
//!
//! What lies on disk is decided by the scheme; in memory there are five forms, see [`Held`]. Which is the fastest
//! depends on how sparse the matrix is and on whether the rows of activations are sparse too. No form takes more
//! than a fixed multiple of the bytes that it was read from.

mod choose;
mod chunks;
mod lists;
mod panels;
mod strips;
mod tiles;

pub(crate) use choose::FEW_PANELS;
pub(crate) use chunks::{CHUNK, Chunks, SPARE};
pub(crate) use lists::Lists;
pub(crate) use panels::Panels;
pub(crate) use panels::UNROLL;
pub(crate) use strips::Strips;
pub(crate) use tiles::{QUAD, TILE, Tiles, lay_out};

use crate::Aligned;
use crate::kernels::LANES;
use std::fmt;

/// Number types that are multiplied.
pub(crate) trait Element: bytemuck::Pod + PartialEq + Default + std::fmt::Debug {
    /// What a step of a panel can pick from, the fewest inputs first.
    const GROUPS: &'static [Group];
    /// Values of one output in a step of a panel.
    const SLOTS: usize;
    /// A sparse matrix is held as rows rather than lists when at least one in so many entries is kept.
    const ROWS_FROM: usize;
    /// What a strip costs beside eight values of a row.
    const STRIP_COST: usize;
    /// The form with all zeros that is the fastest for activations that are mostly not zero.
    const DENSE: Held;
}

/// Inputs that a step of a panel picks from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// How many, one after the other.
    pub(crate) inputs: usize,
    /// What a step costs beside eight values of a matrix that is held with its zeros, in 1/16: where all of those
    /// stay in a cache, and where they do not. Zeros where panels have no fast loop.
    pub(crate) cost: [usize; 2],
}

/// Kept values in memory. `Rows` holds `inputs` rows of `stride` values, of which those at and beyond `outputs`,
/// and those outside the mask, are zero.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body<T: Element> {
    Rows { values: Aligned<T>, stride: usize, mask: Option<Mask> },
    Lists(Chunks<T>),
    Strips(Strips<T>),
    Panels(Panels<T>),
    Tiles(Tiles<T>),
}

/// How a matrix is held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The whole matrix, zeros included, for vector instructions to run through.
    Rows,
    /// The kept values of each row, with their columns.
    Lists,
    /// For each row, the vectors of eight outputs in which anything is kept. For blocks and sparse activations.
    Strips,
    /// For every eight outputs, vectors of kept values that each say which activations they are multiplied by.
    /// For activations that are mostly not zero.
    Panels,
    /// The whole matrix, zeros included, in the order of one long loop. For 8-bit integers, and activations that
    /// are mostly not zero.
    Tiles,
}

impl Held {
    /// Whether zeros are held, and multiplied by, like everything else: always for a matrix that stores all
    /// entries; for a sparse one because it is below the crossover from which on anything else is faster.
    pub fn with_zeros(self) -> bool {
        matches!(self, Held::Rows | Held::Tiles)
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Held::Rows => "rows",
            Held::Lists => "lists",
            Held::Strips => "strips",
            Held::Panels => "panels",
            Held::Tiles => "tiles",
        })
    }
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
            Aligned::from(&dense[..])
        } else {
            let mut values = Aligned::zeroed(dense.len() / outputs * stride);
            for (to, from) in values.chunks_exact_mut(stride).zip(dense.chunks_exact(outputs)) {
                to[..outputs].copy_from_slice(from);
            }
            values
        };
        Body::Rows { values, stride, mask: None }
    }

    /// The kept entries as lists.
    pub(crate) fn to_lists(&self, inputs: usize, outputs: usize) -> Lists<T> {
        match self {
            Body::Panels(panels) => panels.to_lists(inputs),
            _ => {
                let mut lists = Lists { starts: vec![0; inputs + 1], columns: vec![], values: vec![] };
                self.visit(outputs, |row, column, value| {
                    lists.starts[row + 1] += 1;
                    lists.columns.push(column as u32);
                    lists.values.push(value);
                });
                for row in 0..inputs {
                    lists.starts[row + 1] += lists.starts[row];
                }
                lists
            }
        }
    }

    /// The same numbers in another form; all entries stored are always rows or tiles.
    pub(crate) fn held_as(self, held: Held, inputs: usize, outputs: usize) -> Self {
        if held == self.held() {
            return self;
        }
        let stride = stride(outputs);
        match (self, held) {
            (Body::Rows { values, mask, stride }, Held::Tiles) => {
                Body::Tiles(Tiles::new(&values, stride, mask, inputs, outputs))
            }
            (Body::Tiles(tiles), Held::Rows) => {
                Body::Rows { values: tiles.to_rows(stride), stride, mask: tiles.mask }
            }
            (full @ (Body::Rows { mask: None, .. } | Body::Tiles(Tiles { mask: None, .. })), _) => full,
            (sparse, Held::Tiles) => {
                sparse.held_as(Held::Rows, inputs, outputs).held_as(held, inputs, outputs)
            }
            (sparse, _) => sparse.sparse_as(held, inputs, outputs),
        }
    }

    /// As [`held_as`](Body::held_as), by way of lists.
    fn sparse_as(self, held: Held, inputs: usize, outputs: usize) -> Self {
        let lists = self.to_lists(inputs, outputs);
        match held {
            Held::Rows | Held::Tiles => lists.expand(outputs),
            Held::Lists => Body::Lists(Chunks::new(&lists, outputs)),
            Held::Strips => Body::Strips(Strips::new(&lists)),
            Held::Panels => Body::Panels(Panels::cheapest(&lists, outputs).0),
        }
    }

    pub(crate) fn held(&self) -> Held {
        match self {
            Body::Rows { .. } => Held::Rows,
            Body::Lists(_) => Held::Lists,
            Body::Strips(_) => Held::Strips,
            Body::Panels(_) => Held::Panels,
            Body::Tiles(_) => Held::Tiles,
        }
    }

    /// Whether the same entries are kept with the same values, in whatever form.
    pub(crate) fn same(&self, other: &Self, inputs: usize, outputs: usize) -> bool {
        if self.held() == other.held() {
            return self == other;
        }
        self.to_lists(inputs, outputs) == other.to_lists(inputs, outputs)
    }

    /// Visits the stored entries row by row, in the order of their columns.
    pub(crate) fn visit(&self, outputs: usize, mut see: impl FnMut(usize, usize, T)) {
        match self {
            Body::Lists(lists) => lists.visit(see),
            Body::Strips(strips) => strips.visit(see),
            Body::Panels(panels) => panels.visit(see),
            Body::Tiles(tiles) => tiles.visit(see),
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

    /// All numbers in memory: the stored ones, and zeros.
    pub(crate) fn numbers(&self) -> &[T] {
        match self {
            Body::Rows { values, .. } => values,
            Body::Lists(lists) => &lists.values,
            Body::Strips(strips) => &strips.values,
            Body::Panels(panels) => &panels.values,
            Body::Tiles(tiles) => &tiles.values,
        }
    }

    pub(crate) fn kept(&self, inputs: usize, outputs: usize) -> usize {
        match self {
            Body::Lists(lists) => lists.kept(),
            Body::Strips(strips) => strips.kept(),
            Body::Panels(panels) => panels.kept(),
            Body::Tiles(tiles) => tiles.kept(),
            Body::Rows { mask: Some(mask), .. } => mask.count(),
            Body::Rows { mask: None, .. } => inputs * outputs,
        }
    }

    pub(crate) fn nonzeros(&self) -> usize {
        self.numbers().iter().filter(|v| **v != T::default()).count()
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        size_of_val(self.numbers())
            + match self {
                Body::Lists(l) => 4 * (l.starts.len() + l.columns.len()),
                Body::Strips(s) => 4 * (s.starts.len() + s.columns.len()) + s.keep.len(),
                Body::Panels(p) => 4 * (p.starts.len() + p.groups.len()) + p.picks.len(),
                Body::Rows { mask, .. } | Body::Tiles(Tiles { mask, .. }) => {
                    mask.as_ref().map_or(0, |m| m.0.len())
                }
            }
    }
}
