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
    Corpus::read(&Source::Splits { train: train.into(), valid: None, test: None }, options)
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
fn pairs_have_two_texts_in_every_format_of_columns() {
    let options = CorpusOptions { pair: Some(Column::Name("b".into())), ..CorpusOptions::default() };
    let csv = read_with("csv", b"b,text,label\nu,\"x, y\",p\nv,z,q\n", &options).unwrap();
    let found: Vec<_> = csv.train.iter().map(|d| (&*d.text, d.pair.as_deref(), d.label)).collect();
    assert_eq!(found, [("x, y", Some("u"), 0), ("z", Some("v"), 1)]);
    let tsv = read_with("tsv", b"b\ttext\tlabel\nu\tx, y\tp\nv\tz\tq\n", &options).unwrap();
    let lines =
        "{\"label\":\"p\",\"b\":\"u\",\"text\":\"x, y\"}\n{\"text\":\"z\",\"b\":\"v\",\"label\":\"q\"}\n";
    let json = read_with("jsonl", lines.as_bytes(), &options).unwrap();
    assert_eq!((&tsv.train, &json.train), (&csv.train, &csv.train));
    assert_eq!((&tsv.sha256, &json.sha256), (&csv.sha256, &csv.sha256));
    // Another content than the same texts one by one, and than other pairs.
    let single = read_with("csv", b"text,label\n\"x, y\",p\nz,q\n", &CorpusOptions::default()).unwrap();
    let other = read_with("csv", b"b,text,label\nv,\"x, y\",p\nv,z,q\n", &options).unwrap();
    assert!(csv.sha256 != single.sha256 && csv.sha256 != other.sha256);

    let with = |column: Column| move |options: &mut CorpusOptions| options.pair = Some(column);
    let b = || with(Column::Name("b".into()));
    for (extension, content, change, says) in [
        ("csv", "b,text,label\n ,x,p\nv,z,q\n", b(), "csv:2: empty text"),
        ("csv", "text,label\nx,p\nz,q\n", b(), "csv:1: no column \"b\""),
        (
            "csv",
            "text,label\nx,p\nz,q\n",
            with(Column::Index(1)),
            "column 1, which is the text or the label as well",
        ),
        (
            "jsonl",
            "{\"text\":\"x\",\"b\":7,\"label\":0}\n",
            b(),
            "column \"b\" holds the number 7, expected a string",
        ),
        ("ft", "__label__p x\n", b(), "a line of fastText is one text"),
        (
            "csv",
            "text,label\nx,p\nz,q\n",
            with(Column::Name("label".into())),
            "must be another column than the text",
        ),
    ] {
        let message = message(extension, content.as_bytes(), change);
        assert!(message.contains(says), "{says}: {message}");
    }
}

