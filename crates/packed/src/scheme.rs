//! The names of the layouts: what each value is, times which values are kept.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What one stored value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Values {
    /// 32-bit floating point.
    F32,
    /// 32-bit integers with scales; multiplied with 16-bit activations into 64-bit sums.
    Int32(Per),
    /// 8-bit integers in `-127..=127` with scales; multiplied with 8-bit activations into 32-bit sums.
    Int8(Per),
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
    /// The kept ones, with a count for each row and a column for each value.
    Csr,
    /// [`Bitmask`](Index::Bitmask) or [`Csr`](Index::Csr), whichever is smaller for the matrix at hand.
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
    /// For [`Index::Full`] the count of kept entries does not matter. Exact for every index.
    pub fn bytes(self, inputs: usize, outputs: usize, kept: usize) -> usize {
        let stored = if self.index == Index::Full { inputs * outputs } else { kept };
        let scales = |per| match per {
            Per::Tensor => 4,
            Per::Channel => 4 * outputs,
        };
        let values = match self.values {
            Values::F32 => 4 * stored,
            Values::Int32(per) => 4 * stored + scales(per),
            Values::Int8(per) => stored + scales(per),
        };
        let bitmask = (inputs * outputs).div_ceil(8);
        let csr = inputs * width(outputs) + kept * width(outputs.saturating_sub(1));
        values
            + match self.index {
                Index::Full => 0,
                Index::Bitmask => bitmask,
                Index::Csr => csr,
                Index::Sparse => bitmask.min(csr),
            }
    }
}

/// Bytes that hold every number in `0..=largest`: 1, 2 or 4.
pub(crate) fn width(largest: usize) -> usize {
    match largest {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = |per| match per {
            Per::Tensor => "tensor",
            Per::Channel => "channel",
        };
        match self.values {
            Values::F32 => write!(f, "f32")?,
            Values::Int32(p) => write!(f, "int32/{}", per(p))?,
            Values::Int8(p) => write!(f, "int8/{}", per(p))?,
        }
        match self.index {
            Index::Full => Ok(()),
            Index::Bitmask => write!(f, " bitmask"),
            Index::Csr => write!(f, " csr"),
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
        assert_eq!(s(Values::Int8(Per::Channel), Index::Full), 128_000 + 512);
        assert_eq!(s(Values::F32, Index::Bitmask), 51_200 + 16_000);
        assert_eq!(s(Values::F32, Index::Csr), 51_200 + 1000 + 12_800);
        assert_eq!(s(Values::F32, Index::Sparse), 51_200 + 13_800);
    }
}
