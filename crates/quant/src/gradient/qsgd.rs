//! Gradients as integers of 2 to 8 bits by unbiased stochastic rounding (QSGD: Alistarh et al. 2017,
//! arXiv:1610.02132).
//!
//! With `b` bits there are `s = 2^(b-1) - 1` levels on either side of zero. A number `x` in a block whose largest
//! magnitude is `m` lies between two multiples of `m / s`, and becomes the upper one with just the chance that makes
//! the mean `x`. As in the paper's experiments the scale is the largest magnitude, not the Euclidean norm, which in
//! a block of hundreds would leave most levels unused. Codes have a fixed width; the paper's Elias code pays only
//! where nearly all codes are zero, and there [`TopK`](super::TopK) is the better choice.
//!
//! On the wire: the scale `m / s`, then `b` bits for each number, which hold its level plus `s`.

use nlpress_core::seed::Rng;

use super::bits::{pack, packed_bytes, unpack};
use super::{Codec, largest, read_scale, write_scale};
use crate::QuantError;
use crate::error::BadBytes;

/// The codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qsgd {
    bits: u32,
    drawn: bool,
}

impl Qsgd {
    /// A codec of `bits` for each number, rounded at random (`drawn`) or to the nearest.
    ///
    /// # Errors
    /// [`QuantError::Setting`] unless there are 2 to 8 bits.
    pub fn new(bits: u32, drawn: bool) -> Result<Self, QuantError> {
        if (2..=8).contains(&bits) {
            return Ok(Self { bits, drawn });
        }
        Err(QuantError::setting("bits", bits, "between 2 and 8"))
    }

    /// Levels on either side of zero.
    fn levels(self) -> i32 {
        (1 << (self.bits - 1)) - 1
    }
}

impl Codec for Qsgd {
    fn encode(&self, numbers: &[f32], rng: &mut Rng, out: &mut Vec<u8>) {
        let levels = self.levels();
        let most = levels as f32;
        let scale = largest(numbers) / most;
        write_scale(scale, out);
        if scale == 0.0 || scale.is_nan() {
            pack(numbers.iter().map(|_| levels as u8), self.bits, out); // all zero, or undefined by the scale
            return;
        }
        let code = |x: &f32| {
            if *x == 0.0 {
                return levels as u8; // takes no chance: most numbers are zero where few words occur
            }
            let at = x / scale;
            let level = if self.drawn { (at + rng.uniform()).floor() } else { at.round_ties_even() };
            (level.clamp(-most, most) as i32 + levels) as u8
        };
        pack(numbers.iter().map(code), self.bits, out);
    }

    fn decode<'a>(&self, bytes: &'a [u8], into: &mut [f32]) -> Result<&'a [u8], BadBytes> {
        let (scale, body, rest) = read_scale(bytes, packed_bytes(into.len(), self.bits))?;
        let levels = self.levels();
        unpack(body, into.len(), self.bits, |place, code| {
            let level = i32::from(code) - levels;
            if level > levels {
                return Err(BadBytes::Code { code, bound: "at most twice the levels" });
            }
            into[place] = level as f32 * scale;
            Ok(())
        })?;
        Ok(rest)
    }

    fn draws(&self) -> bool {
        self.drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;

    #[test]
    fn four_bits_hold_seven_levels_on_either_side() {
        let codec = Qsgd::new(4, false).unwrap();
        let mut bytes = Vec::new();
        codec.encode(&[7.0, -7.0, 1.2], &mut Seed(1).stream(0), &mut bytes);
        assert_eq!(bytes, [0, 0, 128, 63, 0x0e, 0x08]);
        let mut back = [9.0; 3];
        codec.decode(&bytes, &mut back).unwrap();
        assert_eq!(back, [7.0, -7.0, 1.0]);
        bytes[4] = 0x0f;
        assert!(matches!(codec.decode(&bytes, &mut back), Err(BadBytes::Code { code: 15, .. })));
        bytes[4..].copy_from_slice(&[0x0e, 0x18]);
        assert_eq!(codec.decode(&bytes, &mut back), Err(BadBytes::Padding));
    }

    #[test]
    fn chance_moves_a_number_to_one_of_its_two_neighbours() {
        let codec = Qsgd::new(4, true).unwrap();
        let mut seen = Vec::new();
        for stream in 0..50 {
            let (mut bytes, mut back) = (Vec::new(), [0.0; 3]);
            codec.encode(&[7.0, 2.5, -0.5], &mut Seed(1).stream(stream), &mut bytes);
            codec.decode(&bytes, &mut back).unwrap();
            assert_eq!(back[0], 7.0);
            assert!((back[1] == 2.0 || back[1] == 3.0) && (back[2] == -1.0 || back[2] == 0.0), "{back:?}");
            seen.push(back[1]);
        }
        assert!(seen.contains(&2.0) && seen.contains(&3.0));
    }

    #[test]
    fn widths_are_checked() {
        assert!(Qsgd::new(1, true).is_err() && Qsgd::new(9, true).is_err());
    }
}
