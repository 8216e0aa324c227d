//! Tests of the encoder.

use super::*;
use crate::analyzer::Boundaries;
use crate::stop_words::StopWords;
use proptest::prelude::*;

const TEXTS: [&str; 4] = ["a good film", "A bad, bad film", "good good acting", "the plot"];

fn with(change: impl FnOnce(&mut EncoderConfig)) -> EncoderConfig {
    let mut config = EncoderConfig::default();
    change(&mut config);
    config
}

fn words(min_length: usize) -> Analyzer {
    Analyzer::Words { min_length, boundaries: Boundaries::Unicode }
}

fn row(encoder: &BagEncoder, text: &str) -> Vec<(String, f32)> {
    let mut scratch = Scratch::default();
    let row = encoder.encode(text, &mut scratch);
    let words = row.columns.iter().map(|&c| encoder.words()[c as usize].to_string());
    words.zip(row.values.iter().copied()).collect()
}

#[test]
fn keeps_the_most_frequent_words_in_byte_order() {
    let encoder = BagEncoder::fit(&with(|c| c.vocabulary = 4), TEXTS).unwrap();
    let words: Vec<&str> = encoder.words().iter().map(|w| &**w).collect();
    assert_eq!(words, ["a", "acting", "film", "good"]); // acting: the first of the words of one document
    let twice = BagEncoder::fit(&with(|c| c.min_documents = 2), TEXTS).unwrap();
    assert_eq!(twice.width(), 3);
    assert_eq!(twice.position("film"), Some(1));
    assert_eq!(twice.position("plot"), None);
}

#[test]
fn weights_are_those_of_the_formula() {
    let raw = with(|c| c.l2 = false);
    let idf = |df: f32| (5.0 / (1.0 + df)).ln() + 1.0;
    let close = |got: Vec<(String, f32)>, want: &[(&str, f32)]| {
        assert_eq!(got.len(), want.len(), "{got:?}");
        for ((word, value), (w, v)) in got.iter().zip(want) {
            assert!(word == w && (value - v).abs() < 1e-6, "{got:?} {want:?}");
        }
    };
    let tf_idf = BagEncoder::fit(&raw, TEXTS).unwrap();
    close(row(&tf_idf, "Bad bad BAD film?"), &[("bad", 3.0 * idf(1.0)), ("film", idf(2.0))]);
    let sublinear = BagEncoder::fit(&EncoderConfig { sublinear: true, ..raw.clone() }, TEXTS).unwrap();
    close(row(&sublinear, "bad bad film"), &[("bad", (1.0 + 2f32.ln()) * idf(1.0)), ("film", idf(2.0))]);
    let count =
        BagEncoder::fit(&EncoderConfig { weighting: Weighting::Count, ..raw.clone() }, TEXTS).unwrap();
    close(row(&count, "bad bad film"), &[("bad", 2.0), ("film", 1.0)]);
    let unit = EncoderConfig { weighting: Weighting::Count, l2: true, ..raw.clone() };
    close(
        row(&BagEncoder::fit(&unit, TEXTS).unwrap(), "bad bad bad film film film film"),
        &[("bad", 0.6), ("film", 0.8)],
    );
    let binary = BagEncoder::fit(&EncoderConfig { weighting: Weighting::Binary, ..raw }, TEXTS).unwrap();
    close(row(&binary, "bad bad film"), &[("bad", 1.0), ("film", 1.0)]);
}

#[test]
fn unknown_text_gives_an_empty_row_and_leaves_no_trace() {
    let encoder = BagEncoder::fit(&EncoderConfig::default(), TEXTS).unwrap();
    let mut scratch = Scratch::default();
    let first: Vec<f32> = encoder.encode("good film", &mut scratch).values.to_vec();
    assert!(encoder.encode("zzz", &mut scratch).columns.is_empty());
    let small = BagEncoder::fit(&with(|c| c.vocabulary = 1), TEXTS).unwrap();
    small.encode("a a a", &mut scratch);
    assert_eq!(encoder.encode("good film", &mut scratch).values, first);
    let rows = encoder.encode_all(&["good film", "zzz"]);
    assert_eq!((rows.len(), rows.width()), (2, encoder.width()));
    assert_eq!(rows.row(0).values, first);
}

