//! Stands in for the grids of `nlpress_packed` until they are there.

use nlpress_packed::{Index, Matrix, Per, Scales, Values};

use crate::QuantError;
use crate::lattice::Span;

/// Which integers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Grid {
    Int32,
    Int16,
    Int8,
    Int4,
    Int3,
    Int2,
    Ternary,
    Binary,
}

impl Grid {
    /// Largest magnitude.
    pub fn levels(self) -> i32 {
        match self {
            Grid::Int32 => i32::MAX,
            Grid::Int16 => 32767,
            Grid::Int8 => 127,
            Grid::Int4 => 7,
            Grid::Int3 | Grid::Int2 => 3,
            Grid::Ternary | Grid::Binary => 1,
        }
    }

    /// The nearest member, ties to even.
    pub fn nearest(self, x: f64) -> i32 {
        let most = f64::from(self.levels());
        match self {
            Grid::Int2 | Grid::Binary => {
                (2.0 * ((x - 1.0) / 2.0).round_ties_even() + 1.0).clamp(-most, most) as i32
            }
            _ => x.round_ties_even().clamp(-most, most) as i32,
        }
    }
}

pub(crate) fn values(grid: Grid, span: Span) -> Values {
    let per = if span == Span::Tensor { Per::Tensor } else { Per::Channel };
    if grid == Grid::Int8 { Values::Int8(per) } else { Values::Int4(per) }
}

pub(crate) fn matrix(
    (inputs, outputs): (usize, usize),
    grid: Grid,
    q: &[i32],
    scales: Scales,
    keep: Option<&[bool]>,
    index: Index,
) -> Result<Matrix, QuantError> {
    let q: Vec<i8> = q.iter().map(|q| *q as i8).collect();
    Ok(match grid {
        Grid::Int8 => Matrix::int8(inputs, outputs, &q, scales, keep, index)?,
        _ => Matrix::int4(inputs, outputs, &q, scales, keep, index)?,
    })
}
