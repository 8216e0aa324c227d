//! Vocabularies that are learned, and what is done with them.

use super::{ALL, bpe, corpus, ids, learn, named, opened, unigram};
use nlpress_text::{
    Algorithm, AnyEncoder, Encode, EncoderPlan, EncoderTable, Examples, TextError, TokenEncoder, TokenScratch,
};
use proptest::prelude::*;
use serde_json::json;

fn texts(corpus: &[String]) -> Vec<&str> {
    corpus.iter().map(String::as_str).collect()
}

#[test]
fn vocabularies_keep_their_limit_and_know_their_texts() {
    let corpus = corpus();
    for algorithm in ALL {
        let encoder = learn(algorithm, 300, &texts(&corpus));
        assert!(encoder.width() <= 300, "{algorithm:?}: {}", encoder.width());
        let (rows, coverage) = encoder.encode_all(&corpus).unwrap();
        assert_eq!((rows.len(), coverage.tokens_unknown), (300, 0), "{algorithm:?}");
        assert_eq!(encoder.tokens()[..5], ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(Some));
        let row = rows.row(0);
        assert_eq!((row.ids.first(), row.ids.last()), (Some(&2), Some(&3)), "{algorithm:?}");
        let small = learn(algorithm, 264, &texts(&corpus));
        let more = small.encode_all(&corpus).unwrap().0.tokens();
        assert!(
            algorithm == Algorithm::Words || more >= rows.tokens(),
            "{algorithm:?}: {more} {}",
            rows.tokens()
        );
    }
    let pieces = named(&learn(Algorithm::Wordpiece, 300, &texts(&corpus)), "Badwalking");
    let inner = &pieces[1..pieces.len() - 1];
    assert_eq!(inner.concat().replace("##", ""), "badwalking");
    assert!(inner.len() < 6 && inner[1..].iter().all(|piece| piece.starts_with("##")), "{inner:?}");
    assert_eq!(
        named(&learn(Algorithm::Words, 300, &texts(&corpus)), "walk xwalk"),
        ["[CLS]", "walk", "[UNK]", "[SEP]"]
    );
    let bytes = learn(Algorithm::Bpe, 300, &texts(&corpus));
    assert_eq!(bytes.encode_all(&["好\u{0}é🙂"]).unwrap().1.tokens_unknown, 0);
}

#[test]
fn texts_without_spaces_teach_their_characters() {
    let text: String = "今天天气很好我们去看电影吧".chars().cycle().take(700).collect();
    for algorithm in [Algorithm::Wordpiece, Algorithm::Unigram, Algorithm::Bpe] {
        let encoder = learn(algorithm, 400, &[&text, &text]);
        let (rows, coverage) = encoder.encode_all(&["天气很好"]).unwrap();
        assert_eq!(coverage.tokens_unknown, 0, "{algorithm:?}");
        assert!(
            rows.tokens() <= 6 + usize::from(algorithm == Algorithm::Unigram),
            "{algorithm:?}: {}",
            rows.tokens()
        );
    }
}

#[test]
fn threads_change_no_vocabulary() {
    let corpus = corpus();
    for algorithm in ALL {
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let encoder = learn(algorithm, 280, &texts(&corpus));
                (encoder.to_parts(), encoder.encode_all(&corpus).unwrap())
            })
        };
        let one = on(1);
        for threads in [2, 3, 5] {
            assert_eq!(on(threads), one, "{algorithm:?} on {threads}");
        }
        // Nor does the order of the texts.
        let back: Vec<&str> = corpus.iter().rev().map(String::as_str).collect();
        assert_eq!(learn(algorithm, 280, &back).to_parts(), one.0, "{algorithm:?}");
    }
}

#[test]
fn too_little_to_learn_from_is_an_error() {
    for algorithm in [Algorithm::Wordpiece, Algorithm::Words] {
        let table = json!({"kind": "tokens", "algorithm": algorithm});
        let table: EncoderTable = serde_json::from_value(table).unwrap();
        let error = AnyEncoder::fit(&(&table).try_into().unwrap(), [" ", "\n"]).unwrap_err();
        assert!(matches!(error, TextError::EmptyVocabulary { documents: 2, .. }), "{algorithm:?}: {error}");
    }
}

