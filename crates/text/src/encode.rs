//! What every encoder can do, and an encoder of whichever kind.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::path::Path;

use crate::coverage::{Coverage, Seen};
use crate::encoder::{BagEncoder, EncoderConfig, Scratch};
use crate::error::TextError;
use crate::examples::{Example, Examples};
use crate::input::{AsInput, TextInput};
use crate::tokens::{KIND, TokenEncoder, TokenScratch, TokensConfig, TokensTable};

/// Turns texts into what a model sees. Written and read back, it gives the same bits.
pub trait Encode: std::fmt::Debug + Send + Sync {
    /// Buffers that encoding reuses from text to text.
    type Scratch: Default + Send;

    /// What the written form calls this kind of encoder.
    fn kind(&self) -> &'static str;

    /// The size of the vocabulary: features, or one more than the largest token id.
    fn width(&self) -> usize;

    /// What each feature or token id stands for: `[width]`. An id may stand for nothing.
    fn vocabulary(&self) -> Vec<Option<&str>>;

    /// Encodes a text; the example lies in `scratch` until the next call.
    ///
    /// # Errors
    /// [`TextError::Tokenizer`] where a tokenizer from a stranger fails at this text. A bag of words never fails.
    fn encode<'s>(&self, text: &str, scratch: &'s mut Self::Scratch) -> Result<Example<'s>, TextError>;

    /// Encodes every text or pair of texts, and says how much of them is known. The threads of the current pool share them
    /// out.
    ///
    /// # Errors
    /// As for [`encode`](Self::encode), and [`TextError::Tokenizer`] for pairs that the encoder does not take.
    fn encode_all<S: AsInput + Sync>(&self, texts: &[S]) -> Result<(Examples, Coverage), TextError>;

    /// The features or ids that stay whatever else is left out, ascending: those that [`narrowed`](Self::narrowed) keeps
    /// unasked.
    fn always_kept(&self) -> Vec<u32>;

    /// The features or ids that [`narrowed`](Self::narrowed) keeps, ascending: `keep`, those that are always kept, and those
    /// that others are made of.
    ///
    /// # Errors
    /// As for [`narrowed`](Self::narrowed).
    fn closed(&self, keep: &[u32]) -> Result<Vec<u32>, TextError>;

    /// What to say, and what to try, where it misses much of some texts; nothing where it does not.
    fn advice(&self, coverage: &Coverage) -> Option<String>;

    /// The same encoder with the features or ids `keep` only, numbered anew in the same order; and the old number of
    /// each new one, which are more than `keep` where others cannot go.
    ///
    /// # Errors
    /// [`TextError::Narrow`] when none is given, they do not strictly ascend, or one is not there.
    fn narrowed(&self, keep: &[u32]) -> Result<(Self, Vec<u32>), TextError>
    where
        Self: Sized;

    /// The written form: a JSON description (a few settings) and the vocabulary as bytes.
    fn to_parts(&self) -> (Value, Vec<u8>);

    /// Reads the written form back.
    ///
    /// # Errors
    /// The parts may come from a stranger: what is wrong with them.
    fn from_parts(description: &Value, blob: &[u8]) -> Result<Self, TextError>
    where
        Self: Sized;
}

impl Encode for BagEncoder {
    type Scratch = Scratch;