#[test]
fn copies_of_a_pair_stay_together_and_pairs_of_one_text_do_not() {
    let options = CorpusOptions { pair: Some(Column::Name("b".into())), ..CorpusOptions::default() };
    let mut csv = "text,b,label\n".to_owned();
    for n in 0..60 {
        // One first text for all; each pair twice, in other letters.
        csv += &format!("The question,Answer {n},{}\nthe  QUESTION,answer {n},{}\n", n % 2, n % 2);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.csv");
    fs::write(&path, csv).unwrap();
    let corpus = Corpus::read(&Source::One(path.into()), &options).unwrap();
    assert_eq!(corpus.splits().map(|(_, documents)| documents.len()), [96, 12, 12]);
    let answers = |documents: &[Document]| -> std::collections::BTreeSet<String> {
        documents.iter().map(|d| d.pair.as_deref().unwrap().to_lowercase()).collect()
    };
    let [train, valid, test] = [&corpus.train, &corpus.valid, &corpus.test].map(|d| answers(d));
    assert!(train.is_disjoint(&valid) && train.is_disjoint(&test) && valid.is_disjoint(&test));
    assert_eq!(corpus.limited(4).unwrap().train.len(), 4);
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
    let cases: [(&str, Vec<u8>, &str); 29] = [
        ("jsonl", after(b"{\"text\": \"a\""), "jsonl:2: not a JSON object: EOF"),
        ("jsonl", after(b"[1]"), "jsonl:2: not a JSON object: invalid type"),
        ("jsonl", after(b"{\"text\":\"\xff\",\"label\":1}"), "jsonl:2: not valid UTF-8"),
        ("jsonl", after(b"{\"text\":\"a\"}"), "jsonl:2: no column \"label\"; there are: text"),
        ("jsonl", after(b"{\"text\":7,\"label\":1}"), "jsonl:2: column \"text\" holds the number 7"),
        ("jsonl", after(b"{\"text\":\"a\",\"label\":1.5}"), "jsonl:2: column \"label\" holds the number 1.5"),
        ("jsonl", after(b"{\"text\":\"a\",\"label\":1e300}"), "jsonl:2: column \"label\" holds the number"),
        ("jsonl", after(b"{\"text\":\"a\",\"label\":null}"), "jsonl:2: column \"label\" holds null"),
        ("jsonl", after(b"{\"text\":null,\"label\":2}"), "jsonl:2: column \"text\" holds null"),
        ("jsonl", after(b"{\"text\":[],\"label\":2}"), "jsonl:2: column \"text\" holds an array"),
        ("jsonl", after(b"{\"text\":\" \",\"label\":2}"), "jsonl:2: empty text"),
        ("jsonl", after(b"{\"text\":\"a\",\"label\":\"\"}"), "jsonl:2: empty label"),
        (
            "jsonl",
            after(b"{\"text\":\"a\",\"label\":1,\"text\":\"a\"}"),
            "jsonl:2: the object has the key \"text\" twice",
        ),
        (
            "jsonl",
            after(b"{\"text\":\"a\",\"l\\u0061bel\":1,\"label\":2}"),
            "jsonl:2: the object has the key \"label\" twice",
        ),
        ("jsonl", after(b"{\"text\":\"a\",\"label\":\"a\\tb\"}"), "jsonl:2: label \"a\\tb\" holds a tab"),
        ("jsonl", b"[{\"text\":\"a\",\n\"label\":null}]".into(), "jsonl:1: column \"label\" holds null"),
        ("csv", b"text,label\na,1\nb\n".into(), "csv:3: 1 field where the first row has 2"),
        ("csv", b"text,label\na,1\nb,2,3\n".into(), "csv:3: 3 fields where the first row has 2"),
        ("csv", b"text,kind\na,1\n".into(), "csv:1: no column \"label\"; there are: text, kind"),
        ("csv", b"text,label\n\"a\nb\",1\n\xff,2\n".into(), "csv:4: not valid UTF-8"),
        ("csv", b"text,label\na,\n".into(), "csv:2: empty label"),
        (
            "csv",
            b"label,text\na,b\nc,\"open\nd,e\n".into(),
            "csv:3: a quotation mark opens here and is not closed before",
        ),
        (
            "csv",
            b"label,text\na,b\nc,\"shut\"up\nd,e\n".into(),
            "csv:3: text after the closing quotation mark of a field:",
        ),
        (
            "csv",
            b"label,text\na,b\nc,\"open\nd,\"e\n".into(),
            "csv:4: text after the closing quotation mark of a field that opened on line 3",
        ),
        (
            "csv",
            b"text,label,label\na,1,2\n".into(),
            "csv:1: two columns are called label: give one by number (`--label-column 1`",
        ),
        (
            "csv",
            b"text,label\na,\"b\x1b[0m\"\n".into(),
            "csv:2: label \"b\\u{1b}[0m\" holds an escape character",
        ),
        ("tsv", b"text\tlabel\n\t1\n".into(), "tsv:2: empty text"),
        ("ft", b"__label__a x\ny z\n".into(), "ft:2: no `__label__`"),
        ("ft", b"__label__a x\n__label__a __label__b y z\n".into(), "ft:2: 2 labels on one line"),
    ];
    for (extension, content, want) in cases {
        let got = message(extension, &content, same);
        assert!(got.starts_with(want), "{got:?} is not {want:?}");
    }
}

#[test]
fn every_bad_row_is_counted_and_may_be_left_out() {
    let rows = |i: u32| match i {
        3 | 50 => format!("{{\"text\": null, \"label\": \"{}\"}}\n", i % 2),
        7 => "{\"text\": \"a\"}\n".to_owned(),
        _ => format!("{{\"text\": \"t{i}\", \"label\": \"{}\"}}\n", i % 2),
    };
    let jsonl: String = (1..=60).map(rows).collect();
    let said = read("jsonl", &jsonl).unwrap_err().to_string();
    for part in
        ["3 of 60 rows", "jsonl:3:", "jsonl:7:", "jsonl:50:", "--skip-bad-rows 3", "skip_bad_rows = 3"]
    {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
    let skip = |n| CorpusOptions { skip_bad_rows: n, ..CorpusOptions::default() };
    assert!(read_with("jsonl", jsonl.as_bytes(), &skip(2)).is_err());
    let corpus = read_with("jsonl", jsonl.as_bytes(), &skip(3)).unwrap();
    assert_eq!((corpus.train.len(), corpus.reading.skipped), (57, 3));
    assert!(corpus.reading.notes[0].contains("left out 3 of 60 rows"), "{:?}", corpus.reading.notes);
    let csv = b"text,label\na,1\n,2\nb,2\nc\nd,e,f\n\xff,1\n";
    let corpus = read_with("csv", csv, &skip(9)).unwrap();
    assert_eq!(pairs(&corpus), [("a", "1"), ("b", "2")]);
    assert_eq!(corpus.reading.skipped, 4);
}

#[test]
fn whole_numbers_are_one_label_in_every_format() {
    let same = |extension: &str, content: &str| {
        let corpus = read(extension, content).unwrap();
        assert_eq!(pairs(&corpus), [("a", "0"), ("b", "1"), ("c", "0")], "{extension}");
        corpus.sha256
    };
    let hashes = [
        same("csv", "text,label\na,0.0\nb,1.0\nc,0\n"),
        same("tsv", "text\tlabel\na\t0\nb\t1.00\nc\t0.0\n"),
        same(
            "jsonl",
            "{\"text\":\"a\",\"label\":0.0}\n{\"text\":\"b\",\"label\":1}\n{\"text\":\"c\",\"label\":\"0.0\"}\n",
        ),
        same(
            "json",
            "[{\"text\":\"a\",\"label\":-0.0},{\"text\":\"b\",\"label\":1.0},{\"text\":\"c\",\"label\":\"0\"}]",
        ),
        same("ft", "__label__0.0 a\n__label__1 b\n__label__0 c\n"),
    ];
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
    let corpus = read("csv", "text,label\na,0.0\nb,1.0\n").unwrap();
    assert!(corpus.reading.notes[0].contains("0.0 as 0, 1.0 as 1"), "{:?}", corpus.reading.notes);
    // Everything else that looks alike is different.
    let corpus = read("csv", "text,label\na,NA\nb,null\nc,01\nd,1\ne,1.5\nf,None\ng,nan\n").unwrap();
    assert_eq!(corpus.labels, ["01", "1", "1.5", "NA", "None", "nan", "null"]);
    assert!(corpus.reading.notes.is_empty());
}

#[test]
fn labels_are_composed() {
    let corpus = read("csv", "text,label\na,caf\u{e9}\nb,cafe\u{301}\nc,the\n").unwrap();
    assert_eq!(corpus.labels, ["caf\u{e9}", "the"]);
}

#[test]
fn line_ends_are_what_the_format_says() {
    let two = [("a b", "1"), ("c", "2")];
    for csv in [
        "text,label\na b,1\nc,2",
        "text,label\r\na b,1\r\nc,2\r\n",
        "text,label\ra b,1\rc,2\r",
        "\r\n\r\ntext,label\r\n\r\na b,1\r\nc,2\r\n\r\n",
    ] {
        assert_eq!(pairs(&read("csv", csv).unwrap()), two, "{csv:?}");
    }
    let quoted = read("csv", "text,label\r\n\"a\rb\",1\r\n\"c\r\nd\",2\r\n").unwrap();
    assert_eq!(pairs(&quoted), [("a\rb", "1"), ("c\r\nd", "2")]);
    let mac = read("csv", "text,label\r\"a\nb\",1\r\"c\rd\",2\r").unwrap();
    assert_eq!(pairs(&mac), [("a\nb", "1"), ("c\rd", "2")]);
    let tsv = read("tsv", "text\tlabel\r\na\rb\t1\r\n\rc\t2\n").unwrap();
    assert_eq!(pairs(&tsv), [("a\rb", "1"), ("\rc", "2")]);
    let lone = read("csv", "text,label\na\rb,1\nc,2\n").unwrap();
    assert_eq!(pairs(&lone), [("a\rb", "1"), ("c", "2")]);
    let old = read("tsv", "text\tlabel\ra\t1\rb\t2\r").unwrap_err().to_string();
    assert!(old.contains("carriage returns"), "{old}");
}

#[test]
fn quoted_fields_that_swallow_rows_are_told_and_texts_of_many_lines_are_not() {
    let notes = |csv: &str| read("csv", csv).unwrap().reading.notes;
    let rows = |from: usize, to: usize| -> String {
        (from..to).map(|i| format!("{},word w{i}\n", if i % 2 == 0 { "good" } else { "bad" })).collect()
    };
    // A stray quotation mark that another one closes: many rows, one row, columns in either order.
    for lost in [1, 2, 30] {
        let csv =
            format!("label,text\n{}good,\"open\n{}bad,shut\"\n{}", rows(0, 20), rows(1, lost), rows(0, 20));
        let told = notes(&csv);
        let range = format!(":22-{} ", 22 + lost);
        assert!(
            told.len() == 1 && told[0].contains(&range) && told[0].contains("read like rows"),
            "{lost}: {told:?}"
        );
    }
    let turned: String =
        (0..20).map(|i| format!("word w{i},{}\n", if i % 2 == 0 { "good" } else { "bad" })).collect();
    let told = notes(&format!("text,label\n{turned}\"open,good\nnext,bad\nthird\",good\n{turned}"));
    assert!(told.len() == 1 && told[0].contains(":22-24 "), "{told:?}");
    // One field of two lines among many of one.
    let told = notes(&format!("label,text\n{}good,\"two\nlines\"\n{}", rows(0, 100), rows(0, 100)));
    assert!(
        told.len() == 1 && told[0].contains("hardly any other") && told[0].contains(":102-103 "),
        "{told:?}"
    );
    // Texts of several lines are ordinary in some files, whatever their commas.
    let many: String = (0..200)
        .map(|i| {
            format!(
                "{},\"a line, with a comma\nand another, too\n\nw{i}\"\n",
                if i % 2 == 0 { "good" } else { "bad" }
            )
        })
        .collect();
    assert_eq!(notes(&format!("label,text\n{many}")), [""; 0]);
    assert_eq!(notes("label,text\ngood,\"one\ntwo\"\nbad,three\n"), [""; 0]);
}

#[test]
fn blank_lines_are_skipped_and_counted_as_lines() {
    let csv = read("csv", "\n\ntext,label\n\na,1\n   \nb\n").unwrap_err().to_string();
    assert!(csv.contains("csv:7: 1 field"), "{csv}");
    let json = read("json", "\n[\n\n{\"text\":\n\"a\",\"label\":1}\n,\n{\"text\":\"b\"}]\n\n")
        .unwrap_err()
        .to_string();
    assert!(json.contains("json:7: no column \"label\""), "{json}");
}

#[test]
fn json_comes_in_arrays_lines_and_one_after_the_other() {
    let want = [("a, [b] \"c\" \\", "x"), ("d", "y")];
    let (one, two) =
        (r#"{"text":"a, [b] \"c\" \\","label":"x","more":[{"text":"n"}]}"#, r#"{"label":"y","text":"d"}"#);
    for (extension, content) in [
        ("jsonl", format!("{one}\n{two}")),
        ("json", format!("{one}\n{two}\n")),
        ("json", format!("[{one},{two}]")),
        ("jsonl", format!(" [\n{one} ,\n\n{two}\n]\n")),
        ("json", format!("{one}{two}")),
        (
            "json",
            format!("\u{feff}[{}\n]", [one, two].join(",").replace(',', " ,\n ").replace("a ,\n ", "a,")),
        ),
    ] {
        assert_eq!(pairs(&read(extension, &content).unwrap()), want, "{content}");
    }
    for (content, want) in [
        (format!("[{one},{two}"), ":1: not a JSON object: in an array of objects: the array does not end"),
        (format!("[{one}\n{two}]"), ":2: not a JSON object: in an array of objects: a comma is missing"),
        (format!("[{one},\n]"), ":2: not a JSON object: in an array of objects: a value is missing"),
        (format!("[,{one}]"), "a comma is missing, or one is too many"),
        (
            format!("[{one},{two}]\n[{one}]"),
            ":2: not a JSON object: in an array of objects: text after the end",
        ),
        ("[1,\"a\",null,[2]]".to_owned(), "4 of 4 rows"),
        ("{\"data\": []}".to_owned(), "no column \"text\"; there are: data"),
        ("}".to_owned(), "not a JSON object"),
        ("[]".to_owned(), "has no documents"),
    ] {
        let said = read("json", &content).unwrap_err().to_string();
        assert!(said.contains(want), "{content}: {said}");
    }
}

#[test]
fn fasttext_lines_have_one_label() {
    let corpus =
        read("ft", "__label__pos a  good film\n\nbad \t__label__neg film\r\n__label__pos x__label__y\n")
            .unwrap();
    assert_eq!(pairs(&corpus), [("a  good film", "pos"), ("bad film", "neg"), ("x__label__y", "pos")]);
}

#[test]
fn compressed_files_are_read_and_bombs_are_not() {
    use std::io::Write;
    let content = "text,label\na,1\nb,2\n";
    let gz = |content: &[u8]| {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(content).unwrap();
        writer.finish().unwrap()
    };
    let zst = |content: &[u8]| {
        ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest)
    };
    let skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc";
    let halves = content.as_bytes().split_at(7);
    for (name, bytes) in [
        ("csv.gz", gz(content.as_bytes())),
        ("csv", gz(content.as_bytes())),
        ("csv.zst", zst(content.as_bytes())),
        ("csv.zst", [skippable.as_slice(), &zst(halves.0), skippable, &zst(halves.1)].concat()),
        ("csv.gz", [gz(halves.0), gz(halves.1)].concat()),
    ] {
        let corpus = read_with(name, &bytes, &CorpusOptions::default());
        // Skippable pieces at the start do not look like zstd.
        if bytes.starts_with(skippable) {
            continue;
        }
        assert_eq!(pairs(&corpus.unwrap()), [("a", "1"), ("b", "2")], "{name}");
    }
    for whole in [gz(content.as_bytes()), zst(content.as_bytes())] {
        for length in 4..whole.len() {
            assert!(read_with("csv.gz", &whole[..length], &CorpusOptions::default()).is_err(), "{length}");
        }
    }
    let rows = [&b"a".repeat(1000)[..], b",1\n", &b"b".repeat(1000)[..], b",2\n"].concat().repeat(40 << 10);
    for bomb in [gz(&[b"text,label\n", &rows[..]].concat()), zst(&[b"text,label\n", &rows[..]].concat())] {
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        assert!(matches!(read_with("csv", &bomb, &CorpusOptions::default()), Err(TextError::Bomb { .. })));
        let small = CorpusOptions { max_file_bytes: 1 << 20, ..CorpusOptions::default() };
        assert!(matches!(read_with("csv", &bomb, &small), Err(TextError::FileTooLarge { .. })));
    }
}

#[test]
fn other_encodings_are_read_when_named_and_named_when_not() {
    let text = "text,label\ncafé, noir,1\n".replace("é, noir", "é très délicieux") + "naïve,2\n";
    let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let want = [("café très délicieux", "1"), ("naïve", "2")];
    let with =
        |name: &str| CorpusOptions { encoding: Some(name.parse().unwrap()), ..CorpusOptions::default() };
    assert_eq!(pairs(&read_with("csv", &latin, &with("latin-1")).unwrap()), want);
    assert_eq!(pairs(&read_with("csv", &wide, &with("utf-16le")).unwrap()), want);
    assert_eq!(
        pairs(&read_with("csv", &[b"\xff\xfe", &wide[..]].concat(), &CorpusOptions::default()).unwrap()),
        want
    );
    let said = message("csv", &latin, |_| {});
    assert!(said.contains("--encoding windows-1252"), "{said}");
    let said = message("csv", &wide, |_| {});
    assert!(said.contains("looks like UTF-16") && said.contains("--encoding utf-16le"), "{said}");
    let said = message("jsonl", &[b"{\"text\":\"a\",\"label\":\"", &latin[..15], b"\"}\n"].concat(), |_| {});
    assert!(said.contains("jsonl:"), "{said}");
    let said = message("csv", b"text,label\na\x81\x30,1\n", |o| o.encoding = Some("gbk".parse().unwrap()));
    assert!(said.contains("csv:2: not valid GBK"), "{said}");
}

#[test]
fn names_that_do_not_tell_and_delimiters_that_are_others_come_with_advice() {
    for (content, want) in [
        ("text,label\na,1\n", "--format csv"),
        ("text\tlabel\n", "--format tsv"),
        ("{\"text\":1}", "--format jsonl"),
        ("[{}]", "--format json`"),
        ("__label__x y", "--format fasttext"),
        ("just words", "give `--format`"),
    ] {
        let said = message("txt", content.as_bytes(), |_| {});
        assert!(said.contains(want), "{content:?}: {said}");
    }
    for (content, want) in [
        ("text;label\na;1\n", "--delimiter \";\""),
        ("\"label\"|\"text\"\n", "--delimiter \"|\""),
        ("text\tlabel\n", "--delimiter \"\\t\""),
    ] {
        let said = message("csv", content.as_bytes(), |_| {});
        assert!(said.contains(want), "{content:?}: {said}");
    }
    assert!(message("tsv", b"text,label\n", |_| {}).contains("--delimiter \",\""));
    let by_number = |o: &mut CorpusOptions| {
        (o.header, o.text, o.label) = (false, Column::Index(0), Column::Index(1));
    };
    assert!(message("csv", b"a;1\n", by_number).contains("--delimiter \";\""));
}

#[test]
fn several_files_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let files = Files::several(vec![
        path("a.csv", "text,label\na,1\nb,2\n"),
        path("b.jsonl", "{\"text\":\"c\",\"label\":1}\n"),
        path("none.csv", "text,label\n"),
    ])
    .unwrap();
    let source = Source::Splits { train: files, valid: None, test: None };
    let corpus = Corpus::read(&source, &CorpusOptions::default()).unwrap();
    assert_eq!(pairs(&corpus), [("a", "1"), ("b", "2"), ("c", "1")]);
    assert!(corpus.reading.notes[0].contains("none.csv has no documents"), "{:?}", corpus.reading.notes);
    let json = |text: &str| serde_json::from_str::<Source>(text);
    assert_eq!(
        json("[\"a\", \"b\"]").unwrap(),
        Source::One(Files::several(vec!["a".into(), "b".into()]).unwrap())
    );
    assert!(json("{\"train\": [\"a\"], \"test\": \"b\"}").is_ok());
    assert!(
        json("[]").is_err() && json("{\"train\": [\"a\"], \"tset\": \"b\"}").is_err() && json("7").is_err()
    );
    let twice = Source::Splits { train: "-".into(), valid: Some("-".into()), test: None };
    assert!(matches!(
        Corpus::read(&twice, &CorpusOptions::default()),
        Err(TextError::Setting { setting: "files", .. })
    ));
}

#[test]
fn a_split_without_a_file_is_taken_from_training() {
    let folder = tempfile::tempdir().unwrap();
    let csv = |name: &str, from: usize, to: usize| {
        let rows: String = (from..to).map(|i| format!("t{i},{}\n", i % 2)).collect();
        let path = folder.path().join(name);
        fs::write(&path, format!("text,label\n{rows}")).unwrap();
        Files::from(path)
    };
    let (train, test) = (csv("train.csv", 0, 180), csv("test.csv", 180, 200));
    let source = Source::Splits { train, valid: None, test: Some(test) };
    let corpus = Corpus::read_for_training(&source, &CorpusOptions::default()).unwrap();
    assert_eq!((corpus.train.len(), corpus.valid.len(), corpus.test.len()), (160, 20, 20));
    assert!(
        corpus.reading.notes[0].contains("no file was given for valid (20 documents)"),
        "{:?}",
        corpus.reading.notes
    );
    assert!(Corpus::read(&source, &CorpusOptions::default()).unwrap().valid.is_empty());
}

#[test]
fn documents_in_two_splits_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let csv = |name: &str, rows: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("text,label\n{rows}")).unwrap();
        Files::from(path)
    };
    let source = Source::Splits {
        train: csv("train.csv", "A  film,1\nb,2\nCAF\u{c9},1\na film,1\n"),
        valid: Some(csv("valid.csv", "c,1\nd,2\n")),
        test: Some(csv("test.csv", "a film,1\nA FILM ,2\ncafe\u{301},1\nC,1\ne,2\n")),
    };
    let corpus = Corpus::read(&source, &CorpusOptions::default()).unwrap();
    let overlap =
        |with| Overlap { split: "test", with, documents: if with == "train" { 3 } else { 1 }, of: 5 };
    assert_eq!(corpus.reading.overlap, [overlap("train"), overlap("valid")]);
    assert!(corpus.reading.notes[0].contains("3 of 5 test documents"), "{:?}", corpus.reading.notes);
}

