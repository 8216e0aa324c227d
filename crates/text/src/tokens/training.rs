//! Learning a vocabulary from training texts.
//!
//! The same texts and settings give the same tokenizer, whatever the number of threads: words are counted in whole
//! numbers, ties are broken by the bytes of the tokens, and sums of fractions run in an order that is fixed.

use rustc_hash::FxHashSet;
use serde_json::{Value, json};

use super::config::{Algorithm, Learn};
use super::plain::Plain;
use super::{counting, merges, unigram};
use crate::analyzer::MAX_TOKEN_BYTES;
use crate::error::TextError;

/// The special tokens, with the ids 0 to 4.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
const UNKNOWN: u32 = 1;

/// What a vocabulary is besides its special tokens.
struct Learned {
    words: Vec<(String, f64)>,
    /// Pairs of tokens by their text.
    merges: Vec<[String; 2]>,
}

/// Learns a tokenizer.
pub(super) fn learn(how: &Learn, texts: &[&str]) -> Result<Plain, TextError> {
    let mut rest = rest(how);
    let cut = matches!(how.algorithm, Algorithm::Bpe | Algorithm::Unigram);
    let words = counting::words(&rest, texts, cut)?;
    let room = how.vocabulary - SPECIAL.len();
    let Learned { words: mut tokens, merges } = match how.algorithm {
        Algorithm::Wordpiece => {
            let learned = merges::learn(&words, room, how.min_count, "##", &[]);
            Learned { words: unscored(learned.tokens), merges: Vec::new() }
        }
        Algorithm::Bpe => {
            let learned = merges::learn(&words, room, how.min_count, "", &bytes());
            Learned { words: unscored(learned.tokens), merges: learned.merges }
        }
        Algorithm::Unigram => Learned { words: unigram::learn(&words, room), merges: Vec::new() },
        Algorithm::Words => {
            Learned { words: unscored(frequent(words, room, how.min_count)), merges: Vec::new() }
        }
    };
    tokens.retain(|(word, _)| !SPECIAL.contains(&word.as_str()) && word.len() <= MAX_TOKEN_BYTES);
    if tokens.is_empty() {
        let min_documents = u32::try_from(how.min_count).unwrap_or(u32::MAX);
        let hint = "; min_count may be too high";
        return Err(TextError::EmptyVocabulary { min_documents, documents: texts.len() as u32, hint });
    }
    tokens.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    // Special tokens first, then the others in byte order: ids that the written form need not name.
    let special = SPECIAL.iter().map(|word| ((*word).into(), 0.0));
    let mut entries: Vec<(Box<str>, f64, u32)> = special
        .chain(tokens.into_iter().map(|(word, score)| (word.into(), score)))
        .zip(0..)
        .map(|((word, score), id)| (word, score, id))
        .collect();
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let scores = match how.algorithm {
        Algorithm::Unigram => entries.iter().map(|(_, score, _)| *score).collect(),
        _ => Vec::new(),
    };
    if how.algorithm == Algorithm::Unigram {
        rest["model"]["unk_id"] = UNKNOWN.into();
    }
    let (ids, words) = entries.into_iter().map(|(word, _, id)| (id, word)).unzip();
    let problem = |problem| TextError::Tokenizer { file: "the learned vocabulary".into(), problem };
    let mut plain = Plain::of_parts(rest, words, ids, Vec::new(), scores).map_err(problem)?;
    let kept = |pair: &[String; 2]| {
        plain.id(&pair.concat())?;
        Some([plain.id(&pair[0])?, plain.id(&pair[1])?])
    };
    plain.merges = merges.iter().filter_map(kept).collect();
    Ok(plain)
}

fn unscored(tokens: Vec<String>) -> Vec<(String, f64)> {
    tokens.into_iter().map(|token| (token, 0.0)).collect()
}

/// The most frequent words; of equally frequent ones the first in byte order.
fn frequent(mut words: Vec<(String, u64)>, room: usize, min_count: u64) -> Vec<String> {
    words.retain(|(word, count)| *count >= min_count && word.len() <= MAX_TOKEN_BYTES);
    words.sort_by_key(|(_, count)| std::cmp::Reverse(*count)); // stable: they were in byte order
    words.truncate(room);
    words.into_iter().map(|(word, _)| word).collect()
}

/// Everything of a `tokenizer.json` but the vocabulary.
fn rest(how: &Learn) -> Value {
    let lower = |first: &str| match how.lowercase {
        true => json!({"type": "Sequence", "normalizers": [{"type": first}, {"type": "Lowercase"}]}),
        false => json!({"type": first}),
    };
    let (normalizer, pre_tokenizer, model) = match how.algorithm {
        Algorithm::Wordpiece | Algorithm::Words => {
            let normalizer = json!({
                "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": false,
                "lowercase": how.lowercase,
            });
            let model = match how.algorithm {
                Algorithm::Words => json!({"type": "WordLevel", "unk_token": SPECIAL[1]}),
                _ => json!({
                    "type": "WordPiece", "unk_token": SPECIAL[1], "continuing_subword_prefix": "##",
                    "max_input_chars_per_word": 100,
                }),
            };
            (normalizer, json!({"type": "BertPreTokenizer"}), model)
        }
        Algorithm::Bpe => {
            let pre_tokenizer = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
            // Every byte is a token, so nothing is unknown.
            let model = json!({
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            });
            (lower("NFC"), pre_tokenizer, model)
        }
        Algorithm::Unigram => {
            let pre_tokenizer =
                json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
            (lower("NFKC"), pre_tokenizer, json!({"type": "Unigram", "byte_fallback": false}))
        }
    };
    let flags = |id: usize, content: &str| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true,
        })
    };
    let special = |id: usize| json!({"id": SPECIAL[id], "ids": [id], "tokens": [SPECIAL[id]]});
    let piece = |id: usize, kind: u8| json!({"SpecialToken": {"id": SPECIAL[id], "type_id": kind}});
    let text = |id: &str, kind: u8| json!({"Sequence": {"id": id, "type_id": kind}});
    json!({
        "version": "1.0",
        "added_tokens": SPECIAL.iter().enumerate().map(|(id, word)| flags(id, word)).collect::<Vec<_>>(),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [piece(2, 0), text("A", 0), piece(3, 0)],
            "pair": [piece(2, 0), text("A", 0), piece(3, 0), text("B", 1), piece(3, 1)],
            "special_tokens": { "[CLS]": special(2), "[SEP]": special(3) },
        },
        "model": model,
    })
}

/// The characters that stand for the 256 bytes where BPE begins with bytes (GPT-2): a byte that prints stands for itself,
/// the others are numbered from U+0100 on.
fn bytes() -> Vec<char> {
    let prints = |byte: &u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let own: FxHashSet<u32> = (0..256).filter(prints).collect();
    let others = 256 - own.len() as u32;
    let codes = (0..256).filter(|byte| own.contains(byte)).chain((0..others).map(|n| 0x100 + n));
    codes.filter_map(char::from_u32).collect()
}
