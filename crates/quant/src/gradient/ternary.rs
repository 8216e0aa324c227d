//! Gradients as -1, 0 and 1 times a scale (TernGrad: Wen et al. 2017, arXiv:1705.07878).
//!
//! Numbers further than `clip` standard deviations (taken around zero) from zero are first held there, because one
//! far number would otherwise make nearly all others zero; then a number `x` becomes `±m`, the largest magnitude
//! left, with chance `|x| / m`, and zero else. That is right on average but for the clipping. Without chance, for
//! error feedback, the numbers beyond 0.7 times the mean magnitude become ± their own mean magnitude and the others
//! zero (Li and Liu 2016, Ternary Weight Networks, arXiv:1605.04711), which never errs by more than zeros would.
//!
//! On the wire: the scale, then five numbers to a byte in base three, the first number being the lowest digit.

use nlpress_core::seed::Rng;

use super::{Codec, largest, read_scale, write_scale};
use crate::QuantError;
use crate::error::BadBytes;

/// Numbers to a byte: 3^5 = 243 of its 256 values.
const TO_A_BYTE: usize = 5;

/// The codec.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ternary(Rounding);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rounding {
    Drawn { clip: Option<f32> },
    Nearest,
}

impl Ternary {
    /// Stochastic rounding, after clipping at `clip` standard deviations.
    ///
    /// # Errors
    /// [`QuantError::Setting`] when `clip` is not positive.
    pub fn drawn(clip: Option<f32>) -> Result<Self, QuantError> {
        match clip {
            Some(c) if !(c > 0.0 && c.is_finite()) => {
                Err(QuantError::setting("clip", c, "positive, or \"off\""))
            }
            clip => Ok(Self(Rounding::Drawn { clip })),
        }
    }

    /// Rounding without chance.
    pub fn nearest() -> Self {
        Self(Rounding::Nearest)
    }
}

impl Codec for Ternary {
    fn encode(&self, numbers: &[f32], rng: &mut Rng, out: &mut Vec<u8>) {
        let top = largest(numbers);
        if top == 0.0 || top.is_nan() {
            write_scale(top, out);
            write_digits(numbers.iter().map(|_| 1), out);
            return;
        }
        match self.0 {
            Rounding::Drawn { clip } => {
                let scale = clip.map_or(top, |c| top.min(c * deviation(numbers)));
                write_scale(scale, out);
                // Zeros take no chance: most numbers are zero where few words occur.
                let digit = |x: &f32| match *x != 0.0 && rng.uniform() * scale < x.abs() {
                    true if *x > 0.0 => 2,
                    true => 0,
                    false => 1,
                };
                write_digits(numbers.iter().map(digit), out);
            }
            Rounding::Nearest => {
                let mean = numbers.iter().map(|x| f64::from(x.abs())).sum::<f64>() / numbers.len() as f64;
                let least = (0.7 * mean) as f32;
                let (mut sum, mut kept) = (0.0, 0_u32);
                for x in numbers.iter().map(|x| x.abs()).filter(|x| *x > least) {
                    sum += f64::from(x);
                    kept += 1;
                }
                let scale = sum / f64::from(kept.max(1));
                write_scale(scale as f32, out);
                let digit = |x: &f32| match x.abs() > least {
                    true if *x > 0.0 => 2,
                    true => 0,
                    false => 1,
                };
                write_digits(numbers.iter().map(digit), out);
            }
        }
    }

    fn decode<'a>(&self, bytes: &'a [u8], into: &mut [f32]) -> Result<&'a [u8], BadBytes> {
        let (scale, body, rest) = read_scale(bytes, into.len().div_ceil(TO_A_BYTE))?;
        let values = [-scale, 0.0 * scale, scale];
        for (into, byte) in into.chunks_mut(TO_A_BYTE).zip(body) {
            let mut digits = *byte;
            for into in into {
                *into = values[usize::from(digits % 3)];
                digits /= 3;
            }
            if digits != 0 {
                return Err(BadBytes::Code {
                    code: *byte,
                    bound: "digits of base three, one for each number",
                });
            }
        }
        Ok(rest)
    }

    fn draws(&self) -> bool {
        matches!(self.0, Rounding::Drawn { .. })
    }
}

/// Standard deviation around zero: around the mean, numbers that are alike would all be held near nothing.
fn deviation(numbers: &[f32]) -> f32 {
    let sum = numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    (sum / numbers.len() as f64).sqrt() as f32
}

/// Appends digits of base three, five to a byte.
fn write_digits(digits: impl Iterator<Item = u8>, out: &mut Vec<u8>) {
    let (mut byte, mut place) = (0, 1);
    for digit in digits {
        byte += digit * place;
        if place == 81 {
            out.push(byte);
            (byte, place) = (0, 1);
        } else {
            place *= 3;
        }
    }
    if place > 1 {
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;

    fn coded(codec: Ternary, numbers: &[f32]) -> (Vec<u8>, Vec<f32>) {
        let (mut bytes, mut back) = (Vec::new(), vec![9.0; numbers.len()]);
        codec.encode(numbers, &mut Seed(1).stream(0), &mut bytes);
        codec.decode(&bytes, &mut back).unwrap();
        (bytes, back)
    }

    #[test]
    fn five_numbers_make_a_byte() {
        let sent = [1.0, -1.0, 0.0, 0.0, 1.0, -1.0];
        let (bytes, back) = coded(Ternary::drawn(None).unwrap(), &sent);
        assert_eq!(bytes[4..], [2 + 9 + 27 + 2 * 81, 0]);
        assert_eq!(back, sent);
        let mut bad = bytes.clone();
        bad[4] = 243;
        assert!(matches!(
            Ternary::nearest().decode(&bad, &mut [0.0; 6]),
            Err(BadBytes::Code { code: 243, .. })
        ));
        bad[4..].copy_from_slice(&[0, 3]);
        assert!(matches!(
            Ternary::nearest().decode(&bad, &mut [0.0; 6]),
            Err(BadBytes::Code { code: 3, .. })
        ));
    }

    #[test]
    fn far_numbers_are_held_so_that_near_ones_are_seen() {
        let mut sent = vec![0.1_f32; 100];
        sent.iter_mut().step_by(2).for_each(|x| *x = -*x);
        sent[0] = 10.0;
        let of = |clip| coded(Ternary::drawn(clip).unwrap(), &sent).1;
        let count = |back: &[f32]| back.iter().filter(|x| **x != 0.0).count();
        assert_eq!(of(None)[0], 10.0);
        assert!((of(Some(1.0))[0] - 1.0).abs() < 0.1, "{}", of(Some(1.0))[0]);
        assert!(count(&of(Some(1.0))) > count(&of(None)));
        let alike = coded(Ternary::drawn(Some(1.0)).unwrap(), &[0.5, 0.5, 0.5]).1;
        assert_eq!(alike, [0.5; 3], "numbers that are alike have nothing to hold");
        assert!(Ternary::drawn(Some(0.0)).is_err() && Ternary::drawn(Some(f32::NAN)).is_err());
    }

    #[test]
    fn the_nearest_is_the_mean_of_what_is_kept() {
        assert_eq!(coded(Ternary::nearest(), &[3.0, -5.0, 0.5, -0.1]).1, [4.0, -4.0, 0.0, 0.0]);
    }
}
