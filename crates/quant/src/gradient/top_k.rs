//! The few largest numbers of a gradient, as they are, and nothing of the others (Stich et al. 2018,
//! arXiv:1809.07599; Lin et al. 2018, Deep Gradient Compression, arXiv:1712.01887).
//!
//! The others wait in the sender's memory until they are large. Of Lin et al. this is the sparsification; their
//! momentum correction belongs to SGD with momentum, whereas here Adam makes its moments from what arrives.
//!
//! On the wire: how many numbers follow, then for each, by ascending place, the zeros before it since the last one
//! and its `f32`. Counts are LEB128: seven bits to a byte, the lowest first, the top bit set on all but the last.

use nlpress_core::seed::Rng;

use super::Codec;
use crate::QuantError;
use crate::error::BadBytes;

/// The codec.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopK {
    share: f64,
}

impl TopK {
    /// A codec that sends this share of the numbers, at least one.
    ///
    /// # Errors
    /// [`QuantError::Setting`] unless the share is above 0 and at most 1.
    pub fn new(share: f64) -> Result<Self, QuantError> {
        if share > 0.0 && share <= 1.0 {
            return Ok(Self { share });
        }
        Err(QuantError::setting("share", share, "above 0 and at most 1"))
    }

    /// Numbers sent of `n`.
    fn count(self, n: usize) -> usize {
        ((self.share * n as f64).round() as usize).clamp(1.min(n), n)
    }
}

impl Codec for TopK {
    fn encode(&self, numbers: &[f32], _rng: &mut Rng, out: &mut Vec<u8>) {
        let count = self.count(numbers.len());
        // Magnitudes order as their bits do, undefined numbers above all.
        let magnitude = |x: &f32| x.abs().to_bits();
        let mut ordered: Vec<u32> = numbers.iter().map(magnitude).collect();
        let least = match count.checked_sub(1) {
            Some(last) => *ordered.select_nth_unstable_by(last, |a, b| b.cmp(a)).1,
            None => u32::MAX,
        };
        // Among those as large as the least, the first places win.
        let mut equals = count - numbers.iter().filter(|x| magnitude(x) > least).count();
        let mut places = Vec::with_capacity(count);
        for (place, x) in numbers.iter().enumerate().filter(|(_, x)| **x != 0.0 && magnitude(x) >= least) {
            if magnitude(x) == least {
                if equals == 0 {
                    continue;
                }
                equals -= 1;
            }
            places.push(place);
        }
        write_count(places.len(), out);
        let mut next = 0;
        for place in places {
            write_count(place - next, out);
            out.extend_from_slice(&numbers[place].to_le_bytes());
            next = place + 1;
        }
    }

    fn decode<'a>(&self, bytes: &'a [u8], into: &mut [f32]) -> Result<&'a [u8], BadBytes> {
        let (count, mut rest) = read_count(bytes)?;
        let most = self.count(into.len());
        if count > most {
            return Err(BadBytes::Count { count, most });
        }
        into.fill(0.0);
        let mut next = 0_usize;
        for _ in 0..count {
            let (gap, after) = read_count(rest)?;
            let (number, after) = after.split_first_chunk::<4>().ok_or(BadBytes::Cut)?;
            let place = next.checked_add(gap).filter(|p| *p < into.len());
            let place = place.ok_or(BadBytes::Place { len: into.len() })?;
            into[place] = f32::from_le_bytes(*number);
            next = place + 1;
            rest = after;
        }
        Ok(rest)
    }
}

/// Appends a count as LEB128.
fn write_count(mut count: usize, out: &mut Vec<u8>) {
    while count >= 0x80 {
        out.push(count as u8 | 0x80);
        count >>= 7;
    }
    out.push(count as u8);
}

/// Takes a count of at most 32 bits from the front of `bytes`.
fn read_count(bytes: &[u8]) -> Result<(usize, &[u8]), BadBytes> {
    let mut count = 0_u64;
    for (i, byte) in bytes.iter().enumerate().take(5) {
        count |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let count = u32::try_from(count).map_err(|_| BadBytes::Long)?;
            return Ok((count as usize, &bytes[i + 1..]));
        }
    }
    Err(if bytes.len() < 5 { BadBytes::Cut } else { BadBytes::Long })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;

    fn coded(codec: TopK, numbers: &[f32]) -> (Vec<u8>, Vec<f32>) {
        let (mut bytes, mut back) = (Vec::new(), vec![9.0; numbers.len()]);
        codec.encode(numbers, &mut Seed(1).stream(0), &mut bytes);
        assert!(codec.decode(&bytes, &mut back).unwrap().is_empty());
        (bytes, back)
    }

    #[test]
    fn only_the_largest_travel_and_they_travel_whole() {
        let (bytes, back) = coded(TopK::new(0.5).unwrap(), &[0.1, -3.0, 0.2, 3.0, 0.3, 0.5]);
        assert_eq!(back, [0.0, -3.0, 0.0, 3.0, 0.0, 0.5]);
        assert_eq!(bytes.len(), 1 + 3 * 5);
        let equal = coded(TopK::new(0.4).unwrap(), &[1.0; 5]).1;
        assert_eq!(equal, [1.0, 1.0, 0.0, 0.0, 0.0], "among equals the first places");
        let mut far = vec![0.0; 1000];
        far[999] = 2.0;
        let (bytes, back) = coded(TopK::new(1e-9).unwrap(), &far);
        assert_eq!(
            (bytes.len(), back),
            (1 + 2 + 4, far),
            "zeros are not sent, and a far place takes two bytes"
        );
    }

    #[test]
    fn bytes_that_no_encoder_makes_are_refused() {
        let read = |bytes: &[u8]| TopK::new(0.5).unwrap().decode(bytes, &mut [0.0; 4]).map(<[u8]>::len);
        assert_eq!(read(&[1, 3, 0, 0, 0, 0, 9]), Ok(1));
        assert_eq!(read(&[3]), Err(BadBytes::Count { count: 3, most: 2 }));
        assert_eq!(read(&[1, 4, 0, 0, 0, 0]), Err(BadBytes::Place { len: 4 }));
        assert_eq!(read(&[2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]), Err(BadBytes::Place { len: 4 }));
        assert_eq!(read(&[1, 0x80]), Err(BadBytes::Cut));
        assert_eq!(read(&[0xff; 9]), Err(BadBytes::Long));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(BadBytes::Long));
        for bad in [0.0, -0.1, 1.1, f64::NAN] {
            assert!(TopK::new(bad).is_err(), "{bad}");
        }
    }
}
