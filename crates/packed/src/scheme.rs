//! The names of the layouts: what each value is, times which values are kept.

use crate::{Codebook, Grid, predict};
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
    /// The upper half of 32-bit floating point (bfloat16); multiplied as 32-bit floats.
    Bf16,
    /// Integers with scales.
    Int(Int),
    /// Entries of a list of 16-bit floats; multiplied as 32-bit floats.
    Codebook(Codebook),
}

/// Integers with scales: an entry is its integer, less the zero point where there is one, times its scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Int {
    /// Which integers.
    pub grid: Grid,
    /// How many scales.
    pub per: Per,
    /// Whether each scale has a zero point, so that its range need not be symmetric. Only where all entries are
    /// stored, and on grids that [can](Grid::with_zero_point).
    #[serde(default, skip_serializing_if = "is_false")]
    pub zero_points: bool,
    /// How activations become integers.
    #[serde(default, skip_serializing_if = "Activations::is_dynamic")]
    pub activations: Activations,
    /// How many inputs have weights of 16-bit floats instead and are not rounded themselves (see
    /// [`Outliers`](crate::Outliers)). Only for integers of up to 8 bits, without zero points and without groups.
    #[serde(default, skip_serializing_if = "is_none")]
    pub outliers: u16,
}

/// How the activations that integers are multiplied with become integers themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activations {
    /// With a scale for each row, from its largest magnitude.
    #[default]
    Dynamic,
    /// With one scale, which the matrix knows; what is beyond its range is clipped.
    Static,
}

/// How many scales a quantized matrix has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// One for the whole matrix.
    Tensor,
    /// One for each output.
    Channel,
    /// One for each input; activations are multiplied by it before they become integers.
    Row,
    /// One for each group of consecutive inputs of one output, of the given size in `1..=128`; the sums of the groups are
    /// added as floats.
    Group(u8),
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
        self.values.bytes(stored) + index + self.values.more_bytes(inputs, outputs)
    }
}

impl Values {
    /// Symmetric integers with dynamic activations.
    pub const fn int(grid: Grid, per: Per) -> Self {
        Self::Int(Int::new(grid, per))
    }

    /// The grid, where they are integers.
    pub fn grid(self) -> Option<Grid> {
        match self {
            Values::Int(int) => Some(int.grid),
            _ => None,
        }
    }

    /// Bytes of so many values.
    pub(crate) fn bytes(self, count: usize) -> usize {
        match self {
            Values::F32 => 4 * count,
            Values::F16 | Values::Bf16 => 2 * count,
            Values::Int(int) => int.grid.bytes(count),
            Values::Codebook(codebook) => codebook.bytes(count),
        }
    }

    /// Most values that so many bytes may be.
    pub(crate) fn most(self, bytes: usize) -> usize {
        match self {
            Values::F32 => bytes / 4,
            Values::F16 | Values::Bf16 => bytes / 2,
            Values::Int(int) => int.grid.most(bytes),
            Values::Codebook(codebook) => codebook.most(bytes),
        }
    }

    /// Bytes of what belongs to the values: scales, zero points, the scale of the activations, lists.
    fn more_bytes(self, inputs: usize, outputs: usize) -> usize {
        let int = match self {
            Values::Int(int) => int,
            Values::Codebook(codebook) => return 2 * codebook.numbers(outputs),
            _ => return 0,
        };
        let scales = int.per.scales(inputs, outputs);
        let each = if int.zero_points { 5 } else { 4 };
        let activations = if int.activations == Activations::Static { 4 } else { 0 };
        let outliers = usize::from(int.outliers).saturating_mul(outputs.saturating_mul(2).saturating_add(4));
        (each * scales + activations).saturating_add(outliers)
    }
}

impl Int {
    /// Symmetric integers with dynamic activations.
    pub const fn new(grid: Grid, per: Per) -> Self {
        Self { grid, per, zero_points: false, activations: Activations::Dynamic, outliers: 0 }
    }
}

