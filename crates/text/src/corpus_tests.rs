//! Tests of reading corpora.

use super::*;
use crate::EncoderConfig;
use proptest::prelude::*;
use std::fs;

/// Reads `content` as a training file of the given extension.
fn read_with(extension: &str, content: &[u8], options: &CorpusOptions) -> Result<Corpus, TextError> {
    let folder = tempfile::tempdir().unwrap();
    let train = folder.path().join(format!("train.{extension}"));
    fs::write(&train, content).unwrap();
    Corpus::read(&Source::Splits { train, valid: None, test: None }, options)
}

fn read(extension: &str, content: &str) -> Result<Corpus, TextError> {
    read_with(extension, content.as_bytes(), &CorpusOptions::default())
}

fn message(extension: &str, content: &[u8], change: impl FnOnce(&mut CorpusOptions)) -> String {
    let mut options = CorpusOptions::default();
    change(&mut options);
    let message = read_with(extension, content, &options).unwrap_err().to_string();
    // The folder is random.
    message.rsplit_once("train.").map_or(message.clone(), |(_, end)| end.to_owned())
}

fn pairs(corpus: &Corpus) -> Vec<(&str, &str)> {
    corpus.train.iter().map(|d| (d.text.as_str(), corpus.labels[d.label as usize].as_str())).collect()
}

#[test]
fn jsonl_takes_strings_integers_and_truth_values_as_labels() {
    let corpus = read(
        "jsonl",
        "\u{feff}{\"text\": \"a b\", \"label\": 10}\r\n\n{\"label\": true, \"text\": \"c\", \"id\": 4}\n{\"text\":\"d\",\"label\":\" x \"}",
    )
    .unwrap();
    assert_eq!(pairs(&corpus), [("a b", "10"), ("c", "true"), ("d", "x")]);
    assert_eq!(corpus.labels, ["10", "true", "x"]);
}

#[test]
fn csv_has_quotes_and_tsv_has_none() {
    let csv = read("csv", "label,text\r\npos,\"good, \"\"very\"\"\ngood\"\r\nneg,bad\r\n").unwrap();
    assert_eq!(pairs(&csv), [("good, \"very\"\ngood", "pos"), ("bad", "neg")]);
    let tsv = read("tsv", "\u{feff}text\tlabel\n\"good\" film\tpos\n\"bad\tneg\n").unwrap();
    assert_eq!(pairs(&tsv), [("\"good\" film", "pos"), ("\"bad", "neg")]);
    let same = CorpusOptions { format: Some(Format::Csv), delimiter: Some(';'), ..CorpusOptions::default() };
    assert_eq!(pairs(&read_with("txt", b"text;label\nx;1\ny;2", &same).unwrap()), [("x", "1"), ("y", "2")]);
}

