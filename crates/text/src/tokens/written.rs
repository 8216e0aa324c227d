//! The written form of a tokenizer: a description, and bytes that hold the vocabulary, plain or coded, whichever is shorter.
//!
//! The bytes are, one after the other: the length of the JSON without its vocabulary, and that JSON; the words; their
//! ids, each as its distance from the place after the id before; for BPE the number of merges and two ids each; for a
//! unigram model a byte that says how wide scores are (4 or 8 bytes), and the scores, little-endian. In the coded form the
//! code follows the JSON, and has the rest in the same order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TokenEncoder;
use super::config::Algorithm;
use super::plain::Plain;
use crate::blob::{Reader, push_varint, push_words};
use crate::coding::{self, Form};
use crate::error::TextError;

/// What the description calls a tokenizer.
pub(crate) const KIND: &str = "tokens";
const VERSION: u32 = 1;

/// What the artifact says of a tokenizer beside the bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    kind: String,
    version: u32,
    model: Algorithm,
    most: usize,
    /// Of the bytes; plain where it is not written.
    #[serde(default, skip_serializing_if = "Form::is_plain")]
    form: Form,
}

impl TokenEncoder {
    /// Its written form: a JSON description (a few settings) and the vocabulary as bytes.
    pub fn to_parts(&self) -> (Value, Vec<u8>) {
        let model = self.plain.algorithm;
        let (form, bytes) = coding::shorter(bytes(&self.plain), coded(&self.plain));
        let description = Description { kind: KIND.into(), version: VERSION, model, most: self.most, form };
        let json = serde_json::to_value(description).expect("a struct of plain fields is always JSON");
        (json, bytes)
    }

    /// Reads the written form back.
    ///
    /// # Errors
    /// [`TextError::Description`], [`TextError::Blob`], and as for [`from_json`](Self::from_json): the parts may come
    /// from a stranger, and nothing in them is believed unchecked.
    pub fn from_parts(description: &Value, blob: &[u8]) -> Result<Self, TextError> {
        let Description { kind, version, model, most, form } = Description::deserialize(description)
            .map_err(|e| TextError::Description(nlpress_core::shown::message(e)))?;
        if kind != KIND || version != VERSION {
            return Err(TextError::Description(format!(
                "kind {kind:?} of version {version}, this build reads {KIND:?} of version {VERSION}"
            )));
        }
        let plain = read(blob, form)?;
        if plain.algorithm != model {
            let found = plain.algorithm;
            return Err(TextError::Description(format!("model {model:?}, but the vocabulary is {found:?}")));
        }
        Self::of(plain, most, "the artifact's tokenizer")
    }
}

/// The JSON without the vocabulary, with its length.
fn rest(plain: &Plain) -> Vec<u8> {
    let mut rest = plain.rest.clone();
    rest.sort_all_objects(); // the same bytes, whichever features of `serde_json` a build has
    let rest = rest.to_string();
    let mut out = Vec::new();
    push_varint(&mut out, rest.len() as u32);
    out.extend_from_slice(rest.as_bytes());
    out
}

/// How far each id is from the place after the one before.
fn steps(ids: &[u32]) -> impl Iterator<Item = u32> {
    let mut next = 0u32;
    ids.iter().map(move |&id| {
        let step = zigzag(id.wrapping_sub(next) as i32);
        next = id + 1;
        step
    })
}

/// Whether scores lose nothing in 4 bytes.
fn are_narrow(scores: &[f64]) -> bool {
    scores.iter().all(|&score| f64::from(score as f32) == score)
}

fn bytes(plain: &Plain) -> Vec<u8> {
    let mut out = rest(plain);
    push_words(&mut out, plain.words.iter().map(|word| &**word));
    steps(&plain.ids).for_each(|step| push_varint(&mut out, step));
    match plain.algorithm {
        Algorithm::Bpe => {
            push_varint(&mut out, plain.merges.len() as u32);
            plain.merges.iter().flatten().for_each(|id| push_varint(&mut out, *id));
        }
        Algorithm::Unigram => {
            let narrow = are_narrow(&plain.scores);
            out.push(if narrow { 4 } else { 8 });
            for score in &plain.scores {
                match narrow {
                    true => out.extend((*score as f32).to_le_bytes()),
                    false => out.extend(score.to_le_bytes()),
                }
            }
        }
        Algorithm::Wordpiece | Algorithm::Words => {}
    }
    out
}

/// Largest vocabulary that is coded. Those of pretrained encoders are larger: beside tens of megabytes of weights the bytes
/// would not show, but the 20 to 30 ms until the first answer would.
const MOST_CODED: usize = 20_000;

