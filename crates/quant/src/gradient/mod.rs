//! Gradient compression: codecs, and their place between the workers and the optimizer.
//!
//! A codec turns numbers into bytes and back, and every byte counted here is one that a receiver reads. A gradient
//! is cut into blocks that do not cross sites, and each block is coded by itself:
//!
//! | codec | bytes of a block of `n` numbers |
//! |---|---|
//! | [`Int8`] | a scale, `n` bytes |
//! | [`Qsgd`] | a scale, `n` codes of 2 to 8 bits |
//! | [`Ternary`] | a scale, five numbers to a byte |
//! | [`Sign`] | a scale, eight numbers to a byte |
//! | [`TopK`] | a count, then a gap and a float for each of the few numbers that are sent |
//!
//! There is no header: both ends know the length, the block and the step, and agree by [`Coding`]. A scale is a
//! little-endian `f32`. A block with a number that is not finite arrives as undefined numbers, so that a training
//! which diverges is seen to.
//!
//! The error of coding need not be lost. With *error feedback* the sender keeps it and adds it to its next gradient
//! (Seide et al. 2014; Stich et al. 2018, arXiv:1809.07599; Karimireddy et al. 2019, arXiv:1901.09847), so
//! that the sum of what arrived stays near the sum of what was sent. That holds only for a codec whose error is
//! smaller than the block; so with error feedback codecs round to the nearest, and only without it do they use
//! stochastic rounding, which is unbiased and needs no memory. [`Sign`] and [`TopK`] without it are biased: the
//! article's network trained on signs alone loses 6 to 20 points of accuracy, with error feedback at most 0.3.

mod bits;
mod coding;
pub mod int8;
pub mod qsgd;
mod sender;
pub mod sign;
pub mod ternary;
pub mod top_k;
mod wire;

pub use coding::{Coding, Name};
pub use int8::Int8;
pub use qsgd::Qsgd;
pub use sender::{Layout, Sender};
pub use sign::Sign;
pub use ternary::Ternary;
pub use top_k::TopK;
pub use wire::GradientWire;

use nlpress_core::seed::Rng;
use std::fmt::Debug;

use crate::error::BadBytes;

/// Turns the numbers of a block into bytes and back.
pub trait Codec: Debug + Send + Sync {
    /// Appends the bytes that stand for `numbers`; a codec that [draws](Codec::draws) takes its chances from `rng`.
    fn encode(&self, numbers: &[f32], rng: &mut Rng, out: &mut Vec<u8>);

    /// Writes over `into` what the first bytes stand for, and returns the bytes that follow.
    ///
    /// # Errors
    /// [`BadBytes`] for what no encoder makes; `into` is then partly written.
    fn decode<'a>(&self, bytes: &'a [u8], into: &mut [f32]) -> Result<&'a [u8], BadBytes>;

    /// Whether encoding is random.
    fn draws(&self) -> bool {
        false
    }
}

/// Bytes of a block's scale.
const SCALE_BYTES: usize = 4;

/// Appends a scale.
fn write_scale(scale: f32, out: &mut Vec<u8>) {
    out.extend_from_slice(&scale.to_le_bytes());
}

/// Takes a scale, and the `body` bytes that it goes with, from the front of `bytes`.
fn read_scale(bytes: &[u8], body: usize) -> Result<(f32, &[u8], &[u8]), BadBytes> {
    let (scale, rest) = bytes.split_first_chunk::<SCALE_BYTES>().ok_or(BadBytes::Cut)?;
    let scale = f32::from_le_bytes(*scale);
    if scale < 0.0 || scale.is_infinite() {
        return Err(BadBytes::Scale(scale));
    }
    let (body, rest) = rest.split_at_checked(body).ok_or(BadBytes::Cut)?;
    Ok((scale, body, rest))
}

