//! Small whole numbers in few bits: counts and gaps, one code for a whole run of them.
//!
//! The first byte names the code: `w` in `0..=31` is `w` bits for each number, `32 + k` is a Golomb code with a
//! divisor of `2^k` (Golomb 1966, Rice 1979): the quotient in ones, a zero, then the `k` bits of the remainder.
//! Bits fill bytes from the lowest up; the last byte is filled with zeros. The writer measures every code and
//! takes the shortest; the reader believes nothing.

use crate::PackError;

/// Widest number, and widest remainder.
const MOST_BITS: usize = 31;
/// Where the names of Golomb codes begin.
const GOLOMB: usize = 32;

/// The shortest code for these numbers, all less than `2^31`: its first byte, and how many bits the numbers take.
///
/// Numbers are never given less than `least` bits each.
fn choose(numbers: &[u32], least: usize) -> (usize, usize) {
    // How many bits each `n >> k` takes: sums of quotients, for all divisors in one go.
    let largest = numbers.iter().copied().max().unwrap_or(0);
    let width = ((u32::BITS - largest.leading_zeros()) as usize).max(least);
    let mut best = (width, width * numbers.len());
    for k in 0..=width.min(MOST_BITS) {
        let quotients: usize = numbers.iter().map(|n| (n >> k) as usize).sum();
        let bits = quotients + (k + 1) * numbers.len();
        if bits < best.1 {
            best = (GOLOMB + k, bits);
        }
    }
    best
}

/// Bytes that [`write`] makes.
pub(crate) fn measure(numbers: &[u32], least: usize) -> usize {
    1 + choose(numbers, least).1.div_ceil(8)
}

/// The numbers in their shortest code, of at least `least` bits each.
pub(crate) fn write(numbers: &[u32], least: usize) -> Vec<u8> {
    let (name, bits) = choose(numbers, least);
    let mut bytes = Vec::with_capacity(1 + bits.div_ceil(8));
    bytes.push(name as u8);
    let mut to = Writer { bytes, bits: 0, filled: 0 };
    for &n in numbers {
        if name < GOLOMB {
            to.push(u64::from(n), name);
            continue;
        }
        let k = name - GOLOMB;
        let mut quotient = n >> k;
        while quotient >= 32 {
            to.push(u64::from(u32::MAX), 32);
            quotient -= 32;
        }
        to.push((1 << quotient) - 1, quotient as usize + 1);
        to.push(u64::from(n) & ((1 << k) - 1), k);
    }
    to.finish()
}

/// Reads exactly `count` numbers from all of `bytes`; `name` is what errors call them.
///
/// Allocates for at most eight numbers a byte, or where `least` is 0 for `count`.
///
/// # Errors
/// [`PackError::Code`].
pub(crate) fn read(
    name: &'static str,
    bytes: &[u8],
    count: usize,
    least: usize,
) -> Result<Vec<u32>, PackError> {
    let bad = |why| PackError::Code { name, why };
    let (&code, bytes) = bytes.split_first().ok_or(bad("has no first byte, which names its code"))?;
    let code = usize::from(code);
    let bits = bytes.len().saturating_mul(8);
    let mut from = Reader { bytes, at: 0 };
    let mut numbers = Vec::new();
    if code <= MOST_BITS {
        let needs = count.checked_mul(code).map(|bits| bits.div_ceil(8));
        if code < least || needs != Some(bytes.len()) {
            return Err(bad("does not have the bytes that its numbers need"));
        }
        numbers.reserve_exact(count);
        for _ in 0..count {
            numbers.push(from.take(code) as u32);
        }
    } else if code <= GOLOMB + MOST_BITS {
        if count > bits {
            return Err(bad("does not have a bit for each number"));
        }
        let k = code - GOLOMB;
        numbers.reserve_exact(count);
        for _ in 0..count {
            let quotient = from.ones().ok_or(bad("ends within a number"))?;
            if from.at + k > bits {
                return Err(bad("ends within a number"));
            }
            let number = ((quotient as u64) << k) | from.take(k);
            if number >> MOST_BITS != 0 {
                return Err(bad("has a number beyond 2^31 - 1"));
            }
            numbers.push(number as u32);
        }
        if from.at.div_ceil(8) != bytes.len() {
            return Err(bad("goes on after its last number"));
        }
    } else {
        return Err(bad("is in a code that does not exist"));
    }
    match from.at % 8 {
        0 => Ok(numbers),
        tail if bytes[from.at / 8] >> tail == 0 => Ok(numbers),
        _ => Err(bad("has bits set beyond its last number")),
    }
}

