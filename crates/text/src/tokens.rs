//! A tokenizer: a vocabulary of words and pieces of words, that turns a text into token ids in the order of the text.
//!
//! It reads the `tokenizer.json` of Hugging Face, or learns a vocabulary from training texts. The crate `tokenizers`
//! cuts texts; what it may be handed is checked before ([`TokenEncoder::from_json`]), and where it panics all the same
//! there is an error. Its trainers are not used: their result differs from run to run.

mod alone;
mod ascii;
mod config;
mod counting;
mod frame;
mod merges;
mod misses;
mod narrow;
mod pairs;
mod plain;
mod steps;
mod training;
mod unigram;
mod written;

use nlpress_core::files;
use rayon::prelude::*;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::OnceLock;
use tokenizers::{Tokenizer, TruncationParams};

use crate::counting::parts;
use crate::coverage::{Coverage, Seen};
use crate::error::TextError;
use crate::input::{AsInput, TextInput};
use crate::token_rows::{TokenRow, TokenRows};
use ascii::{Ascii, Part};
pub use config::{Algorithm, MAX_LENGTH, TokensConfig, TokensTable};
use pairs::{PairFrame, longest_first};
use plain::Plain;
pub(crate) use written::KIND;

/// Largest `tokenizer.json`, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// A tokenizer that is ready to encode.
#[derive(Clone, Debug)]
pub struct TokenEncoder {
    plain: Plain,
    /// The short way, where there is one.
    ascii: Option<Ascii>,
    /// The crate's tokenizer, or why there is none; where there is a short way, made for the first text that needs it.
    tokenizer: OnceLock<Result<Tokenizer, String>>,
    /// What stands around two texts, or why there can be no two.
    pairs: Result<PairFrame, String>,
    /// The same tokenizer, which cuts nothing off; made when it is first needed.
    whole: OnceLock<Box<Tokenizer>>,
    most: usize,
}

/// Buffers that [`TokenEncoder::encode`] reuses from text to text.
#[derive(Clone, Debug, Default)]
pub struct TokenScratch {
    ids: Vec<u32>,
    types: Vec<u8>,
    buffer: String,
    seen: Seen,
}

impl TokenScratch {
    /// What was seen of the text that was encoded last.
    pub fn seen(&self) -> Seen {
        self.seen
    }
}

impl TokenEncoder {
    /// Makes the tokenizer that a configuration asks for: opens its file, or learns from training texts.
    ///
    /// # Errors
    /// As for [`open`](Self::open); of training [`TextError::EmptyVocabulary`] when no token is frequent enough,
    /// [`TextError::TooMany`] for too many distinct words.
    pub fn fit<'a>(
        config: &TokensConfig,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, TextError> {
        match config {
            TokensConfig::Open { file, max_tokens } => Self::open(file, *max_tokens),
            TokensConfig::Learn(learn) => {
                let texts: Vec<&str> = texts.into_iter().collect();
                Self::of(training::learn(learn, &texts)?, learn.max_tokens, "the learned vocabulary")
            }
        }
    }

    /// Opens a `tokenizer.json`. Rows will have at most `most` tokens, special ones among them.
    ///
    /// # Errors
    /// [`TextError::Io`], [`TextError::FileTooLarge`], and as for [`from_json`](Self::from_json).
    pub fn open(path: &Path, most: usize) -> Result<Self, TextError> {
        let bytes = files::read_bounded(path, MAX_FILE).map_err(|source| match source.kind() {
            ErrorKind::FileTooLarge => TextError::FileTooLarge { path: path.into(), limit: MAX_FILE },
            _ => TextError::Io { path: path.into(), source },
        })?;
        Self::from_json(&path.display().to_string(), &bytes, most)
    }

    /// Reads the bytes of a `tokenizer.json`, which may come from a stranger; `name` is what errors call it.
    ///
    /// Its truncation, padding and decoder are left out: `most` cuts a row, nothing pads it.
    ///
    /// # Errors
    /// [`TextError::Tokenizer`] for what is no tokenizer, contradicts itself or could encode a text differently each
    /// time or without bound; [`TextError::Setting`] when `most` leaves no room beside the special tokens or is
    /// above [`MAX_LENGTH`].
    pub fn from_json(name: &str, bytes: &[u8], most: usize) -> Result<Self, TextError> {
        let fail = |problem: String| TextError::Tokenizer { file: name.into(), problem };
        let json: Value = serde_json::from_slice(bytes).map_err(|e| fail(nlpress_core::shown::message(e)))?;
        let encoder = Self::of(Plain::of_json(json).map_err(fail)?, most, name)?;
        encoder.tokenizer().map_err(|problem| fail(problem.to_owned()))?;
        Ok(encoder)
    }

