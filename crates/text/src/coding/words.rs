//! A sorted list of words, each coded by what the words before suggest.
//!
//! For each byte of the word before it is said whether the next word has it too; the first that differs must be
//! larger, so a part of its bits need no code. A byte, or the end of the word, is coded as its place among the bytes in use, bit by bit from the
//! highest, given its position, the byte or the two bytes before it, and everything since the last space.

use super::bits::Bits;
use super::model::{CONTEXTS, Model, context};
use crate::analyzer::MAX_TOKEN_BYTES;

/// Sets of weights that lists use, from the first.
pub(super) const MIXERS: usize = 20;
const SPACE: u8 = b' ';

/// The bytes that words have, in order; place 0 is the end of a word.
///
/// A place is coded by a binary tree that keeps them in order: what is likely to be frequent needs few bits.
#[derive(Clone, Debug)]
pub(super) struct Alphabet {
    bytes: Vec<u8>,
    /// The place of each byte; 0 for those that no word has.
    places: [u8; 256],
    /// The first place of the upper half of all.
    root: u8,
    /// For each first place of an upper half, that of the parts of the lower and of the upper half; 0 where a half is one
    /// place.
    halves: [[u8; 2]; 256],
}

impl Alphabet {
    /// Of the bytes for which this is true; nothing where that is all of them, which no text has.
    pub(super) fn of(used: &[bool; 256]) -> Option<Self> {
        let (mut bytes, mut places) = (vec![0], [0; 256]);
        for (byte, _) in (0..=255u8).zip(used).filter(|(_, used)| **used) {
            places[usize::from(byte)] = u8::try_from(bytes.len()).ok()?;
            bytes.push(byte);
        }
        // How many of the places before each are taken, by weight.
        let weights = bytes.iter().zip(0..).map(|(byte, place)| if place == 0 { END } else { weight(*byte) });
        let mut before = vec![0];
        weights.for_each(|weight| before.push(before[before.len() - 1] + weight));
        let mut halves = [[0; 2]; 256];
        let root = split(&before, 0, bytes.len(), &mut halves);
        Some(Self { bytes, places, root, halves })
    }

    fn last(&self) -> u8 {
        (self.bytes.len() - 1) as u8
    }

    /// Codes a place from `least` on; bits that follow from that are not coded.
    #[inline]
    fn place<B: Bits>(
        &self,
        bits: &mut B,
        model: &mut Model,
        (contexts, mixer): (&[u32; CONTEXTS], usize),
        (least, wanted): (u8, u8),
    ) -> u8 {
        let (mut middle, mut found) = (self.root, 0);
        while middle > 0 {
            let upper =
                least >= middle || model.bit(bits, contexts, u32::from(middle), mixer, wanted >= middle);
            if upper {
                found = middle;
            }
            middle = self.halves[usize::from(middle)][usize::from(upper)];
        }
        found
    }
}

/// Splits the places `from..to` where the weights of both halves differ least, and each half again; the first place of the
/// upper half, or 0 for a single place.
fn split(before: &[u32], from: usize, to: usize, halves: &mut [[u8; 2]; 256]) -> u8 {
    if to - from < 2 {
        return 0;
    }
    let whole = before[from] + before[to];
    let middle = (from + 1..to).min_by_key(|middle| (2 * before[*middle]).abs_diff(whole)).unwrap_or(to - 1);
    halves[middle] = [split(before, from, middle, halves), split(before, middle, to, halves)];
    middle as u8
}

/// About how often a byte is there in 256 bytes of lists of English words; only the number of bits to code depends on it.
fn weight(byte: u8) -> u32 {
    match byte {
        b'e' => 26,
        b'i' | b's' => 20,
        b'n' | b'r' | b't' => 17,
        b'a' => 14,
        b'd' | b'g' | b'l' | b'o' => 12,
        b'c' => 9,
        b'm' | b'p' | b'u' => 6,
        b'b' | b'f' | b'h' | b'v' | b'y' => 4,
        b'k' | b'w' => 3,
        _ => 2,
    }
}
/// The same for the end of a word.
const END: u32 = 40;

/// Where a byte is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The first after the whole word before.
    Longer,
    /// The first that differs from the word before.
    Larger,
    /// Any other.
    Inner,
}

