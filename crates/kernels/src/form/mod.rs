//! How weights lie in memory while they are multiplied by.
//!
//! What lies on disk is decided by the layout; in memory there are five forms, see [`Held`]. Which is the fastest
//! depends on how sparse the matrix is and on whether the rows of activations are sparse too. No form takes more
//! than [`Scheme::expanded_bytes`](nlpress_packed::Scheme::expanded_bytes) says.

mod choose;
mod chunks;
mod element;
mod held;
mod panels;
mod strips;
mod tiles;

pub(crate) use chunks::Chunks;
pub(crate) use element::Element;
pub use held::Held;
pub(crate) use panels::Panels;
pub(crate) use strips::Strips;
pub(crate) use tiles::{Tiles, lay_out};

use crate::aligned::Aligned;
use crate::lanes::{LANES, SPARE};
use nlpress_packed::{Entries, Lists};

/// Weights in memory. `Rows` holds `inputs` rows of `stride` values, of which those at and beyond `outputs`, and those
/// that are not kept, are zero.
#[derive(Clone, Debug)]
pub(crate) enum Body<T: Element> {
    Rows { values: Aligned<T>, stride: usize },
    Lists(Chunks<T>),
    Strips(Strips<T>),
    Panels(Panels<T>),
    Tiles(Tiles<T>),
}

/// Columns of a row in memory: rounded up to whole vectors, except for one column, which is one vector as it is.
fn stride(outputs: usize) -> usize {
    if outputs == 1 { 1 } else { outputs.next_multiple_of(LANES) }
}

impl<T: Element> Body<T> {
    /// The entries in that form; where all are stored, in rows or tiles.
    pub(crate) fn held_as(entries: Entries<T>, held: Held, inputs: usize, outputs: usize) -> Self {
        match (entries, held) {
            (Entries::Full(values), Held::Tiles) => {
                Body::Tiles(Tiles::new(&values, outputs, inputs, outputs))
            }
            (Entries::Full(values), _) => Self::full(values, outputs),
            (sparse, held) => Self::sparse_as(&sparse.into_lists(inputs, outputs), held, outputs),
        }
    }

    fn full(values: Vec<T>, outputs: usize) -> Self {
        Body::Rows { values: rows(values, outputs), stride: stride(outputs) }
    }

    fn sparse_as(lists: &Lists<T>, held: Held, outputs: usize) -> Self {
        match held {
            Held::Rows => Body::Rows { values: expand(lists, outputs), stride: stride(outputs) },
            Held::Lists => Body::Lists(Chunks::new(lists, outputs)),
            Held::Strips => Body::Strips(Strips::new(lists)),
            Held::Panels => Body::Panels(Panels::cheapest(lists, outputs).0),
            Held::Tiles => {
                let rows = expand(lists, outputs);
                Body::Tiles(Tiles::new(&rows, stride(outputs), lists.inputs(), outputs))
            }
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

    /// How many sums the loops need: the columns in memory.
    pub(crate) fn width(&self, outputs: usize) -> usize {
        match self {
            Body::Rows { stride, .. } => *stride,
            Body::Lists(_) => outputs + SPARE,
            Body::Strips(_) | Body::Panels(_) | Body::Tiles(_) => outputs.next_multiple_of(LANES),
        }
    }

    /// Visits the entries that are kept, and some zeros, in any order.
    pub(crate) fn visit(&self, outputs: usize, mut see: impl FnMut(usize, usize, T)) {
        match self {
            Body::Lists(lists) => lists.visit(see),
            Body::Strips(strips) => strips.visit(outputs, see),
            Body::Panels(panels) => panels.visit(see),
            Body::Tiles(tiles) => tiles.visit(see),
            Body::Rows { values, stride } => {
                for (row, values) in values.chunks_exact(*stride).enumerate() {
                    let values = values[..outputs].iter().enumerate();
                    values.for_each(|(column, &value)| see(row, column, value));
                }
            }
        }
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        match self {
            Body::Rows { values, .. } => size_of_val(&values[..]),
            Body::Lists(l) => size_of_val(&l.values[..]) + 4 * (l.starts.len() + l.columns.len()),
            Body::Strips(s) => size_of_val(&s.values[..]) + 4 * (s.starts.len() + s.columns.len()),
            Body::Panels(p) => {
                size_of_val(&p.values[..]) + 4 * (p.starts.len() + p.groups.len()) + p.picks.len()
            }
            Body::Tiles(tiles) => size_of_val(&tiles.values[..]),
        }
    }
}

/// Rows of `stride` values from rows of `outputs`; without a copy where they are the same and begin at a cache line.
fn rows<T: Element>(values: Vec<T>, outputs: usize) -> Aligned<T> {
    let stride = stride(outputs);
    if stride == outputs {
        return Aligned::from(values);
    }
    let mut rows = Aligned::zeroed(values.len() / outputs * stride);
    for (to, from) in rows.chunks_exact_mut(stride).zip(values.chunks_exact(outputs)) {
        to[..outputs].copy_from_slice(from);
    }
    rows
}

/// Rows of `stride` values with their zeros.
fn expand<T: Element>(lists: &Lists<T>, outputs: usize) -> Aligned<T> {
    let stride = stride(outputs);
    let mut rows = Aligned::zeroed(lists.inputs() * stride);
    lists.visit(|row, column, value| rows[row * stride + column] = value);
    rows
}
