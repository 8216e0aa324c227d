//! Words by their text, found with one look at memory.
//!
//! Most of the time of a bag of words goes into looking words up, and most of that into waiting: for the table, for the
//! list of words, for the word. So the table holds short words itself, which nearly all are; only of longer ones is the
//! text looked at where it lies.

use hashbrown::HashTable;
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// Words of up to this many bytes lie in the table.
const SHORT: usize = 11;

/// A table from words to their numbers, and to something more for each. The words themselves are the caller's.
#[derive(Clone, Debug)]
pub(crate) struct WordTable<V> {
    entries: HashTable<Entry<V>>,
}

/// What is known of a word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<V> {
    key: Key,
    /// Its number, by which the caller can tell its text.
    pub(crate) number: u32,
    /// What is kept of it.
    pub(crate) value: V,
}

/// The first bytes of a word, then zeros, and in the last byte its length, of at most 255. Words with the same key are
/// the same, unless they are longer than [`SHORT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key([u32; 3]);

impl<V> WordTable<V> {
    /// An empty table with room for so many words.
    pub(crate) fn with_capacity(words: usize) -> Self {
        Self { entries: HashTable::with_capacity(words) }
    }

    /// The entry of a word; `text` gives the text of a number.
    pub(crate) fn find<'w>(&self, word: &str, text: impl Fn(u32) -> &'w str) -> Option<&Entry<V>> {
        let key = Key::of(word);
        self.entries.find(key.hash(word), |entry| key.is(word, entry, &text))
    }

    /// The same, to be changed.
    pub(crate) fn find_mut<'w>(
        &mut self,
        word: &str,
        text: impl Fn(u32) -> &'w str,
    ) -> Option<&mut Entry<V>> {
        let key = Key::of(word);
        self.entries.find_mut(key.hash(word), |entry| key.is(word, entry, &text))
    }

    /// Adds a word that is not there yet.
    pub(crate) fn insert<'w>(&mut self, word: &str, number: u32, value: V, text: impl Fn(u32) -> &'w str) {
        let key = Key::of(word);
        let hash = |entry: &Entry<V>| match entry.key.is_whole() {
            true => entry.key.hash(""),
            false => entry.key.hash(text(entry.number)),
        };
        self.entries.insert_unique(key.hash(word), Entry { key, number, value }, hash);
    }

    /// Every entry, in no order.
    pub(crate) fn into_entries(self) -> impl Iterator<Item = Entry<V>> {
        self.entries.into_iter()
    }
}

impl Key {
    fn of(word: &str) -> Self {
        let bytes = word.as_bytes();
        let four = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let length = bytes.len();
        // The bytes from `from` on, of which there are at most four; some of those before may be read again.
        let rest = |from: usize| four(length - 4).checked_shr(8 * (from + 4 - length) as u32).unwrap_or(0);
        let [a, b, c] = match length {
            0 => [0; 3],
            1..4 => [(0..length).fold(0, |word, i| word | u32::from(bytes[i]) << (8 * i)), 0, 0],
            4..8 => [four(0), rest(4), 0],
            8..=SHORT => [four(0), four(4), rest(8)],
            _ => [four(0), four(4), four(8) & 0x00ff_ffff],
        };
        Self([a, b, c | (length.min(255) as u32) << 24])
    }

    /// Whether it says everything of its word.
    const fn is_whole(self) -> bool {
        self.0[2] >> 24 <= SHORT as u32
    }

    fn is<'w, V>(self, word: &str, entry: &Entry<V>, text: impl Fn(u32) -> &'w str) -> bool {
        self == entry.key && (self.is_whole() || text(entry.number) == word)
    }

    /// The hash of its word; the text is looked at where it is longer.
    fn hash(self, word: &str) -> u64 {
        let mut hasher = FxHasher::default();
        let [a, b, c] = self.0;
        hasher.write_u64(u64::from(b) << 32 | u64::from(a));
        hasher.write_u32(c);
        if !self.is_whole() {
            hasher.write(&word.as_bytes()[SHORT..]);
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn an_entry_is_as_small_as_it_can_be() {
        assert_eq!(size_of::<Entry<()>>(), 16);
        assert_eq!(size_of::<Entry<[u32; 2]>>(), 24);
    }

    #[test]
    fn keys_of_short_words_are_their_bytes() {
        let word = "abcdefghijklmnop";
        let keys: Vec<Key> = (0..=word.len()).map(|n| Key::of(&word[..n])).collect();
        for (n, key) in keys.iter().enumerate() {
            let bytes: Vec<u8> = key.0.iter().flat_map(|part| part.to_le_bytes()).collect();
            let mut expected = word.as_bytes()[..n.min(SHORT)].to_vec();
            expected.resize(SHORT, 0);
            expected.push(n as u8);
            assert_eq!(bytes, expected, "{n}");
            assert_eq!(key.is_whole(), n <= SHORT);
        }
    }

    #[test]
    fn words_that_begin_alike_are_told_apart() {
        let long = "x".repeat(300);
        let words = ["abcdefghijkl", "abcdefghijkm", "abcdefghijk", "a\0", "a", "", &long, &long[1..]];
        let mut table = WordTable::with_capacity(0);
        for (number, word) in (0..).zip(words) {
            assert!(table.find(word, |i| words[i as usize]).is_none(), "{word}");
            table.insert(word, number, (), |i| words[i as usize]);
        }
        for (number, word) in (0..).zip(words) {
            assert_eq!(table.find(word, |i| words[i as usize]).map(|entry| entry.number), Some(number));
        }
    }

    proptest! {
        #[test]
        fn every_word_is_found_and_no_other(
            words in prop::collection::btree_set("[a-cé]{0,14}", 0..60),
            others in prop::collection::vec("[a-cé]{0,14}", 0..20),
        ) {
            let list: Vec<&String> = words.iter().collect();
            let text = |i: u32| list[i as usize].as_str();
            let mut table = WordTable::with_capacity(0);
            for (number, word) in (0..).zip(&list) {
                table.insert(word, number, 2 * number, text);
            }
            for word in list.iter().copied().chain(&others) {
                let found = table.find(word, text).map(|entry| (list[entry.number as usize], entry.value));
                let expected = words.contains(word).then(|| (word, 2 * list.binary_search(&word).unwrap() as u32));
                prop_assert_eq!(found, expected);
            }
            let numbers: BTreeSet<u32> = table.into_entries().map(|entry| entry.number).collect();
            prop_assert_eq!(numbers.len(), words.len());
        }
    }
}
