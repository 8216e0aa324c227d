//! Bytes from strangers: a reader that checks every length, and sorted words coded by their shared prefixes.
//!
//! A word is one byte whose upper half is the number of bytes shared with the word before and whose lower half
//! the number of bytes that follow (15 in either half: a varint with the rest comes next, upper first), then
//! the bytes that follow. Varints are little-endian base 128 (LEB128).

use crate::analyzer::MAX_TOKEN_BYTES;
use crate::error::TextError;

/// A cursor over bytes that may be hostile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes, at: 0 }
    }

    /// An error at the current byte.
    pub(crate) fn fail<T>(&self, problem: impl Into<String>) -> Result<T, TextError> {
        Err(TextError::Blob { what: self.what, at: self.at, problem: problem.into() })
    }

    /// What the bytes are.
    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    /// Bytes that were read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], TextError> {
        let Some(taken) = self.bytes[self.at..].get(..n) else {
            return self.fail(format!("{n} bytes wanted, {} left", self.remaining()));
        };
        self.at += n;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, TextError> {
        Ok(self.take(1)?[0])
    }

    /// A varint that must not be above `max`.
    pub(crate) fn varint(&mut self, max: u32) -> Result<u32, TextError> {
        let mut value = 0u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return match u32::try_from(value) {
                    Ok(v) if v <= max => Ok(v),
                    _ => self.fail(format!("{value} is above {max}")),
                };
            }
        }
        self.fail("a number of more than 5 bytes")
    }

    /// A number of things of at least `each` bytes: it must fit into what is left.
    pub(crate) fn count(&mut self, each: usize) -> Result<usize, TextError> {
        let n = self.varint(u32::MAX)? as usize;
        if n.checked_mul(each).is_none_or(|bytes| bytes > self.remaining()) {
            return self.fail(format!("{n} entries do not fit into the {} bytes left", self.remaining()));
        }
        Ok(n)
    }

    /// Words written by [`push_words`].
    pub(crate) fn words(&mut self) -> Result<Vec<Box<str>>, TextError> {
        let n = self.count(2)?;
        let mut words: Vec<Box<str>> = Vec::with_capacity(n);
        let mut word = Vec::new();
        for _ in 0..n {
            let head = self.byte()?;
            let shared = self.half(head >> 4)?;
            let more = self.half(head & 15)?;
            if shared > word.len() {
                return self.fail(format!("{shared} bytes shared with a word of {}", word.len()));
            }
            if more == 0 || shared + more > MAX_TOKEN_BYTES {
                return self.fail(format!("a word of {shared} + {more} bytes"));
            }
            word.truncate(shared);
            word.extend_from_slice(self.take(more)?);
            let Ok(text) = std::str::from_utf8(&word) else {
                return self.fail("a word that is not UTF-8");
            };
            if words.last().is_some_and(|before| **before >= *text) {
                return self.fail(format!("word {text:?} is not in order"));
            }
            words.push(text.into());
        }
        Ok(words)
    }

    /// Half of a word's head, with its varint when it is full.
    fn half(&mut self, half: u8) -> Result<usize, TextError> {
        let more = if half == 15 { self.varint(MAX_TOKEN_BYTES as u32)? } else { 0 };
        Ok(usize::from(half) + more as usize)
    }

    /// Refuses bytes that nothing has read.
    pub(crate) fn end(&self) -> Result<(), TextError> {
        if self.remaining() > 0 {
            return self.fail(format!("{} bytes too many", self.remaining()));
        }
        Ok(())
    }
}

/// Appends a varint.
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the number of words and the words, which must strictly ascend and have 1 to 255 bytes each.
pub(crate) fn push_words<'a>(out: &mut Vec<u8>, words: impl ExactSizeIterator<Item = &'a str>) {
    push_varint(out, words.len() as u32);
    let mut before: &[u8] = &[];
    for word in words {
        let word = word.as_bytes();
        debug_assert!(before < word && word.len() <= MAX_TOKEN_BYTES);
        let shared = before.iter().zip(word).take_while(|(a, b)| a == b).count();
        let more = word.len() - shared;
        out.push((shared.min(15) << 4 | more.min(15)) as u8);
        for full in [shared, more] {
            if full >= 15 {
                push_varint(out, (full - 15) as u32);
            }
        }
        out.extend_from_slice(&word[shared..]);
        before = word;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn varints_are_bounded() {
        let read = |bytes: &[u8], max| Reader::new("test", bytes).varint(max).ok();
        assert_eq!(read(&[0xac, 0x02], 300), Some(300));
        assert_eq!(read(&[0xac, 0x02], 299), None);
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f], u32::MAX), Some(u32::MAX));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x1f], u32::MAX), None);
        assert_eq!(read(&[0x80; 6], u32::MAX), None);
        assert_eq!(read(&[0x80], u32::MAX), None);
    }

    #[test]
    fn a_huge_count_is_refused_before_memory_is_taken() {
        let mut bytes = Vec::new();
        push_varint(&mut bytes, u32::MAX);
        bytes.extend([0x01, b'a']);
        let error = Reader::new("vocabulary", &bytes).words().unwrap_err();
        assert!(error.to_string().contains("do not fit"), "{error}");
    }

    proptest! {
        #[test]
        fn words_come_back(set in prop::collection::btree_set("[a-c]{1,40}|\\PC{1,9}", 0..40)) {
            let words: BTreeSet<String> = set;
            let mut bytes = Vec::new();
            push_words(&mut bytes, words.iter().map(String::as_str).collect::<Vec<_>>().into_iter());
            let mut reader = Reader::new("test", &bytes);
            let back = reader.words().unwrap();
            reader.end().unwrap();
            prop_assert!(back.iter().map(|w| &**w).eq(words.iter().map(String::as_str)));
            for n in 0..bytes.len() {
                let mut cut = Reader::new("test", &bytes[..n]);
                prop_assert!(cut.words().is_err() || n == 0);
            }
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(words) = Reader::new("test", &bytes).words() {
                prop_assert!(words.windows(2).all(|w| w[0] < w[1]));
            }
        }
    }
}
