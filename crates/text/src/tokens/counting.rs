//! The words of training texts, as the steps of a tokenizer cut them, and how often each occurs.

use rayon::prelude::*;
use rustc_hash::FxHashMap;
use serde_json::Value;
use tokenizers::{
    NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, PreTokenizerWrapper,
};

use crate::counting::{MAX_DISTINCT, parts};
use crate::error::TextError;

/// Longest word that anything is learned from, in characters.
const LONGEST: usize = 100;

/// Words in byte order, each with how often it occurs. Whole numbers are added up, so that threads make no difference.
/// Words that are too long are left out or, with `cut`, cut: where no spaces are written a sentence is one word.
pub(super) fn words(rest: &Value, texts: &[&str], cut: bool) -> Result<Vec<(String, u64)>, TextError> {
    let normalizer: NormalizerWrapper = ours(&rest["normalizer"]);
    let pre_tokenizer: PreTokenizerWrapper = ours(&rest["pre_tokenizer"]);
    let count = |part: std::ops::Range<usize>| -> Result<FxHashMap<String, u64>, TextError> {
        let mut counts: FxHashMap<String, u64> = FxHashMap::default();
        for text in &texts[part] {
            let mut normalized = NormalizedString::from(*text);
            normalizer.normalize(&mut normalized).map_err(failed)?;
            let mut split = PreTokenizedString::from(normalized);
            pre_tokenizer.pre_tokenize(&mut split).map_err(failed)?;
            for (word, ..) in split.get_splits(OffsetReferential::Normalized, OffsetType::None) {
                let mut rest = word;
                while let Some((at, _)) = rest.char_indices().nth(LONGEST).filter(|_| cut) {
                    add(&mut counts, &rest[..at]);
                    rest = &rest[at..];
                }
                if cut || rest.chars().nth(LONGEST).is_none() {
                    add(&mut counts, rest);
                }
            }
            check(counts.len())?;
        }
        Ok(counts)
    };
    let all: Result<Vec<FxHashMap<String, u64>>, TextError> =
        parts(texts).into_par_iter().map(count).collect();
    let mut all = all?.into_iter();
    let mut sum = all.next().unwrap_or_default();
    for part in all {
        for (word, count) in part {
            *sum.entry(word).or_default() += count;
        }
        check(sum.len())?;
    }
    let mut words: Vec<(String, u64)> = sum.into_iter().collect();
    words.sort_unstable();
    Ok(words)
}

fn add(counts: &mut FxHashMap<String, u64>, word: &str) {
    match counts.get_mut(word) {
        Some(count) => *count += 1,
        None => drop(counts.insert(word.to_owned(), 1)),
    }
}

fn check(distinct: usize) -> Result<(), TextError> {
    match distinct > MAX_DISTINCT {
        true => Err(TextError::TooMany { what: "distinct words", limit: MAX_DISTINCT }),
        false => Ok(()),
    }
}

/// A step that this crate wrote itself.
fn ours<T: serde::de::DeserializeOwned>(step: &Value) -> T {
    serde_json::from_value(step.clone()).expect("the steps of `training` are those of the crate")
}

fn failed(error: tokenizers::Error) -> TextError {
    TextError::Tokenizer { file: "a training text".into(), problem: nlpress_core::shown::message(error) }
}
