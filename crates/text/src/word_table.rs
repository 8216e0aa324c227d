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

/// A token of a text, ready to be looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    key: Key,
}

impl<V> WordTable<V> {
    /// An empty table with room for so many words.
    pub(crate) fn with_capacity(words: usize) -> Self {
        Self { entries: HashTable::with_capacity(words) }
    }

    /// The entry of a word; `text` gives the text of a number.
    #[inline(always)]
    pub(crate) fn find<'w>(&self, word: Token<'_>, text: impl Fn(u32) -> &'w str) -> Option<&Entry<V>> {
        self.entries.find(word.hash(), |entry| word.is(entry, &text))
    }

    /// The same, to be changed.
    pub(crate) fn find_mut<'w>(
        &mut self,
        word: Token<'_>,
        text: impl Fn(u32) -> &'w str,
    ) -> Option<&mut Entry<V>> {
        self.entries.find_mut(word.hash(), |entry| word.is(entry, &text))
    }

    /// Adds a word that is not there yet.
    pub(crate) fn insert<'w>(
        &mut self,
        word: Token<'_>,
        number: u32,
        value: V,
        text: impl Fn(u32) -> &'w str,
    ) {
        let hash = |entry: &Entry<V>| match entry.key.is_whole() {
            true => Token { text: "", key: entry.key }.hash(),
            false => Token { text: text(entry.number), key: entry.key }.hash(),
        };
        self.entries.insert_unique(word.hash(), Entry { key: word.key, number, value }, hash);
    }

    /// Every entry, in no order.
    pub(crate) fn into_entries(self) -> impl Iterator<Item = Entry<V>> {
        self.entries.into_iter()
    }
}

impl Key {
    /// Whether it says everything of its word.
    const fn is_whole(self) -> bool {
        self.0[2] >> 24 <= SHORT as u32
    }
}

/// For each length up to [`SHORT`], which bits of a number are those of so many bytes.
const BITS: [u128; SHORT + 1] = {
    let mut bits = [0; SHORT + 1];
    let mut length = 0;
    while length <= SHORT {
        bits[length] = (1 << (8 * length)) - 1;
        length += 1;
    }
    bits
};

impl<'a> Token<'a> {
    /// The token that lies at `from..to` of a text.
    ///
    /// # Panics
    /// When that is no part of the text between characters.
    #[inline(always)]
    pub(crate) fn within(text: &'a str, from: usize, to: usize) -> Self {
        let token = &text[from..to];
        let short = token.len().min(SHORT);
        // Sixteen bytes are read wherever there are as many, and those that follow the token blanked: nothing depends
        // on how long it is, which a processor cannot foresee.
        let bytes = match text.as_bytes()[from..].first_chunk() {
            Some(bytes) => u128::from_le_bytes(*bytes) & BITS[short],
            None => {
                let mut bytes = [0; 16];
                bytes[..short].copy_from_slice(&token.as_bytes()[..short]);
                u128::from_le_bytes(bytes)
            }
        };
        let length = token.len().min(255) as u32;
        let key = Key([bytes as u32, (bytes >> 32) as u32, (bytes >> 64) as u32 | length << 24]);
        Self { text: token, key }
    }

    /// A token that is all of a text.
    pub(crate) fn of(text: &'a str) -> Self {
        Self::within(text, 0, text.len())
    }

    #[inline(always)]
    fn is<'w, V>(self, entry: &Entry<V>, text: impl Fn(u32) -> &'w str) -> bool {
        self.key == entry.key && (self.key.is_whole() || text(entry.number) == self.text)
    }

    /// The hash of the word; its text is looked at where it is longer than its key.
    #[inline(always)]
    fn hash(self) -> u64 {
        let [a, b, c] = self.key.0.map(u64::from);
        let mut rest = c;
        if !self.key.is_whole() {
            let mut hasher = FxHasher::default();
            hasher.write(&self.text.as_bytes()[SHORT..]);
            rest ^= hasher.finish();
        }
        // Two odd numbers without a pattern; the halves of the product mix all bits of the key.
        let product =
            u128::from((b << 32 | a) ^ 0x9e37_79b9_7f4a_7c15) * u128::from(rest ^ 0xa076_1d64_78bd_642f);
        (product >> 64) as u64 ^ product as u64
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
        let keys: Vec<Key> = (0..=word.len()).map(|n| Token::of(&word[..n]).key).collect();
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
            assert!(table.find(Token::of(word), |i| words[i as usize]).is_none(), "{word}");
            table.insert(Token::of(word), number, (), |i| words[i as usize]);
        }
        for (number, word) in (0..).zip(words) {
            assert_eq!(
                table.find(Token::of(word), |i| words[i as usize]).map(|entry| entry.number),
                Some(number)
            );
        }
    }

    proptest! {
        #[test]
        fn a_token_is_the_same_wherever_it_lies(before in ".{0,3}", token in ".{0,14}", after in ".{0,9}") {
            let text = format!("{before}{token}{after}");
            let found = Token::within(&text, before.len(), before.len() + token.len());
            prop_assert_eq!((found.text, found.key), (&*token, Token::of(&token).key));
            prop_assert_eq!(found.hash(), Token::of(&token).hash());
        }

        #[test]
        fn every_word_is_found_and_no_other(
            words in prop::collection::btree_set("[a-cé]{0,14}", 0..60),
            others in prop::collection::vec("[a-cé]{0,14}", 0..20),
        ) {
            let list: Vec<&String> = words.iter().collect();
            let text = |i: u32| list[i as usize].as_str();
            let mut table = WordTable::with_capacity(0);
            for (number, word) in (0..).zip(&list) {
                table.insert(Token::of(word), number, 2 * number, text);
            }
            for word in list.iter().copied().chain(&others) {
                let found = table.find(Token::of(word), text).map(|entry| (list[entry.number as usize], entry.value));
                let expected = words.contains(word).then(|| (word, 2 * list.binary_search(&word).unwrap() as u32));
                prop_assert_eq!(found, expected);
            }
            let numbers: BTreeSet<u32> = table.into_entries().map(|entry| entry.number).collect();
            prop_assert_eq!(numbers.len(), words.len());
        }
    }
}
