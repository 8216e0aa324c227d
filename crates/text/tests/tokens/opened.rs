//! Tokenizers that others made.

use super::{bert, bpe, ids, named, opened, unigram};
use nlpress_text::{AnyEncoder, Encode, EncoderTable, Example, TextError, TokenEncoder, TokenScratch};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn a_text_becomes_pieces_between_special_tokens() {
    let encoder = opened(&bert());
    assert_eq!(ids(&encoder, "The FILMS, ungood"), [2, 5, 6, 7, 12, 10, 11, 3]);
    assert_eq!(named(&encoder, "the zzz"), ["[CLS]", "the", "[UNK]", "[SEP]"]);
    assert_eq!(ids(&encoder, ""), [2, 3]);
    assert_eq!(named(&encoder, "good[MASK]"), ["[CLS]", "good", "[MASK]", "[SEP]"]);
    assert_eq!(encoder.id("[SEP]"), Some(3));
    assert_eq!((encoder.width(), encoder.unknown(), encoder.typed()), (14, Some(1), false));
}

/// What the crate `tokenizers` makes of a file, neither cut (but after 32 tokens) nor padded.
fn theirs(json: &Value) -> tokenizers::Tokenizer {
    let mut plain = json.clone();
    plain["truncation"]["max_length"] = json!(32);
    plain["truncation"]["direction"] = json!("Right");
    plain["truncation"]["strategy"] = json!("LongestFirst");
    plain["truncation"]["stride"] = json!(0);
    plain["padding"] = json!(null);
    plain.to_string().parse().unwrap()
}

#[test]
fn the_same_ids_as_those_of_the_crate_with_everything_on() {
    for json in [bert(), bpe(), unigram()] {
        let theirs = theirs(&json);
        let ours = opened(&json);
        for text in [
            "The films was good",
            "ab abc cab  aab",
            "ungood, é é",
            "[CLS] x [SEP]",
            "\u{0}\u{fffd}",
            "好",
            "ａｂ",
        ] {
            let theirs = theirs.encode(text, true).unwrap();
            assert_eq!(ids(&ours, text), theirs.get_ids(), "{text:?}");
        }
    }
}

#[test]
fn a_long_text_is_cut_before_the_closing_token() {
    let encoder = TokenEncoder::from_json("t", bert().to_string().as_bytes(), 5).unwrap();
    let mut scratch = TokenScratch::default();
    for (text, cut, tokens) in
        [("the film was", false, 3), ("the film was good", true, 3), ("the films films", true, 3)]
    {
        let row = encoder.encode(text, &mut scratch).unwrap();
        assert_eq!((row.ids.first(), row.ids.last(), row.ids.len()), (Some(&2), Some(&3), 5), "{text}");
        let seen = scratch.seen();
        assert_eq!((seen.cut, seen.tokens, seen.known), (cut, tokens, 3), "{text}");
    }
    let error =
        |most| TokenEncoder::from_json("t", bert().to_string().as_bytes(), most).unwrap_err().to_string();
    assert_eq!(error(2), "max_tokens = 2: must lie between 3 and 65536 tokens");
    assert!(error(1 << 17).contains("between 3 and 65536"));
    // Without special tokens a full row is not a cut one.
    let encoder = TokenEncoder::from_json("t", bpe().to_string().as_bytes(), 2).unwrap();
    for (text, cut) in [("a b", false), ("a b c", true), ("abc", false)] {
        encoder.encode(text, &mut scratch).unwrap();
        assert_eq!(scratch.seen().cut, cut, "{text}");
    }
}

#[test]
fn types_are_those_of_the_template() {
    let mut json = bert();
    json["post_processor"]["single"][1]["Sequence"]["type_id"] = json!(1);
    json["post_processor"]["single"][2]["SpecialToken"]["type_id"] = json!(2);
    let encoder = opened(&json);
    let (rows, _) = encoder.encode_all(&["the film", "", "good"]).unwrap();
    assert_eq!(rows.types(), [0, 1, 1, 2, 0, 2, 0, 1, 2]);
    assert_eq!(rows.row(2).types, [0, 1, 2]);
    assert!(encoder.typed());
}