/// What of a word is known where its next byte is coded.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    /// The last bytes, the newest lowest.
    bytes: u32,
    /// A hash of those since the last space.
    since: u32,
}

impl Before {
    fn push(&mut self, byte: u8) {
        self.bytes = self.bytes << 8 | u32::from(byte);
        self.since = if byte == SPACE { 0 } else { context(self.since, u32::from(byte) + 1) };
    }
}

/// A list while it is coded.
#[derive(Debug)]
pub(super) struct List<'a> {
    alphabet: &'a Alphabet,
    /// The word before; empty before the first.
    word: Vec<u8>,
    /// Bytes that it shared with the one before it.
    shared: usize,
    /// For each number of bytes, how many words in a row have shared so many.
    runs: [u32; MAX_TOKEN_BYTES + 2],
}

impl<'a> List<'a> {
    pub(super) fn new(alphabet: &'a Alphabet) -> Self {
        Self { alphabet, word: Vec::new(), shared: 0, runs: [0; MAX_TOKEN_BYTES + 2] }
    }

    /// Codes the next word, which must be larger than the one before; a reader ignores `given`.
    ///
    /// # Errors
    /// What is wrong with a word that was read.
    pub(super) fn word<B: Bits>(
        &mut self,
        bits: &mut B,
        model: &mut Model,
        given: &[u8],
    ) -> Result<&[u8], &'static str> {
        let place = self.start(bits, model, given);
        let mut before = Before::default();
        self.word[..self.shared].iter().for_each(|byte| before.push(*byte));
        let mut least = 1; // the end only follows a byte of its own
        if place == Place::Larger {
            least = self.alphabet.places[usize::from(self.word[self.shared])] + 1;
        }
        let follows = self.word.get(self.shared).copied().unwrap_or(0);
        self.word.truncate(self.shared);
        let mut place = place;
        loop {
            if least > self.alphabet.last() {
                return Err("a word after the last that there can be");
            }
            let at = self.word.len();
            let wanted = given.get(at).map_or(0, |byte| self.alphabet.places[usize::from(*byte)]);
            let contexts = self.contexts(place, before, follows);
            let mixer = 8 + 4 * place as usize + at.min(3);
            let found = self.alphabet.place(bits, model, (&contexts, mixer), (least, wanted));
            if found == 0 {
                return Ok(&self.word);
            }
            if at == MAX_TOKEN_BYTES {
                return Err("a word of more than 255 bytes");
            }
            let byte = self.alphabet.bytes[usize::from(found)];
            self.word.push(byte);
            before.push(byte);
            (place, least) = (Place::Inner, 0);
        }
    }

    /// Codes how many bytes the next word shares with the one before.
    fn start<B: Bits>(&mut self, bits: &mut B, model: &mut Model, given: &[u8]) -> Place {
        let mut before = 0u32;
        let mut at = 0;
        let wanted = self.word.iter().zip(given).take_while(|(a, b)| a == b).count();
        while let Some(&next) = self.word.get(at) {
            let next = u32::from(next);
            let relative = (at as i32 - self.shared as i32).clamp(-3, 3) + 3;
            let run = 32 - self.runs[at + 1].leading_zeros();
            let contexts = [
                context(1, (at.min(31) as u32) << 4 | relative as u32),
                context(2, next << 8 | before & 0xff),
                context(3, context(before & 0xff_ffff, next)),
                context(4, (run.min(10) << 8 | next) << 4 | relative as u32),
            ];
            if !model.bit(bits, &contexts, 0, at.min(7), wanted > at) {
                break;
            }
            before = before << 8 | next;
            at += 1;
        }
        self.runs[..=at].iter_mut().for_each(|run| *run = run.saturating_add(1));
        self.runs[at + 1..(at + 1).max(self.shared + 1)].fill(0);
        self.shared = at;
        if at == self.word.len() { Place::Longer } else { Place::Larger }
    }

    fn contexts(&self, place: Place, Before { bytes, since }: Before, follows: u8) -> [u32; CONTEXTS] {
        let kind = match place {
            Place::Longer => 1,
            Place::Larger => 2 | u32::from(follows) << 8,
            Place::Inner => 0,
        };
        [
            context(5, (kind & 3) << 8 | self.word.len().min(20) as u32),
            context(6, kind << 8 | bytes & 0xff),
            context(7, bytes & 0xffff),
            context(8, since),
        ]
    }
}
