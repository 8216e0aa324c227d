//! Files from strangers: an error that says what is wrong, never a panic.

use super::{bert, bpe, unigram};
use nlpress_text::{TextError, TokenEncoder, TokenScratch};
use serde_json::{Value, json};

fn refused(json: &Value) -> String {
    match TokenEncoder::from_json("t.json", json.to_string().as_bytes(), 32) {
        Err(error @ TextError::Tokenizer { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_that_contradict_themselves_are_refused() {
    type Case = (Value, &'static str, Value, &'static str);
    let template = |piece: Value| json!([piece, {"Sequence": {"id": "A", "type_id": 0}}]);
    let cases: Vec<Case> = vec![
        (bert(), "/version", json!("2.0"), "Unknown tokenizer version"),
        (bert(), "/model", json!(7), "`model` is missing"),
        (bert(), "/model/type", json!("Best"), "`model.type` is \"Best\""),
        (bert(), "/model/type", json!(null), "`model.type` is missing"),
        (bert(), "/model/vocab", json!([]), "`model.vocab` is not an object"),
        (bert(), "/model/vocab", json!({}), "`model.unk_token` is \"[UNK]\", which is no token"),
        (bert(), "/model/unk_token", json!("none"), "`model.unk_token` is \"none\""),
        (bert(), "/model/unk_token", json!(null), "`model.unk_token` is missing"),
        (bert(), "/model/vocab/film", json!(-1), "the id of \"film\" is -1"),
        (bert(), "/model/vocab/film", json!(1u64 << 32), "the id of \"film\" is 4294967296"),
        (
            bert(),
            "/model/vocab/film",
            json!(4_000_000_000u32),
            "an id is 4000000000: with 14 tokens they must be below 28",
        ),
        (bert(), "/model/vocab/film", json!(5), "two tokens have the id 5"),
        (
            bert(),
            "/model/vocab/[SEP]",
            json!(20),
            "the added token \"[SEP]\" has id 3, but 20 in the vocabulary",
        ),
        (bert(), "/model/max_input_chars_per_word", json!(1_000_000), "whole number up to 1000"),
        (bert(), "/model/continuing_subword_prefix", json!("#".repeat(99)), "at most 16 bytes"),
        (bert(), "/added_tokens/1/content", json!(""), "added token 1 has 0 bytes"),
        (bert(), "/added_tokens/1/content", json!("[CLS]"), "the added token \"[CLS]\" has id 1, but 2 in"),
        (bert(), "/added_tokens/1/id", json!("x"), "added token 1 has no id"),
        (
            bert(),
            "/added_tokens",
            json!([{"id": 20, "content": "new", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": false}]),
            "\"new\" has id 20, and would be read as 14",
        ),
        (
            bert(),
            "/post_processor/special_tokens",
            json!({}),
            "`post_processor` does not say what \"[CLS]\" is",
        ),
        (
            bert(),
            "/post_processor/special_tokens/[CLS]/ids",
            json!([99]),
            "adds the token 99, which is not there",
        ),
        (
            bert(),
            "/post_processor/special_tokens/[CLS]/ids",
            json!(vec![2; 99]),
            "100 special tokens around a text",
        ),
        (bert(), "/post_processor/single", json!([]), "must have the text once"),
        (
            bert(),
            "/post_processor/single",
            template(json!({"Sequence": {"id": "A", "type_id": 0}})),
            "the text once",
        ),
        (bert(), "/post_processor/single", template(json!({"Other": 1})), "a piece of no kind"),
        (
            bert(),
            "/post_processor/single/0/SpecialToken/type_id",
            json!(300),
            "the type 300: must be 0 to 255",
        ),
        (bert(), "/post_processor/single/1/Sequence/id", json!("B"), "a second text"),
        (bert(), "/post_processor/type", json!("Magic"), "`post_processor` is \"Magic\""),
        (
            bert(),
            "/normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "/////wAAAAA="}),
            "claims a trie of",
        ),
        (
            bert(),
            "/normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "??"}),
            "is not base64",
        ),
        (bert(), "/normalizer", json!({"type": "Magic"}), "`normalizer`: there is no step \"Magic\""),
        (bert(), "/pre_tokenizer", json!({"type": "NFC"}), "`pre_tokenizer`: there is no step \"NFC\""),
        (bert(), "/normalizer", json!({"type": "Replace", "pattern": {"Regex": "(a"}, "content": ""}), ""),
        (
            bert(),
            "/normalizer",
            json!({"type": "Prepend", "prepend": "x".repeat(5000)}),
            "4096 times as long",
        ),
        (bert(), "/pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "pieces of length 0"),
        (bpe(), "/model/dropout", json!(0.5), "`model.dropout` is 0.5"),
        (bpe(), "/model/merges", json!(null), "`model.merges` is not a list"),
        (bpe(), "/model/merges", json!(["a"]), "merge 0 is no pair"),
        (bpe(), "/model/merges", json!(["a b", "a b c"]), "merge 1 is no pair"),
        (bpe(), "/model/merges", json!(["a z"]), "merge 0: \"z\" is no token"),
        (bpe(), "/model/merges", json!(["b c"]), "makes no token"),
        (bpe(), "/model/continuing_subword_prefix", json!("é"), "does not begin with \"é\""),
        (bpe(), "/model/unk_token", json!("!"), "`model.unk_token` is \"!\""),
        (unigram(), "/model/unk_id", json!(6), "`model.unk_id` is no place"),
        (unigram(), "/model/unk_id", json!(null), "`model.unk_id` is no place"),
        (unigram(), "/model/vocab", json!([["a", 0.0], ["a", 0.0]]), "the token \"a\" is there twice"),
        (unigram(), "/model/vocab", json!([["", 0.0]]), "a token of 0 bytes"),
        (unigram(), "/model/vocab", json!([["a"]]), "entry 0 of `model.vocab` is no token with a score"),
        (unigram(), "/model/vocab", json!([["a", "b"]]), "the score of \"a\" is no number"),
        (unigram(), "/model/vocab", json!({}), "`model.vocab` is not a list"),
    ];
    for (mut json, place, value, want) in cases {
        *json.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = value.clone();
        let said = refused(&json);
        assert!(
            said.starts_with("t.json: bad tokenizer: ") && said.contains(want),
            "{place} {value}: {said}"
        );
    }
    assert!(refused(&json!([])).contains("not a JSON object"));
}

#[test]
fn a_text_at_which_the_crate_panics_is_an_error() {
    // A trie of one unit, which every look-up leaves.
    let mut json = bert();
    json["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAAAEAAA="});
    let encoder = super::opened(&json);
    let error = encoder.encode("good", &mut TokenScratch::default()).unwrap_err().to_string();
    assert!(error.contains("the tokenizer fails at it"), "{error}");
}

#[test]
fn parts_from_strangers_are_errors_wherever_they_are_damaged() {
    for json in [bert(), bpe(), unigram()] {
        let (description, blob) = super::opened(&json).to_parts();
        for at in 0..blob.len() {
            assert!(TokenEncoder::from_parts(&description, &blob[..at]).is_err(), "cut at {at}");
            let mut damaged = blob.clone();
            for bit in [0, 3, 7] {
                damaged[at] = blob[at] ^ 1 << bit;
                if let Ok(encoder) = TokenEncoder::from_parts(&description, &damaged) {
                    let _ = encoder.encode("the films, ab", &mut TokenScratch::default());
                }
            }
        }
        for (key, value) in
            [("version", json!(2)), ("kind", json!("x")), ("model", json!("bag")), ("more", json!(1))]
        {
            let mut other = description.clone();
            other[key] = value;
            let error = TokenEncoder::from_parts(&other, &blob).unwrap_err();
            assert!(matches!(error, TextError::Description(_)), "{error}");
        }
    }
}
