//! A tokenizer with some of its tokens only.
//!
//! What a text is cut into does not change where all its tokens are kept: the longest pieces stay the longest, the most
//! probable cut stays the most probable. BPE is refused: its tokens are made of others, step by step.

use serde_json::Value;

use super::TokenEncoder;
use super::config::Algorithm;
use super::plain::Plain;
use crate::error::TextError;
use crate::rows::check_kept;

impl TokenEncoder {
    /// The same tokenizer with the tokens `keep` only, numbered anew in the same order; and the old id of each new one.
    ///
    /// [`always_kept`](Self::always_kept) says which others stay.
    ///
    /// # Errors
    /// [`TextError::Narrow`] when no id is given, they do not strictly ascend, one is not below
    /// [`width`](Self::width) or has no token, or the tokenizer is BPE.
    pub fn narrow(&self, keep: &[u32]) -> Result<(Self, Vec<u32>), TextError> {
        let (plain, always) = (&self.plain, self.always_kept()?);
        check_kept(keep, plain.width)?;
        let by_id = plain.by_id();
        if let Some(id) = keep.iter().find(|&&id| by_id[id as usize].is_none()) {
            return Err(TextError::Narrow(format!("there is no token {id}")));
        }
        let mut kept = vec![false; plain.width];
        keep.iter().chain(&always).for_each(|&id| kept[id as usize] = true);
        let old: Vec<u32> = (0..plain.width as u32).filter(|&id| kept[id as usize]).collect();
        let mut new = vec![None; plain.width];
        old.iter().zip(0..).for_each(|(&id, number)| new[id as usize] = Some(number));
        let narrowed = narrowed(plain, &new).map_err(TextError::Narrow)?;
        Ok((Self::of(narrowed, self.most, "the narrowed vocabulary")?, old))
    }

    /// The tokens that a narrower vocabulary has in any case, ascending: special and other added tokens, the unknown token
    /// and, of a unigram model, the least probable piece, on which the cost of an unknown character depends.
    ///
    /// # Errors
    /// [`TextError::Narrow`] when the tokenizer is BPE.
    pub fn always_kept(&self) -> Result<Vec<u32>, TextError> {
        let plain = &self.plain;
        if plain.algorithm == Algorithm::Bpe {
            let problem = "a BPE vocabulary cannot be narrowed: its merges make tokens out of other tokens";
            return Err(TextError::Narrow(problem.into()));
        }
        let least = (0..plain.scores.len()).min_by(|&a, &b| plain.scores[a].total_cmp(&plain.scores[b]));
        let added = plain.added.iter().map(|(_, id)| *id).chain(plain.unknown);
        let around = plain.frame.before.iter().chain(&plain.frame.after).map(|(id, _)| *id);
        let mut always: Vec<u32> = added.chain(around).chain(least.map(|i| plain.ids[i])).collect();
        always.sort_unstable();
        always.dedup();
        Ok(always)
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
    Plain::of_parts(rest, words, ids, Vec::new(), scores)
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
