//! A `tokenizer.json` taken apart: what it says as plain data, checked once, from which everything else is made.
//!
//! The crate `tokenizers` sees only what has passed here.

use rustc_hash::FxHashSet;
use serde_json::{Map, Value, json};

use super::config::Algorithm;
use super::frame::Frame;
use super::steps;
use crate::analyzer::MAX_TOKEN_BYTES;
use crate::token_rows::MAX_TOKENS;

/// Longest word that WordPiece may be told to cut, in characters: it tries every piece of it.
const MAX_WORD: u64 = 1000;

/// A tokenizer as data.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plain {
    /// The JSON without `model.vocab`, `model.merges` and what encoding does not use.
    pub(super) rest: Value,
    pub(super) algorithm: Algorithm,
    /// The vocabulary of the model, in byte order.
    pub(super) words: Vec<Box<str>>,
    /// The id of each word.
    pub(super) ids: Vec<u32>,
    /// Pairs of ids that BPE joins, the first to be joined first.
    pub(super) merges: Vec<[u32; 2]>,
    /// The score of each word of a unigram model, as `words`.
    pub(super) scores: Vec<f64>,
    /// The added tokens with their ids; some may be words of the model, too.
    pub(super) added: Vec<(Box<str>, u32)>,
    /// The special tokens around a text.
    pub(super) frame: Frame,
    /// One more than the largest id.
    pub(super) width: usize,
    /// The id that stands for what the vocabulary does not have.
    pub(super) unknown: Option<u32>,
}

/// What cannot be used, in words.
type Problem = String;

impl Plain {
    /// Takes a `tokenizer.json` apart.
    pub(super) fn of_json(mut json: Value) -> Result<Self, Problem> {
        let Some(top) = json.as_object_mut() else { return Err("it is not a JSON object".into()) };
        let model = top.get_mut("model").and_then(Value::as_object_mut).ok_or("`model` is missing")?;
        let algorithm = algorithm(model)?;
        let vocabulary = model.remove("vocab").ok_or("`model.vocab` is missing")?;
        let merges = model.remove("merges");
        let (mut entries, scored) = match algorithm {
            Algorithm::Unigram => scored(vocabulary)?,
            _ => (numbered(vocabulary)?, Vec::new()),
        };
        entries.sort_unstable();
        let (words, ids): (Vec<Box<str>>, Vec<u32>) = entries.into_iter().unzip();
        let scores = match algorithm {
            Algorithm::Unigram => ids.iter().map(|&id| scored[id as usize]).collect(),
            _ => Vec::new(),
        };
        let mut plain = Self::of_parts(json, words, ids, Vec::new(), scores)?;
        if algorithm == Algorithm::Bpe {
            plain.merges = joined(&plain, merges.ok_or("`model.merges` is missing")?)?;
        }
        Ok(plain)
    }

