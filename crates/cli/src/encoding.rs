//! What encodes texts and the network on them, as the command line says it.

use nlpress::model::graph::Source;
use nlpress::model::{EncoderSpec, Graph, MlpSpec};
use nlpress::text::{Algorithm, EncoderConfig, EncoderTable, TokensTable, Weighting};
use std::path::Path;

use crate::arguments::{EncoderKind, Encoding};
use crate::outcome::refuse;
use crate::tokens;

/// Words of a bag where nothing is said.
const WORDS: usize = 1000;

/// What encodes texts, and the network; its inputs and outputs are those of the data.
pub(crate) fn read(encoding: &Encoding) -> anyhow::Result<(EncoderTable, Graph)> {
    let algorithm = match encoding.encoder {
        EncoderKind::Bag if encoding.tokenizer.is_none() => return bag(encoding),
        EncoderKind::Bag => None,
        EncoderKind::Wordpiece => Some(Algorithm::Wordpiece),
        EncoderKind::Bpe => Some(Algorithm::Bpe),
        EncoderKind::Unigram => Some(Algorithm::Unigram),
        EncoderKind::Words => Some(Algorithm::Words),
    };
    let flags = [("--sublinear", encoding.sublinear), ("--hashed", encoding.hashed)];
    let flag = flags.into_iter().find_map(|(name, given)| given.then_some(name));
    let of_bags = encoding.tokens.given().or(flag);
    if let Some(option) = of_bags {
        return Err(refuse(format!(
            "{option} is for a bag of words, not for tokens: leave it or --encoder out"
        )));
    }
    let table = TokensTable {
        file: encoding.tokenizer.clone(),
        algorithm,
        vocabulary: encoding.vocabulary,
        max_tokens: encoding.max_tokens,
        ..TokensTable::default()
    };
    let table = EncoderTable::Tokens(table).read(Path::new("")).map_err(refuse)?;
    Ok((table, on_tokens(encoding)?))
}

/// A bag of words and a perceptron.
fn bag(encoding: &Encoding) -> anyhow::Result<(EncoderTable, Graph)> {
    let of_tokens =
        [("--max-tokens", encoding.max_tokens.is_some()), ("--layers", encoding.layers.is_some())];
    if let Some((option, _)) = of_tokens.into_iter().find(|(_, given)| *given) {
        return Err(refuse(format!(
            "{option} is for tokens: give --encoder wordpiece, bpe, unigram or words, or --tokenizer FILE"
        )));
    }
    let mut config = EncoderConfig {
        vocabulary: encoding.vocabulary.unwrap_or(WORDS),
        sublinear: encoding.sublinear,
        hashed: encoding.hashed,
        weighting: if encoding.hashed { Weighting::Count } else { Weighting::TfIdf },
        ..EncoderConfig::default()
    };
    tokens::apply(&encoding.tokens, &mut config)?;
    let hidden = encoding.hidden.as_ref().map_or(&[128, 64][..], |widths| &widths.0);
    let mlp = MlpSpec::new(1, hidden, 1, encoding.dropout.unwrap_or(0.5));
    mlp.check().map_err(|e| refuse(format!("--hidden: {e}")))?;
    Ok((config.into(), mlp.into()))
}

/// A network on tokens, of which there is one until the data say how many there are.
fn on_tokens(encoding: &Encoding) -> anyhow::Result<Graph> {
    let Some(layers) = encoding.layers else {
        let hidden = encoding.hidden.as_ref().map_or(&[64][..], |widths| &widths.0);
        let source = Source::Tokens { vocabulary: 1, most: 1 };
        let graph = Graph::feed_forward(source, hidden, 1, encoding.dropout.unwrap_or(0.5));
        graph.check().map_err(|e| refuse(format!("--hidden: {e}")))?;
        return Ok(graph);
    };
    let spec = EncoderSpec {
        dropout: encoding.dropout.unwrap_or(0.1),
        ..EncoderSpec::new(encoding.width, layers, encoding.heads)
    };
    spec.check().map_err(|e| refuse(format!("the network of --layers, --width and --heads: {e}")))?;
    Ok(spec.into())
}
