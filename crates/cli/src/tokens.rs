//! How texts are cut into tokens, as the command line says it.

use nlpress::core::files;
use nlpress::text::{Analyzer, Boundaries, EncoderConfig, StopWords};
use std::path::Path;

use crate::arguments::{Tokens, WordEnds};
use crate::outcome::refuse;

/// Changes an encoder's settings by what was given; returns what that was, with the content of files in place of
/// their names, so that it can enter a hash.
pub(crate) fn apply(tokens: &Tokens, encoder: &mut EncoderConfig) -> anyhow::Result<Vec<String>> {
    let mut said = Vec::new();
    if let Some(text) = &tokens.ngrams {
        let [min, max] = range("--ngrams", text)?;
        let within_words = tokens.within_words;
        // What is for words says nothing of characters, also when a recipe gave it.
        *encoder = EncoderConfig {
            analyzer: Analyzer::Characters { min, max, within_words },
            symbols: false,
            word_ngrams: [1, 1],
            stop_words: StopWords::default(),
            ..encoder.clone()
        };
        said.push(format!("ngrams {text}{}", if within_words { " within words" } else { "" }));
    }
    if let Some(text) = &tokens.word_ngrams {
        encoder.word_ngrams = range("--word-ngrams", text)?;
        said.push(format!("word n-grams {text}"));
    }
    if tokens.symbols {
        encoder.symbols = true;
        said.push("symbols".into());
    }
    if let Some(file) = &tokens.stop_words {
        encoder.stop_words = StopWords::File(file.clone()).read(Path::new("")).map_err(refuse)?;
        let words = serde_json::to_vec(&encoder.stop_words)?;
        said.push(format!("stop words {}", files::sha256_hex(&words)));
    }
    if let Some(ends) = tokens.boundaries {
        let boundaries = match ends {
            WordEnds::Unicode => Boundaries::Unicode,
            WordEnds::Spaces => Boundaries::Spaces,
        };
        let min_length = match encoder.analyzer {
            Analyzer::Words { min_length, .. } => min_length,
            Analyzer::Characters { .. } => 1,
        };
        encoder.analyzer = Analyzer::Words { min_length, boundaries };
        said.push(format!("boundaries {ends:?}"));
    }
    encoder.check().map_err(refuse)?;
    Ok(said)
}

/// `1-2` as two numbers.
fn range(option: &str, text: &str) -> anyhow::Result<[usize; 2]> {
    let bad = || refuse(format!("{option} is {text:?}, but it must be two lengths such as 1-2"));
    let (min, max) = text.split_once('-').ok_or_else(bad)?;
    Ok([min.parse().map_err(|_| bad())?, max.parse().map_err(|_| bad())?])
}