#[test]
fn columns_can_be_named_or_counted() {
    let by_index = CorpusOptions {
        header: false,
        text: Column::Index(2),
        label: Column::Index(0),
        ..CorpusOptions::default()
    };
    let corpus = read_with("csv", b"1,x,a\n2,x,b\n", &by_index).unwrap();
    assert_eq!(pairs(&corpus), [("a", "1"), ("b", "2")]);
    let named = CorpusOptions {
        text: Column::Name("review".into()),
        label: Column::Index(0),
        ..CorpusOptions::default()
    };
    assert_eq!(read_with("csv", b"k,review\n1,a\n2,b\n", &named).unwrap().train.len(), 2);
    let json: CorpusOptions = serde_json::from_str(r#"{"text": "t", "label": 1, "format": "csv"}"#).unwrap();
    assert_eq!((json.text, json.label), (Column::Name("t".into()), Column::Index(1)));
    assert!(serde_json::from_str::<CorpusOptions>(r#"{"txt": "t"}"#).is_err());
}

#[test]
fn every_fault_names_its_line() {
    let same = |_: &mut CorpusOptions| {};
    let ok = "{\"text\":\"a\",\"label\":1}\n";
    let after = |line: &[u8]| [ok.as_bytes(), line].concat();
    let cases: [(&str, Vec<u8>, &str); 15] = [
        ("jsonl", after(b"{\"text\": \"a\""), "jsonl:2: not a JSON object: EOF"),
        ("jsonl", after(b"[1]"), "jsonl:2: not a JSON object: invalid type"),
        ("jsonl", after(b"{\"text\":\"\xff\",\"label\":1}"), "jsonl:2: not valid UTF-8"),
        ("jsonl", after(b"{\"text\":\"a\"}"), "jsonl:2: no column \"label\"; there are: text"),
        ("jsonl", after(b"{\"text\":7,\"label\":1}"), "jsonl:2: column \"text\" holds the number 7"),
        ("jsonl", after(b"{\"text\":\"a\",\"label\":1.5}"), "jsonl:2: column \"label\" holds the number 1.5"),
        ("jsonl", after(b"{\"text\":\"a\",\"label\":null}"), "jsonl:2: column \"label\" holds null"),
        ("jsonl", after(b"{\"text\":\" \",\"label\":2}"), "jsonl:2: empty text"),
        ("jsonl", after(b"{\"text\":\"a\",\"label\":\"\"}"), "jsonl:2: empty label"),
        ("csv", b"text,label\na,1\nb\n".into(), "csv:3: 1 fields where the first row has 2"),
        ("csv", b"text,label\na,1\nb,2,3\n".into(), "csv:3: 3 fields where the first row has 2"),
        ("csv", b"text,kind\na,1\n".into(), "csv:1: no column \"label\"; there are: text, kind"),
        ("csv", b"text,label\n\"a\nb\",1\n\xff,2\n".into(), "csv:4: not valid UTF-8"),
        ("csv", b"text,label\na,\n".into(), "csv:2: empty label"),
        ("tsv", b"text\tlabel\n\t1\n".into(), "tsv:2: empty text"),
    ];
    for (extension, content, want) in cases {
        let got = message(extension, &content, same);
        assert!(got.starts_with(want), "{got:?} is not {want:?}");
    }
}

#[test]
fn limits_hold() {
    let long = format!("{{\"text\":\"{}\",\"label\":1}}\n", "x".repeat(100));
    let line = |o: &mut CorpusOptions| o.max_line_bytes = 50;
    assert_eq!(message("jsonl", long.as_bytes(), line), "jsonl:1: line longer than the limit of 50 bytes");
    let csv = format!("text,label\na,1\n{},2\n", "x".repeat(100));
    assert_eq!(message("csv", csv.as_bytes(), line), "csv:3: line longer than the limit of 50 bytes");
    let open = format!("text,label\n\"{}", "x,\n".repeat(100_000));
    assert_eq!(message("csv", open.as_bytes(), line), "csv:2: line longer than the limit of 50 bytes");
    let file = |o: &mut CorpusOptions| o.max_file_bytes = 20;
    assert_eq!(message("csv", csv.as_bytes(), file), "csv: larger than the limit of 20 bytes");
    let ids: String = (0..=MAX_CLASSES).map(|i| format!("x,{i}\n")).collect();
    let got = message("csv", format!("text,label\n{ids}").as_bytes(), |_| {});
    assert!(got.starts_with("csv:65538: label \"65536\" would be class"), "{got}");
}

#[test]
fn the_whole_is_checked() {
    assert!(
        matches!(read("csv", "text,label\na,1\nb,1\n"), Err(TextError::OneClass { label, .. }) if label == "1")
    );
    assert!(matches!(read("csv", "text,label\n"), Err(TextError::EmptySplit { split: "train", .. })));
    assert!(matches!(read("csv", ""), Err(TextError::EmptySplit { split: "train", .. })));
    assert!(matches!(read("jsonl", "\n\n"), Err(TextError::EmptySplit { .. })));
    assert!(matches!(read("txt", "x"), Err(TextError::UnknownFormat(_))));
    let train = [("a", "1"), ("b", "2")];
    let unseen = Corpus::from_splits("m", &train, &[("c", "1")], &[("d", "1"), ("e", "3")]).unwrap_err();
    assert_eq!(
        unseen.to_string(),
        "test:2: label \"3\" of the test split never occurs in the training split"
    );
    let missing = Source::One("nowhere.csv".into());
    let error = Corpus::read(&missing, &CorpusOptions::default()).unwrap_err();
    assert!(matches!(error, TextError::Io { .. }) && error.to_string().contains("nowhere.csv"));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let bad: [fn(&mut CorpusOptions); 6] = [
        |o| o.delimiter = Some('→'),
        |o| o.delimiter = Some('"'),
        |o| o.header = false,
        |o| o.label = Column::Name("text".into()),
        |o| o.limit = Some(0),
        |o| o.limit = Some(1),
    ];
    for change in bad {
        let mut options = CorpusOptions::default();
        change(&mut options);
        let got = read_with("csv", b"text,label\na,1\nb,2\n", &options);
        assert!(matches!(got, Err(TextError::Setting { .. })), "{options:?}");
    }
    let index = CorpusOptions { text: Column::Index(0), ..CorpusOptions::default() };
    assert!(matches!(read_with("jsonl", b"{}", &index), Err(TextError::Setting { .. })));
    let far = CorpusOptions { text: Column::Index(9), ..CorpusOptions::default() };
    assert!(matches!(read_with("csv", b"a,label\n", &far), Err(TextError::MissingColumn { .. })));
    let thirds = SplitRule { train: 33, valid: 33, test: 33 };
    assert!(Corpus::from_documents("m", &[("a", "1")], thirds).is_err());
}

#[test]
fn one_file_is_split_by_the_hash_of_its_texts() {
    let documents: Vec<(String, &str)> =
        (0..2000).map(|i| (format!("text {}", i % 1000), if i % 2 == 0 { "even" } else { "odd" })).collect();
    let rule = SplitRule { train: 70, valid: 10, test: 20 };
    let corpus = Corpus::from_documents("m", &documents, rule).unwrap();
    assert!((corpus.train.len().abs_diff(1400)) < 90, "{}", corpus.train.len());
    assert!((corpus.test.len().abs_diff(400)) < 80, "{}", corpus.test.len());
    for a in &corpus.test {
        assert!(corpus.train.iter().chain(&corpus.valid).all(|b| a.text != b.text));
    }
    // The rule is part of what people rely on: sha256("text 0") = 6ea8…
    assert_eq!(rule.split_of("text 0"), rule.split_of(" text 0\n"));
    let one = Corpus::from_documents("m", &documents[..2], SplitRule { train: 1, valid: 0, test: 99 });
    assert!(matches!(one, Err(TextError::EmptySplit { split: "train", .. })));
}

#[test]
fn a_limit_keeps_classes_and_order_and_nests() {
    let documents: Vec<(String, &str)> = (0..300)
        .map(|i| {
            (
                format!("t{i}"),
                match i {
                    7 => "rare",
                    i if i % 3 == 0 => "some",
                    _ => "most",
                },
            )
        })
        .collect();
    let corpus = Corpus::from_splits("m", &documents, &[], &[]).unwrap();
    let count = |c: &Corpus, label: u32| c.train.iter().filter(|d| d.label == label).count();
    let small = corpus.clone().limited(30).unwrap();
    assert_eq!((0..3).map(|l| count(&small, l)).collect::<Vec<_>>(), [19, 1, 10]);
    let order: Vec<u32> = small.train.iter().map(|d| d.text[1..].parse().unwrap()).collect();
    assert!(order.is_sorted());
    let larger = corpus.clone().limited(60).unwrap();
    assert!(small.train.iter().all(|d| larger.train.contains(d)));
    assert_ne!(small.sha256, larger.sha256);
    assert_eq!(corpus.clone().limited(300).unwrap(), corpus);
    assert!(corpus.limited(2).is_err());
}

#[test]
fn the_hash_names_the_content() {
    let a = [("x", "1"), ("y", "2")];
    let hash = |train: &[(&str, &str)], test: &[(&str, &str)]| {
        Corpus::from_splits("m", train, &[], test).unwrap().sha256
    };
    assert_eq!(hash(&a, &[]), hash(&a, &[]));
    assert_ne!(hash(&a, &[]), hash(&[a[1], a[0]], &[]));
    assert_ne!(hash(&a, &[("z", "1")]), hash(&a, &[("z", "2")]));
    assert_eq!(hash(&a, &[]).len(), 64);
}

#[test]
fn orders_are_permutations_by_seed_and_epoch() {
    let documents: Vec<(String, String)> = (0..50).map(|i| (format!("t{i}"), format!("{}", i % 2))).collect();
    let corpus = Corpus::from_splits("m", &documents, &[], &[]).unwrap();
    let order = corpus.train_order(Seed(1), 0);
    assert_eq!(order, corpus.train_order(Seed(1), 0));
    assert_ne!(order, corpus.train_order(Seed(1), 1));
    assert_ne!(order, corpus.train_order(Seed(2), 0));
    let mut sorted = order;
    sorted.sort_unstable();
    assert_eq!(sorted, (0..50).collect::<Vec<_>>());
}

#[test]
fn a_corpus_is_called_after_its_file_or_folder() {
    assert_eq!(Source::One("data/reviews.csv".into()).name(), "reviews");
    let splits = |p: &str| Source::Splits { train: p.into(), valid: None, test: None }.name();
    assert_eq!(splits("data/r8/train.jsonl"), "r8");
    assert_eq!(splits("train.jsonl"), "train");
}

#[test]
fn the_embedded_corpus_is_whole_and_encodes() {
    let corpus = Corpus::embedded().unwrap();
    assert_eq!(corpus.labels, ["neg", "pos"]);
    assert!(corpus.test.len() >= 1700 && corpus.train.len() >= 6000, "{:?}", corpus.test.len());
    let encoder = crate::Encoder::fit(&EncoderConfig::default(), texts(&corpus.train)).unwrap();
    assert_eq!(encoder.width(), 1000);
    let each = encoder.vocabulary_bytes() as f64 / 1000.0;
    assert!(each <= 6.5, "{each} bytes a word");
    // Pseudo-text tokenises to itself.
    let mut buffer = crate::analyzer::Buffer::default();
    for document in &corpus.test {
        let mut words = Vec::new();
        crate::Analyzer::default().tokens(&document.text, &mut buffer, |w| words.push(w.to_owned()));
        assert_eq!(words.join(" "), document.text);
        assert!(words.is_sorted());
    }
}

proptest! {
    #[test]
    fn noise_is_an_error_or_a_corpus_and_never_a_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b','), Just(b'\n'), Just(b'{')], 0..60),
        extension in prop_oneof![Just("csv"), Just("tsv"), Just("jsonl")],
    ) {
        let content = [b"text,label\n".as_slice(), &bytes].concat();
        let _ = read_with(extension, if extension == "csv" { &content } else { &bytes }, &CorpusOptions::default());
    }

    #[test]
    fn jsonl_and_csv_of_the_same_documents_are_the_same_corpus(
        texts in prop::collection::vec("\\PC{0,12}[a-z]\\PC{0,12}", 2..8),
    ) {
        let mut lines = String::new();
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(["text", "label"]).unwrap();
        for (i, text) in texts.iter().enumerate() {
            lines += &serde_json::json!({"text": text, "label": i % 2}).to_string();
            lines += "\n";
            table.write_record([text, &(i % 2).to_string()]).unwrap();
        }
        let a = read("jsonl", &lines).unwrap();
        let b = read_with("csv", &table.into_inner().unwrap(), &CorpusOptions::default()).unwrap();
        prop_assert_eq!(a.sha256, b.sha256);
    }
}
