//! A tokenizer with some of its tokens only.
//!
//! What a text is cut into does not change where all its tokens are kept: the longest pieces stay the longest, the most
//! probable cut stays the most probable. Tokens of BPE are made of others, step by step; those stay with them, and so do the
//! merges among what stays. A merge that would come first still comes first, and it is still there.

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value;

use super::TokenEncoder;
use super::config::Algorithm;
use super::plain::Plain;
use crate::error::TextError;
use crate::rows::check_kept;

impl TokenEncoder {
    /// The same tokenizer with the tokens `keep` only, numbered anew in the same order; and the old id of each new one, which
    /// are those of [`closed`](Self::closed).
    ///
    /// # Errors
    /// [`TextError::Narrow`] when no id is given, they do not strictly ascend, or one is not below
    /// [`width`](Self::width) or has no token.
    pub fn narrow(&self, keep: &[u32]) -> Result<(Self, Vec<u32>), TextError> {
        let (plain, old) = (&self.plain, self.closed(keep)?);
        let mut new = vec![None; plain.width];
        old.iter().zip(0..).for_each(|(&id, number)| new[id as usize] = Some(number));
        let narrowed = narrowed(plain, &new).map_err(TextError::Narrow)?;
        Ok((Self::of(narrowed, self.most, "the narrowed vocabulary")?, old))
    }

    /// The tokens that a narrower vocabulary with the tokens `keep` has, ascending: those, what they are made of, and those
    /// that are [always kept](Self::always_kept).
    ///
    /// # Errors
    /// As for [`narrow`](Self::narrow).
    pub fn closed(&self, keep: &[u32]) -> Result<Vec<u32>, TextError> {
        let plain = &self.plain;
        check_kept(keep, plain.width)?;
        let by_id = plain.by_id();
        if let Some(id) = keep.iter().find(|&&id| by_id[id as usize].is_none()) {
            return Err(TextError::Narrow(format!("there is no token {id}")));
        }
        let always = self.always_kept();
        let mut kept = vec![false; plain.width];
        let all: Vec<u32> = keep.iter().chain(&always).copied().collect();
        all.iter().for_each(|&id| kept[id as usize] = true);
        if plain.algorithm == Algorithm::Bpe {
            let merging = Merging::of(plain);
            for word in all.iter().filter_map(|&id| by_id[id as usize]) {
                merging.parts(word).into_iter().for_each(|id| kept[id as usize] = true);
            }
        }
        Ok((0..plain.width as u32).filter(|&id| kept[id as usize]).collect())
    }

    /// The tokens that a narrower vocabulary has in any case, ascending: special and other added tokens, the unknown token;
    /// of a unigram model, the least probable piece, on which the cost of an unknown character depends; of BPE without an
    /// unknown token, or one that falls back to bytes, the tokens that no merge makes, of which any text can be put together.
    pub fn always_kept(&self) -> Vec<u32> {
        let plain = &self.plain;
        let least = (0..plain.scores.len()).min_by(|&a, &b| plain.scores[a].total_cmp(&plain.scores[b]));
        let added = plain.added.iter().map(|(_, id)| *id).chain(plain.unknown);
        let around = plain.frame.before.iter().chain(&plain.frame.after).map(|(id, _)| *id);
        let mut always: Vec<u32> = added.chain(around).chain(least.map(|i| plain.ids[i])).collect();
        let by_bytes = plain.rest["model"]["byte_fallback"].as_bool().unwrap_or(false);
        if plain.algorithm == Algorithm::Bpe && (plain.unknown.is_none() || by_bytes) {
            let merging = Merging::of(plain);
            let made: FxHashSet<u32> = merging.pairs.values().map(|(_, made)| *made).collect();
            always.extend(plain.ids.iter().filter(|id| !made.contains(id)));
        }
        always.sort_unstable();
        always.dedup();
        always
    }
}

/// How BPE puts tokens together.
struct Merging<'a> {
    plain: &'a Plain,
    prefix: &'a str,
    suffix: &'a str,
    /// The place of each merge, and the token that it makes.
    pairs: FxHashMap<[u32; 2], (usize, u32)>,
}

impl<'a> Merging<'a> {
    fn of(plain: &'a Plain) -> Self {
        let affix = |key: &str| plain.rest["model"][key].as_str().unwrap_or_default();
        let (prefix, by_id) = (affix("continuing_subword_prefix"), plain.by_id());
        let mut pairs = FxHashMap::default();
        for (place, pair) in plain.merges.iter().enumerate() {
            let [left, right] = pair.map(|id| by_id[id as usize].unwrap_or_default());
            let made = format!("{left}{}", right.strip_prefix(prefix).unwrap_or(right));
            if let Some(made) = plain.id(&made) {
                pairs.entry(*pair).or_insert((place, made));
            }
        }
        Self { plain, prefix, suffix: affix("end_of_word_suffix"), pairs }
    }

