//! How many documents have each token, counted by all threads.
//!
//! Each thread counts some of the documents, and the counts are added up: whole numbers, so that neither how many
//! threads there are nor who was first makes a difference.

use rayon::prelude::*;
use std::ops::Range;

use crate::analyzer::{Analysis, Buffer};
use crate::error::TextError;
use crate::index::{Index, Token};
use crate::input::{AsInput, TextInput};

/// Most distinct tokens that are counted.
pub const MAX_DISTINCT: usize = 1 << 25;

/// Tokens with the number of documents that have them.
#[derive(Debug)]
pub(crate) struct Counted {
    tokens: Vec<Box<str>>,
    index: Index<Documents>,
}

#[derive(Clone, Copy, Debug)]
struct Documents {
    count: u32,
    /// The last document that has it, from 1.
    last: u32,
}

/// Counts the tokens of texts: pairs of a token and its documents, in no order.
///
/// # Errors
/// [`TextError::TooMany`] past `u32::MAX - 1` texts or [`MAX_DISTINCT`] tokens.
pub(crate) fn count(analysis: Analysis<'_>, texts: &[&str]) -> Result<Vec<(Box<str>, u32)>, TextError> {
    if texts.len() >= u32::MAX as usize {
        return Err(TextError::TooMany { what: "documents", limit: u32::MAX as usize - 1 });
    }
    let parts: Result<Vec<Counted>, TextError> =
        parts(texts).into_par_iter().map(|part| Counted::of(analysis, &texts[part])).collect();
    let mut parts = parts?.into_iter();
    let Some(mut all) = parts.next() else { return Ok(Vec::new()) };
    parts.try_for_each(|part| all.add(part))?;
    Ok(all.into_pairs())
}

/// Texts in parts of about as many bytes each: one for a single thread, two for each of several.
pub(crate) fn parts(texts: &[impl AsInput]) -> Vec<Range<usize>> {
    let threads = rayon::current_num_threads();
    if threads == 1 || texts.len() < 2 {
        return std::iter::once(0..texts.len()).collect();
    }
    let count = 2 * threads;
    let length = |TextInput { text, pair }: TextInput<'_>| text.len() + pair.map_or(0, str::len) + 1;
    let bytes: usize = texts.iter().map(|text| length(text.as_input())).sum();
    let (mut parts, mut start, mut done) = (Vec::with_capacity(count), 0, 0);
    for (i, text) in texts.iter().enumerate() {
        done += length(text.as_input());
        if done * count >= bytes * (parts.len() + 1) {
            parts.push(start..i + 1);
            start = i + 1;
        }
    }
    parts
}

impl Counted {
    fn of(analysis: Analysis<'_>, texts: &[&str]) -> Result<Self, TextError> {
        let mut counted = Self { tokens: Vec::new(), index: Index::empty() };
        let mut buffer = Buffer::default();
        for (last, text) in (1..).zip(texts) {
            let mut fits = true;
            analysis.tokens(text, &mut buffer, |token| {
                let Self { tokens, index } = &mut counted;
                match index.value_mut(token, tokens) {
                    Some(documents) => {
                        documents.count += u32::from(documents.last != last);
                        documents.last = last;
                    }
                    None => fits &= counted.push(token.text.into(), Documents { count: 1, last }),
                }
            });
            if !fits {
                return Err(too_many());
            }
        }
        Ok(counted)
    }

    /// Adds a token that is not there yet, if there is room.
    fn push(&mut self, token: Box<str>, documents: Documents) -> bool {
        let Self { tokens, index } = self;
        if tokens.len() == MAX_DISTINCT {
            return false;
        }
        index.insert(Token::of(&token), tokens.len(), documents, tokens);
        tokens.push(token);
        true
    }

    /// Adds the counts of other documents.
    fn add(&mut self, other: Self) -> Result<(), TextError> {
        for (token, count) in other.into_pairs() {
            let Self { tokens, index } = self;
            match index.value_mut(Token::of(&token), tokens) {
                Some(documents) => documents.count += count,
                None => {
                    if !self.push(token, Documents { count, last: 0 }) {
                        return Err(too_many());
                    }
                }
            }
        }
        Ok(())
    }

    fn into_pairs(self) -> Vec<(Box<str>, u32)> {
        let mut counts = vec![0; self.tokens.len()];
        for (position, documents) in self.index.into_values() {
            counts[position] = documents.count;
        }
        self.tokens.into_iter().zip(counts).collect()
    }
}

fn too_many() -> TextError {
    TextError::TooMany { what: "distinct tokens", limit: MAX_DISTINCT }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BagEncoder, EncoderConfig};
    use proptest::prelude::*;

    fn on(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    #[test]
    fn parts_are_all_texts_in_order() {
        let texts: Vec<String> = (0..100).map(|i| "x".repeat(i * i % 37)).collect();
        for threads in [1, 2, 3, 8, 64] {
            let parts = on(threads).install(|| parts(&texts));
            let all: Vec<usize> = parts.iter().cloned().flatten().collect();
            assert_eq!(all, (0..100).collect::<Vec<_>>(), "{threads} threads: {parts:?}");
            assert!(parts.len() <= 2 * threads && parts.iter().all(|part| !part.is_empty()), "{parts:?}");
        }
        let none: [&str; 0] = [];
        assert_eq!(
            on(4).install(|| parts(&none)).iter().map(ExactSizeIterator::len).collect::<Vec<_>>(),
            [0]
        );
        assert_eq!(on(2).install(|| parts(&[""; 2])).len(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn threads_change_no_encoder_and_no_row(
            texts in prop::collection::vec("([a-d]{1,3}|wordlongerthaneleven[a-c])( ([a-d]{1,3}|é[a-d]))*", 1..40),
            vocabulary in 1usize..30,
        ) {
            let config = EncoderConfig { vocabulary, ..EncoderConfig::default() };
            let all = |threads| on(threads).install(|| {
                let encoder = BagEncoder::fit(&config, texts.iter().map(String::as_str)).unwrap();
                (encoder.to_parts(), encoder.encode_all(&texts))
            });
            let one = all(1);
            for threads in [2, 3, 5] {
                prop_assert_eq!(&all(threads), &one);
            }
        }
    }
}
