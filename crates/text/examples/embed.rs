//! Rebuilds the embedded corpus: `embed IN.tsv OUT.bin [VOCABULARY]`.
//!
//! IN.tsv has a header with the columns `text` and `label`; it is split 70/10/20 by the hash of each text, as this
//! corpus always was (version 1 of the split rule; see `docs/data.md`).

use nlpress_text::{Corpus, CorpusOptions, Scoring, embed};
use sha2::{Digest, Sha256};
use std::error::Error;
use std::path::Path;

const VOCABULARY: usize = 5000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (input, output, vocabulary) = match &arguments[..] {
        [input, output] => (input, output, VOCABULARY),
        [input, output, vocabulary] => (input, output, vocabulary.parse()?),
        _ => return Err("usage: embed IN.tsv OUT.bin [VOCABULARY]".into()),
    };
    let read = Scoring::read(&input.as_str().into(), &CorpusOptions::default())?;
    let mut splits = [Vec::new(), Vec::new(), Vec::new()];
    for document in &read.documents {
        let split = match bucket(&document.text) {
            0..70 => 0,
            70..80 => 1,
            _ => 2,
        };
        splits[split].push((document.text.as_str(), read.labels[document.label as usize].as_str()));
    }
    let [train, valid, test] = &splits;
    let corpus = Corpus::from_splits(&read.name, train, valid, test)?;
    nlpress_core::files::write_atomically(Path::new(output), &embed(&corpus, vocabulary)?)?;
    Ok(())
}

/// The first 8 bytes of SHA-256 of the text with its ends trimmed, as a big-endian number, modulo 100.
fn bucket(text: &str) -> u64 {
    let digest = Sha256::digest(text.trim().as_bytes());
    digest[..8].iter().fold(0, |n, &b| (n << 8) | u64::from(b)) % 100
}