    fn kind(&self) -> &'static str {
        "bag"
    }

    fn width(&self) -> usize {
        self.width()
    }

    fn vocabulary(&self) -> Vec<Option<&str>> {
        match self.config().hashed {
            true => vec![None; self.width()],
            false => self.words().iter().map(|word| Some(&**word)).collect(),
        }
    }

    fn encode<'s>(&self, text: &str, scratch: &'s mut Scratch) -> Result<Example<'s>, TextError> {
        Ok(Example::Features(self.encode(text, scratch)))
    }

    fn encode_all<S: AsInput + Sync>(&self, texts: &[S]) -> Result<(Examples, Coverage), TextError> {
        let texts: Vec<&str> = texts.iter().map(|text| alone(text.as_input())).collect::<Result<_, _>>()?;
        let (rows, coverage) = self.encode_all_seen(&texts);
        Ok((rows.into(), coverage))
    }

    fn always_kept(&self) -> Vec<u32> {
        Vec::new()
    }

    fn closed(&self, keep: &[u32]) -> Result<Vec<u32>, TextError> {
        self.check_words()?;
        crate::rows::check_kept(keep, self.width())?;
        Ok(keep.to_vec())
    }

    fn advice(&self, coverage: &Coverage) -> Option<String> {
        coverage.advice(self)
    }

    fn narrowed(&self, keep: &[u32]) -> Result<(Self, Vec<u32>), TextError> {
        Ok((self.narrow(keep)?, keep.to_vec()))
    }

    fn to_parts(&self) -> (Value, Vec<u8>) {
        self.to_parts()
    }

    fn from_parts(description: &Value, blob: &[u8]) -> Result<Self, TextError> {
        Self::from_parts(description, blob)
    }
}

impl Encode for TokenEncoder {
    type Scratch = TokenScratch;

    fn kind(&self) -> &'static str {
        KIND
    }

    fn width(&self) -> usize {
        self.width()
    }

    fn vocabulary(&self) -> Vec<Option<&str>> {
        self.tokens()
    }

    fn encode<'s>(&self, text: &str, scratch: &'s mut TokenScratch) -> Result<Example<'s>, TextError> {
        Ok(Example::Tokens(self.encode(text, scratch)?))
    }

    fn encode_all<S: AsInput + Sync>(&self, texts: &[S]) -> Result<(Examples, Coverage), TextError> {
        let (rows, coverage) = self.encode_all(texts)?;
        Ok((rows.into(), coverage))
    }

    fn always_kept(&self) -> Vec<u32> {
        self.always_kept()
    }

    fn closed(&self, keep: &[u32]) -> Result<Vec<u32>, TextError> {
        self.closed(keep)
    }

    fn advice(&self, coverage: &Coverage) -> Option<String> {
        self.advice(coverage)
    }

    fn narrowed(&self, keep: &[u32]) -> Result<(Self, Vec<u32>), TextError> {
        self.narrow(keep)
    }

    fn to_parts(&self) -> (Value, Vec<u8>) {
        self.to_parts()
    }

    fn from_parts(description: &Value, blob: &[u8]) -> Result<Self, TextError> {
        Self::from_parts(description, blob)
    }
}

/// An encoder of either kind, as an artifact holds one.
#[derive(Clone, Debug)]
pub enum AnyEncoder {
    /// A bag of words.
    Bag(Box<BagEncoder>),
    /// A tokenizer.
    Tokens(Box<TokenEncoder>),
}

/// Buffers of either kind.
#[derive(Clone, Debug, Default)]
pub struct AnyScratch {
    bag: Scratch,
    tokens: TokenScratch,
    /// Which of them was used last.
    of_tokens: bool,
}

impl AnyScratch {
    /// The buffers of a bag of words, which is what is used next.
    pub fn bag(&mut self) -> &mut Scratch {
        self.of_tokens = false;
        &mut self.bag
    }

    /// What was seen of the text that was encoded last.
    pub fn seen(&self) -> Seen {
        if self.of_tokens { self.tokens.seen() } else { self.bag.seen() }
    }
}

/// How to make an encoder, as a configuration file writes it: `kind = "tokens"` with the keys of a tokenizer, or the keys
/// of a bag of words (`kind = "bag"`, which may be left out).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EncoderTable {
    /// A bag of words.
    Bag(EncoderConfig),
    /// A tokenizer.
    Tokens(TokensTable),
}

/// A checked [`EncoderTable`]: what [`AnyEncoder::fit`] runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncoderPlan(Planned);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Planned {
    Bag(EncoderConfig),
    Tokens(TokensConfig),
}