#[test]
fn settings_are_checked() {
    let said = |table: serde_json::Value| {
        let table: EncoderTable = match serde_json::from_value(table) {
            Ok(table) => table,
            Err(error) => return error.to_string(),
        };
        EncoderPlan::try_from(&table).unwrap_err().to_string()
    };
    for (table, want) in [
        (json!({"kind": "tokens", "vocabulary": 3}), "vocabulary = 3: must lie between 16 and 1048576"),
        (
            json!({"kind": "tokens", "algorithm": "bpe", "vocabulary": 260}),
            "vocabulary = 260: must lie between 261 and",
        ),
        (json!({"kind": "tokens", "max_tokens": 2}), "max_tokens = 2: must lie between 3 and 65536"),
        (json!({"kind": "tokens", "min_count": 0}), "min_count = 0: must lie between 1 and"),
        (json!({"kind": "tokens", "algorithm": "best"}), "unknown variant `best`"),
        (json!({"kind": "tokens", "l2": true}), "unknown field `l2`"),
        (json!({"kind": "tokens", "file": "t.json", "vocabulary": 8000}), "not for t.json"),
        (json!({"kind": "words"}), "kind = \"words\": must be \"bag\" or \"tokens\""),
        (json!({"kind": "bag", "max_tokens": 8}), "unknown field `max_tokens`"),
        (json!({"vocabulary": 0}), "vocabulary = 0: must lie between 1 and"),
    ] {
        let said = said(table.clone());
        assert!(said.contains(want), "{table}: {said}");
    }
}

#[test]
fn either_kind_is_written_and_read() {
    let corpus = corpus();
    for table in
        [json!({}), json!({"kind": "bag", "l2": false}), json!({"kind": "tokens", "vocabulary": 200})]
    {
        let table: EncoderTable = serde_json::from_value(table).unwrap();
        let again: EncoderTable = serde_json::from_value(serde_json::to_value(&table).unwrap()).unwrap();
        assert_eq!(again, table);
        let encoder = AnyEncoder::fit(&(&table).try_into().unwrap(), texts(&corpus)).unwrap();
        let (description, blob) = encoder.to_parts();
        let back = AnyEncoder::from_parts(&description, &blob).unwrap();
        assert_eq!((back.kind(), back.width()), (encoder.kind(), encoder.width()));
        assert_eq!(back.vocabulary(), encoder.vocabulary());
        assert_eq!(back.to_parts(), (description, blob));
        let (examples, coverage) = encoder.encode_all(&corpus).unwrap();
        assert_eq!(back.encode_all(&corpus).unwrap(), (examples.clone(), coverage));
        let mut scratch = Default::default();
        for (i, text) in corpus.iter().enumerate() {
            assert_eq!(back.encode(text, &mut scratch).unwrap(), examples.get(i));
        }
        assert_eq!(examples.select(&[5, 5, 0]).get(1), examples.get(5));
        assert_eq!((examples.len(), examples.width()), (300, encoder.width()));
        assert_eq!(matches!(examples, Examples::Tokens(_)), encoder.kind() == "tokens");
    }
}

#[test]
fn a_token_takes_few_bytes() {
    let corpus = corpus();
    for (algorithm, most) in [(Algorithm::Wordpiece, 8), (Algorithm::Unigram, 12), (Algorithm::Bpe, 14)] {
        let [small, large] = [270, 300].map(|size| learn(algorithm, size, &texts(&corpus)));
        let size = |encoder: &TokenEncoder| encoder.to_parts().1.len();
        let (more, bytes) = (large.width() - small.width(), size(&large) - size(&small));
        assert!(bytes <= most * more, "{algorithm:?}: {bytes} bytes for {more} tokens");
    }
}