#[test]
fn scoring_takes_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.csv");
    fs::write(&path, "text,label,id\nb,x,7\na,x,8\n").unwrap();
    let files = Files::from(path.clone());
    let scoring = Scoring::read(&files, &CorpusOptions::default()).unwrap();
    assert_eq!((scoring.labels.len(), scoring.documents.len(), scoring.places[1].line), (1, 2, 3));
    let texts = Texts::read(&files, &CorpusOptions::default(), Some(&Column::Name("id".into()))).unwrap();
    assert_eq!(
        (texts.texts, texts.ids),
        (vec!["b".to_owned(), "a".into()], vec!["7".to_owned(), "8".into()])
    );
    fs::write(&path, "text\n").unwrap();
    assert!(matches!(Scoring::read(&files, &CorpusOptions::default()), Err(TextError::MissingColumn { .. })));
    fs::write(&path, "text,label\n").unwrap();
    let none = Scoring::read(&files, &CorpusOptions::default()).unwrap_err().to_string();
    assert!(none.ends_with("one.csv has no documents"), "{none}");
    fs::write(&path, "text\n\"\"\nx\n").unwrap();
    let texts = Texts::read(&files, &CorpusOptions::default(), None).unwrap();
    assert_eq!((texts.texts.len(), texts.ids.len()), (2, 0));
}

