//! Tokenizers: opened, learned, written, narrowed.

#![cfg(test)]

mod hostile;
mod learned;
mod opened;
mod python;

use nlpress_text::{Algorithm, TokenEncoder, TokenScratch, TokensConfig, TokensTable};
use serde_json::{Value, json};

/// A small WordPiece tokenizer, as BERT has it.
fn bert() -> Value {
    let words = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "##s", "was", "good", "un", "##good",
        ",", "é",
    ];
    let special = |id: usize| {
        json!({"id": id, "content": words[id], "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let piece = |id: &str, kind: u8| json!({"SpecialToken": {"id": id, "type_id": kind}});
    let text = |id: &str, kind: u8| json!({"Sequence": {"id": id, "type_id": kind}});
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": (0..5).map(special).collect::<Vec<_>>(),
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0)],
            "pair": [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0), text("B", 1), piece("[SEP]", 1)],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": words.iter().enumerate().map(|(id, word)| (word.to_string(), id.into())).collect::<serde_json::Map<_, Value>>(),
        },
    })
}

/// A small BPE tokenizer without steps or special tokens.
fn bpe() -> Value {
    json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "?", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {"?": 0, "a": 1, "b": 2, "c": 3, "ab": 4, "abc": 5},
            "merges": ["a b", "ab c"],
        },
    })
}

/// A small unigram tokenizer.
fn unigram() -> Value {
    json!({
        "version": "1.0",
        "normalizer": {"type": "NFKC"},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "post_processor": null,
        "model": {
            "type": "Unigram", "unk_id": 0, "byte_fallback": false,
            "vocab": [["<unk>", 0.0], ["▁", -2.0], ["a", -2.5], ["b", -2.75], ["ab", -3.0], ["▁ab", -3.1]],
        },
    })
}

fn opened(json: &Value) -> TokenEncoder {
    TokenEncoder::from_json("t.json", json.to_string().as_bytes(), 32).unwrap()
}

fn ids(encoder: &TokenEncoder, text: &str) -> Vec<u32> {
    encoder.encode(text, &mut TokenScratch::default()).unwrap().ids.to_vec()
}

/// The tokens of a text, by name.
fn named(encoder: &TokenEncoder, text: &str) -> Vec<String> {
    let tokens = encoder.tokens();
    ids(encoder, text).iter().map(|&id| tokens[id as usize].unwrap().to_owned()).collect()
}

fn learn(algorithm: Algorithm, vocabulary: usize, texts: &[&str]) -> TokenEncoder {
    let table =
        TokensTable { algorithm: Some(algorithm), vocabulary: Some(vocabulary), ..TokensTable::default() };
    TokenEncoder::fit(&TokensConfig::try_from(&table).unwrap(), texts.iter().copied()).unwrap()
}

const ALL: [Algorithm; 4] = [Algorithm::Wordpiece, Algorithm::Bpe, Algorithm::Unigram, Algorithm::Words];

/// A few hundred short texts of words that share stems.
fn corpus() -> Vec<String> {
    let stems = ["walk", "talk", "film", "good", "bad", "play", "slow", "fast", "wonder", "terrible"];
    let ends = ["", "s", "ed", "ing", "er", "ness"];
    let word = |n: usize| format!("{}{}", stems[n * 7 % 10], ends[n * n % 6]);
    (0..300).map(|n| format!("The {} was {}, and {}!", word(n), word(n * 3 + 1), word(n / 2))).collect()
}
