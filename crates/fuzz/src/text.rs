//! Corpora, tokenizers and vocabularies.

use nlpress_text::{
    BagEncoder, Column, Corpus, CorpusOptions, EncoderConfig, Format, Scoring, Source, TextEncoding, Texts,
};
use nlpress_text::{TokenEncoder, TokenScratch};
use serde_json::json;
use std::path::Path;

/// Texts that every tokenizer has to cope with.
const TEXTS: [&str; 6] =
    ["", "The films, ungood", "ab abc [CLS]", "é好🙂\u{0}\u{202e}", "aaaaaaaaaaaaaaaaaaaaaaaa", " \u{a0}\n"];

/// How the vocabulary of an encoder may lie in an artifact.
const FORMS: [&str; 2] = ["plain", "coded"];

/// One reader, by the name of its target.
pub type Body = fn(&[u8], &Path) -> bool;

/// Every body with its name.
pub const BODIES: &[(&str, Body)] = &[
    ("csv", csv),
    ("tsv", tsv),
    ("jsonl", jsonl),
    ("json", json),
    ("fasttext", fasttext),
    #[cfg(feature = "parquet")]
    ("parquet", parquet),
    ("encodings", encodings),
    ("tokenizer", tokenizer),
    ("token_parts", token_parts),
    ("bag_parts", bag_parts),
];

/// CSV with names in the first line, and without.
pub fn csv(bytes: &[u8], folder: &Path) -> bool {
    let named =
        corpus(bytes, folder, CorpusOptions { format: Some(Format::Csv), ..CorpusOptions::default() });
    let (text, label) = (Column::Index(0), Column::Index(1));
    let bare =
        CorpusOptions { format: Some(Format::Csv), header: false, text, label, ..CorpusOptions::default() };
    corpus(bytes, folder, bare) || named
}

/// TSV.
pub fn tsv(bytes: &[u8], folder: &Path) -> bool {
    corpus(bytes, folder, CorpusOptions { format: Some(Format::Tsv), ..CorpusOptions::default() })
}

/// JSON lines.
pub fn jsonl(bytes: &[u8], folder: &Path) -> bool {
    corpus(bytes, folder, CorpusOptions { format: Some(Format::Jsonl), ..CorpusOptions::default() })
}

/// One JSON document.
pub fn json(bytes: &[u8], folder: &Path) -> bool {
    corpus(bytes, folder, CorpusOptions { format: Some(Format::Json), ..CorpusOptions::default() })
}

/// Lines of fastText.
pub fn fasttext(bytes: &[u8], folder: &Path) -> bool {
    corpus(bytes, folder, CorpusOptions { format: Some(Format::FastText), ..CorpusOptions::default() })
}

/// Parquet.
#[cfg(feature = "parquet")]
pub fn parquet(bytes: &[u8], folder: &Path) -> bool {
    corpus(bytes, folder, CorpusOptions { format: Some(Format::Parquet), ..CorpusOptions::default() })
}

/// CSV in an encoding that the first byte names.
pub fn encodings(bytes: &[u8], folder: &Path) -> bool {
    const NAMES: [&str; 8] =
        ["utf-8", "utf-16le", "utf-16be", "windows-1252", "shift_jis", "gb18030", "iso-2022-jp", "euc-kr"];
    let Some((first, rest)) = bytes.split_first() else { return false };
    let encoding: Result<TextEncoding, _> = NAMES[usize::from(*first) % NAMES.len()].parse();
    let encoding = Some(encoding.expect("the list names encodings"));
    corpus(rest, folder, CorpusOptions { format: Some(Format::Csv), encoding, ..CorpusOptions::default() })
}

/// Reads bytes as a corpus, as documents to score and as texts to answer.
fn corpus(bytes: &[u8], folder: &Path, options: CorpusOptions) -> bool {
    let path = folder.join("input");
    std::fs::write(&path, bytes).expect("the folder can be written to");
    let options =
        CorpusOptions { max_line_bytes: 1 << 16, max_file_bytes: 1 << 20, skip_bad_rows: 2, ..options };
    let corpus = Corpus::read(&Source::One(path.clone().into()), &options);
    if let Ok(corpus) = &corpus {
        assert!(corpus.labels.len() > 1 && corpus.labels.windows(2).all(|pair| pair[0] < pair[1]));
        for (_, documents) in corpus.splits() {
            for document in documents {
                assert!(!document.text.trim().is_empty() && (document.label as usize) < corpus.labels.len());
            }
        }
        assert!(!corpus.train.is_empty() && corpus.sha256.len() == 64);
    }
    if let Ok(scoring) = Scoring::read(&path.clone().into(), &options) {
        assert!(!scoring.documents.is_empty() && scoring.documents.len() == scoring.places.len());
    }
    if let Ok(texts) = Texts::read(&path.into(), &options, None) {
        assert_eq!(texts.texts.len(), texts.places.len());
    }
    corpus.is_ok()
}

/// A `tokenizer.json`.
pub fn tokenizer(bytes: &[u8], _: &Path) -> bool {
    let Ok(encoder) = TokenEncoder::from_json("fuzz", bytes, 16) else { return false };
    encodes(&encoder);
    let (description, blob) = encoder.to_parts();
    let back = TokenEncoder::from_parts(&description, &blob).expect("what was written is read");
    assert_eq!(back.to_json(), encoder.to_json());
    true
}

/// The bytes of a tokenizer in an artifact.
pub fn token_parts(bytes: &[u8], _: &Path) -> bool {
    let read = |model: &str, form: &str| {
        let description = json!({"kind": "tokens", "version": 1, "model": model, "most": 16, "form": form});
        TokenEncoder::from_parts(&description, bytes).inspect(encodes).is_ok()
    };
    ["wordpiece", "bpe", "unigram", "words"]
        .map(|model| FORMS.map(|form| read(model, form)))
        .as_flattened()
        .contains(&true)
}

/// The bytes of a bag of words in an artifact.
pub fn bag_parts(bytes: &[u8], _: &Path) -> bool {
    let config = serde_json::to_value(EncoderConfig::default()).expect("plain settings");
    let read = |form| {
        let description = json!({"version": 2, "config": config, "documents": 40, "form": form});
        let Ok(encoder) = BagEncoder::from_parts(&description, bytes) else { return false };
        let rows = encoder.encode_all(&TEXTS);
        assert_eq!((rows.len(), rows.width()), (TEXTS.len(), encoder.width()));
        let (description, blob) = encoder.to_parts();
        let back = BagEncoder::from_parts(&description, &blob).expect("what was written is read");
        assert_eq!(back.words(), encoder.words());
        true
    };
    FORMS.map(read).contains(&true)
}

fn encodes(encoder: &TokenEncoder) {
    let mut scratch = TokenScratch::default();
    for text in TEXTS {
        if let Ok(row) = encoder.encode(text, &mut scratch) {
            assert!(row.ids.len() <= encoder.max_tokens());
            assert!(row.ids.iter().all(|&id| (id as usize) < encoder.width()));
            assert!(row.types.is_empty() || row.types.len() == row.ids.len());
        }
    }
}