#[test]
fn limits_hold() {
    let long = format!("{{\"text\":\"{}\",\"label\":1}}\n", "x".repeat(100));
    let line = |o: &mut CorpusOptions| o.max_line_bytes = 50;
    assert_eq!(message("jsonl", long.as_bytes(), line), "jsonl:1: line longer than the limit of 50 bytes");
    let csv = format!("text,label\na,1\n{},2\n", "x".repeat(100));
    assert_eq!(message("csv", csv.as_bytes(), line), "csv:3: line longer than the limit of 50 bytes");
    let open = format!("text,label\n\"{}", "x,\n".repeat(100_000));
    let said = message("csv", open.as_bytes(), line);
    assert!(
        said.starts_with("csv:2: a quotation mark opens here and is not closed within 50 bytes"),
        "{said}"
    );
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
    for (extension, content) in
        [("csv", "text,label\n"), ("csv", ""), ("jsonl", "\n\n"), ("json", "[]"), ("ft", " \n")]
    {
        assert!(matches!(read(extension, content), Err(TextError::NoDocuments { .. })), "{extension}");
    }
    assert!(matches!(read("txt", "x"), Err(TextError::UnknownFormat { .. })));
    let train = [("a", "1"), ("b", "2")];
    let unseen = Corpus::from_splits("m", &train, &[("c", "1")], &[("d", "1"), ("e", "3")]).unwrap_err();
    assert_eq!(
        unseen.to_string(),
        "test:2: label \"3\" of the test split never occurs in the training split; no model could ever give it: add \
         training documents, or leave its rows out"
    );
    let many: Vec<(String, String)> = (0..30).map(|i| (format!("t{i}"), format!("l{i:02}"))).collect();
    let unseen = Corpus::from_splits("m", &many[..2], &many[2..10], &many[10..]).unwrap_err().to_string();
    for part in ["28 labels never occur", "valid:1: \"l02\" (valid)", "test:1: \"l10\" (test)", "and 8 more"]
    {
        assert!(unseen.contains(part), "{part:?} is not in {unseen:?}");
    }
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
    assert_eq!((corpus.train.len(), corpus.valid.len(), corpus.test.len()), (1400, 200, 400));
    for a in &corpus.test {
        assert!(corpus.train.iter().chain(&corpus.valid).all(|b| a.text != b.text));
    }
    assert_eq!(corpus.reading.split, "split rule 2, 70/10/20");
    let mut turned = documents.clone();
    turned.reverse();
    let again = Corpus::from_documents("m", &turned, rule).unwrap();
    assert!(again.test.iter().all(|d| corpus.test.contains(d)));
}

