//! The names of the layouts: what each value is, times which values are kept.

use crate::{PackError, predict};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest side of a block.
pub const LARGEST_BLOCK_SIDE: u8 = 64;
/// Most inputs of a group of which some are kept.
pub const LARGEST_GROUP: u8 = 16;

/// What one stored value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Values {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point (IEEE 754 binary16); multiplied as 32-bit floats, which hold it exactly.
    F16,
    /// 32-bit integers with scales; multiplied with 16-bit activations into 64-bit sums.
    Int32(Per),
    /// 8-bit integers in `-127..=127` with scales; multiplied with 8-bit activations into 32-bit sums.
    Int8(Per),
    /// 4-bit integers in `-7..=7` with scales, two to a byte; multiplied exactly as 8-bit integers are.
    Int4(Per),
}

/// How many scales a quantized matrix has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// One for the whole matrix.
    Tensor,
    /// One for each output.
    Channel,
}

/// Which entries are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Index {
    /// All of them.
    Full,
    /// The kept ones, marked by one bit an entry.
    Bitmask,
    /// The kept ones, with a count for each row and, for each value, the gap from the value before in its row.
    Csr,
    /// Whole blocks, with a count for each row of blocks and a gap for each block. A block with any kept entry is
    /// stored whole, its other entries as zeros, which count as kept from then on.
    Block {
        /// Inputs of a block, in `1..=64`.
        rows: u8,
        /// Outputs of a block, in `1..=64`.
        columns: u8,
    },
    /// Of every `m` consecutive inputs of one output, `n`, with the position of each. A group with fewer kept
    /// entries is filled up with zeros, which count as kept from then on; one with more is refused. The last
    /// group may have fewer than `m` inputs, of which it stores up to `n`.
    Nm {
        /// Stored entries of a group, in `1..m`.
        n: u8,
        /// Inputs of a group, in `2..=16`.
        m: u8,
    },
    /// Whichever of the others is the smallest for the matrix at hand, [`Full`](Index::Full) excepted:
    /// [`Bitmask`](Index::Bitmask) or [`Csr`](Index::Csr), or, where whole blocks or equal groups are kept,
    /// [`Block`](Index::Block) or [`Nm`](Index::Nm).
    Sparse,
}

/// A layout: values times index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheme {
    /// What each value is.
    pub values: Values,
    /// Which values are stored.
    pub index: Index,
}

impl Scheme {
    /// Plain 32-bit floats, all stored.
    pub const F32: Self = Self { values: Values::F32, index: Index::Full };

    /// Bytes of a `[inputs, outputs]` matrix with `kept` stored entries, scales included.
    ///
    /// Exact for [`Index::Full`] and [`Index::Nm`], where the count of kept entries does not matter, and for
    /// [`Index::Bitmask`]. For the others it is what entries (or blocks) spread evenly by chance would take;
    /// [`Matrix::bytes`](crate::Matrix::bytes) is always exact.
    pub fn bytes(self, inputs: usize, outputs: usize, kept: usize) -> usize {
        let entries = inputs.saturating_mul(outputs);
        let kept = kept.min(entries);
        let bitmask = || (kept, entries.div_ceil(8));
        let csr = || (kept, predict::places(inputs, outputs, kept));
        let (stored, index) = match self.index {
            Index::Full => (entries, 0),
            Index::Bitmask => bitmask(),
            Index::Csr => csr(),
            Index::Sparse if csr().1 <= bitmask().1 => csr(),
            Index::Sparse => bitmask(),
            Index::Block { rows, columns } => {
                let (rows, columns) = (usize::from(rows).max(1), usize::from(columns).max(1));
                let (bands, across) = (inputs.div_ceil(rows), outputs.div_ceil(columns));
                let share = kept as f64 / entries.max(1) as f64;
                let blocks = (share * (bands as f64 * across as f64)).round() as usize;
                (blocks * rows * columns, predict::places(bands, across, blocks))
            }
            Index::Nm { n, m } => {
                let (n, m) = (usize::from(n), usize::from(m).max(1));
                let stored = outputs * slots(inputs, n, m);
                (stored, (stored * position_bits(m)).div_ceil(8))
            }
        };
        self.values.bytes(stored) + index + 4 * self.values.scales(outputs)
    }

