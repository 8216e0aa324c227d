//! A corpus that is compiled in: figures in place of sentences.
//!
//! Layout (all numbers varints, LEB128): magic `nlpressC`, one byte of version, SHA-256 of the rest; then the
//! labels and the vocabulary, both as sorted words coded by their shared prefixes; then train, valid and test,
//! each the number of documents and for each document its label, the number of its distinct words and for each
//! of them, ascending, `2 * step + many` where `step` counts the vocabulary words skipped since the one before
//! and `many` says that a count minus 2 follows (without it the count is 1). `docs/data.md` has the same in
//! more words.

use sha2::{Digest, Sha256};

use crate::analyzer::Analyzer;
use crate::blob::{self, Reader};
use crate::corpus::{Corpus, Document, texts};
use crate::encoder::{BagEncoder, EncoderConfig, Scratch, Weighting};
use crate::error::TextError;

const BYTES: &[u8] = include_bytes!("../data/embedded.bin");
const MAGIC: &[u8] = b"nlpressC";
const VERSION: u8 = 1;
/// Counts above are cut when writing, so that a few bytes can never ask for much text.
const MAX_COUNT: u32 = 255;

impl Corpus {
    /// The corpus that is compiled in: 10,000 movie-review snippets as word counts (see `docs/data.md`).
    ///
    /// Texts are pseudo-texts: every word of the vocabulary as often as the snippet has it, in byte order. They
    /// tokenise (words, any minimum length that the snippet's own words have) to the snippet's counts.
    ///
    /// # Errors
    /// [`TextError::Blob`] when the compiled-in bytes are damaged.
    pub fn embedded() -> Result<Self, TextError> {
        read("embedded", BYTES)
    }
}

/// Writes a corpus as figures: the `vocabulary` most frequent words of the training split, and for each
/// document how often it has each of them. Documents without any of the words are left out.
///
/// # Errors
/// What [`BagEncoder::fit`] refuses, and [`TextError::OneClass`] and the like when the documents left are no corpus.
pub fn embed(corpus: &Corpus, vocabulary: usize) -> Result<Vec<u8>, TextError> {
    let config = EncoderConfig {
        analyzer: Analyzer::default(),
        weighting: Weighting::Count,
        l2: false,
        vocabulary,
        // The corpus was made with it, and the same package must give the same bytes.
        version: 1,
        ..EncoderConfig::default()
    };
    let encoder = BagEncoder::fit(&config, texts(&corpus.train))?;
    let mut body = Vec::new();
    blob::push_words(&mut body, corpus.labels.iter().map(String::as_str));
    blob::push_words(&mut body, encoder.words().iter().map(|w| &**w));
    let mut scratch = Scratch::default();
    for (_, documents) in corpus.splits() {
        let mut split = Vec::new();
        let mut written = 0;
        for document in documents {
            let row = encoder.encode(&document.text, &mut scratch);
            if row.columns.is_empty() {
                continue;
            }
            written += 1;
            blob::push_varint(&mut split, document.label);
            blob::push_varint(&mut split, row.columns.len() as u32);
            let mut next = 0;
            for (&column, &count) in row.columns.iter().zip(row.values) {
                let count = (count as u32).min(MAX_COUNT);
                blob::push_varint(&mut split, (column - next) << 1 | u32::from(count > 1));
                if count > 1 {
                    blob::push_varint(&mut split, count - 2);
                }
                next = column + 1;
            }
        }
        blob::push_varint(&mut body, written);
        body.extend(split);
    }
    let mut out = [MAGIC, &[VERSION], &Sha256::digest(&body)].concat();
    out.extend(body);
    read("embedded", &out)?;
    Ok(out)
}

/// Reads what [`embed`] wrote.
fn read(name: &str, bytes: &[u8]) -> Result<Corpus, TextError> {
    let mut reader = Reader::new("embedded corpus", bytes);
    if reader.take(MAGIC.len())? != MAGIC {
        return reader.fail("the magic bytes are missing");
    }
    let version = reader.byte()?;
    if version != VERSION {
        return reader.fail(format!("version {version}, this build reads {VERSION}"));
    }
    let sum = reader.take(32)?;
    let mut rest = reader;
    if Sha256::digest(rest.take(reader.remaining())?)[..] != *sum {
        return reader.fail("the checksum does not fit the content");
    }
    let labels = reader.words()?;
    let words = reader.words()?;
    let mut splits: [Vec<(String, &str)>; 3] = Default::default();
    for split in &mut splits {
        let documents = reader.count(3)?;
        for _ in 0..documents {
            let Document { text, label, .. } = document(&mut reader, &labels, &words)?;
            split.push((text, &labels[label as usize]));
        }
    }
    reader.end()?;
    let [train, valid, test] = splits;
    Corpus::from_splits(name, &train, &valid, &test)
}

fn document(reader: &mut Reader<'_>, labels: &[Box<str>], words: &[Box<str>]) -> Result<Document, TextError> {
    let label = reader.varint(u32::MAX)?;
    if label as usize >= labels.len() {
        return reader.fail(format!("label {label} of {}", labels.len()));
    }
    let distinct = reader.count(1)?;
    let mut text = String::new();
    let mut next = 0usize;
    for _ in 0..distinct {
        let code = reader.varint(u32::MAX)?;
        let column = next + (code >> 1) as usize;
        let Some(word) = words.get(column) else {
            return reader.fail(format!("word {column} of {}", words.len()));
        };
        let count = if code & 1 == 1 { 2 + reader.varint(MAX_COUNT - 2)? } else { 1 };
        for _ in 0..count {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        next = column + 1;
    }
    Ok(Document { text, pair: None, label })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Corpus {
        let train = [("good good film", "pos"), ("bad film, isn't it", "neg"), ("zzz zzz", "neg")];
        Corpus::from_splits("small", &train, &[("!!!", "neg"), ("film", "pos")], &[("Bad", "neg")]).unwrap()
    }

    #[test]
    fn counts_come_back_as_text() {
        let back = read("small", &embed(&small(), 5).unwrap()).unwrap();
        assert_eq!(back.labels, ["neg", "pos"]);
        let all: Vec<&str> = texts(&back.train).collect();
        // zzz is word six; its document has no other.
        assert_eq!(all, ["film good good", "bad film isn't it"]);
        assert_eq!((back.valid.len(), back.test.len()), (1, 1));
        assert_eq!(back.train[0].label, 1);
    }

    #[test]
    fn damage_is_refused() {
        let bytes = embed(&small(), 5).unwrap();
        for n in 0..bytes.len() {
            assert!(read("small", &bytes[..n]).is_err(), "cut at {n}");
            let mut flipped = bytes.clone();
            flipped[n] ^= 1;
            assert!(read("small", &flipped).is_err(), "flipped at {n}");
        }
    }

    #[test]
    fn damage_under_a_fitting_checksum_never_panics() {
        let bytes = embed(&small(), 5).unwrap();
        for at in 41..bytes.len() {
            for value in 0..=255 {
                let mut forged = bytes.clone();
                forged[at] = value;
                let sum = Sha256::digest(&forged[41..]);
                forged[9..41].copy_from_slice(&sum);
                if let Ok(corpus) = read("small", &forged) {
                    assert!(corpus.train.iter().all(|d| !d.text.is_empty()));
                }
            }
        }
    }
}
