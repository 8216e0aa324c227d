//! The written form of an encoder: a description and the bytes of its vocabulary.

use serde::{Deserialize, Serialize};

use super::{BagEncoder, EncoderConfig, Weighting};
use crate::analyzer::{Analyzer, StopSet, VERSION};
use crate::blob::{self, Reader};
use crate::error::TextError;
use crate::stop_words::StopWords;

/// What the artifact says of an encoder beside the blob.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    /// Of the analysis; the same as in the configuration, where it is not written.
    version: u32,
    config: EncoderConfig,
    documents: u32,
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
        let description = Description { version, config, documents, stop_words: !stop.is_empty() };
        let json = serde_json::to_value(description).expect("a struct of plain fields is always JSON");
        (json, self.blob())
    }

    /// Reads the written form back.
    ///
    /// # Errors
    /// [`TextError::Description`], [`TextError::Setting`] or [`TextError::Blob`]: the parts may come from a
    /// stranger, and nothing in them is believed unchecked.
    pub fn from_parts(description: &serde_json::Value, blob: &[u8]) -> Result<Self, TextError> {
        let Description { version, mut config, documents, stop_words } =
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
        let mut reader = Reader::new("vocabulary", blob);
        let words = reader.words()?;
        if words.is_empty() || words.len() > config.vocabulary {
            return reader.fail(format!("{} words, expected 1 to {}", words.len(), config.vocabulary));
        }
        let mut frequencies = Vec::new();
        if config.weighting == Weighting::TfIdf {
            let least = reader.varint(documents)?;
            if least == 0 {
                return reader.fail("a word that no document has");
            }
            frequencies.reserve_exact(words.len());
            for _ in 0..words.len() {
                frequencies.push(least + reader.varint(documents - least)?);
            }
        }
        let mut stop = StopSet::default();
        if stop_words {
            let words = reader.words()?;
            if words.is_empty() || version == 1 || matches!(config.analyzer, Analyzer::Characters { .. }) {
                return reader.fail("stop words where none can be");
            }
            config.stop_words = StopWords::Words(words.iter().map(|w| w.to_string()).collect());
            stop = words.into_iter().collect();
        }
        reader.end()?;
        Ok(Self::assemble(config, stop, documents, words, frequencies))
    }

    /// Bytes that the vocabulary takes in the artifact.
    pub fn vocabulary_bytes(&self) -> usize {
        self.blob().len()
    }

    fn blob(&self) -> Vec<u8> {
        let mut out = Vec::new();
        blob::push_words(&mut out, self.words.iter().map(|w| &**w));
        if let Some(&least) = self.frequencies.iter().min() {
            blob::push_varint(&mut out, least);
            for frequency in &self.frequencies {
                blob::push_varint(&mut out, frequency - least);
            }
        }
        if !self.stop.is_empty() {
            let mut stop: Vec<&str> = self.stop.iter().map(|w| &**w).collect();
            stop.sort_unstable();
            blob::push_words(&mut out, stop.into_iter());
        }
        out
    }
}