    /// Checks the numbers that a name may carry.
    ///
    /// # Errors
    /// [`PackError::Block`] or [`PackError::Group`].
    pub fn check(self) -> Result<(), PackError> {
        let sides = 1..=LARGEST_BLOCK_SIDE;
        match self.index {
            Index::Block { rows, columns } if !sides.contains(&rows) || !sides.contains(&columns) => {
                Err(PackError::Block { rows, columns })
            }
            Index::Nm { n, m } if n == 0 || n >= m || m > LARGEST_GROUP => Err(PackError::Group { n, m }),
            _ => Ok(()),
        }
    }
}

impl Values {
    /// Bits of one value.
    pub fn bits(self) -> usize {
        match self {
            Values::F32 | Values::Int32(_) => 32,
            Values::F16 => 16,
            Values::Int8(_) => 8,
            Values::Int4(_) => 4,
        }
    }

    /// Bytes of so many values.
    pub(crate) fn bytes(self, count: usize) -> usize {
        match self {
            Values::Int4(_) => count.div_ceil(2),
            other => count * (other.bits() / 8),
        }
    }

    fn scales(self, outputs: usize) -> usize {
        match self {
            Values::F32 | Values::F16 => 0,
            Values::Int32(per) | Values::Int8(per) | Values::Int4(per) => match per {
                Per::Tensor => 1,
                Per::Channel => outputs,
            },
        }
    }
}

impl Index {
    /// Whether entries outside the mask are stored as zeros, so that kept entries cannot be told from them.
    pub fn stores_zeros(self) -> bool {
        matches!(self, Index::Full | Index::Block { .. } | Index::Nm { .. })
    }
}

/// Entries that `n` of `m` stores of one output.
pub(crate) fn slots(inputs: usize, n: usize, m: usize) -> usize {
    inputs / m * n + n.min(inputs % m)
}

/// Bits of a position in a group of `m`.
pub(crate) fn position_bits(m: usize) -> usize {
    m.next_power_of_two().ilog2() as usize
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = |per| match per {
            Per::Tensor => "tensor",
            Per::Channel => "channel",
        };
        match self.values {
            Values::F32 => write!(f, "f32")?,
            Values::F16 => write!(f, "f16")?,
            Values::Int32(p) => write!(f, "int32/{}", per(p))?,
            Values::Int8(p) => write!(f, "int8/{}", per(p))?,
            Values::Int4(p) => write!(f, "int4/{}", per(p))?,
        }
        match self.index {
            Index::Full => Ok(()),
            Index::Bitmask => write!(f, " bitmask"),
            Index::Csr => write!(f, " csr"),
            Index::Block { rows, columns } => write!(f, " block {rows}x{columns}"),
            Index::Nm { n, m } => write!(f, " {n}:{m}"),
            Index::Sparse => write!(f, " sparse"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_formulas() {
        let s = |values, index| Scheme { values, index }.bytes(1000, 128, 12_800);
        assert_eq!(s(Values::F32, Index::Full), 512_000);
        assert_eq!(s(Values::F16, Index::Full), 256_000);
        assert_eq!(s(Values::Int8(Per::Channel), Index::Full), 128_000 + 512);
        assert_eq!(s(Values::Int4(Per::Tensor), Index::Full), 64_000 + 4);
        assert_eq!(s(Values::F32, Index::Bitmask), 51_200 + 16_000);
        assert_eq!(s(Values::F32, Index::Nm { n: 2, m: 4 }), 4 * 64_000 + 16_000);
        // Ten groups of 12 with 3 kept of 4 bits each, and 4 inputs left, of which 3 are kept.
        let odd = Scheme { values: Values::Int8(Per::Tensor), index: Index::Nm { n: 3, m: 12 } };
        assert_eq!(odd.bytes(124, 5, 0), 33 * 5 + (33 * 5 * 4usize).div_ceil(8) + 4);
        assert!(s(Values::F32, Index::Sparse) < s(Values::F32, Index::Bitmask));
    }

    #[test]
    fn impossible_names_are_refused_and_never_divide_by_zero() {
        for index in [
            Index::Block { rows: 0, columns: 4 },
            Index::Block { rows: 1, columns: 65 },
            Index::Nm { n: 0, m: 4 },
            Index::Nm { n: 4, m: 4 },
            Index::Nm { n: 0, m: 0 },
            Index::Nm { n: 2, m: 17 },
        ] {
            let scheme = Scheme { values: Values::F32, index };
            assert!(scheme.check().is_err(), "{scheme}");
            assert!(scheme.bytes(10, 10, 10) < 100_000);
        }
        for index in [Index::Block { rows: 64, columns: 1 }, Index::Nm { n: 15, m: 16 }, Index::Csr] {
            assert!(Scheme { values: Values::F16, index }.check().is_ok());
        }
    }
}