#[test]
fn small_classes_train_and_too_small_corpora_say_what_they_need() {
    let mut documents: Vec<(String, String)> =
        (0..600).map(|i| (format!("t{i}"), if i % 2 == 0 { "good".into() } else { "bad".into() })).collect();
    documents.extend((0..12).map(|i| (format!("rare {i}"), format!("rare{i:02}"))));
    let corpus = Corpus::from_documents("m", &documents, SplitRule::default()).unwrap();
    assert_eq!((corpus.labels.len(), corpus.train.len()), (14, 492));
    let note = &corpus.reading.notes[0];
    assert!(
        note.contains("12 classes have too few") && note.contains("rare00") && note.contains("rare11"),
        "{note}"
    );
    let twenty = Corpus::from_documents("m", &documents[..20], SplitRule::default()).unwrap();
    assert_eq!((twenty.train.len(), twenty.valid.len(), twenty.test.len()), (16, 2, 2));
    let two = Corpus::from_documents("m", &documents[..2], SplitRule::default()).unwrap_err().to_string();
    assert!(two.contains("2 documents were read (bad 1, good 1)") && two.contains("--valid FILE"), "{two}");
    let copies: Vec<(&str, &str)> =
        (0..90).map(|i| (["x", "y", "z"][i % 3], ["a", "b", "c"][i % 3])).collect();
    let said = Corpus::from_documents("m", &copies, SplitRule::default()).unwrap_err().to_string();
    assert!(said.contains("90 documents were read (a 30, b 30, c 30) of 3 different texts"), "{said}");
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
fn a_corpus_is_called_after_its_file_or_folder() {
    assert_eq!(Source::One("data/reviews.csv".into()).name(), "reviews");
    assert_eq!(Source::One("data/reviews.csv.gz".into()).name(), "reviews");
    assert_eq!(Source::One("-".into()).name(), "standard input");
    let splits = |p: &str| Source::Splits { train: p.into(), valid: None, test: None }.name();
    assert_eq!(splits("data/r8/train.jsonl"), "r8");
    assert_eq!(splits("train.jsonl"), "train");
}

#[test]
fn the_embedded_corpus_is_whole_and_encodes() {
    let corpus = Corpus::embedded().unwrap();
    assert_eq!(corpus.labels, ["neg", "pos"]);
    assert!(corpus.test.len() >= 1700 && corpus.train.len() >= 6000, "{:?}", corpus.test.len());
    let encoder = crate::BagEncoder::fit(&EncoderConfig::default(), texts(&corpus.train)).unwrap();
    assert_eq!(encoder.width(), 1000);
    let each = encoder.vocabulary_bytes() as f64 / 1000.0;
    assert!(each <= 1.0, "{each} bytes a word");
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
        extension in prop_oneof![Just("csv"), Just("tsv"), Just("jsonl"), Just("json"), Just("ft"), Just("csv.gz")],
    ) {
        let content = [b"text,label\n".as_slice(), &bytes].concat();
        let _ = read_with(extension, if extension.starts_with("csv") { &content } else { &bytes }, &CorpusOptions::default());
    }

    #[test]
    fn csv_is_read_as_the_crate_csv_reads_it(
        fields in prop::collection::vec(("[ -~\n\r\"é]{0,9}[a-z]", "[a-c\"]{0,2}[a-c]"), 2..9),
        always in any::<bool>(),
        crlf in any::<bool>(),
    ) {
        let mut table = csv::WriterBuilder::new();
        table.quote_style(if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary });
        table.terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') });
        let mut table = table.from_writer(Vec::new());
        table.write_record(["text", "label"]).unwrap();
        for (text, label) in &fields {
            table.write_record([text, label]).unwrap();
        }
        let bytes = table.into_inner().unwrap();
        let want: Vec<(String, String)> = csv::Reader::from_reader(&bytes[..])
            .into_records()
            .map(|row| row.unwrap())
            .map(|row| (row[0].to_owned(), row[1].to_owned()))
            .collect();
        match read_with("csv", &bytes, &CorpusOptions::default()) {
            Ok(corpus) => prop_assert_eq!(
                pairs(&corpus).into_iter().map(|(t, l)| (t.to_owned(), l.to_owned())).collect::<Vec<_>>(),
                want
            ),
            Err(TextError::OneClass { .. }) => prop_assert!(want.iter().all(|(_, label)| *label == want[0].1)),
            Err(other) => prop_assert!(false, "{}", other),
        }
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

#[test]
fn a_split_without_a_usable_row_is_not_told_to_leave_its_rows_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        Files::from(path)
    };
    let source = |valid: &str| Source::Splits {
        train: file("train.csv", "text,label\na,1\nb,2\n"),
        valid: Some(file("valid.csv", valid)),
        test: None,
    };
    let said = |valid| Corpus::read(&source(valid), &CorpusOptions::default()).unwrap_err().to_string();
    let all = said("text,label\n,1\n,2\n");
    assert!(
        all.starts_with("2 of 4 rows") && all.contains("no row of ") && all.contains("valid.csv can"),
        "{all}"
    );
    assert!(!all.contains("--skip-bad-rows"), "{all}");
    let one = said("text,label\n,1\n");
    assert!(one.contains("empty text; no row of "), "{one}");
    assert!(said("text,label\n,1\nc,2\n").contains("`--skip-bad-rows 1`"));
}