impl Default for EncoderTable {
    fn default() -> Self {
        Self::Bag(EncoderConfig::default())
    }
}

impl<'de> Deserialize<'de> for EncoderTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut keys: Map<String, Value> = Map::deserialize(deserializer)?;
        let kind = keys.remove("kind");
        let table = Value::Object(keys);
        let read = match kind.as_ref().map_or(Some("bag"), Value::as_str) {
            Some("bag") => serde_json::from_value(table).map(Self::Bag),
            Some(KIND) => serde_json::from_value(table).map(Self::Tokens),
            _ => {
                let found = kind.unwrap_or_default();
                return Err(serde::de::Error::custom(format!("kind = {found}: must be \"bag\" or {KIND:?}")));
            }
        };
        read.map_err(serde::de::Error::custom)
    }
}

impl From<EncoderConfig> for EncoderTable {
    fn from(config: EncoderConfig) -> Self {
        Self::Bag(config)
    }
}

impl EncoderTable {
    /// Checks the settings, and reads or finds the files that they name, which lie relative to `folder`.
    ///
    /// # Errors
    /// [`TextError::Setting`] naming the setting, its value and the bound, and those of
    /// [`StopWords::read`](crate::StopWords::read).
    pub fn read(self, folder: &Path) -> Result<Self, TextError> {
        match self {
            Self::Bag(config) => Ok(Self::Bag(config.read(folder)?)),
            Self::Tokens(table) => {
                let table = TokensTable { file: table.file.map(|file| folder.join(file)), ..table };
                TokensConfig::try_from(&table)?;
                Ok(Self::Tokens(table))
            }
        }
    }

    /// The settings of a bag of words, to be changed; none where it is a tokenizer.
    pub fn bag_mut(&mut self) -> Option<&mut EncoderConfig> {
        match self {
            Self::Bag(config) => Some(config),
            Self::Tokens(_) => None,
        }
    }
}

impl TryFrom<&EncoderTable> for EncoderPlan {
    type Error = TextError;

    fn try_from(table: &EncoderTable) -> Result<Self, TextError> {
        Ok(Self(match table {
            EncoderTable::Bag(config) => {
                config.check()?;
                Planned::Bag(config.clone())
            }
            EncoderTable::Tokens(table) => Planned::Tokens(table.try_into()?),
        }))
    }
}

impl From<BagEncoder> for AnyEncoder {
    fn from(encoder: BagEncoder) -> Self {
        Self::Bag(Box::new(encoder))
    }
}

impl From<TokenEncoder> for AnyEncoder {
    fn from(encoder: TokenEncoder) -> Self {
        Self::Tokens(Box::new(encoder))
    }
}

impl AnyEncoder {
    /// The bag of words; none where it is a tokenizer.
    pub fn bag(&self) -> Option<&BagEncoder> {
        match self {
            Self::Bag(encoder) => Some(encoder),
            Self::Tokens(_) => None,
        }
    }

    /// The tokenizer; none where it is a bag of words.
    pub fn tokens(&self) -> Option<&TokenEncoder> {
        match self {
            Self::Tokens(encoder) => Some(encoder),
            Self::Bag(_) => None,
        }
    }

    /// Makes the encoder that is asked for, from training texts.
    ///
    /// # Errors
    /// As for [`BagEncoder::fit`] and [`TokenEncoder::fit`].
    pub fn fit<'a>(plan: &EncoderPlan, texts: impl IntoIterator<Item = &'a str>) -> Result<Self, TextError> {
        match &plan.0 {
            Planned::Bag(config) => Ok(BagEncoder::fit(config, texts)?.into()),
            Planned::Tokens(config) => Ok(TokenEncoder::fit(config, texts)?.into()),
        }
    }
}

