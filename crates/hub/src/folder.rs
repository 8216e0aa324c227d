//! A folder with a pretrained encoder, open to be read.

use nlpress_graph::Pooling;
use nlpress_text::TokenEncoder;
use std::path::{Path, PathBuf};

use crate::HubError;
use crate::family::{FAMILIES, Family, First};
use crate::json::Object;
use crate::sentence::Sentence;
use crate::tokenizer::{self, Texts};
use crate::weights::Weights;

/// The configuration of an encoder.
pub(crate) const CONFIG: &str = "config.json";

/// A folder as `transformers` and `sentence-transformers` write it: `config.json`, `model.safetensors` in one piece or
/// several, `tokenizer.json` (or the `vocab.txt` of BERT), perhaps `modules.json`.
///
/// Opening reads the configuration and the headers; numbers are read when they are asked for.
#[derive(Debug)]
pub struct Folder {
    /// Where the encoder is: the folder itself, or that of the first module.
    pub(crate) path: PathBuf,
    pub(crate) config: Object,
    pub(crate) family: &'static Family,
    pub(crate) weights: Weights,
    pub(crate) sentence: Option<Sentence>,
    pub(crate) texts: Texts,
}

impl Folder {
    /// Opens a folder.
    ///
    /// # Errors
    /// [`HubError`] naming the file, and the key or the tensor: for files that are missing, damaged or too large, kinds of
    /// models that are not known, weights as pickles, and modules of sentence-transformers other than the mean of tokens
    /// or the first one, perhaps made of length 1.
    pub fn open(path: &Path) -> Result<Self, HubError> {
        if !path.is_dir() {
            return Err(HubError::missing(
                path,
                "it is no folder; one with config.json and model.safetensors is expected",
            ));
        }
        let (sentence, encoder) = match Sentence::read(path)? {
            Some((sentence, encoder)) => (Some(sentence), encoder),
            None => (None, path.to_owned()),
        };
        let config = Object::read(encoder.join(CONFIG))?
            .ok_or_else(|| HubError::missing(&encoder, "it has no config.json"))?;
        let family = family(&config)?;
        for (key, value) in family.only() {
            config.only(key, &value)?;
        }
        config.only(family.keys.activation, &"gelu".into())?;
        let weights = Weights::open(&encoder)?;
        let texts = Texts::of(&encoder)?;
        Ok(Self { path: encoder, config, family, weights, sentence, texts })
    }

    /// The files that it is read from, as far as they are there.
    pub fn files(&self) -> Vec<PathBuf> {
        let beside = [CONFIG, tokenizer::FILE, "tokenizer_config.json", "vocab.txt", "modules.json"];
        let beside = beside.map(|name| self.path.join(name)).into_iter().filter(|file| file.exists());
        self.weights.files().map(Path::to_owned).chain(beside).collect()
    }

    /// What the configuration calls its kind of model, for example `bert`.
    pub fn model_type(&self) -> &'static str {
        self.family.model_type
    }

    /// How its tokens become one vector, where sentence-transformers says so.
    pub fn pooling(&self) -> Option<Pooling> {
        self.sentence.map(|sentence| sentence.pooling)
    }

    /// The rows of the table of positions that are never used; none where there is no table.
    pub(crate) fn first_position(&self) -> Result<Option<usize>, HubError> {
        Ok(match self.family.first {
            First::Row(row) => Some(row),
            First::BehindPadding => Some(self.config.size("pad_token_id")?.unwrap_or(1).saturating_add(1)),
            First::NoTable => None,
        })
    }

    /// Its tokenizer, for rows of up to `most` tokens.
    ///
    /// # Errors
    /// [`HubError`] where there is none, or [`TokenEncoder`] refuses it.
    pub fn tokenizer(&self, most: usize) -> Result<TokenEncoder, HubError> {
        let encoder = tokenizer::open(&self.path, most)?;
        if self.texts.lowered && !tokenizer::lowers(&encoder) {
            let file = self.path.join(tokenizer::OF_SENTENCES);
            return Err(HubError::key(&file, "do_lower_case", "is true, but the tokenizer keeps upper case"));
        }
        Ok(encoder)
    }

    /// What the encoder's tensors begin with in these files.
    pub(crate) fn prefix(&self) -> &'static str {
        let word = self.family.name("embeddings.word_embeddings", self.family.prefix);
        if self.weights.has(&format!("{word}.weight")) { self.family.prefix } else { "" }
    }
}

fn family(config: &Object) -> Result<&'static Family, HubError> {
    let kind = config.text("model_type")?.ok_or_else(|| config.bad("model_type", "is missing"))?;
    Family::of(kind).ok_or_else(|| {
        let known: Vec<&str> = FAMILIES.iter().map(|family| family.model_type).collect();
        let shown = nlpress_core::shown::shown(kind);
        config.bad("model_type", format!("is \"{shown}\"; known are {}", known.join(", ")))
    })
}