#[test]
fn other_post_processors_frame_a_text_too() {
    let mut json = bert();
    json["post_processor"] = json!({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]});
    assert_eq!(ids(&opened(&json), "good"), [2, 9, 3]);
    let roberta = json!({"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2], "trim_offsets": true,
        "add_prefix_space": false});
    json["post_processor"] = json!({"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true}, roberta]});
    assert_eq!(ids(&opened(&json), "good"), [2, 9, 3]);
}

#[test]
fn the_json_that_it_gives_is_the_same_tokenizer() {
    for json in [bert(), bpe(), unigram()] {
        let encoder = opened(&json);
        let again = opened(&encoder.to_json());
        assert_eq!(again.to_parts(), encoder.to_parts());
        let (description, blob) = encoder.to_parts();
        let read = TokenEncoder::from_parts(&description, &blob).unwrap();
        assert_eq!(read.to_json(), encoder.to_json());
    }
}

#[test]
fn an_unknown_token_that_was_only_added_fails_where_it_is_needed() {
    let mut json = bpe();
    json["model"]["unk_token"] = json!("<unk>");
    json["added_tokens"] = json!([{"id": 6, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true}]);
    let encoder = opened(&json);
    assert_eq!((ids(&encoder, "abc <unk>"), encoder.unknown()), (vec![5, 6], Some(6)));
    let error = encoder.encode("z", &mut TokenScratch::default()).unwrap_err().to_string();
    assert!(error.starts_with("a text: bad tokenizer: ") && error.contains("<unk>"), "{error}");
}

#[test]
fn what_is_unknown_is_counted() {
    let encoder = opened(&bert());
    let texts = ["zzz qqq the", "xxx", "good film"];
    let (rows, coverage) = encoder.encode_all(&texts).unwrap();
    assert_eq!((rows.len(), rows.tokens(), rows.width()), (3, 12, 14));
    assert_eq!((coverage.documents, coverage.documents_without), (3, 1));
    assert_eq!((coverage.tokens, coverage.tokens_unknown), (6, 3));
    let advice = encoder.advice(&coverage).unwrap();
    assert!(advice.starts_with("50 % of the tokens are unknown"), "{advice}");
    let (_, known) = encoder.encode_all(&["good film"]).unwrap();
    assert_eq!(encoder.advice(&known), None);
}

#[test]
fn files_are_opened_and_errors_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let said = || TokenEncoder::open(&path, 16).unwrap_err();
    assert!(matches!(said(), TextError::Io { .. }));
    std::fs::write(&path, "{\"model\"").unwrap();
    let error = said().to_string();
    assert!(error.contains("tokenizer.json: bad tokenizer: EOF"), "{error}");
    std::fs::write(&path, bert().to_string()).unwrap();
    assert_eq!(ids(&TokenEncoder::open(&path, 16).unwrap(), "the"), [2, 5, 3]);
    let table: EncoderTable =
        serde_json::from_value(json!({"kind": "tokens", "file": path, "max_tokens": 4})).unwrap();
    let encoder = AnyEncoder::fit(&(&table).try_into().unwrap(), []).unwrap();
    let mut scratch = Default::default();
    let example = encoder.encode("the film was good", &mut scratch).unwrap();
    assert!(matches!(example, Example::Tokens(row) if row.ids == [2, 5, 6, 3]), "{example:?}");
}

proptest! {
    #[test]
    fn any_text_has_the_ids_of_the_crate(
        text in "([a-f,.!\\[\\]CLS ]{0,12}|(films?|The|UNGOOD|good|was|[CLS]|\\[SEP\\])|[ \t\n\r\u{b}\u{1}\u{7f}\u{a0}]|\\PC{1,3}|[é好\u{301}ΣİßŒ\u{200b}\u{feff}]){0,12}",
        steps in 0usize..4,
    ) {
        let mut json = bert();
        match steps {
            1 => json["normalizer"]["lowercase"] = json!(false),
            2 => json["normalizer"]["strip_accents"] = json!(false),
            3 => {
                let model = json["model"].as_object_mut().unwrap();
                model.insert("type".into(), json!("WordLevel"));
            }
            _ => {}
        }
        let theirs = theirs(&json).encode(&*text, true).unwrap();
        prop_assert_eq!(ids(&opened(&json), &text), theirs.get_ids());
    }
}
