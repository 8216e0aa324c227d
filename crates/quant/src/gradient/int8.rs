//! Gradients as 8-bit integers: each number is the nearest of 255 multiples of its block's scale.
//!
//! On the wire: the scale, then an integer in `-127..=127`, one byte each. It is [`Qsgd`](super::Qsgd) of 8 bits
//! without stochastic rounding, at the speed of whole bytes.

use nlpress_core::seed::Rng;
use pulp::Arch;

use super::{Codec, SCALE_BYTES, largest, read_scale, write_scale};
use crate::error::BadBytes;

const LEVELS: f32 = 127.0;

/// The codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int8;

impl Codec for Int8 {
    fn encode(&self, numbers: &[f32], _rng: &mut Rng, out: &mut Vec<u8>) {
        let scale = largest(numbers) / LEVELS;
        write_scale(scale, out);
        let start = out.len();
        out.resize(start + numbers.len(), 0);
        if scale == 0.0 || scale.is_nan() {
            return; // nothing large enough to have a scale, or undefined
        }
        Arch::new().dispatch(|| {
            for (x, out) in numbers.iter().zip(&mut out[start..]) {
                let q = (x / scale).round_ties_even().clamp(-LEVELS, LEVELS);
                *out = q as i32 as i8 as u8;
            }
        });
    }

    fn decode<'a>(&self, bytes: &'a [u8], into: &mut [f32]) -> Result<&'a [u8], BadBytes> {
        let (scale, body, rest) = read_scale(bytes, into.len())?;
        if body.contains(&0x80) {
            return Err(BadBytes::Code { code: 0x80, bound: "a signed byte other than -128" });
        }
        for (into, byte) in into.iter_mut().zip(body) {
            *into = f32::from(*byte as i8) * scale;
        }
        Ok(rest)
    }
}

const _: () = assert!(SCALE_BYTES == size_of::<f32>());

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;

    #[test]
    fn the_largest_number_is_exact_and_others_are_within_half_a_step() {
        let mut bytes = Vec::new();
        let sent = [127.0, 1.4, -0.6, 0.0];
        Int8.encode(&sent, &mut Seed(1).stream(0), &mut bytes);
        assert_eq!(bytes, [0, 0, 128, 63, 127, 1, 255, 0]);
        let mut back = [9.0; 4];
        assert!(Int8.decode(&bytes, &mut back).unwrap().is_empty());
        assert_eq!(back, [127.0, 1.0, -1.0, 0.0]);
    }

    #[test]
    fn bytes_that_no_encoder_makes_are_refused() {
        let read = |scale: f32, q: u8| {
            let bytes: Vec<u8> = scale.to_le_bytes().into_iter().chain([q]).collect();
            Int8.decode(&bytes, &mut [0.0]).map(<[u8]>::len)
        };
        assert_eq!(read(1.0, 255), Ok(0));
        assert_eq!(read(-1.0, 0), Err(BadBytes::Scale(-1.0)));
        assert_eq!(read(f32::INFINITY, 0), Err(BadBytes::Scale(f32::INFINITY)));
        assert!(matches!(read(1.0, 128), Err(BadBytes::Code { code: 128, .. })));
    }
}
