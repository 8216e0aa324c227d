//! An artifact carries an encoder of either kind.

#![cfg(test)]

mod common;

use nlpress_artifact::{Artifact, EncoderParts};
use nlpress_graph::Form;
use nlpress_text::{AnyEncoder, Encode, EncoderTable};
use serde_json::json;
use std::path::Path;

#[test]
fn an_encoder_of_either_kind_comes_back_from_an_artifact() {
    let texts = common::texts(40, 30, 12);
    for table in [json!({"vocabulary": 20}), json!({"kind": "tokens", "vocabulary": 60, "max_tokens": 9})] {
        let table: EncoderTable = serde_json::from_value(table).unwrap();
        let plan = (&table).try_into().unwrap();
        let encoder = AnyEncoder::fit(&plan, texts.iter().map(String::as_str)).unwrap();
        let (config, blob) = encoder.to_parts();
        let mut artifact = common::artifact(Form::Dense, 20, &[4], 2, 100);
        artifact.encoder = EncoderParts { config, blob };
        let back = Artifact::from_bytes(&artifact.to_bytes().unwrap(), "test").unwrap().encoder;
        let back = AnyEncoder::from_parts(&back.config, &back.blob).unwrap();
        assert_eq!(back.kind(), encoder.kind());
        assert_eq!(back.encode_all(&texts).unwrap(), encoder.encode_all(&texts).unwrap());
    }
}

#[test]
fn artifacts_of_earlier_versions_hold_bags_of_words() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = 0;
    for entry in std::fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "nlp") {
            let parts = Artifact::open(&path).unwrap().encoder;
            let encoder = AnyEncoder::from_parts(&parts.config, &parts.blob).unwrap();
            assert!(matches!(encoder, AnyEncoder::Bag(_)), "{}", path.display());
            // It may be written in another form now, which says the same.
            let (config, blob) = encoder.to_parts();
            assert!(blob.len() <= parts.blob.len(), "{}", path.display());
            let again = AnyEncoder::from_parts(&config, &blob).unwrap();
            assert_eq!(again.vocabulary(), encoder.vocabulary(), "{}", path.display());
            assert_eq!(
                again.encode_all(&["worda wordbb wordaa"]).unwrap(),
                encoder.encode_all(&["worda wordbb wordaa"]).unwrap()
            );
            seen += 1;
        }
    }
    assert!(seen > 0);
}
