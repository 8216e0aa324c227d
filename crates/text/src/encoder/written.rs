//! The written form of an encoder: a description and the bytes of its vocabulary, plain or coded, whichever is shorter.
//!
//! Both forms have the words, for tf-idf their document frequencies, and the stop words if there are any. In the plain form
//! frequencies are the least of them and how far each is above it, as varints.

use serde::{Deserialize, Serialize};

use super::{BagEncoder, EncoderConfig, Weighting};
use crate::analyzer::{Analyzer, VERSION};
use crate::blob::{self, Reader};
use crate::coding::{self, Form};
use crate::error::TextError;
use crate::stop_words::StopWords;

/// What errors call the bytes.
const WHAT: &str = "vocabulary";

/// What the artifact says of an encoder beside the blob.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    /// Of the analysis; the same as in the configuration, where it is not written.
    version: u32,
    config: EncoderConfig,
    documents: u32,
    /// Of the vocabulary's bytes; plain where it is not written.
    #[serde(default, skip_serializing_if = "Form::is_plain")]
    form: Form,
    /// Whether stop words follow the vocabulary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    stop_words: bool,
}

impl BagEncoder {
    /// Its written form: a JSON description (a few settings) and the vocabulary as bytes.
    pub fn to_parts(&self) -> (serde_json::Value, Vec<u8>) {
        let config =
            EncoderConfig { version: VERSION, stop_words: StopWords::default(), ..self.config.clone() };
        let Self { documents, ref stop, .. } = *self;
        let version = self.config.version;
        let (form, blob) = self.blob();
        let description = Description { version, config, documents, form, stop_words: !stop.is_empty() };
        let json = serde_json::to_value(description).expect("a struct of plain fields is always JSON");
        (json, blob)
    }

    /// Reads the written form back.
    ///
    /// # Errors
    /// [`TextError::Description`], [`TextError::Setting`] or [`TextError::Blob`]: the parts may come from a
    /// stranger, and nothing in them is believed unchecked.
    pub fn from_parts(description: &serde_json::Value, blob: &[u8]) -> Result<Self, TextError> {
        let Description { version, mut config, documents, form, stop_words } =
            Description::deserialize(description)
                .map_err(|e| TextError::Description(nlpress_core::shown::message(e)))?;
        if !(1..=VERSION).contains(&version) {
            return Err(TextError::Description(format!(
                "version {version}, this build reads 1 to {VERSION}"
            )));
        }
        if config.version != VERSION || !config.stop_words.is_empty() {
            return Err(TextError::Description("version or stop_words in the configuration".into()));
        }
        config.version = version;
        config.check()?;
        let most = (config.weighting == Weighting::TfIdf).then_some(documents);
        let Read { words, frequencies, stop } = match form {
            Form::Plain => plain(blob, most, stop_words)?,
            Form::Coded => coded(blob, most, stop_words)?,
        };
        let fail = |problem| Err(TextError::Blob { what: WHAT, at: 0, problem });
        if config.hashed && !words.is_empty() {
            return fail(format!("{} words, but tokens are hashed", words.len()));
        }
        if !config.hashed && (words.is_empty() || words.len() > config.vocabulary) {
            return fail(format!("{} words, expected 1 to {}", words.len(), config.vocabulary));
        }
        if frequencies.contains(&0) {
            return fail("a word that no document has".into());
        }
        if stop_words {
            if stop.is_empty() || version == 1 || matches!(config.analyzer, Analyzer::Characters { .. }) {
                return fail("stop words where none can be".into());
            }
            config.stop_words = StopWords::Words(stop.iter().map(|w| w.to_string()).collect());
        }
        let stop = stop.into_iter().collect();
        Ok(Self::assemble(config, stop, documents, words, frequencies))
    }

    /// Bytes that the vocabulary takes in the artifact.
    pub fn vocabulary_bytes(&self) -> usize {
        self.blob().1.len()
    }

    /// The bytes of the vocabulary in the shorter of the two forms.
    fn blob(&self) -> (Form, Vec<u8>) {
        let words: Vec<&str> = self.words.iter().map(|w| &**w).collect();
        let mut stop: Vec<&str> = self.stop.iter().map(|w| &**w).collect();
        stop.sort_unstable();
        let mut plain = Vec::new();
        blob::push_words(&mut plain, words.iter().copied());
        if let Some(&least) = self.frequencies.iter().min() {
            blob::push_varint(&mut plain, least);
            self.frequencies.iter().for_each(|frequency| blob::push_varint(&mut plain, frequency - least));
        }
        let mut coded = coding::Writer::new(Vec::new(), words.len());
        coded.words(&words, &self.frequencies);
        if !stop.is_empty() {
            blob::push_words(&mut plain, stop.iter().copied());
            coded.words(&stop, &[]);
        }
        coding::shorter(plain, coded.finish())
    }
}

/// What the bytes of a vocabulary hold.
struct Read {
    words: Vec<Box<str>>,
    frequencies: Vec<u32>,
    stop: Vec<Box<str>>,
}

/// Reads the plain form, with frequencies up to `most` if it has any.
fn plain(blob: &[u8], most: Option<u32>, stop: bool) -> Result<Read, TextError> {
    let mut reader = Reader::new(WHAT, blob);
    let words = reader.words()?;
    let mut frequencies = Vec::new();
    if let Some(most) = most {
        let least = reader.varint(most)?;
        frequencies.reserve_exact(words.len());
        for _ in 0..words.len() {
            frequencies.push(least + reader.varint(most - least)?);
        }
    }
    let stop = if stop { reader.words()? } else { Vec::new() };
    reader.end()?;
    Ok(Read { words, frequencies, stop })
}

/// The same for the coded form.
fn coded(blob: &[u8], most: Option<u32>, stop: bool) -> Result<Read, TextError> {
    let mut reader = coding::Reader::new(&mut Reader::new(WHAT, blob))?;
    let words = reader.words()?;
    let frequencies = most.map(|most| reader.counts(&words, most)).transpose()?.unwrap_or_default();
    let stop = if stop { reader.words()?.words } else { Vec::new() };
    reader.end()?;
    Ok(Read { words: words.words, frequencies, stop })
}