#[test]
fn refuses_bad_settings_and_texts_without_words() {
    for bad in [
        with(|c| c.vocabulary = 0),
        with(|c| c.vocabulary = MAX_VOCABULARY + 1),
        with(|c| c.min_documents = 0),
        with(|c| (c.sublinear, c.weighting) = (true, Weighting::Binary)),
        with(|c| c.analyzer = words(0)),
        with(|c| c.word_ngrams = [2, 1]),
        with(|c| c.word_ngrams = [0, 1]),
        with(|c| c.word_ngrams = [1, 6]),
        with(|c| c.version = 0),
        with(|c| c.version = 3),
    ] {
        assert!(matches!(BagEncoder::fit(&bad, TEXTS), Err(TextError::Setting { .. })), "{bad:?}");
    }
    let empty = BagEncoder::fit(&EncoderConfig::default(), ["...", ""]);
    assert!(matches!(empty, Err(TextError::EmptyVocabulary { documents: 2, .. })));
    assert!(BagEncoder::fit(&with(|c| c.min_documents = 9), TEXTS).is_err());
}

#[test]
fn settings_are_read_strictly() {
    let read = serde_json::from_str::<EncoderConfig>;
    let some = read(r#"{"analyzer": {"characters": {"min": 1, "max": 2}}, "weighting": "tf_idf"}"#).unwrap();
    assert_eq!(some.analyzer, Analyzer::characters(1, 2));
    assert_eq!(some.vocabulary, 1000);
    assert!(read(r#"{"vocab": 3}"#).is_err());
    assert!(read(r#"{"analyzer": {"words": {"min": 1}}}"#).is_err());
}

#[test]
fn settings_of_words_are_refused_where_they_mean_nothing() {
    let characters = with(|c| c.analyzer = Analyzer::characters(1, 2));
    let first = with(|c| c.version = 1);
    let stop = StopWords::Words(vec!["the".into()]);
    let spaces = Analyzer::Words { min_length: 1, boundaries: Boundaries::Spaces };
    for (bad, says) in [
        (
            EncoderConfig { symbols: true, ..characters.clone() },
            "symbols = true: is for the analyzer `words`",
        ),
        (EncoderConfig { word_ngrams: [1, 2], ..characters.clone() }, "word_ngrams = [1, 2]: is for"),
        (EncoderConfig { stop_words: stop.clone(), ..characters }, "stop_words = given: is for"),
        (EncoderConfig { symbols: true, ..first.clone() }, "symbols = true: needs version 2"),
        (EncoderConfig { stop_words: stop, ..first.clone() }, "stop_words = given: needs version 2"),
        (EncoderConfig { analyzer: spaces, ..first.clone() }, "version = 1: does not know this analyzer"),
        (
            EncoderConfig { analyzer: Analyzer::Characters { min: 1, max: 2, within_words: true }, ..first },
            "version = 1: does not know this analyzer",
        ),
        (
            EncoderConfig { symbols: true, analyzer: spaces, ..EncoderConfig::default() },
            "symbols = true: does nothing",
        ),
    ] {
        let error = bad.check().unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
}

#[test]
fn an_empty_vocabulary_says_what_may_help() {
    let says =
        |config: &EncoderConfig, texts: [&str; 2]| BagEncoder::fit(config, texts).unwrap_err().to_string();
    let error = says(&EncoderConfig::default(), [":)", ":("]);
    assert!(error.contains("--symbols") && error.contains("--ngrams 1-2"), "{error}");
    let error = says(&with(|c| c.min_documents = 2), ["a", "b"]);
    assert!(error.contains("min_documents may be too high") && !error.contains("--symbols"), "{error}");
    let emoji = BagEncoder::fit(&EncoderConfig::default(), ["😡 !", "😀 😀"]).unwrap();
    assert_eq!(emoji.width(), 2);
    let signs = BagEncoder::fit(&with(|c| c.symbols = true), [":)", ":("]).unwrap();
    assert_eq!(signs.words().iter().map(|w| &**w).collect::<Vec<_>>(), [":(", ":)"]);
}

#[test]
fn what_was_seen_of_a_text_is_counted() {
    let encoder = BagEncoder::fit(&EncoderConfig::default(), TEXTS).unwrap();
    let mut scratch = Scratch::default();
    encoder.encode("A good GOOD unknown film :) .", &mut scratch);
    let seen = Seen { tokens: 5, known: 4, dropped: 2, symbols: 1, singles: 0, single_runs: 0, cut: false };
    assert_eq!(scratch.seen(), seen);
    encoder.count("привет 质量", &mut scratch);
    assert_eq!(scratch.seen(), Seen { tokens: 3, singles: 2, single_runs: 1, ..Seen::default() });
    encoder.encode("", &mut scratch);
    assert_eq!(scratch.seen(), Seen::default());
    let pairs = BagEncoder::fit(&with(|c| c.word_ngrams = [1, 2]), TEXTS).unwrap();
    pairs.encode("good film unknown", &mut scratch);
    assert_eq!(scratch.seen(), Seen { tokens: 5, known: 3, ..Seen::default() });
}

#[test]
fn stop_words_are_no_features_and_travel_with_the_encoder() {
    let stop = StopWords::Words(vec!["A".into(), "the".into(), "don’t".into()]);
    for ngrams in [[1, 1], [1, 2]] {
        let config =
            EncoderConfig { stop_words: stop.clone(), word_ngrams: ngrams, ..EncoderConfig::default() };
        let encoder = BagEncoder::fit(&config, TEXTS).unwrap();
        assert_eq!((encoder.position("a"), encoder.position("the")), (None, None));
        let (json, blob) = encoder.to_parts();
        assert_eq!((&json["version"], &json["stop_words"]), (&2.into(), &true.into()));
        let back = BagEncoder::from_parts(&json, &blob).unwrap();
        assert_eq!(back.to_parts(), (json.clone(), blob.clone()));
        let text = "good the film, don't a acting";
        assert_eq!(row(&back, text), row(&encoder, text));
        assert_eq!(row(&back, text), row(&encoder, "good film acting"));
        let mut scratch = Scratch::default();
        back.encode(text, &mut scratch);
        assert_eq!(scratch.seen().tokens, if ngrams == [1, 2] { 5 } else { 3 });
        let narrow = back.narrow(&[0, 1]).unwrap();
        assert_eq!(BagEncoder::from_parts(&narrow.to_parts().0, &narrow.to_parts().1).unwrap().width(), 2);
        for n in 0..blob.len() {
            assert!(BagEncoder::from_parts(&json, &blob[..n]).is_err(), "cut at {n}");
        }
        let mut lie = json.clone();
        lie["version"] = 1.into();
        assert!(BagEncoder::from_parts(&lie, &blob).is_err());
        lie["version"] = 2.into();
        lie["config"]["analyzer"] = serde_json::json!({"characters": {"min": 1, "max": 2}});
        assert!(BagEncoder::from_parts(&lie, &blob).is_err());
    }
    let read = serde_json::from_str::<EncoderConfig>;
    assert_eq!(read(r#"{"stop_words": "s.txt"}"#).unwrap().stop_words, StopWords::File("s.txt".into()));
    assert_eq!(read(r#"{"stop_words": ["a"]}"#).unwrap().stop_words, StopWords::Words(vec!["a".into()]));
}

#[test]
fn texts_written_in_two_ways_are_encoded_alike() {
    let texts =
        ["C’est re\u{301}ussi, tre\u{300}s fin", "Tiê\u{301}ng Việt", "मैं हिन्दी क़लम", "ไม่ดี น้ำ", "한국어"];
    let nfc = icu_normalizer::ComposingNormalizer::new_nfc();
    let nfd = icu_normalizer::DecomposingNormalizer::new_nfd();
    for analyzer in [Analyzer::default(), Analyzer::characters(1, 3)] {
        let config = with(|c| c.analyzer = analyzer);
        let composed: Vec<String> = texts.iter().map(|t| nfc.normalize(t).into_owned()).collect();
        let apart: Vec<String> = texts.iter().map(|t| nfd.normalize(t).into_owned()).collect();
        assert_ne!(composed, apart);
        let one = BagEncoder::fit(&config, composed.iter().map(String::as_str)).unwrap();
        let other = BagEncoder::fit(&config, apart.iter().map(String::as_str)).unwrap();
        assert_eq!(one.to_parts(), other.to_parts());
        assert_eq!(one.encode_all(&composed), one.encode_all(&apart));
        assert!(one.encode_all(&apart).iter().all(|row| !row.columns.is_empty()));
    }
}

#[test]
fn the_embedded_corpus_has_the_same_rows_in_both_versions() {
    let corpus = crate::Corpus::embedded().unwrap();
    let texts: Vec<&str> = corpus.train.iter().chain(&corpus.test).map(|d| d.text.as_str()).collect();
    let rows = |version| {
        let encoder = BagEncoder::fit(&with(|c| c.version = version), texts.iter().copied()).unwrap();
        (encoder.words().to_vec(), encoder.encode_all(&texts))
    };
    assert!(rows(1) == rows(2));
}

#[test]
fn a_narrowed_encoder_is_one_fitted_on_the_kept_words() {
    for config in [
        with(|c| c.sublinear = true),
        with(|c| c.l2 = false),
        with(|c| c.weighting = Weighting::Count),
        with(|c| c.weighting = Weighting::Binary),
    ] {
        let whole = BagEncoder::fit(&config, TEXTS).unwrap();
        let gone = ["bad", "the"];
        let keep: Vec<u32> =
            (0..whole.width() as u32).filter(|&i| !gone.contains(&&*whole.words()[i as usize])).collect();
        let narrow = whole.narrow(&keep).unwrap();
        // The same texts without the words that are gone, fitted by hand.
        let without = |text: &str| {
            let mut words: Vec<&str> = text.split([' ', ',']).collect();
            words.retain(|w| !gone.contains(&w.to_lowercase().as_str()));
            words.join(" ")
        };
        let texts: Vec<String> = TEXTS.iter().map(|t| without(t)).collect();
        let refitted = BagEncoder::fit(&config, texts.iter().map(String::as_str)).unwrap();
        assert_eq!(narrow.words(), refitted.words());
        assert_eq!(narrow.to_parts(), refitted.to_parts());
        assert_eq!(narrow.encode_all(&TEXTS), refitted.encode_all(&TEXTS));
        assert_eq!(narrow.position("good"), refitted.position("good"));
        assert_eq!(narrow.position("bad"), None);
        let (json, blob) = narrow.to_parts();
        assert_eq!(
            BagEncoder::from_parts(&json, &blob).unwrap().encode_all(&TEXTS),
            narrow.encode_all(&TEXTS)
        );
    }
}

#[test]
fn features_to_keep_must_be_there_and_ascend() {
    let encoder = BagEncoder::fit(&EncoderConfig::default(), TEXTS).unwrap();
    let width = encoder.width() as u32;
    for (keep, says) in [
        (&[][..], "there is none"),
        (&[1, 1], "1 comes before 1"),
        (&[2, 0], "2 comes before 0"),
        (&[0, width], "there is no feature 7"),
        (&[u32::MAX], "there is no feature 4294967295"),
    ] {
        let error = encoder.narrow(keep).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        let error = encoder.encode_all(&TEXTS).keep_columns(keep, true).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_description_is_checked() {
    let (json, blob) = BagEncoder::fit(&EncoderConfig::default(), TEXTS).unwrap().to_parts();
    let with = |key: &str, value: serde_json::Value| {
        let mut json = json.clone();
        json[key] = value;
        BagEncoder::from_parts(&json, &blob)
    };
    assert!(with("version", 1.into()).is_ok());
    assert!(matches!(with("version", 0.into()), Err(TextError::Description(_))));
    assert!(matches!(with("version", 3.into()), Err(TextError::Description(_))));
    assert!(matches!(with("stop_words", true.into()), Err(TextError::Blob { .. })));
    assert!(matches!(with("documents", 1.into()), Err(TextError::Blob { .. })));
    assert!(matches!(with("documents", (-1).into()), Err(TextError::Description(_))));
    assert!(matches!(with("extra", 1.into()), Err(TextError::Description(_))));
    assert!(BagEncoder::from_parts(&serde_json::Value::Null, &blob).is_err());
    let mut longer = blob.clone();
    longer.push(0);
    assert!(matches!(BagEncoder::from_parts(&json, &longer), Err(TextError::Blob { .. })));
}

#[test]
fn a_damaged_blob_is_refused_or_read_and_never_panics() {
    // Few words, which lie plain, and some more, which are coded.
    let more: Vec<String> = (0..200u32).map(|i| format!("the {i}th film was {}", i * i)).collect();
    for (texts, form) in
        [(&["zzb"][..], None), (&more.iter().map(String::as_str).collect::<Vec<_>>(), Some("coded"))]
    {
        let encoder = BagEncoder::fit(&EncoderConfig::default(), texts.iter().copied()).unwrap();
        let (json, blob) = encoder.to_parts();
        assert_eq!(json.get("form").and_then(|form| form.as_str()), form);
        for n in (0..blob.len()).rev().take(100) {
            // Nothing but an end that is not one tells that a code is cut.
            let cut = BagEncoder::from_parts(&json, &blob[..n]);
            assert!(cut.is_err() || form.is_some() && cut.unwrap().to_parts().1 != blob, "cut at {n}");
        }
        for bit in (0..blob.len() * 8).step_by(if form.is_some() { 29 } else { 1 }) {
            let mut flipped = blob.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(encoder) = BagEncoder::from_parts(&json, &flipped) {
                encoder.encode_all(&TEXTS);
            }
        }
    }
}

proptest! {
    #[test]
    fn columns_are_sorted_either_way(
        columns in prop::collection::hash_set(0u32..3000, 0..200),
        width in 3000usize..200_000,
    ) {
        let mut bits = Vec::new();
        let mut want: Vec<u32> = columns.iter().copied().collect();
        want.sort_unstable();
        for width in [3000, width] {
            let mut sorted: Vec<u32> = columns.iter().copied().collect();
            sort(&mut sorted, width, &mut bits);
            prop_assert_eq!(&sorted, &want);
            prop_assert!(bits.iter().all(|b| *b == 0));
        }
    }

    #[test]
    fn what_was_written_encodes_to_the_same_bits(
        texts in prop::collection::vec("[a-eé好 ']{0,30}", 1..12),
        weighting in prop_oneof![Just(Weighting::Binary), Just(Weighting::Count), Just(Weighting::TfIdf)],
        characters in any::<bool>(),
        l2 in any::<bool>(),
        vocabulary in 1usize..40,
    ) {
        let analyzer = if characters { Analyzer::characters(1, 3) } else { Analyzer::default() };
        let config = EncoderConfig { analyzer, weighting, l2, vocabulary, ..EncoderConfig::default() };
        let Ok(encoder) = BagEncoder::fit(&config, texts.iter().map(String::as_str)) else { return Ok(()) };
        let (json, blob) = encoder.to_parts();
        prop_assert_eq!(blob.len(), encoder.vocabulary_bytes());
        let back = BagEncoder::from_parts(&json, &blob).unwrap();
        prop_assert_eq!(back.config(), &config);
        let (a, b) = (encoder.encode_all(&texts), back.encode_all(&texts));
        let bits = |rows: &Rows| rows.values().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&a), bits(&b));
        prop_assert_eq!(&a, &b);
        prop_assert!(Rows::new(a.width(), a.offsets().into(), a.columns().into(), a.values().into()).is_ok());
        prop_assert_eq!(back.to_parts().1, blob);
    }

    #[test]
    fn kept_columns_are_what_a_narrowed_encoder_makes(
        texts in prop::collection::vec("[a-e ]{0,30}", 1..12),
        l2 in any::<bool>(),
        keep in prop::collection::vec(any::<bool>(), 40),
    ) {
        let config = EncoderConfig { l2, ..EncoderConfig::default() };
        let Ok(encoder) = BagEncoder::fit(&config, texts.iter().map(String::as_str)) else { return Ok(()) };
        let keep: Vec<u32> = (0..encoder.width() as u32).filter(|i| keep[*i as usize % 40]).collect();
        prop_assume!(!keep.is_empty());
        let again = encoder.narrow(&keep).unwrap().encode_all(&texts);
        let cut = encoder.encode_all(&texts).keep_columns(&keep, l2).unwrap();
        prop_assert_eq!((again.width(), again.offsets(), again.columns()), (cut.width(), cut.offsets(), cut.columns()));
        for (a, b) in again.values().iter().zip(cut.values()) {
            prop_assert!((a - b).abs() <= 1e-6 * a.abs(), "{} {}", a, b);
        }
    }

    #[test]
    fn noise_is_refused_or_read_and_never_panics(noise in prop::collection::vec(any::<u8>(), 0..80)) {
        let (json, _) = BagEncoder::fit(&EncoderConfig::default(), TEXTS).unwrap().to_parts();
        if let Ok(encoder) = BagEncoder::from_parts(&json, &noise) {
            encoder.encode_all(&TEXTS);
        }
    }
}

fn hashed(buckets: usize) -> EncoderConfig {
    with(|c| (c.hashed, c.vocabulary, c.weighting, c.sublinear) = (true, buckets, Weighting::Count, true))
}

#[test]
fn hashed_tokens_are_counted_by_bucket_and_none_is_unknown() {
    let encoder = BagEncoder::fit(&hashed(1 << 16), TEXTS).unwrap();
    assert_eq!((encoder.width(), encoder.words().len(), encoder.documents()), (1 << 16, 0, 4));
    let mut scratch = Scratch::default();
    let row = encoder.encode("unheard unheard good", &mut scratch);
    let [twice, once] = ["unheard", "good"].map(|word| encoder.position(word).unwrap() as u32);
    let value = |of: u32| row.values[row.columns.iter().position(|c| *c == of).unwrap()];
    assert_eq!(row.columns.len(), 2);
    assert!((value(twice) / value(once) - (1.0 + 2f32.ln())).abs() < 1e-6);
    assert_eq!((scratch.seen().tokens, scratch.seen().known), (3, 3));
    // Of one bucket there is nothing to tell apart.
    let one = BagEncoder::fit(&hashed(1), TEXTS).unwrap();
    assert_eq!(one.encode("a b c", &mut scratch), Row { columns: &[0], values: &[1.0] });
    assert!(matches!(BagEncoder::fit(&hashed(9), ["", "?!"]), Err(TextError::EmptyVocabulary { .. })));
}

#[test]
fn a_hashed_encoder_is_written_without_words_and_has_none_to_choose_from() {
    let mut config = hashed(300);
    config.stop_words = StopWords::Words(vec!["the".into()]);
    let encoder = BagEncoder::fit(&config, TEXTS).unwrap();
    let (description, blob) = encoder.to_parts();
    assert!(blob.len() < 10, "{} bytes", blob.len());
    let back = BagEncoder::from_parts(&description, &blob).unwrap();
    let mut scratches = [Scratch::default(), Scratch::default()];
    let [first, second] = &mut scratches;
    assert_eq!(encoder.encode("the good plot", first), back.encode("the good plot", second));
    assert_eq!(first.seen().tokens, 2);
    assert!(matches!(back.narrow(&[0, 1]), Err(TextError::Narrow(_))));
    // Words where tokens are hashed, and none where they are not.
    let (mut of_words, words) = BagEncoder::fit(&with(|_| ()), TEXTS).unwrap().to_parts();
    assert!(BagEncoder::from_parts(&description, &words).is_err());
    of_words["config"]["hashed"] = true.into();
    assert!(BagEncoder::from_parts(&of_words, &words).is_err());
    for bad in [with(|c| c.hashed = true), EncoderConfig { min_documents: 2, ..hashed(9) }] {
        assert!(matches!(BagEncoder::fit(&bad, TEXTS), Err(TextError::Setting { .. })));
    }
}