#[test]
fn what_cannot_be_narrowed_says_why() {
    let said = |encoder: &TokenEncoder, keep: &[u32]| match encoder.narrow(keep) {
        Err(error @ TextError::Narrow(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let encoder = opened(&super::bert());
    assert!(said(&encoder, &[]).contains("there is none"));
    assert!(said(&encoder, &[3, 3]).contains("must ascend"));
    assert!(said(&encoder, &[14]).contains("there are 14"));
    let (narrow, kept) = encoder.narrow(&[6, 9]).unwrap();
    assert_eq!(kept, [0, 1, 2, 3, 4, 6, 9]);
    assert_eq!(named(&narrow, "the film was good"), ["[CLS]", "[UNK]", "film", "[UNK]", "good", "[SEP]"]);
    // The least probable piece stays, because the cost of the unknown depends on it.
    assert_eq!(opened(&unigram()).narrow(&[1]).unwrap().1, [0, 1, 5]);
    // What a token of BPE is made of stays, and so does the unknown one; the letters stay with it where there is none.
    let pairs = opened(&bpe());
    let (narrow, kept) = pairs.narrow(&[4]).unwrap();
    assert_eq!(
        (kept, named(&narrow, "abc ab")),
        (vec![0, 1, 2, 4], ["ab", "?", "ab"].map(str::to_owned).to_vec())
    );
    assert_eq!(pairs.closed(&[5]).unwrap(), [0, 1, 2, 3, 4, 5]);
    let mut json = bpe();
    json["model"]["unk_token"] = serde_json::Value::Null;
    let (narrow, kept) = opened(&json).narrow(&[4]).unwrap();
    assert_eq!((kept, named(&narrow, "abc")), (vec![0, 1, 2, 3, 4], ["ab", "c"].map(str::to_owned).to_vec()));
}

/// Encoders that can be narrowed.
fn narrowable() -> Vec<TokenEncoder> {
    let corpus = corpus();
    [(Algorithm::Wordpiece, 200), (Algorithm::Unigram, 200), (Algorithm::Words, 200), (Algorithm::Bpe, 300)]
        .map(|(algorithm, size)| learn(algorithm, size, &texts(&corpus)))
        .into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn texts_of_kept_tokens_keep_their_tokens(words in prop::collection::vec("(walk|film|good|zz|好|[a-g]{1,5})(s|ed|ing|ness)?[,! ]", 1..8)) {
        let text: String = words.concat();
        for encoder in narrowable() {
            let before = ids(&encoder, &text);
            let mut keep = before.clone();
            keep.sort_unstable();
            keep.dedup();
            let (narrow, kept) = encoder.narrow(&keep).unwrap();
            let more = if encoder.algorithm() == Algorithm::Bpe { 256 + 8 * keep.len() } else { 6 };
            prop_assert!(narrow.width() <= keep.len() + more && narrow.width() <= encoder.width());
            let after: Vec<u32> = ids(&narrow, &text).iter().map(|&id| kept[id as usize]).collect();
            prop_assert_eq!(&after, &before, "{:?}", encoder.algorithm());
            let (description, blob) = narrow.to_parts();
            prop_assert_eq!(ids(&TokenEncoder::from_parts(&description, &blob).unwrap(), &text), ids(&narrow, &text));
        }
    }

    #[test]
    fn any_text_is_encoded_and_its_ids_are_there(text in "\\PC{0,40}|(?s).{0,20}", most in 3usize..9) {
        let corpus = corpus();
        for algorithm in ALL {
            let (mut description, blob) = learn(algorithm, 300, &texts(&corpus[..40])).to_parts();
            description["most"] = most.into();
            let encoder = TokenEncoder::from_parts(&description, &blob).unwrap();
            let mut scratch = TokenScratch::default();
            let row = encoder.encode(&text, &mut scratch).unwrap();
            prop_assert!(row.ids.len() <= most && row.ids.iter().all(|&id| (id as usize) < encoder.width()));
            prop_assert_eq!((row.ids[0], row.ids[row.ids.len() - 1]), (2, 3));
        }
    }
}
