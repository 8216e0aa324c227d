//! What every encoder can do, and an encoder of whichever kind.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::coverage::Coverage;
use crate::encoder::{Encoder, EncoderConfig, Scratch};
use crate::error::TextError;
use crate::examples::{Example, Examples};
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

    /// Encodes every text, and says how much of them is known. The threads of the current pool share the texts out.
    ///
    /// # Errors
    /// As for [`encode`](Self::encode).
    fn encode_all<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<(Examples, Coverage), TextError>;

    /// What to say, and what to try, where it misses much of some texts; nothing where it does not.
    fn advice(&self, coverage: &Coverage) -> Option<String>;

    /// The same encoder with the features or ids `keep` only, numbered anew in the same order; and the old number of
    /// each new one, which are more than `keep` where others cannot go.
    ///
    /// # Errors
    /// [`TextError::Narrow`] when none is given, they do not strictly ascend, one is not there, or this encoder cannot
    /// be narrowed.
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

impl Encode for Encoder {
    type Scratch = Scratch;

    fn kind(&self) -> &'static str {
        "bag"
    }

    fn width(&self) -> usize {
        self.width()
    }

    fn vocabulary(&self) -> Vec<Option<&str>> {
        self.words().iter().map(|word| Some(&**word)).collect()
    }

    fn encode<'s>(&self, text: &str, scratch: &'s mut Scratch) -> Result<Example<'s>, TextError> {
        Ok(Example::Features(self.encode(text, scratch)))
    }

    fn encode_all<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<(Examples, Coverage), TextError> {
        let (rows, coverage) = self.encode_all_seen(texts);
        Ok((rows.into(), coverage))
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

    fn encode_all<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<(Examples, Coverage), TextError> {
        let (rows, coverage) = self.encode_all(texts)?;
        Ok((rows.into(), coverage))
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
    Bag(Box<Encoder>),
    /// A tokenizer.
    Tokens(Box<TokenEncoder>),
}

/// Buffers of either kind.
#[derive(Clone, Debug, Default)]
pub struct AnyScratch {
    bag: Scratch,
    tokens: TokenScratch,
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

impl AnyEncoder {
    /// Makes the encoder that is asked for, from training texts.
    ///
    /// # Errors
    /// As for [`Encoder::fit`] and [`TokenEncoder::fit`].
    pub fn fit<'a>(plan: &EncoderPlan, texts: impl IntoIterator<Item = &'a str>) -> Result<Self, TextError> {
        match &plan.0 {
            Planned::Bag(config) => Ok(Self::Bag(Box::new(Encoder::fit(config, texts)?))),
            Planned::Tokens(config) => Ok(Self::Tokens(Box::new(TokenEncoder::fit(config, texts)?))),
        }
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
            Self::Bag(encoder) => Encode::encode(&**encoder, text, &mut scratch.bag),
            Self::Tokens(encoder) => Encode::encode(&**encoder, text, &mut scratch.tokens),
        }
    }

    fn encode_all<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Result<(Examples, Coverage), TextError> {
        match self {
            Self::Bag(encoder) => Encode::encode_all(&**encoder, texts),
            Self::Tokens(encoder) => Encode::encode_all(&**encoder, texts),
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
            Self::Bag(encoder) => (Self::Bag(Box::new(encoder.narrow(keep)?)), keep.to_vec()),
            Self::Tokens(encoder) => {
                let (narrowed, kept) = encoder.narrow(keep)?;
                (Self::Tokens(Box::new(narrowed)), kept)
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
            None => Ok(Self::Bag(Box::new(Encoder::from_parts(description, blob)?))),
            Some(_) => Ok(Self::Tokens(Box::new(TokenEncoder::from_parts(description, blob)?))),
        }
    }
}