impl Activations {
    /// For serde: the default is not written.
    fn is_dynamic(&self) -> bool {
        *self == Self::Dynamic
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_none(count: &u16) -> bool {
    *count == 0
}

impl Per {
    /// How many scales a matrix has.
    pub fn scales(self, inputs: usize, outputs: usize) -> usize {
        match self {
            Per::Tensor => 1,
            Per::Channel => outputs,
            Per::Row => inputs,
            Per::Group(size) => inputs.div_ceil(usize::from(size).max(1)).saturating_mul(outputs),
        }
    }
}

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Per::Tensor => f.write_str("tensor"),
            Per::Channel => f.write_str("channel"),
            Per::Row => f.write_str("row"),
            Per::Group(size) => write!(f, "group {size}"),
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

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Values::F32 => f.write_str("f32"),
            Values::F16 => f.write_str("f16"),
            Values::Bf16 => f.write_str("bf16"),
            Values::Codebook(codebook) => codebook.fmt(f),
            Values::Int(int) => {
                write!(f, "{}/{}", int.grid, int.per)?;
                f.write_str(if int.zero_points { " with zero points" } else { "" })?;
                f.write_str(if int.activations == Activations::Static { " static" } else { "" })?;
                match int.outliers {
                    0 => Ok(()),
                    1 => f.write_str(" with 1 outlier"),
                    n => write!(f, " with {n} outliers"),
                }
            }
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.values.fmt(f)?;
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
        assert_eq!(s(Values::int(Grid::Int8, Per::Channel), Index::Full), 128_000 + 512);
        assert_eq!(s(Values::int(Grid::Int4, Per::Tensor), Index::Full), 64_000 + 4);
        let sizes =
            [(Grid::Int3, 48_000), (Grid::Int2, 32_000), (Grid::Ternary, 25_600), (Grid::Binary, 16_000)];
        for (grid, bytes) in sizes {
            assert_eq!(s(Values::int(grid, Per::Row), Index::Full), bytes + 4000);
        }
        let codes = |width, bits, product| Values::Codebook(Codebook { width, bits, product });
        assert_eq!(s(codes(1, 4, false), Index::Full), 64_000 + 2 * 16);
        assert_eq!(s(codes(4, 8, false), Index::Full), 32_000 + 2 * 4 * 256);
        assert_eq!(s(codes(8, 5, true), Index::Full), 10_000 + 2 * 16 * 8 * 32);
        let grouped = Int {
            zero_points: true,
            activations: Activations::Static,
            ..Int::new(Grid::Int4, Per::Group(32))
        };
        assert_eq!(s(Values::Int(grouped), Index::Full), 64_000 + 5 * 32 * 128 + 4);
        let outliers = Int { outliers: 3, ..Int::new(Grid::Int8, Per::Channel) };
        assert_eq!(s(Values::Int(outliers), Index::Full), 128_000 + 512 + 3 * (4 + 2 * 128));
        assert_eq!(s(Values::F32, Index::Bitmask), 51_200 + 16_000);
        assert_eq!(s(Values::F32, Index::Nm { n: 2, m: 4 }), 4 * 64_000 + 16_000);
        // Ten groups of 12 with 3 kept of 4 bits each, and 4 inputs left, of which 3 are kept.
        let odd = Scheme { values: Values::int(Grid::Int8, Per::Tensor), index: Index::Nm { n: 3, m: 12 } };
        assert_eq!(odd.bytes(124, 5, 0), 33 * 5 + (33 * 5 * 4usize).div_ceil(8) + 4);
        assert!(s(Values::F32, Index::Sparse) < s(Values::F32, Index::Bitmask));
    }

    #[test]
    fn outliers_are_in_the_name_and_absent_where_there_are_none() {
        let int = Int { outliers: 2, activations: Activations::Static, ..Int::new(Grid::Int4, Per::Row) };
        let scheme = Scheme { values: Values::Int(int), index: Index::Csr };
        assert_eq!(scheme.to_string(), "int4/row static with 2 outliers csr");
        let text = serde_json::to_string(&scheme).unwrap();
        assert_eq!(serde_json::from_str::<Scheme>(&text).unwrap(), scheme);
        let without = serde_json::to_string(&Int::new(Grid::Int4, Per::Row)).unwrap();
        assert!(!without.contains("outliers"), "{without}");
    }
}
