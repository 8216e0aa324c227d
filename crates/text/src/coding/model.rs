//! Probabilities of bits, learned from the bits before: several contexts each know one, and a mixer weighs them
//! (Mahoney 2005, "Adaptive weighing of context models for lossless data compression").
//!
//! A context is a number that stands for what is known where the bit is coded. Its slot in a table holds the share of
//! ones so far and how many bits there were; a slot that has seen nothing says nothing. The shares are added up as
//! logarithms of odds, by weights that move towards whoever was right. Integers only: writer and reader must come to the
//! same probabilities on every machine.

use super::bits::Bits;

/// Contexts that are mixed for a bit.
pub(super) const CONTEXTS: usize = 4;
/// Bits after which a slot learns no slower.
const SLOWEST: usize = 63;
/// Fraction bits of logarithms of odds, which lie within ±8.
const ODDS: u32 = 8;
const LARGEST: i32 = 2047;
/// One in weights.
const ONE: i32 = 1 << 16;

/// `65536 / (1 + e^-x)` for x from −8 to 8 in steps of one half.
const SIGMOID: [i32; 33] = [
    22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768, 40793,
    47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514,
];

/// The probability in 16 bits for each logarithm of odds, from −2048 on.
const PROBABILITY: [u16; 4096] = {
    let mut table = [0; 4096];
    let mut at = 0;
    while at < table.len() {
        let (step, rest) = (at >> 7, (at & 127) as i32);
        table[at] = ((SIGMOID[step] * (128 - rest) + SIGMOID[step + 1] * rest + 64) >> 7) as u16;
        at += 1;
    }
    table
};

/// The logarithm of odds for each probability in 12 bits: the first whose probability is not below it.
const LOG_ODDS: [i16; 4096] = {
    let mut table = [0; 4096];
    let (mut at, mut odds) = (0, 1usize);
    while at < table.len() {
        while odds < 4095 && (PROBABILITY[odds] as usize) < at * 16 + 8 {
            odds += 1;
        }
        table[at] = odds as i16 - 2048;
        at += 1;
    }
    table
};

/// How far a slot moves towards a bit (in 65536ths) and how much it is believed (in 256ths), by the bits that it has seen.
const TRUST: [(i32, i32); SLOWEST + 1] = {
    let mut table = [(0, 0); SLOWEST + 1];
    let mut seen = 0;
    while seen < table.len() {
        let n = seen as i32;
        table[seen] = (10 * 65536 / (10 * n + 16), 333 * 5 * n / (5 * n + 2));
        seen += 1;
    }
    table
};

/// What was learned of all kinds of bits.
#[derive(Debug)]
pub(super) struct Model {
    /// A table for each context; a slot is a probability in 22 bits above a count in 10.
    slots: Vec<u32>,
    /// Slots of a table, less one.
    mask: u32,
    weights: Vec<[i32; CONTEXTS]>,
}

impl Model {
    /// A model that knows nothing, with tables of `2^width` slots and so many sets of weights.
    pub(super) fn new(width: u8, mixers: usize) -> Self {
        let slots = 1usize << width;
        Self {
            slots: vec![1 << 31; slots * CONTEXTS],
            mask: slots as u32 - 1,
            weights: vec![[ONE / 4; CONTEXTS]; mixers],
        }
    }

    /// Codes a bit in the given contexts with the weights of `mixer`. `node` tells bits apart that share contexts.
    #[inline]
    pub(super) fn bit<B: Bits>(
        &mut self,
        bits: &mut B,
        contexts: &[u32; CONTEXTS],
        node: u32,
        mixer: usize,
        bit: bool,
    ) -> bool {
        let size = self.mask as usize + 1;
        let weights = &mut self.weights[mixer];
        let (mut places, mut inputs) = ([0; CONTEXTS], [0i32; CONTEXTS]);
        let mut sum = 0i64;
        for (i, context) in contexts.iter().enumerate() {
            places[i] = i * size + (context.wrapping_add(node) & self.mask) as usize;
            let slot = self.slots[places[i]];
            let believed = TRUST[slot as usize & SLOWEST].1;
            inputs[i] = i32::from(LOG_ODDS[(slot >> 20) as usize]).wrapping_mul(believed) >> ODDS;
            sum = sum.wrapping_add(i64::from(inputs[i]).wrapping_mul(i64::from(weights[i])));
        }
        let odds = (sum >> 16).clamp(-i64::from(LARGEST), i64::from(LARGEST)) as i32;
        let ones = i32::from(PROBABILITY[(odds + 2048) as usize]);
        let bit = bits.bit(ones as u32, bit);
        let error = ((i32::from(bit) << 16) - ones) * 3 / 4;
        for (i, place) in places.into_iter().enumerate() {
            weights[i] = weights[i].wrapping_add(inputs[i].wrapping_mul(error).wrapping_add(1 << 13) >> 14);
            let slot = &mut self.slots[place];
            let (p, seen) = ((*slot >> 10) as i32, *slot & SLOWEST as u32);
            let target = if bit { (1 << 22) - 1 } else { 0 };
            let step = (i64::from(target - p) * i64::from(TRUST[seen as usize].0)) >> 16;
            *slot = ((p + step as i32) as u32) << 10 | (seen + 1).min(SLOWEST as u32);
        }
        bit
    }
}

/// A context of two numbers.
#[inline]
pub(super) fn context(a: u32, b: u32) -> u32 {
    let mixed = (a.wrapping_mul(0x9e37_79b1) ^ b.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0xc2b2_ae35);
    mixed ^ mixed >> 15
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::bits::{Decoder, Encoder};

    #[test]
    fn tables_are_those_of_the_formulas() {
        for (odds, probability) in (-2048i32..).zip(PROBABILITY) {
            let exact = 65536.0 / (1.0 + (-f64::from(odds) / 256.0).exp());
            assert!(
                (f64::from(probability) - exact).abs() < 1.0 + 0.04 * exact.min(65536.0 - exact),
                "{odds}"
            );
        }
        for (p, odds) in LOG_ODDS.iter().enumerate() {
            let exact = (p as f64 + 0.5) / 4096.0;
            let exact = (256.0 * (exact / (1.0 - exact)).ln()).clamp(-2047.0, 2047.0);
            assert!((f64::from(*odds) - exact).abs() < 16.0, "{p}: {odds}, {exact}");
        }
        assert!(
            LOG_ODDS.is_sorted()
                && PROBABILITY.is_sorted()
                && TRUST.is_sorted_by(|a, b| a.0 > b.0 && a.1 <= b.1)
        );
    }

    #[test]
    fn what_repeats_costs_nearly_nothing_and_noise_what_it_has() {
        let cost = |bit: &dyn Fn(u32) -> bool| {
            let (mut bits, mut model) = (Encoder::new(Vec::new()), Model::new(10, 1));
            for i in 0..8000u32 {
                model.bit(&mut bits, &[0, i % 2, i % 3, i % 5], 0, 0, bit(i));
            }
            let bytes = bits.finish();
            let (mut bits, mut model) = (Decoder::new(&bytes), Model::new(10, 1));
            for i in 0..8000 {
                assert_eq!(model.bit(&mut bits, &[0, i % 2, i % 3, i % 5], 0, 0, false), bit(i), "{i}");
            }
            assert!(bits.is_end() && !bits.is_beyond());
            bytes.len()
        };
        assert!(cost(&|_| true) < 12);
        assert!(cost(&|i| i % 3 == 0) < 60);
        let noise = cost(&|i| i.wrapping_mul(2_654_435_761).wrapping_mul(i | 1) >> 31 == 1);
        assert!((950..1100).contains(&noise), "{noise}");
    }
}
