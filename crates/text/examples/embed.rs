//! Rebuilds the embedded corpus: `embed IN.tsv OUT.bin [VOCABULARY]`.
//!
//! IN.tsv has a header with the columns `text` and `label`; it is split by the hash rule 70/10/20.

use nlpress_text::{Corpus, CorpusOptions, Source, SplitRule, embed};
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
    let split = SplitRule { train: 70, valid: 10, test: 20 };
    let corpus =
        Corpus::read(&Source::One(input.into()), &CorpusOptions { split, ..CorpusOptions::default() })?;
    nlpress_core::files::write_atomically(Path::new(output), &embed(&corpus, vocabulary)?)?;
    Ok(())
}