    /// Puts together what was taken apart. Merges are not checked: see [`check_merges`](Self::check_merges).
    pub(super) fn of_parts(
        mut rest: Value,
        words: Vec<Box<str>>,
        ids: Vec<u32>,
        merges: Vec<[u32; 2]>,
        scores: Vec<f64>,
    ) -> Result<Self, Problem> {
        let Some(top) = rest.as_object_mut() else { return Err("it is not a JSON object".into()) };
        // Rows are cut by `most` and never padded, and nothing is turned back into text.
        top.retain(|key, _| !["truncation", "padding", "decoder"].contains(&key.as_str()));
        let model = top.get("model").and_then(Value::as_object).ok_or("`model` is missing")?;
        let algorithm = algorithm(model)?;
        check_model(algorithm, model)?;
        steps::check(top)?;
        if let Some(word) = words.iter().find(|word| word.is_empty() || word.len() > MAX_TOKEN_BYTES) {
            return Err(format!("a token of {} bytes: they must have 1 to {MAX_TOKEN_BYTES}", word.len()));
        }
        if let Some(pair) = words.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(format!("the token {:?} is there twice", pair[1]));
        }
        if algorithm == Algorithm::Unigram {
            if scores.len() != words.len() || ids.iter().any(|&id| id as usize >= ids.len()) {
                return Err("the ids of a unigram model must be the places in its list".into());
            }
            if let Some(score) = scores.iter().find(|score| !score.is_finite()) {
                return Err(format!("a score is {score}"));
            }
        }
        let added = added(top.get("added_tokens"))?;
        let width = width(&words, &ids, &added)?;
        let frame = Frame::of(top.get("post_processor").unwrap_or(&Value::Null), width)?;
        let unknown = unknown(algorithm, model, &words, &ids, &added)?;
        Ok(Self { algorithm, words, ids, merges, scores, added, frame, width, unknown, rest })
    }

    /// The id of a word of the model.
    pub(super) fn id(&self, word: &str) -> Option<u32> {
        id(&self.words, &self.ids, word)
    }

    /// Each id with its token, as far as there is one: `[width]`.
    pub(super) fn by_id(&self) -> Vec<Option<&str>> {
        let mut all = vec![None; self.width];
        let model = self.words.iter().zip(&self.ids).map(|(word, id)| (&**word, *id));
        for (word, id) in model.chain(self.added.iter().map(|(word, id)| (&**word, *id))) {
            all[id as usize] = Some(word);
        }
        all
    }

    /// Checks that both halves of every merge and what they make are tokens. The crate `tokenizers` relies on it when it
    /// cuts the prefix of continuing pieces off.
    pub(super) fn check_merges(&self) -> Result<(), Problem> {
        let by_id = self.by_id();
        let prefix = self.rest["model"]["continuing_subword_prefix"].as_str().unwrap_or_default();
        for (n, [left, right]) in self.merges.iter().enumerate() {
            let word = |id: &u32| by_id.get(*id as usize).copied().flatten();
            let (Some(left), Some(right)) = (word(left), word(right)) else {
                return Err(format!("merge {n} joins tokens that are not there"));
            };
            let Some(rest) = right.strip_prefix(prefix) else {
                return Err(format!("merge {n}: {right:?} does not begin with {prefix:?}"));
            };
            if self.id(left).is_none()
                || self.id(right).is_none()
                || self.id(&format!("{left}{rest}")).is_none()
            {
                return Err(format!("merge {n} of {left:?} and {right:?} makes no token of the vocabulary"));
            }
        }
        Ok(())
    }

    /// The `tokenizer.json` that it says; ids in order.
    pub(super) fn to_json(&self) -> Value {
        let by_id = self.by_id();
        let mut order: Vec<usize> = (0..self.words.len()).collect();
        order.sort_unstable_by_key(|&i| self.ids[i]);
        let vocabulary = match self.algorithm {
            Algorithm::Unigram => order.iter().map(|&i| json!([self.words[i], self.scores[i]])).collect(),
            _ => Value::Object(
                order.iter().map(|&i| (self.words[i].to_string(), self.ids[i].into())).collect(),
            ),
        };
        let mut json = self.rest.clone();
        json["model"]["vocab"] = vocabulary;
        if self.algorithm == Algorithm::Bpe {
            let pair = |ids: &[u32; 2]| ids.iter().map(|&id| by_id[id as usize]).collect();
            json["model"]["merges"] = self.merges.iter().map(pair).collect::<Vec<Value>>().into();
        }
        json
    }
}

fn algorithm(model: &Map<String, Value>) -> Result<Algorithm, Problem> {
    match model.get("type").and_then(Value::as_str) {
        Some("WordPiece") => Ok(Algorithm::Wordpiece),
        Some("BPE") => Ok(Algorithm::Bpe),
        Some("Unigram") => Ok(Algorithm::Unigram),
        Some("WordLevel") => Ok(Algorithm::Words),
        Some(other) => {
            Err(format!("`model.type` is {other:?}: WordPiece, BPE, Unigram or WordLevel can be read"))
        }
        None => Err("`model.type` is missing".into()),
    }
}

/// A vocabulary of tokens with ids.
fn numbered(vocabulary: Value) -> Result<Vec<(Box<str>, u32)>, Problem> {
    let Value::Object(entries) = vocabulary else { return Err("`model.vocab` is not an object".into()) };
    let entry = |(word, id): (String, Value)| match id.as_u64().and_then(|id| u32::try_from(id).ok()) {
        Some(number) => Ok((word.into(), number)),
        None => Err(format!("the id of {word:?} is {id}")),
    };
    entries.into_iter().map(entry).collect()
}

/// A vocabulary of tokens with scores; the places are the ids.
#[expect(clippy::type_complexity, reason = "the same pairs as of other vocabularies, and the scores")]
fn scored(vocabulary: Value) -> Result<(Vec<(Box<str>, u32)>, Vec<f64>), Problem> {
    let Value::Array(entries) = vocabulary else { return Err("`model.vocab` is not a list".into()) };
    let mut words = Vec::with_capacity(entries.len());
    let mut scores = Vec::with_capacity(entries.len());
    for (entry, id) in entries.into_iter().zip(0..) {
        let pair = entry.as_array().map_or(&[][..], |pair| &pair[..]);
        let [Value::String(word), score] = pair else {
            return Err(format!("entry {id} of `model.vocab` is no token with a score"));
        };
        let Some(score) = score.as_f64() else { return Err(format!("the score of {word:?} is no number")) };
        words.push((word.as_str().into(), id));
        scores.push(score);
    }
    Ok((words, scores))
}