/// The coded form; none for a vocabulary that stays plain.
fn coded(plain: &Plain) -> Option<Vec<u8>> {
    if plain.words.len() > MOST_CODED {
        return None;
    }
    let mut writer = coding::Writer::new(rest(plain), plain.words.len());
    let words: Vec<&str> = plain.words.iter().map(|word| &**word).collect();
    writer.words(&words, &[]);
    writer.numbers(&steps(&plain.ids).collect::<Vec<_>>());
    match plain.algorithm {
        Algorithm::Bpe => {
            writer.count(plain.merges.len());
            writer.numbers(plain.merges.as_flattened());
        }
        Algorithm::Unigram => {
            let narrow = are_narrow(&plain.scores);
            let bits = |score: &f64| if narrow { (*score as f32).to_bits().into() } else { score.to_bits() };
            writer.bits(1, narrow.into());
            plain.scores.iter().for_each(|score| writer.bits(if narrow { 32 } else { 64 }, bits(score)));
        }
        Algorithm::Wordpiece | Algorithm::Words => {}
    }
    writer.finish()
}

/// A vocabulary as it is read.
struct Vocabulary {
    words: Vec<Box<str>>,
    steps: Vec<u32>,
    merges: Vec<[u32; 2]>,
    scores: Vec<f64>,
}

fn read(blob: &[u8], form: Form) -> Result<Plain, TextError> {
    let mut reader = Reader::new("tokenizer", blob);
    let length = reader.count(1)?;
    let rest: Value = match serde_json::from_slice(reader.take(length)?) {
        Ok(rest) => rest,
        Err(e) => return reader.fail(nlpress_core::shown::message(e)),
    };
    let algorithm = rest["model"]["type"].as_str();
    let Vocabulary { words, steps, merges, scores } = match form {
        Form::Plain => read_plain(&mut reader, algorithm)?,
        Form::Coded => read_coded(&mut reader, algorithm)?,
    };
    let mut ids = Vec::with_capacity(words.len());
    let mut next = 0u32;
    for step in steps {
        let id = next.wrapping_add(unzigzag(step) as u32);
        let Some(after) = id.checked_add(1) else { return reader.fail(format!("the id {id}")) };
        ids.push(id);
        next = after;
    }
    match Plain::of_parts(rest, words, ids, merges, scores) {
        Ok(plain) => Ok(plain),
        Err(problem) => reader.fail(problem),
    }
}

fn read_plain(reader: &mut Reader<'_>, algorithm: Option<&str>) -> Result<Vocabulary, TextError> {
    let words = reader.words()?;
    let steps = (0..words.len()).map(|_| reader.varint(u32::MAX)).collect::<Result<_, _>>()?;
    let (mut merges, mut scores) = (Vec::new(), Vec::new());
    match algorithm {
        Some("BPE") => {
            let count = reader.count(2)?;
            merges.reserve_exact(count);
            for _ in 0..count {
                merges.push([reader.varint(u32::MAX)?, reader.varint(u32::MAX)?]);
            }
        }
        Some("Unigram") => {
            let wide = match reader.byte()? {
                4 => false,
                8 => true,
                other => return reader.fail(format!("scores of {other} bytes")),
            };
            for _ in 0..words.len() {
                let mut score = [0; 8];
                let bytes = reader.take(if wide { 8 } else { 4 })?;
                score[..bytes.len()].copy_from_slice(bytes);
                let [a, b, c, d, ..] = score;
                scores.push(match wide {
                    true => f64::from_le_bytes(score),
                    false => f64::from(f32::from_le_bytes([a, b, c, d])),
                });
            }
        }
        _ => {}
    }
    reader.end()?;
    Ok(Vocabulary { words, steps, merges, scores })
}

fn read_coded(reader: &mut Reader<'_>, algorithm: Option<&str>) -> Result<Vocabulary, TextError> {
    let mut reader = coding::Reader::new(reader)?;
    let words = reader.words()?.words;
    let steps = reader.numbers(words.len());
    let (mut merges, mut scores) = (Vec::new(), Vec::new());
    match algorithm {
        Some("BPE") => {
            let count = reader.count()?;
            merges = reader.numbers(2 * count).as_chunks().0.to_vec();
        }
        Some("Unigram") => {
            let narrow = reader.bits(1)? == 1;
            for _ in 0..words.len() {
                scores.push(match narrow {
                    true => f64::from(f32::from_bits(reader.bits(32)? as u32)),
                    false => f64::from_bits(reader.bits(64)?),
                });
            }
        }
        _ => {}
    }
    reader.end()?;
    Ok(Vocabulary { words, steps, merges, scores })
}

/// A signed number as one whose small values are those near zero.
fn zigzag(number: i32) -> u32 {
    (number << 1 ^ number >> 31) as u32
}

fn unzigzag(number: u32) -> i32 {
    (number >> 1) as i32 ^ -((number & 1) as i32)
}
