//! Arithmetic coding of single bits (Rissanen and Langdon 1979), with probabilities in 16 bits.
//!
//! What is coded lies in an interval of 32 bits, of which each bit keeps its share; leading bytes that no longer change are
//! written. The probability of one must lie between 1 and 65535, so no bit is impossible and the interval never empties.

/// Codes bits: the writer notes the bit that it is given, the reader ignores it and returns the one that was noted. So what
/// is coded is described once, for both.
pub(super) trait Bits {
    /// Codes a bit that is one with probability `ones / 65536`.
    fn bit(&mut self, ones: u32, bit: bool) -> bool;
}

/// Notes nothing: a model that codes to it learns.
pub(super) struct Unwritten;

impl Bits for Unwritten {
    fn bit(&mut self, _: u32, bit: bool) -> bool {
        bit
    }
}

/// The numbers that what is coded may still be, both inclusive.
#[derive(Clone, Copy, Debug)]
struct Interval {
    low: u32,
    high: u32,
}

impl Interval {
    const WHOLE: Self = Self { low: 0, high: u32::MAX };

    /// The last number that stands for a one.
    fn split(self, ones: u32) -> u32 {
        let share = (u64::from(self.high - self.low) * u64::from(ones)) >> 16;
        self.low + share as u32
    }

    fn keep(&mut self, split: u32, bit: bool) {
        match bit {
            true => self.high = split,
            false => self.low = split + 1,
        }
    }

    /// Whether all its numbers begin with the same byte.
    fn is_settled(self) -> bool {
        (self.low ^ self.high) >> 24 == 0
    }

    fn shift(&mut self) {
        self.low <<= 8;
        self.high = self.high << 8 | 0xff;
    }

    /// The fewest bytes that, with zeros after them, are a number in the interval.
    fn shortest(self) -> Vec<u8> {
        let bytes = |n: u32| {
            let unit = 1u64 << (32 - 8 * n);
            let number = u64::from(self.low).div_ceil(unit) * unit;
            (number <= u64::from(self.high)).then(|| (number as u32).to_be_bytes()[..n as usize].to_vec())
        };
        (0..=4).find_map(bytes).expect("the lower end itself has four bytes")
    }
}

/// Writes bits.
#[derive(Debug)]
pub(super) struct Encoder {
    interval: Interval,
    out: Vec<u8>,
}

impl Encoder {
    /// Appends to `out`.
    pub(super) fn new(out: Vec<u8>) -> Self {
        Self { interval: Interval::WHOLE, out }
    }

    /// What was written.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.extend(self.interval.shortest());
        self.out
    }
}

impl Bits for Encoder {
    #[inline]
    fn bit(&mut self, ones: u32, bit: bool) -> bool {
        self.interval.keep(self.interval.split(ones), bit);
        while self.interval.is_settled() {
            self.out.push((self.interval.low >> 24) as u8);
            self.interval.shift();
        }
        bit
    }
}

/// Reads bits; past the end of its bytes it reads zeros.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    interval: Interval,
    number: u32,
    bytes: &'a [u8],
    /// Bytes that are known to have been written before the end.
    settled: usize,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let byte = |at: usize| u32::from(bytes.get(at).copied().unwrap_or(0));
        let number = byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
        Self { interval: Interval::WHOLE, number, bytes, settled: 0 }
    }

    /// Bytes that were read and are not needed any more.
    pub(super) fn at(&self) -> usize {
        self.settled.min(self.bytes.len())
    }

    /// Whether more was read than there is.
    pub(super) fn is_beyond(&self) -> bool {
        self.settled > self.bytes.len()
    }

    /// Whether the bytes end as a writer ends them after these bits.
    pub(super) fn is_end(&self) -> bool {
        self.bytes.get(self.settled..).is_some_and(|rest| *rest == *self.interval.shortest())
    }
}

impl Bits for Decoder<'_> {
    #[inline]
    fn bit(&mut self, ones: u32, _: bool) -> bool {
        let split = self.interval.split(ones);
        let bit = self.number <= split;
        self.interval.keep(split, bit);
        while self.interval.is_settled() {
            self.interval.shift();
            let next = self.bytes.get(self.settled.wrapping_add(4)).copied().unwrap_or(0);
            self.number = self.number << 8 | u32::from(next);
            self.settled = self.settled.saturating_add(1);
        }
        bit
    }
}