    /// The tokens that a token is made of on the way, from its characters on; those that it has, where merges do not reach
    /// it.
    fn parts(&self, word: &str) -> Vec<u32> {
        let (head, suffix) = match word.strip_suffix(self.suffix) {
            Some(head) if !self.suffix.is_empty() && !head.is_empty() => (head, self.suffix),
            _ => (word, ""),
        };
        // A piece that continues a word is written with the prefix, which is no character of its own.
        let (start, head) = match head.strip_prefix(self.prefix) {
            Some(rest) if !self.prefix.is_empty() && !rest.is_empty() => (self.prefix, rest),
            _ => ("", head),
        };
        let last = head.chars().count().saturating_sub(1);
        let symbol = |(n, c): (usize, char)| {
            let before = if n == 0 { start } else { self.prefix };
            let after = if n == last { suffix } else { "" };
            self.plain.id(&format!("{before}{c}{after}"))
        };
        let mut symbols: Vec<u32> = head.chars().enumerate().filter_map(symbol).collect();
        let mut seen = symbols.clone();
        let first = |symbols: &[u32]| {
            let pairs = symbols.windows(2).enumerate();
            let found = pairs
                .filter_map(|(at, two)| self.pairs.get(&[two[0], two[1]]).map(|(n, made)| (*n, at, *made)));
            found.min()
        };
        while let Some((_, at, made)) = first(&symbols) {
            symbols.splice(at..at + 2, [made]);
            seen.push(made);
        }
        seen
    }
}

/// The tokens that have a new id, with it.
fn narrowed(plain: &Plain, new: &[Option<u32>]) -> Result<Plain, String> {
    let mut rest = plain.rest.clone();
    for token in rest.get_mut("added_tokens").and_then(Value::as_array_mut).into_iter().flatten() {
        renumber(&mut token["id"], new)?;
    }
    if plain.algorithm == Algorithm::Unigram {
        renumber(&mut rest["model"]["unk_id"], new)?;
    }
    if let Some(value) = rest.get_mut("post_processor") {
        processor(value, new)?;
    }
    let entries = (0..plain.words.len()).filter_map(|i| Some((i, new[plain.ids[i] as usize]?)));
    let (places, ids): (Vec<usize>, Vec<u32>) = entries.unzip();
    let words = places.iter().map(|&i| plain.words[i].clone()).collect();
    let scores = match plain.algorithm {
        Algorithm::Unigram => places.iter().map(|&i| plain.scores[i]).collect(),
        _ => Vec::new(),
    };
    let by_id = plain.by_id();
    let prefix = plain.rest["model"]["continuing_subword_prefix"].as_str().unwrap_or_default();
    let merged = |[left, right]: &[u32; 2]| {
        let pair = [new[*left as usize]?, new[*right as usize]?];
        let [left, right] = [left, right].map(|id| by_id[*id as usize].unwrap_or_default());
        let made = plain.id(&format!("{left}{}", right.strip_prefix(prefix).unwrap_or(right)))?;
        new[made as usize].map(|_| pair)
    };
    let merges = plain.merges.iter().filter_map(merged).collect();
    Plain::of_parts(rest, words, ids, merges, scores)
}

/// Renumbers the tokens that a post-processor adds.
fn processor(value: &mut Value, new: &[Option<u32>]) -> Result<(), String> {
    for list in ["processors", "special_tokens", "cls", "sep"] {
        match (list, value.get_mut(list)) {
            ("processors", Some(Value::Array(all))) => {
                all.iter_mut().try_for_each(|one| processor(one, new))?;
            }
            ("special_tokens", Some(Value::Object(all))) => {
                for id in all.values_mut().filter_map(|token| token["ids"].as_array_mut()).flatten() {
                    renumber(id, new)?;
                }
            }
            ("cls" | "sep", Some(Value::Array(pair))) => {
                pair.get_mut(1).map_or(Ok(()), |id| renumber(id, new))?
            }
            _ => {}
        }
    }
    Ok(())
}

fn renumber(id: &mut Value, new: &[Option<u32>]) -> Result<(), String> {
    let old = id.as_u64().and_then(|old| usize::try_from(old).ok());
    let number = old.and_then(|old| new.get(old).copied().flatten());
    *id = number.ok_or_else(|| format!("the token {id} is needed and has no number"))?.into();
    Ok(())
}