/// Merges as pairs of ids: `["a", "b"]`, or `"a b"` in older files.
fn joined(plain: &Plain, merges: Value) -> Result<Vec<[u32; 2]>, Problem> {
    let Value::Array(merges) = merges else { return Err("`model.merges` is not a list".into()) };
    let mut pairs = Vec::with_capacity(merges.len());
    for (n, merge) in merges.iter().enumerate() {
        let halves = match merge {
            Value::String(line) => line.split_once(' ').filter(|(_, right)| !right.contains(' ')),
            Value::Array(pair) => match &pair[..] {
                [Value::String(left), Value::String(right)] => Some((left.as_str(), right.as_str())),
                _ => None,
            },
            _ => None,
        };
        let (left, right) = halves.ok_or_else(|| format!("merge {n} is no pair of tokens"))?;
        let id = |word: &str| {
            plain.id(word).ok_or_else(|| format!("merge {n}: {word:?} is no token of the vocabulary"))
        };
        pairs.push([id(left)?, id(right)?]);
    }
    Ok(pairs)
}

fn check_model(algorithm: Algorithm, model: &Map<String, Value>) -> Result<(), Problem> {
    let set = |key: &str| model.get(key).filter(|value| !value.is_null());
    if let Some(rate) = set("dropout").filter(|rate| rate.as_f64() != Some(0.0)) {
        return Err(format!("`model.dropout` is {rate}: the same text would have other tokens each time"));
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        let Some(affix) = set(key) else { continue };
        if affix.as_str().is_none_or(|affix| affix.len() > 16) {
            return Err(format!("`model.{key}` must be a text of at most 16 bytes"));
        }
    }
    let longest = set("max_input_chars_per_word").map_or(Some(0), Value::as_u64);
    match longest {
        Some(characters) if algorithm != Algorithm::Wordpiece || characters <= MAX_WORD => Ok(()),
        _ => Err(format!("`model.max_input_chars_per_word` must be a whole number up to {MAX_WORD}")),
    }
}

fn added(list: Option<&Value>) -> Result<Vec<(Box<str>, u32)>, Problem> {
    let list = match list {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(list) => list.as_array().ok_or("`added_tokens` is not a list")?,
    };
    let mut added = Vec::with_capacity(list.len());
    for (n, token) in list.iter().enumerate() {
        let id = token["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let content = token["content"].as_str();
        let (Some(id), Some(content)) = (id, content) else {
            return Err(format!("added token {n} has no id or no content"));
        };
        if content.is_empty() || content.len() > MAX_TOKEN_BYTES {
            return Err(format!(
                "added token {n} has {} bytes: must have 1 to {MAX_TOKEN_BYTES}",
                content.len()
            ));
        }
        added.push((content.into(), id));
    }
    Ok(added)
}

/// One more than the largest id, when every id belongs to one token and at most half of them to none.
fn width(words: &[Box<str>], ids: &[u32], added: &[(Box<str>, u32)]) -> Result<usize, Problem> {
    let mut all: Vec<u32> = ids.to_vec();
    let mut seen = FxHashSet::default();
    for (word, own) in added {
        if !seen.insert(word) {
            return Err(format!("the added token {word:?} is there twice"));
        }
        match id(words, ids, word) {
            Some(id) if id == *own => {}
            Some(id) => {
                return Err(format!("the added token {word:?} has id {own}, but {id} in the vocabulary"));
            }
            None => all.push(*own),
        }
    }
    all.sort_unstable();
    if let Some(pair) = all.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("two tokens have the id {}", pair[0]));
    }
    let Some(&last) = all.last() else { return Err("the vocabulary is empty".into()) };
    if last as usize >= MAX_TOKENS || last as usize >= 2 * all.len() {
        let most = MAX_TOKENS.min(2 * all.len());
        return Err(format!("an id is {last}: with {} tokens they must be below {most}", all.len()));
    }
    Ok(last as usize + 1)
}

fn unknown(
    algorithm: Algorithm,
    model: &Map<String, Value>,
    words: &[Box<str>],
    ids: &[u32],
    added: &[(Box<str>, u32)],
) -> Result<Option<u32>, Problem> {
    if algorithm == Algorithm::Unigram {
        let unknown = model.get("unk_id").and_then(Value::as_u64).filter(|&id| id < ids.len() as u64);
        return match unknown {
            Some(id) => Ok(Some(id as u32)),
            None => Err("`model.unk_id` is no place in the vocabulary".into()),
        };
    }
    match model.get("unk_token") {
        Some(Value::String(token)) => {
            // BPE may name an added token, and fails at what is unknown: bytes never are.
            let added = || added.iter().find(|(word, _)| **word == *token && algorithm == Algorithm::Bpe);
            match id(words, ids, token).or_else(|| added().map(|(_, id)| *id)) {
                Some(id) => Ok(Some(id)),
                None => Err(format!("`model.unk_token` is {token:?}, which is no token of the vocabulary")),
            }
        }
        None | Some(Value::Null) if algorithm == Algorithm::Bpe => Ok(None),
        _ => Err("`model.unk_token` is missing".into()),
    }
}

fn id(words: &[Box<str>], ids: &[u32], word: &str) -> Option<u32> {
    words.binary_search_by(|own| (**own).cmp(word)).ok().map(|i| ids[i])
}
