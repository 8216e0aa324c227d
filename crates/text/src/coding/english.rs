//! A dictionary: frequent English words, of which a vocabulary only says which it has.
//!
//! `data/english.txt` has a word a line, in byte order, after a letter for its class: `a` to `i` for words of the embedded
//! corpus by the logarithm of their rank, `j` to `m` for others: function words and names, verbs and nouns, their forms in
//! `-s`, and all other forms. Files refer to words by their place, so the list never changes; a better one would be another list.

use super::bits::Bits;
use super::model::{Model, context};

const LINES: &str = include_str!("../../data/english.txt");
/// Fewest bytes that make two words related.
const STEM: usize = 3;

/// Words with their classes, in byte order.
#[derive(Debug)]
pub(super) struct English {
    words: Vec<&'static str>,
    /// From 1.
    classes: Vec<u8>,
}

impl English {
    pub(super) fn read() -> Self {
        let (classes, words) = LINES.lines().map(|line| (line.as_bytes()[0] - b'a' + 1, &line[1..])).unzip();
        Self { words, classes }
    }

    /// The place of a word.
    pub(super) fn find(&self, word: &str) -> Option<usize> {
        self.words.binary_search(&word).ok()
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// The word at a place with its class.
    pub(super) fn at(&self, place: usize) -> (&'static str, u8) {
        (self.words[place], self.classes[place])
    }

    /// Codes which words a vocabulary has: `[len]`, which a reader fills in.
    pub(super) fn members<B: Bits>(&self, bits: &mut B, model: &mut Model, mixer: usize, has: &mut [bool]) {
        let (mut last, mut base) = (0u32, 0);
        for place in 0..self.len() {
            let class = u32::from(self.classes[place]);
            let related = place > 0 && related(self.words[base], self.words[place]);
            let relatives = match related {
                true => 1 + u32::from(has[base]) + 2 * u32::from(has[place - 1]),
                false => 0,
            };
            if !related {
                base = place;
            }
            let contexts = [
                context(17, class),
                context(18, class << 8 | last & 7),
                context(19, class << 8 | relatives),
                context(20, (last & 0xff).count_ones() << 8 | relatives),
            ];
            has[place] = model.bit(bits, &contexts, 0, mixer, has[place]);
            last = last << 1 | u32::from(has[place]);
        }
    }
}

/// Whether two words begin alike but for the last letter of the first.
fn related(first: &str, other: &str) -> bool {
    let (first, other) = (first.as_bytes(), other.as_bytes());
    let stem = first.len().saturating_sub(1).max(STEM);
    first.len() >= stem && other.len() >= stem && first[..stem] == other[..stem]
}
