//! The tokenizer of a folder.

use nlpress_text::TokenEncoder;
use serde_json::{Map, Value, json};
use std::path::Path;

use crate::HubError;
use crate::json::{self, Object};

/// The tokenizer, whole.
pub(crate) const FILE: &str = "tokenizer.json";
/// What says how one is meant to be used.
const CONFIG: &str = "tokenizer_config.json";
/// What sentence-transformers says of the texts of a model.
pub(crate) const OF_SENTENCES: &str = "sentence_bert_config.json";
/// The vocabulary of WordPiece, a token a line.
const VOCABULARY: &str = "vocab.txt";
/// Largest file of a tokenizer.
const LARGEST: u64 = 1 << 28;
/// Lengths from which on a tokenizer means none: `transformers` writes 10^30.
const ENDLESS: f64 = 1e9;

/// The longest text that the tokenizer is meant for, in tokens; none where it is not said.
fn longest(folder: &Path) -> Result<Option<Most>, HubError> {
    let Some(config) = Object::read(folder.join(CONFIG))? else { return Ok(None) };
    let key = "model_max_length";
    let most = config.number(key)?.filter(|n| *n >= 1.0 && *n < ENDLESS);
    Ok(most.map(|tokens| Most { tokens: tokens as usize, file: CONFIG, key }))
}

/// Opens the tokenizer of a folder, for rows of up to `most` tokens.
pub(crate) fn open(folder: &Path, most: usize) -> Result<TokenEncoder, HubError> {
    let file = folder.join(FILE);
    if file.exists() {
        let encoder = TokenEncoder::open(&file, most)?;
        check_normalizer(folder, &encoder)?;
        return Ok(encoder);
    }
    let vocabulary = folder.join(VOCABULARY);
    let Some(words) = json::bytes(&vocabulary, LARGEST)? else {
        let advice = "it has no tokenizer.json (and no vocab.txt of BERT); \
                      `AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)` writes one";
        return Err(HubError::missing(folder, advice));
    };
    let words = String::from_utf8(words).map_err(|e| HubError::file(&vocabulary, e))?;
    let config = Object::read(folder.join(CONFIG))?;
    let json = wordpiece(&vocabulary, &words, config.as_ref())?;
    let bytes = serde_json::to_vec(&json).map_err(|e| HubError::file(&vocabulary, e))?;
    Ok(TokenEncoder::from_json(&vocabulary.display().to_string(), &bytes, most)?)
}

/// Refuses keys of `tokenizer_config.json` by which a tokenizer of BERT normalizes otherwise than its `tokenizer.json` says:
/// `transformers` follows the keys.
fn check_normalizer(folder: &Path, encoder: &TokenEncoder) -> Result<(), HubError> {
    let Some(config) = Object::read(folder.join(CONFIG))? else { return Ok(()) };
    let normalizer = &encoder.to_json()["normalizer"];
    let of_bert = config.text("tokenizer_class")?.is_some_and(|class| class != "PreTrainedTokenizerFast");
    if !of_bert || normalizer["type"] != "BertNormalizer" {
        return Ok(());
    }
    let keys = [
        ("do_lower_case", "lowercase"),
        ("strip_accents", "strip_accents"),
        ("tokenize_chinese_chars", "handle_chinese_chars"),
    ];
    for (key, ours) in keys {
        match config.flag(key)? {
            Some(value) if normalizer[ours] != value => {
                let why = format!("is {value}, but {FILE} has {ours} {}", normalizer[ours]);
                return Err(config.bad(key, why));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The tokenizer of BERT from its list of tokens.
fn wordpiece(file: &Path, words: &str, config: Option<&Object>) -> Result<Value, HubError> {
    let flag = |key: &str| config.map_or(Ok(None), |config| config.flag(key));
    let token = |key: &str, usual: &'static str| {
        let written = config.and_then(|config| config.get(key));
        let content = written.and_then(|w| w.as_str().or_else(|| w.get("content").and_then(Value::as_str)));
        content.unwrap_or(usual).to_owned()
    };
    let lowercase = flag("do_lower_case")?.unwrap_or(true);
    let mut vocabulary = Map::new();
    for (id, word) in words.lines().enumerate() {
        vocabulary.insert(word.to_owned(), id.into());
    }
    let [unknown, class, separator, padding, mask] = [
        ("unk_token", "[UNK]"),
        ("cls_token", "[CLS]"),
        ("sep_token", "[SEP]"),
        ("pad_token", "[PAD]"),
        ("mask_token", "[MASK]"),
    ]
    .map(|(key, usual)| token(key, usual));
    let id = |token: &str| {
        let missing = || HubError::file(file, format!("the special token {token:?} is not in it"));
        vocabulary.get(token).and_then(Value::as_u64).ok_or_else(missing)
    };
    let (first, last) = (id(&class)?, id(&separator)?);
    id(&unknown)?;
    let special = [&padding, &unknown, &class, &separator, &mask];
    let mut added: Vec<(u64, &String)> = Vec::new();
    for token in special {
        if let Some(id) = vocabulary.get(token).and_then(Value::as_u64) {
            added.push((id, token));
        }
    }
    added.sort_unstable();
    added.dedup();
    let added: Vec<Value> = added
        .into_iter()
        .map(|(id, content)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false, "special": true})
        })
        .collect();
    Ok(json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": flag("tokenize_chinese_chars")?.unwrap_or(true),
            "strip_accents": flag("strip_accents")?, "lowercase": lowercase},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": [separator, last], "cls": [class, first]},
        "model": {"type": "WordPiece", "unk_token": unknown, "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary}
    }))
}

/// Whether a tokenizer turns upper case into lower case, as far as can be told from its normalizer.
pub(crate) fn lowers(encoder: &TokenEncoder) -> bool {
    fn any(value: &Value) -> bool {
        match value {
            Value::Object(map) => {
                map.get("type").is_some_and(|kind| kind == "Lowercase")
                    || map.get("lowercase") == Some(&Value::Bool(true))
                    || map.values().any(any)
            }
            Value::Array(list) => list.iter().any(any),
            _ => false,
        }
    }
    any(&encoder.to_json()["normalizer"])
}

/// What the files of a folder say of its texts.
#[derive(Clone, Debug)]
pub(crate) struct Texts {
    /// The most tokens; none where nothing is said.
    pub(crate) most: Option<Most>,
    /// Whether upper case becomes lower case before the tokenizer sees it.
    pub(crate) lowered: bool,
}

/// The most tokens of a text, and where that is said.
#[derive(Clone, Debug)]
pub(crate) struct Most {
    pub(crate) tokens: usize,
    pub(crate) file: &'static str,
    pub(crate) key: &'static str,
}

impl Texts {
    /// Reads what sentence-transformers says, and then what the tokenizer does.
    pub(crate) fn of(folder: &Path) -> Result<Self, HubError> {
        let of_tokenizer = longest(folder)?;
        let (file, key) = (OF_SENTENCES, "max_seq_length");
        let Some(config) = Object::read(folder.join(file))? else {
            return Ok(Self { most: of_tokenizer, lowered: false });
        };
        let most = config.size(key)?.map(|tokens| Most { tokens, file, key }).or(of_tokenizer);
        Ok(Self { most, lowered: config.flag("do_lower_case")?.unwrap_or(false) })
    }
}

/// As [`json::bytes`], of the tokenizer.
pub(crate) fn bytes(folder: &Path) -> Result<Option<Vec<u8>>, HubError> {
    json::bytes(&folder.join(FILE), LARGEST)
}