/// The largest magnitude; undefined when a number is not finite.
fn largest(numbers: &[f32]) -> f32 {
    pulp::Arch::new().dispatch(|| {
        let mut largest = 0.0_f32;
        let mut odd = 0.0_f32; // undefined as soon as one number is not finite
        for x in numbers {
            largest = largest.max(x.abs());
            odd += x * 0.0;
        }
        if odd == 0.0 { largest } else { f32::NAN }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;
    use proptest::prelude::*;

    /// Every codec, biased or not.
    fn codecs() -> Vec<Box<dyn Codec>> {
        let mut all: Vec<Box<dyn Codec>> =
            vec![Box::new(Int8), Box::new(Sign), Box::new(TopK::new(0.3).unwrap())];
        for bits in 2..=8 {
            all.push(Box::new(Qsgd::new(bits, true).unwrap()));
            all.push(Box::new(Qsgd::new(bits, false).unwrap()));
        }
        all.push(Box::new(Ternary::drawn(None).unwrap()));
        all.push(Box::new(Ternary::drawn(Some(2.5)).unwrap()));
        all.push(Box::new(Ternary::nearest()));
        all
    }

    fn numbers(n: usize) -> Vec<f32> {
        let mut rng = Seed(9).stream(n as u64);
        (0..n).map(|_| rng.normal()).collect()
    }

    fn round_trip(codec: &dyn Codec, numbers: &[f32], stream: u64) -> Vec<f32> {
        let mut bytes = Vec::new();
        codec.encode(numbers, &mut Seed(3).stream(stream), &mut bytes);
        let mut back = vec![9.0; numbers.len()];
        let rest = codec.decode(&bytes, &mut back).unwrap();
        assert!(rest.is_empty(), "{codec:?}");
        back
    }

    #[test]
    fn any_length_comes_back_no_larger_than_it_went() {
        for codec in codecs() {
            for n in [0, 1, 2, 4, 5, 7, 8, 9, 255, 256, 1000] {
                let sent = numbers(n);
                let back = round_trip(codec.as_ref(), &sent, 0);
                let bound = sent.iter().fold(0.0_f32, |m, x| m.max(x.abs())) * 1.0001;
                assert!(back.iter().all(|x| x.abs() <= bound), "{codec:?} {n}");
                assert!(back.iter().zip(&sent).all(|(b, s)| b * s >= 0.0), "{codec:?}: a sign changed");
            }
            assert_eq!(round_trip(codec.as_ref(), &[0.0; 20], 0), [0.0; 20], "{codec:?}");
        }
    }

    #[test]
    fn codecs_without_chance_err_by_less_than_the_block_and_chance_is_right_on_average() {
        let sent = numbers(200);
        let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        for codec in codecs().into_iter().filter(|c| !c.draws()) {
            let back = round_trip(codec.as_ref(), &sent, 0);
            let error: Vec<f32> = back.iter().zip(&sent).map(|(b, s)| b - s).collect();
            assert!(norm(&error) < norm(&sent), "{codec:?}");
        }
        let drawn: Vec<Box<dyn Codec>> = vec![
            Box::new(Qsgd::new(2, true).unwrap()),
            Box::new(Qsgd::new(4, true).unwrap()),
            Box::new(Ternary::drawn(None).unwrap()),
        ];
        for codec in drawn {
            const DRAWS: u64 = 4000;
            let mut sum = vec![0.0_f64; sent.len()];
            let mut squares = vec![0.0_f64; sent.len()];
            for stream in 0..DRAWS {
                for (i, x) in round_trip(codec.as_ref(), &sent, stream).iter().enumerate() {
                    sum[i] += f64::from(*x);
                    squares[i] += f64::from(*x).powi(2);
                }
            }
            for i in 0..sent.len() {
                let mean = sum[i] / DRAWS as f64;
                let deviation = (squares[i] / DRAWS as f64 - mean * mean).max(0.0).sqrt();
                let error = (mean - f64::from(sent[i])).abs();
                assert!(error <= 5.0 * deviation / (DRAWS as f64).sqrt() + 1e-6, "{codec:?} {i}: {error}");
            }
        }
    }

    #[test]
    fn the_same_stream_gives_the_same_bytes() {
        for codec in codecs() {
            let encode = |stream| {
                let mut out = Vec::new();
                codec.encode(&numbers(300), &mut Seed(3).stream(stream), &mut out);
                out
            };
            assert_eq!(encode(1), encode(1));
            assert_eq!(encode(1) == encode(2), !codec.draws(), "{codec:?}");
        }
    }

    #[test]
    fn a_number_that_is_not_finite_is_seen_at_the_other_end() {
        for codec in codecs() {
            for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut sent = numbers(20);
                sent[7] = odd;
                assert!(!round_trip(codec.as_ref(), &sent, 0)[7].is_finite(), "{codec:?} {odd}");
            }
        }
    }

    #[test]
    fn bytes_that_end_early_are_refused() {
        for codec in codecs() {
            let mut bytes = Vec::new();
            codec.encode(&numbers(50), &mut Seed(1).stream(0), &mut bytes);
            for end in 0..bytes.len() {
                assert_eq!(
                    codec.decode(&bytes[..end], &mut [0.0; 50]),
                    Err(BadBytes::Cut),
                    "{codec:?} {end}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40), n in 0_usize..30) {
            for codec in codecs() {
                let _ = codec.decode(&bytes, &mut vec![0.0; n]);
            }
        }
    }
}
