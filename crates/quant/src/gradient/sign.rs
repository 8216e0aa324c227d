//! Gradients as signs and one magnitude (Karimireddy et al. 2019, arXiv:1901.09847: scaled sign with error
//! feedback; Bernstein et al. 2018, signSGD, when without).
//!
//! Every number becomes ± the mean magnitude of its block. That is far from the number itself: without error
//! feedback training still moves, but not to the same place.
//!
//! On the wire: the scale, then one bit for each number, set where it is negative.

use nlpress_core::seed::Rng;

use super::bits::{pack, packed_bytes, unpack};
use super::{Codec, largest, read_scale, write_scale};
use crate::error::BadBytes;

/// The codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign;

impl Codec for Sign {
    fn encode(&self, numbers: &[f32], _rng: &mut Rng, out: &mut Vec<u8>) {
        let finite = !largest(numbers).is_nan();
        let sum = numbers.iter().map(|x| f64::from(x.abs())).sum::<f64>();
        let scale = if finite { (sum / numbers.len().max(1) as f64) as f32 } else { f32::NAN };
        write_scale(scale, out);
        pack(numbers.iter().map(|x| u8::from(*x < 0.0)), 1, out);
    }

    fn decode<'a>(&self, bytes: &'a [u8], into: &mut [f32]) -> Result<&'a [u8], BadBytes> {
        let (scale, body, rest) = read_scale(bytes, packed_bytes(into.len(), 1))?;
        unpack(body, into.len(), 1, |place, bit| {
            into[place] = if bit == 0 { scale } else { -scale };
            Ok(())
        })?;
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;

    #[test]
    fn a_block_is_its_mean_magnitude_with_signs() {
        let (mut bytes, mut back) = (Vec::new(), [0.0; 9]);
        Sign.encode(&[1.0, -3.0, 2.0, -2.0, 2.0, 2.0, 2.0, 2.0, -2.0], &mut Seed(1).stream(0), &mut bytes);
        assert_eq!(bytes[4..], [0b1010, 1]);
        Sign.decode(&bytes, &mut back).unwrap();
        assert_eq!(back, [2.0, -2.0, 2.0, -2.0, 2.0, 2.0, 2.0, 2.0, -2.0]);
        bytes[5] = 3;
        assert_eq!(Sign.decode(&bytes, &mut back), Err(BadBytes::Padding));
    }
}
