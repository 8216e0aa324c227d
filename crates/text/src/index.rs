//! Where each word of a vocabulary is: the look-up that encoding a text consists of.
//!
//! Most tokens have at most eight bytes. Those are one number, so that a look-up neither loops over bytes nor
//! follows a pointer to the word; longer ones compare the rest of the word where it lies.

use hashbrown::HashTable;
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// Positions of words, with something more for each. The words themselves are the caller's.
#[derive(Clone, Debug)]
pub(crate) struct Index<V = ()> {
    table: HashTable<Entry<V>>,
}

/// The key lies here in its two parts, so that an entry without a value takes 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Entry<V> {
    start: u64,
    length: u32,
    position: u32,
    value: V,
}

/// A token as far as a number can tell it from others: for up to eight bytes entirely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    /// The first eight bytes, the first lowest; zeros after a shorter token.
    start: u64,
    length: u32,
}

/// A token that was found in a text, ready to be looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    key: Key,
}

/// Bytes that a key has.
const WHOLE: usize = 8;
/// For each number of bytes, which bits of eight bytes they are.
const BITS: [u64; WHOLE + 1] = {
    let mut bits = [u64::MAX; WHOLE + 1];
    let mut n = 0;
    while n < WHOLE {
        bits[n] = (1 << (8 * n)) - 1;
        n += 1;
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
        // Eight bytes are read wherever there are as many, and those that follow the token blanked: how long it is
        // decides nothing, which a processor could not foresee.
        let start = match text.as_bytes()[from..].first_chunk() {
            Some(bytes) => u64::from_le_bytes(*bytes) & BITS[token.len().min(WHOLE)],
            None => number(token.as_bytes()),
        };
        Self { text: token, key: Key { start, length: token.len() as u32 } }
    }

    /// A token by itself.
    pub(crate) fn of(text: &'a str) -> Self {
        Self::within(text, 0, text.len())
    }

    #[inline(always)]
    pub(crate) fn hash(self) -> u64 {
        let rest = match self.text.as_bytes().get(WHOLE..) {
            None | Some([]) => 0,
            Some(rest) => {
                let mut hasher = FxHasher::default();
                hasher.write(rest);
                hasher.finish()
            }
        };
        // Two odd numbers without a pattern; the halves of the product mix all bits of the key.
        let product = u128::from(self.key.start ^ 0x9e37_79b9_7f4a_7c15)
            * u128::from(rest ^ u64::from(self.key.length) ^ 0xa076_1d64_78bd_642f);
        (product >> 64) as u64 ^ product as u64
    }
}

/// Fewer than eight bytes as a number, the first lowest, in two reads that may overlap: a copy of so many bytes as there
/// are would be a call.
fn number(bytes: &[u8]) -> u64 {
    let n = bytes.len();
    debug_assert!(n < WHOLE);
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (n - 4));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u16::from_le_bytes(*first)) | u64::from(u16::from_le_bytes(*last)) << (8 * (n - 2));
    }
    bytes.first().map_or(0, |&byte| u64::from(byte))
}

impl Index {
    /// The positions of words, no two of which are the same.
    pub(crate) fn of(words: &[Box<str>]) -> Self {
        let mut index = Self { table: HashTable::with_capacity(words.len()) };
        for (position, word) in words.iter().enumerate() {
            index.insert(Token::of(word), position, (), words);
        }
        index
    }

    /// The position of a token among the `words` that it was made of.
    #[inline(always)]
    pub(crate) fn find(&self, token: Token<'_>, words: &[Box<str>]) -> Option<usize> {
        self.table.find(token.hash(), |e| e.is(token, words)).map(|e| e.position as usize)
    }
}

impl<V> Index<V> {
    /// Without words.
    pub(crate) fn empty() -> Self {
        Self { table: HashTable::new() }
    }

    /// What is kept of a token, to be changed.
    #[inline(always)]
    pub(crate) fn value_mut(&mut self, token: Token<'_>, words: &[Box<str>]) -> Option<&mut V> {
        self.table.find_mut(token.hash(), |e| e.is(token, words)).map(|e| &mut e.value)
    }

    /// Adds a token that is not there yet, at a position among the `words` that are there already.
    pub(crate) fn insert(&mut self, token: Token<'_>, position: usize, value: V, words: &[Box<str>]) {
        let Key { start, length } = token.key;
        let entry = Entry { start, length, position: position as u32, value };
        let again = |e: &Entry<V>| Token::of(&words[e.position as usize]).hash();
        self.table.insert_unique(token.hash(), entry, again);
    }

    /// Every position with what is kept of it, in no order.
    pub(crate) fn into_values(self) -> impl Iterator<Item = (usize, V)> {
        self.table.into_iter().map(|e| (e.position as usize, e.value))
    }
}

impl<V> Entry<V> {
    #[inline(always)]
    fn is(&self, token: Token<'_>, words: &[Box<str>]) -> bool {
        (self.start, self.length) == (token.key.start, token.key.length)
            && (token.text.len() <= WHOLE || *words[self.position as usize] == *token.text)
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
    fn keys_tell_short_tokens_apart() {
        let all: Vec<String> = (1..=4)
            .flat_map(|length| (0..4usize.pow(length)).map(move |n| (n, length)))
            .map(|(n, length)| (0..length).map(|i| ['a', 'b', 'é', '好'][n / 4usize.pow(i) % 4]).collect())
            .filter(|token: &String| token.len() <= WHOLE)
            .collect();
        let keys: BTreeSet<(u64, u32)> =
            all.iter().map(|t| Token::of(t).key).map(|k| (k.start, k.length)).collect();
        assert_eq!(keys.len(), all.len());
    }

    proptest! {
        #[test]
        fn a_token_is_the_same_wherever_it_lies(before in ".{0,3}", token in ".{0,12}", after in ".{0,9}") {
            let text = format!("{before}{token}{after}");
            let found = Token::within(&text, before.len(), before.len() + token.len());
            prop_assert_eq!((found.text, found.key), (&*token, Token::of(&token).key));
            prop_assert_eq!(found.hash(), Token::of(&token).hash());
        }

        #[test]
        fn every_word_is_found_and_nothing_else(
            words in prop::collection::btree_set("[ab\u{e9}]{0,12}", 1..60),
            others in prop::collection::vec("[ab\u{e9}]{0,12}", 60),
        ) {
            let words: Vec<Box<str>> = words.into_iter().map(Box::from).collect();
            let index = Index::of(&words);
            for (position, word) in words.iter().enumerate() {
                prop_assert_eq!(index.find(Token::of(word), &words), Some(position));
            }
            for other in &others {
                prop_assert_eq!(index.find(Token::of(other), &words), words.iter().position(|w| **w == **other));
            }
        }
    }
}