impl AnyEncoder {
    /// Encodes a text, or a pair of texts as one example, which lies in `scratch` until the next call.
    ///
    /// # Errors
    /// As [`encode`](Encode::encode); for a pair as [`TokenEncoder::encode_pair`], and [`TextError::Pair`] where a bag of words
    /// is given one.
    pub fn encode_input<'s>(
        &self,
        input: TextInput<'_>,
        scratch: &'s mut AnyScratch,
    ) -> Result<Example<'s>, TextError> {
        match (self, input.pair) {
            (_, None) => self.encode(input.text, scratch),
            (Self::Bag(_), Some(_)) => Err(TextError::Pair),
            (Self::Tokens(encoder), Some(pair)) => {
                scratch.of_tokens = true;
                Ok(Example::Tokens(encoder.encode_pair([input.text, pair], &mut scratch.tokens)?))
            }
        }
    }
}

/// The text of what is no pair.
fn alone(input: TextInput<'_>) -> Result<&str, TextError> {
    match input.pair {
        None => Ok(input.text),
        Some(_) => Err(TextError::Pair),
    }
}

impl Encode for AnyEncoder {
    type Scratch = AnyScratch;

    fn kind(&self) -> &'static str {
        match self {
            Self::Bag(encoder) => Encode::kind(&**encoder),
            Self::Tokens(encoder) => Encode::kind(&**encoder),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Bag(encoder) => encoder.width(),
            Self::Tokens(encoder) => encoder.width(),
        }
    }

    fn vocabulary(&self) -> Vec<Option<&str>> {
        match self {
            Self::Bag(encoder) => encoder.vocabulary(),
            Self::Tokens(encoder) => encoder.vocabulary(),
        }
    }

    fn encode<'s>(&self, text: &str, scratch: &'s mut AnyScratch) -> Result<Example<'s>, TextError> {
        match self {
            Self::Bag(encoder) => Encode::encode(&**encoder, text, scratch.bag()),
            Self::Tokens(encoder) => {
                scratch.of_tokens = true;
                Encode::encode(&**encoder, text, &mut scratch.tokens)
            }
        }
    }

    fn encode_all<S: AsInput + Sync>(&self, texts: &[S]) -> Result<(Examples, Coverage), TextError> {
        match self {
            Self::Bag(encoder) => Encode::encode_all(&**encoder, texts),
            Self::Tokens(encoder) => Encode::encode_all(&**encoder, texts),
        }
    }

    fn always_kept(&self) -> Vec<u32> {
        match self {
            Self::Bag(encoder) => Encode::always_kept(&**encoder),
            Self::Tokens(encoder) => encoder.always_kept(),
        }
    }

    fn closed(&self, keep: &[u32]) -> Result<Vec<u32>, TextError> {
        match self {
            Self::Bag(encoder) => encoder.closed(keep),
            Self::Tokens(encoder) => encoder.closed(keep),
        }
    }

    fn advice(&self, coverage: &Coverage) -> Option<String> {
        match self {
            Self::Bag(encoder) => coverage.advice(encoder),
            Self::Tokens(encoder) => encoder.advice(coverage),
        }
    }

    fn narrowed(&self, keep: &[u32]) -> Result<(Self, Vec<u32>), TextError> {
        Ok(match self {
            Self::Bag(encoder) => (encoder.narrow(keep)?.into(), keep.to_vec()),
            Self::Tokens(encoder) => {
                let (narrowed, kept) = encoder.narrow(keep)?;
                (narrowed.into(), kept)
            }
        })
    }

    fn to_parts(&self) -> (Value, Vec<u8>) {
        match self {
            Self::Bag(encoder) => encoder.to_parts(),
            Self::Tokens(encoder) => encoder.to_parts(),
        }
    }

    /// A description without a kind is that of a bag of words.
    fn from_parts(description: &Value, blob: &[u8]) -> Result<Self, TextError> {
        match description.get("kind") {
            None => Ok(BagEncoder::from_parts(description, blob)?.into()),
            Some(_) => Ok(TokenEncoder::from_parts(description, blob)?.into()),
        }
    }
}