    /// Puts together what encodes.
    fn of(plain: Plain, most: usize, name: &str) -> Result<Self, TextError> {
        let fail = |problem: String| TextError::Tokenizer { file: name.into(), problem };
        let around = plain.frame.len();
        if most <= around || most > MAX_LENGTH {
            return Err(TextError::Setting {
                setting: "max_tokens",
                value: most.to_string(),
                bound: format!("must lie between {} and {MAX_LENGTH} tokens", around + 1),
            });
        }
        plain.check_merges().map_err(fail)?;
        let processor = plain.rest.get("post_processor").unwrap_or(&Value::Null);
        let pairs = PairFrame::of(processor, plain.width);
        let ascii = Ascii::of(&plain);
        let (tokenizer, whole) = Default::default();
        let encoder = Self { ascii, plain, tokenizer, pairs, whole, most };
        match encoder.ascii {
            Some(_) => encoder.check_steps().map_err(fail)?,
            None => drop(encoder.tokenizer().map_err(|problem| fail(problem.to_owned()))?),
        }
        Ok(encoder)
    }

    /// Whether the crate takes all but the words, which take it longer than everything else there is to open.
    fn check_steps(&self) -> Result<(), String> {
        let mut json = self.plain.rest.clone();
        json["post_processor"] = Value::Null;
        let unknown = json["model"]["unk_token"].as_str().unwrap_or_default().to_owned();
        json["model"]["vocab"] = json!({ unknown: self.plain.unknown });
        guarded(|| serde_json::from_value::<Tokenizer>(json).map(drop).map_err(|e| e.to_string()))
    }

    /// The crate's tokenizer, which cuts off what fits in no row.
    fn tokenizer(&self) -> Result<&Tokenizer, &str> {
        self.tokenizer.get_or_init(|| self.build()).as_ref().map_err(String::as_str)
    }

    fn build(&self) -> Result<Tokenizer, String> {
        let mut json = self.plain.to_json();
        json["post_processor"] = Value::Null;
        let mut tokenizer = guarded(|| serde_json::from_value::<Tokenizer>(json).map_err(|e| e.to_string()))?;
        for (word, id) in &self.plain.added {
            if tokenizer.token_to_id(word) != Some(*id) {
                let other = tokenizer.token_to_id(word).unwrap_or_default();
                return Err(format!("the added token {word:?} has id {id}, and would be read as {other}"));
            }
        }
        let around = self.plain.frame.len();
        let least = self.pairs.as_ref().map_or(around, |pairs| pairs.len().min(around));
        // One more than fits, so that a text that was cut can be told.
        let max_length = self.most - least + 1;
        let truncation = TruncationParams { max_length, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|e| e.to_string())?;
        Ok(tokenizer)
    }

    /// How it cuts words.
    pub fn algorithm(&self) -> Algorithm {
        self.plain.algorithm
    }

    /// One more than the largest id: as many embeddings as a model needs.
    pub fn width(&self) -> usize {
        self.plain.width
    }

    /// Most tokens of a row, special ones among them.
    pub fn max_tokens(&self) -> usize {
        self.most
    }