/// Numbers of a fixed width packed into bits, without a first byte.
pub(crate) fn write_fixed(numbers: impl Iterator<Item = u8>, width: usize) -> Vec<u8> {
    let mut to = Writer { bytes: Vec::new(), bits: 0, filled: 0 };
    numbers.for_each(|n| to.push(u64::from(n), width));
    to.finish()
}

/// `count` numbers of [`write_fixed`], of a width up to 8, and the bits left over, which the writer made zero.
pub(crate) fn read_fixed(bytes: &[u8], count: usize, width: usize) -> (Vec<u8>, u64) {
    let mut from = Reader { bytes, at: 0 };
    let numbers = (0..count).map(|_| from.take(width) as u8).collect();
    let left = (8 * bytes.len()).saturating_sub(from.at).min(MOST_BITS);
    (numbers, from.take(left))
}

/// The `at`-th number of [`write_fixed`], of a width up to 8.
pub(crate) fn fixed_at(bytes: &[u8], at: usize, width: usize) -> u8 {
    Reader { bytes, at: at * width }.take(width) as u8
}

struct Writer {
    bytes: Vec<u8>,
    bits: u64,
    filled: usize,
}

impl Writer {
    /// Appends the low `width` bits, up to 33; `bits` has no others.
    fn push(&mut self, bits: u64, width: usize) {
        self.bits |= bits << self.filled;
        self.filled += width;
        while self.filled >= 8 {
            self.bytes.push(self.bits as u8);
            self.bits >>= 8;
            self.filled -= 8;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.bytes.push(self.bits as u8);
        }
        self.bytes
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// The next `width` bits, up to 31; zeros beyond the end.
    fn take(&mut self, width: usize) -> u64 {
        let bits = self.window() & ((1 << width) - 1);
        self.at += width;
        bits
    }

    /// Counts ones up to the next zero and passes it; `None` where there is none.
    fn ones(&mut self) -> Option<usize> {
        let mut ones = 0;
        loop {
            let left = (8 * self.bytes.len()).checked_sub(self.at)?;
            // 57 bits of a window are always there, unless the bytes end before.
            let run = (self.window().trailing_ones() as usize).min(57);
            if run >= left {
                return None;
            }
            ones += run;
            self.at += run;
            if run < 57 {
                self.at += 1;
                return Some(ones);
            }
        }
    }

    /// The bits from here on, at least 57 of them, with zeros beyond the end.
    fn window(&self) -> u64 {
        let from = self.at / 8;
        let word = match self.bytes.get(from..).and_then(|b| b.first_chunk()) {
            Some(word) => u64::from_le_bytes(*word),
            None => {
                let mut word = [0; 8];
                let rest = self.bytes.get(from..).unwrap_or_default();
                word[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(word)
            }
        };
        word >> (self.at % 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(
            numbers in prop::collection::vec(prop_oneof![0u32..4, 0u32..200, 0u32..1 << 31], 0..60),
            least in 0usize..2,
        ) {
            let bytes = write(&numbers, least);
            prop_assert_eq!(bytes.len(), measure(&numbers, least));
            prop_assert_eq!(read("gaps", &bytes, numbers.len(), least).unwrap(), numbers);
        }

        #[test]
        fn any_bytes_are_numbers_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..40), count in 0usize..90) {
            for first in [0, 1, 7, 31, 32, 33, 40, 63, 64, 255] {
                let bytes: Vec<u8> = [first].into_iter().chain(bytes.iter().copied()).collect();
                if let Ok(numbers) = read("gaps", &bytes, count, 1) {
                    prop_assert_eq!(numbers.len(), count);
                }
            }
        }
    }

    #[test]
    fn counts_that_nothing_backs_are_refused_before_they_are_made() {
        for bytes in [&[0][..], &[32, 0], &[32, 0xff, 0xff], &[1, 0, 0], &[], &[63, 0xff]] {
            assert!(read("counts", bytes, 1 << 50, 1).is_err());
        }
        assert_eq!(read("gaps", &[0], 3, 0).unwrap(), [0; 3]);
        assert!(read("gaps", &[1, 0b1000], 3, 0).is_err(), "a bit beyond the last number");
    }

    #[test]
    fn geometric_gaps_take_a_golomb_code() {
        let gaps: Vec<u32> = (0..1000).map(|i: u32| (i * i * 7) % 31 % (1 + i % 9 * 5)).collect();
        assert!(write(&gaps, 0)[0] >= GOLOMB as u8);
        assert_eq!(write(&[5; 100], 0)[0], 3);
    }
}
