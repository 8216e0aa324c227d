//! Counts, most of them small: the number of bits of each and its highest bits are learned, the others lie as they are
//! (an exponential Golomb code whose bits are modelled).

use super::bits::Bits;
use super::model::{Model, context};

/// Sets of weights that counts use.
pub(super) const MIXERS: usize = 2;
/// Bits below the highest that are learned.
const LEARNED: u32 = 3;
/// Both bits alike.
pub(super) const EVEN: u32 = 1 << 15;

/// What is known of a count before it is coded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// What it counts.
    pub(super) kind: u32,
    /// Two things that it may depend on.
    pub(super) by: [u32; 2],
}

/// Counts while they are coded.
#[derive(Debug)]
pub(super) struct Counts {
    mixer: usize,
    /// The number of bits of the one before.
    last: u32,
}

impl Counts {
    /// Counts that use the sets of weights from `mixer` on.
    pub(super) fn new(mixer: usize) -> Self {
        Self { mixer, last: 0 }
    }

    /// Codes a count below `2³² − 1`.
    pub(super) fn count<B: Bits>(
        &mut self,
        bits: &mut B,
        model: &mut Model,
        known: Known,
        given: u32,
    ) -> u32 {
        let Known { kind, by: [one, other] } = known;
        let given = given.wrapping_add(1).max(1);
        let width = 31 - given.leading_zeros();
        let contexts = [
            context(9 | kind << 8, 0),
            context(10 | kind << 8, one),
            context(11 | kind << 8, other),
            context(12 | kind << 8, self.last),
        ];
        let mut found = 0;
        while found < 31 && model.bit(bits, &contexts, found, self.mixer, width > found) {
            found += 1;
        }
        let mut value = 1u32;
        for level in (0..found).rev() {
            let bit = given >> level & 1 == 1;
            let bit = if found - level <= LEARNED {
                let place = found << 8 | value;
                let contexts = [
                    context(13 | kind << 8, place),
                    context(14 | kind << 8, place << 8 | other & 0xff),
                    context(15 | kind << 8, place << 8 | one & 0xff),
                    context(16 | kind << 8, found - level),
                ];
                model.bit(bits, &contexts, 0, self.mixer + 1, bit)
            } else {
                bits.bit(EVEN, bit)
            };
            value = value << 1 | u32::from(bit);
        }
        self.last = found;
        value - 1
    }
}