    /// The id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        let added = self.plain.added.iter().find(|(word, _)| **word == *token);
        added.map(|(_, id)| *id).or_else(|| self.plain.id(token))
    }

    /// The token of each id; ids without one have none: `[width]`.
    pub fn tokens(&self) -> Vec<Option<&str>> {
        self.plain.by_id()
    }

    /// The id that stands for what the vocabulary does not have; a BPE vocabulary may have none.
    pub fn unknown(&self) -> Option<u32> {
        self.plain.unknown
    }

    /// Whether rows have types: some token around or of a text has another than 0.
    pub fn typed(&self) -> bool {
        self.plain.frame.typed()
    }

    /// One more than the largest type of a token.
    pub fn types(&self) -> usize {
        self.plain.frame.types()
    }

    /// The `tokenizer.json`, without what encoding does not use (truncation, padding, decoder).
    pub fn to_json(&self) -> Value {
        self.plain.to_json()
    }

    /// Turns a text into token ids, which lie in `scratch` until the next call. Of a text that is too long, the first
    /// tokens stay, and the special tokens after them.
    ///
    /// # Errors
    /// [`TextError::Tokenizer`] where a file from a stranger has steps that fail at this text.
    pub fn encode<'s>(&self, text: &str, scratch: &'s mut TokenScratch) -> Result<TokenRow<'s>, TextError> {
        let frame = &self.plain.frame;
        let room = self.most - frame.len();
        let TokenScratch { ids, types, buffer, .. } = &mut *scratch;
        ids.clear();
        ids.extend(frame.before.iter().map(|(id, _)| id));
        let start = ids.len();
        self.cut(text, room, buffer, ids)?;
        let cut = ids.len() - start > room;
        ids.truncate(start + room);
        let own = &ids[start..];
        let tokens = own.len() as u32;
        let unknown = self.plain.unknown.map_or(0, |unknown| own.iter().filter(|&&id| id == unknown).count());
        ids.extend(frame.after.iter().map(|(id, _)| id));
        types.clear();
        if frame.typed() {
            types.extend(frame.before.iter().map(|(_, kind)| kind));
            types.extend((0..tokens).map(|_| frame.inner));
            types.extend(frame.after.iter().map(|(_, kind)| kind));
        }
        scratch.seen = Seen { tokens, known: tokens - unknown as u32, cut, ..Seen::default() };
        Ok(TokenRow { ids: &scratch.ids, types: &scratch.types })
    }

    /// Turns two texts into the token ids of one example, as `tokenizers` does: where both are too long together, the longer
    /// one is cut first.
    ///
    /// # Errors
    /// As [`encode`](Self::encode), and where the tokenizer does not say what stands around two texts, or too few tokens
    /// are left beside that.
    pub fn encode_pair<'s>(
        &self,
        texts: [&str; 2],
        scratch: &'s mut TokenScratch,
    ) -> Result<TokenRow<'s>, TextError> {
        let fail = |problem: String| TextError::Tokenizer { file: "a pair of texts".into(), problem };
        let frame = self.pairs.as_ref().map_err(|problem| fail(problem.clone()))?;
        let room = self.most.checked_sub(frame.len()).filter(|room| *room > 0);
        let room = room.ok_or_else(|| {
            fail(format!("{} special tokens leave no room in {} tokens", frame.len(), self.most))
        })?;
        let TokenScratch { ids, types, buffer, .. } = &mut *scratch;
        let mut both: [Vec<u32>; 2] = Default::default();
        for (text, ids) in texts.into_iter().zip(&mut both) {
            // Not more than is left of one text beside special tokens, which may be less than beside those of a pair.
            self.cut(text, room, buffer, ids)?;
        }
        let mut lengths = [both[0].len(), both[1].len()];
        if lengths.iter().all(|length| *length > room) {
            // Of two that were cut both, it depends on their own lengths which is the longer.
            for (text, length) in texts.into_iter().zip(&mut lengths) {
                *length = self.count(text)?;
            }
        }
        let stay = longest_first(lengths, room);
        let [first, second] = [0, 1].map(|n| &both[n][..stay[n].min(both[n].len())]);
        let unknown = self.plain.unknown;
        let unknown = first.iter().chain(second).filter(|id| Some(**id) == unknown).count();
        let tokens = (first.len() + second.len()) as u32;
        frame.join(first, second, ids, types);
        scratch.seen =
            Seen { tokens, known: tokens - unknown as u32, cut: stay != lengths, ..Seen::default() };
        Ok(TokenRow { ids: &scratch.ids, types: &scratch.types })
    }

    /// The tokens of a text, however many.
    fn count(&self, text: &str) -> Result<usize, TextError> {
        let fail = |problem| TextError::Tokenizer { file: "a text".into(), problem };
        let tokenizer = self.tokenizer().map_err(|problem| fail(problem.to_owned()))?;
        let whole = self.whole.get_or_init(|| {
            let mut whole = tokenizer.clone();
            // Without truncation there is nothing that could be wrong with it.
            let _ = whole.with_truncation(None);
            Box::new(whole)
        });
        let encoding = guarded(|| whole.encode_fast(text, false).map_err(|e| e.to_string()));
        Ok(encoding.map_err(fail)?.len())
    }

    /// Appends the ids of a text; more than `room` of them where there are more.
    fn cut(&self, text: &str, room: usize, buffer: &mut String, ids: &mut Vec<u32>) -> Result<(), TextError> {
        let Some(ascii) = self.ascii.as_ref().filter(|ascii| !ascii.has_added(text)) else {
            return self.ask(text, ids);
        };
        let most = ids.len() + room;
        for part in ascii::parts(text) {
            match part {
                Part::Word(word) => ascii.cut(word, buffer, ids),
                Part::Other(text) => self.ask(text, ids)?,
            }
            if ids.len() > most {
                break;
            }
        }
        Ok(())
    }

    /// Appends the ids that the crate gives a text.
    fn ask(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), TextError> {
        let fail = |problem| TextError::Tokenizer { file: "a text".into(), problem };
        let tokenizer = self.tokenizer().map_err(|problem| fail(problem.to_owned()))?;
        let encoding = guarded(|| tokenizer.encode_fast(text, false).map_err(|e| e.to_string()));
        let encoding = encoding.map_err(fail)?;
        let width = self.plain.width;
        if let Some(id) = encoding.get_ids().iter().find(|&&id| id as usize >= width) {
            return Err(fail(format!("the tokenizer gave the id {id} of {width}")));
        }
        ids.extend_from_slice(encoding.get_ids());
        Ok(())
    }

    /// Turns every text or pair of texts into a row. The threads of the current pool share them out.
    ///
    /// # Errors
    /// As for [`encode`](Self::encode) and [`encode_pair`](Self::encode_pair).
    pub fn encode_all<S: AsInput + Sync>(&self, texts: &[S]) -> Result<(TokenRows, Coverage), TextError> {
        let part = |part: std::ops::Range<usize>| {
            let (mut rows, mut coverage) = (TokenRows::empty(self.width()), Coverage::default());
            let mut scratch = TokenScratch::default();
            for text in &texts[part] {
                let TextInput { text, pair } = text.as_input();
                rows.push(match pair {
                    None => self.encode(text, &mut scratch)?,
                    Some(pair) => self.encode_pair([text, pair], &mut scratch)?,
                });
                coverage.add(scratch.seen());
            }
            Ok((rows, coverage))
        };
        let all: Result<Vec<(TokenRows, Coverage)>, TextError> =
            parts(texts).into_par_iter().map(part).collect();
        let mut all = all?.into_iter();
        let (mut rows, mut coverage) = all.next().expect("there is a part, if of no text");
        for (more, seen) in all {
            rows.append(&more);
            coverage.merge(&seen);
        }
        Ok((rows, coverage))
    }
}

