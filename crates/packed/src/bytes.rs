//! Integers of up to 8 bits as bytes, several in each where they are narrower, and back.

use crate::grid::TRITS;
use crate::numbers::{read_whole, whole};
use crate::{Grid, PackError, codes};
use std::borrow::Cow;

impl Grid {
    /// Integers of up to 8 bits as bytes; those of the last byte may be alone beside zeros.
    pub(crate) fn encode(self, zero_points: bool, numbers: Cow<'_, [i8]>) -> Cow<'_, [u8]> {
        let code = |q: i8| self.code(zero_points, q);
        match self {
            Self::Int8 => whole(numbers),
            Self::Ternary => {
                let byte = |trits: &[i8]| trits.iter().rev().fold(0, |byte, &q| byte * 3 + code(q));
                numbers.chunks(TRITS).map(byte).collect()
            }
            _ => codes::write_fixed(numbers.iter().map(|&q| code(q)), self.bits()).into(),
        }
    }

    /// `count` integers of up to 8 bits from as many bytes as they have. Among them may be some that are not on the
    /// grid, which the caller refuses.
    pub(crate) fn decode(self, zero_points: bool, bytes: &[u8], count: usize) -> Result<Vec<i8>, PackError> {
        let padding = || PackError::Padding("values");
        match self {
            Self::Int8 => read_whole(bytes, count),
            Self::Ternary => {
                let mut numbers = Vec::with_capacity(bytes.len() * TRITS);
                for &byte in bytes {
                    let mut rest = byte;
                    for _ in 0..TRITS {
                        numbers.push((rest % 3) as i8 - 1);
                        rest /= 3;
                    }
                    if rest != 0 {
                        return Err(padding());
                    }
                }
                // What fills up the last byte is the digit 0, which reads as -1.
                if numbers[count..].iter().any(|q| *q != -1) {
                    return Err(padding());
                }
                numbers.truncate(count);
                Ok(numbers)
            }
            _ => {
                let (codes, tail) = codes::read_fixed(bytes, count, self.bits());
                if tail != 0 {
                    return Err(padding());
                }
                Ok(codes.into_iter().map(|code| self.decoded(zero_points, code)).collect())
            }
        }
    }

    /// The bits of an integer.
    fn code(self, zero_points: bool, q: i8) -> u8 {
        match self {
            Self::Int2 if !zero_points => ((q + 3) / 2) as u8,
            Self::Ternary => (q + 1) as u8,
            Self::Binary => u8::from(q > 0),
            // Two's complement.
            _ => q as u8 & (u8::MAX >> (8 - self.bits())),
        }
    }

    fn decoded(self, zero_points: bool, code: u8) -> i8 {
        match self {
            Self::Int2 if !zero_points => 2 * code as i8 - 3,
            Self::Binary => 2 * code as i8 - 1,
            _ => {
                let unused = 8 - self.bits();
                ((code << unused) as i8) >> unused
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The integers of a grid of few.
    fn all(grid: Grid, zero_points: bool) -> Vec<i8> {
        match (grid.with_zero_point(), zero_points) {
            (Some((least, most)), true) => (least..=most).map(|q| q as i8).collect(),
            _ => (-127..=127).filter(|q| grid.contains(*q)).map(|q| q as i8).collect(),
        }
    }

    proptest! {
        #[test]
        fn integers_go_into_bytes_and_come_back(which in 2usize..8, zero_points: bool, raw in prop::collection::vec(any::<u8>(), 1..70)) {
            let grid = Grid::ALL[which];
            let zero_points = zero_points && grid.with_zero_point().is_some();
            let all = all(grid, zero_points);
            let numbers: Vec<i8> = raw.iter().map(|r| all[usize::from(*r) % all.len()]).collect();
            let bytes = grid.encode(zero_points, Cow::Borrowed(&numbers)).into_owned();
            prop_assert_eq!(bytes.len(), grid.bytes(numbers.len()));
            prop_assert!(grid.most(bytes.len()) >= numbers.len());
            prop_assert_eq!(grid.decode(zero_points, &bytes, numbers.len()).unwrap(), numbers.clone());
            // Whatever the bytes are, they are numbers or an error; where they are numbers, they are these bytes.
            if let Ok(read) = grid.decode(zero_points, &raw, grid.most(raw.len())) {
                let back = grid.encode(zero_points, Cow::Borrowed(&read));
                prop_assert_eq!(&*back, &raw[..]);
            }
        }
    }
}
