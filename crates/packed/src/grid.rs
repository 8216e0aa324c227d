//! The integers that a quantized entry may be.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The integers that a quantized entry may be. An entry stands for its integer times a scale.
///
/// Most grids are mid-tread: they have a zero, and every integer up to [`levels`](Grid::levels) with either sign.
/// [`Int2`](Grid::Int2) and [`Binary`](Grid::Binary) are mid-rise: they have no zero and odd integers only, which
/// is the better use of so few bits (Max 1960).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grid {
    /// `±(2^31 - 1)`; multiplied with 16-bit activations into 64-bit sums.
    Int32,
    /// `±32767`; multiplied as [`Int32`](Grid::Int32).
    Int16,
    /// `±127`; multiplied, as all that follow, with 8-bit activations into 32-bit sums.
    Int8,
    /// `±7`, two to a byte.
    Int4,
    /// `±3`, eight to three bytes.
    Int3,
    /// -3, -1, 1 and 3, four to a byte.
    Int2,
    /// -1, 0 and 1, five to a byte.
    Ternary,
    /// -1 and 1, eight to a byte.
    Binary,
}

/// Ternary digits of a byte: `3^5 < 2^8`.
pub(crate) const TRITS: usize = 5;

impl Grid {
    /// All of them, the widest first.
    pub const ALL: [Self; 8] = [
        Self::Int32,
        Self::Int16,
        Self::Int8,
        Self::Int4,
        Self::Int3,
        Self::Int2,
        Self::Ternary,
        Self::Binary,
    ];

    /// Its name: `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Int32 => "int32",
            Self::Int16 => "int16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
            Self::Int3 => "int3",
            Self::Int2 => "int2",
            Self::Ternary => "ternary",
            Self::Binary => "binary",
        }
    }

    /// The largest integer.
    pub fn levels(self) -> i32 {
        match self {
            Self::Int32 => i32::MAX,
            Self::Int16 => i32::from(i16::MAX),
            Self::Int8 => 127,
            Self::Int4 => 7,
            Self::Int3 | Self::Int2 => 3,
            Self::Ternary | Self::Binary => 1,
        }
    }

    /// Whether zero is among the integers.
    pub fn has_zero(self) -> bool {
        !matches!(self, Self::Int2 | Self::Binary)
    }

    /// The distance between neighbours.
    pub fn step(self) -> i32 {
        if self.has_zero() { 1 } else { 2 }
    }

    /// Whether the integer is on the grid.
    pub fn contains(self, q: i32) -> bool {
        (-self.levels()..=self.levels()).contains(&q) && (self.has_zero() || q % 2 != 0)
    }

    /// The integer on the grid that is nearest to a number, ties to even multiples of the step.
    pub fn nearest(self, number: f64) -> i32 {
        let levels = f64::from(self.levels());
        if self.has_zero() {
            return number.round_ties_even().clamp(-levels, levels) as i32;
        }
        let odd = 2.0 * ((number - 1.0) / 2.0).round_ties_even() + 1.0;
        odd.clamp(-levels, levels) as i32
    }

    /// The smallest and the largest integer where each scale has a zero point: all that the bits hold, except that
    /// 8-bit integers stay within `±127`. `None` for grids that cannot have one.
    pub fn with_zero_point(self) -> Option<(i32, i32)> {
        match self {
            Self::Int8 => Some((-127, 127)),
            Self::Int4 => Some((-8, 7)),
            Self::Int3 => Some((-4, 3)),
            Self::Int2 => Some((-2, 1)),
            Self::Int32 | Self::Int16 | Self::Ternary | Self::Binary => None,
        }
    }

    /// The largest integer of the activations that it is multiplied with: 32767 beside integers of more than 8 bits,
    /// else 127.
    pub fn activation_levels(self) -> i32 {
        if self.is_wide() { Self::Int16.levels() } else { Self::Int8.levels() }
    }

    /// Whether it is held in more than 8 bits.
    pub fn is_wide(self) -> bool {
        matches!(self, Self::Int32 | Self::Int16)
    }

    /// Bits of one integer, for ternary rounded up.
    pub fn bits(self) -> usize {
        match self {
            Self::Int32 => 32,
            Self::Int16 => 16,
            Self::Int8 => 8,
            Self::Int4 => 4,
            Self::Int3 => 3,
            Self::Int2 | Self::Ternary => 2,
            Self::Binary => 1,
        }
    }

    /// Bytes of so many integers.
    pub(crate) fn bytes(self, count: usize) -> usize {
        match self {
            Self::Ternary => count.div_ceil(TRITS),
            _ => (count * self.bits()).div_ceil(8),
        }
    }

    /// Most integers in so many bytes.
    pub(crate) fn most(self, bytes: usize) -> usize {
        match self {
            Self::Ternary => bytes * TRITS,
            _ => bytes * 8 / self.bits(),
        }
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integers of a grid of few.
    fn all(grid: Grid) -> Vec<i32> {
        (-127..=127).filter(|q| grid.contains(*q)).collect()
    }

    #[test]
    fn the_nearest_is_nearer_than_any_other() {
        assert_eq!(all(Grid::Int2), [-3, -1, 1, 3]);
        assert_eq!(all(Grid::Ternary), [-1, 0, 1]);
        assert_eq!(all(Grid::Binary), [-1, 1]);
        for grid in [Grid::Int8, Grid::Int4, Grid::Int3, Grid::Int2, Grid::Ternary, Grid::Binary] {
            for number in (-1500..1500).map(|n| f64::from(n) * 0.1) {
                let nearest = f64::from(grid.nearest(number));
                let best = all(grid)
                    .into_iter()
                    .map(|q| (f64::from(q) - number).abs())
                    .fold(f64::INFINITY, f64::min);
                assert!(grid.contains(nearest as i32));
                assert_eq!((nearest - number).abs(), best, "{grid} {number}");
            }
        }
        assert_eq!(Grid::Int32.nearest(1e12), i32::MAX);
        assert_eq!(Grid::Int16.nearest(-1e12), -32_767);
    }
}