/// What the crate `tokenizers` answers; it panics at some files and texts.
fn guarded<T>(call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => answer.map_err(nlpress_core::shown::message),
        Err(_) => Err("the tokenizer fails at it".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_a_short_way_the_crate_waits_for_a_text_that_needs_it() {
        let table = TokensTable { vocabulary: Some(60), ..TokensTable::default() };
        let texts = ["a good film", "a bad film, and a naïve one"];
        let learned = TokenEncoder::fit(&TokensConfig::try_from(&table).unwrap(), texts).unwrap();
        let (description, blob) = learned.to_parts();
        let back = TokenEncoder::from_parts(&description, &blob).unwrap();
        let ids = |encoder: &TokenEncoder, text| {
            encoder.encode(text, &mut TokenScratch::default()).unwrap().ids.to_vec()
        };
        let opened = TokenEncoder::from_json("t.json", learned.to_json().to_string().as_bytes(), back.most);
        let opened = opened.unwrap();
        assert!(opened.tokenizer.get().is_some(), "a file is refused when it is opened");
        for (text, is_needed) in [(texts[0], false), (texts[1], true)] {
            assert_eq!(ids(&back, text), ids(&opened, text));
            assert_eq!(back.tokenizer.get().is_some(), is_needed, "{text}");
        }
    }

    #[test]
    fn what_the_crate_refuses_is_refused_before_a_text_needs_it() {
        let table = TokensTable { vocabulary: Some(60), ..TokensTable::default() };
        let mut bad = TokenEncoder::fit(&TokensConfig::try_from(&table).unwrap(), ["a good film"]).unwrap();
        bad.plain.rest["normalizer"]["handle_chinese_chars"] = "maybe".into();
        assert!(TokenEncoder::from_json("t.json", bad.to_json().to_string().as_bytes(), bad.most).is_err());
        let (description, blob) = bad.to_parts();
        assert!(TokenEncoder::from_parts(&description, &blob).is_err());
    }
}
