//! Reading labelled text: what is repaired by nobody, counted, read from where it lies, and split.

use std::fmt::Write as _;

use crate::world::World;

const SMALL: [&str; 6] = ["--out", "m.safetensors", "--hidden", "none", "--epochs", "1"];

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["train"][..], more, &SMALL].concat()
}

/// Row `i` of made-up text in two classes: its text and its label.
fn row(i: usize) -> (String, &'static str) {
    let (stem, label) = if i.is_multiple_of(2) { ("bru", "good") } else { ("zel", "bad") };
    (format!("{stem}{} und{} n{i}", i % 7, i % 5), label)
}

/// A CSV of `count` rows, label first, in which `change` may rewrite a line (counted from 1, the header's).
fn csv(count: usize, change: impl Fn(usize, String) -> String) -> String {
    let mut text = String::from("label,text\n");
    for i in 0..count {
        let (words, label) = row(i);
        writeln!(text, "{}", change(i + 2, format!("{label},{words}"))).unwrap();
    }
    text
}

/// What a command said on standard error while it did what it was asked.
fn says(world: &World, arguments: &[&str]) -> String {
    let done = world.run(arguments, b"");
    assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.err);
    done.err
}

#[test]
fn a_stray_quotation_mark_is_an_error_or_a_warning_with_its_lines() {
    let world = World::new();
    world.write("clean.csv", csv(400, |_, row| row));
    let open = |line: usize, row: String| if line == 101 { row.replacen(',', ",\"", 1) } else { row };
    world.write("one.csv", csv(400, open));
    world.write(
        "two.csv",
        csv(400, |line, row| if line == 301 { row.replacen(',', ",\"", 1) } else { open(line, row) }),
    );
    world.write("closed.csv", csv(400, |line, row| if line == 301 { row + "\"" } else { open(line, row) }));
    let said = says(&world, &train(&["--data", "clean.csv"]));
    assert!(
        said.contains("400 documents") && said.contains("train 320") && said.contains("test 40"),
        "{said}"
    );
    for command in [train(&["--data", "one.csv"]), vec!["eval", "m.safetensors", "--data", "one.csv"]] {
        world.refuses(&command, b"", &["one.csv:101", "quotation mark opens here", "not closed"]);
    }
    world.refuses(&train(&["--data", "two.csv"]), b"", &["two.csv:301", "opened on line 101"]);
    for command in [train(&["--data", "closed.csv"]), vec!["eval", "m.safetensors", "--data", "closed.csv"]] {
        let said = says(&world, &command);
        assert!(said.contains("closed.csv:101-301") && said.contains("quotation mark alone"), "{said}");
    }
    // With the columns the other way round the same mark swallows labels, and it is still the mark that is named.
    let turned: String = csv(200, open).lines().fold(String::new(), |all, line| {
        let (label, text) = line.split_once(',').unwrap();
        let (mark, text) = text.strip_prefix('"').map_or(("", text), |rest| ("\"", rest));
        all + &format!("{mark}{text},{label}\n")
    });
    world.write("turned.csv", turned);
    world.refuses(&train(&["--data", "turned.csv"]), b"", &["turned.csv:101", "quotation mark opens here"]);
    // The smallest of this kind: a file of seven rows.
    let seven = "label,text\nalpha,a b\nbeta,c\ngamma,\"open quote\nbeta,x y\nalpha,z\ngamma,q\nbeta,w\n";
    world.write("seven.csv", seven);
    world.refuses(&["eval", "m.safetensors", "--data", "seven.csv"], b"", &["seven.csv:4"]);
}

#[test]
fn texts_of_many_lines_give_no_warning() {
    let world = World::new();
    let mut text = String::from("text,label\n");
    for i in 0..200 {
        let (words, label) = row(i);
        writeln!(text, "\"{words}, and\nmore \"\"lines\"\"\n\n{words}\",{label}").unwrap();
    }
    world.write("t.csv", text);
    let said = says(&world, &train(&["--data", "t.csv"]));
    assert!(said.contains("200 documents") && !said.contains("quot"), "{said}");
}

#[test]
fn bad_rows_are_counted_at_once_and_left_out_when_asked() {
    let world = World::new();
    let mut nulls = String::new();
    for i in 0..300 {
        let (text, label) = row(i);
        let line = match i + 1 {
            51 => serde_json::json!({ "text": text, "label": null }),
            121 => serde_json::json!({ "text": null, "label": label }),
            _ => serde_json::json!({ "text": text, "label": label }),
        };
        writeln!(nulls, "{line}").unwrap();
    }
    world.write("nulls.jsonl", nulls);
    let both = ["2 of 300 rows", "nulls.jsonl:51", "nulls.jsonl:121", "--skip-bad-rows 2"];
    world.refuses(&train(&["--data", "nulls.jsonl"]), b"", &both);
    world.refuses(&train(&["--data", "nulls.jsonl", "--skip-bad-rows", "1"]), b"", &both);
    let said = says(&world, &train(&["--data", "nulls.jsonl", "--skip-bad-rows", "2"]));
    assert!(said.contains("298 documents") && said.contains("left out 2 of 300 rows"), "{said}");
    let eval = ["eval", "m.safetensors", "--data", "nulls.jsonl"];
    world.refuses(&eval, b"", &both);
    let said = says(&world, &[&eval[..], &["--skip-bad-rows", "5"]].concat());
    assert!(said.contains("left out 2 of 300"), "{said}");
    world.write(
        "ragged.csv",
        csv(60, |line, row| match line {
            5 => row + ",more",
            9 => "bad".into(),
            20 => ",text without a label".into(),
            30 => "good,".into(),
            _ => row,
        }),
    );
    let all = [
        "4 of 60 rows",
        "ragged.csv:5: 3 fields",
        "ragged.csv:9: 1 field",
        "ragged.csv:20: empty label",
        "ragged.csv:30: empty text",
    ];
    world.refuses(&train(&["--data", "ragged.csv"]), b"", &all);
    assert!(says(&world, &train(&["--data", "ragged.csv", "--skip-bad-rows", "4"])).contains("56 documents"));
}

#[test]
fn whole_floats_are_integers_in_every_format_and_to_every_model() {
    let world = World::new();
    let number = |i: usize| i % 2;
    let lines = |written: &dyn Fn(usize) -> String| -> String {
        (0..300).map(|i| format!("{{\"text\": \"{}\", \"label\": {}}}\n", row(i).0, written(i))).collect()
    };
    world.write("int.jsonl", lines(&|i| number(i).to_string()));
    world.write("float.jsonl", lines(&|i| format!("{}.0", number(i))));
    world.write(
        "mixed.jsonl",
        lines(&|i| if i % 3 == 0 { format!("\"{}\"", number(i)) } else { format!("{}.0", number(i)) }),
    );
    let table: String = (0..300).map(|i| format!("{},{}.0\n", row(i).0, number(i))).collect();
    world.write("float.csv", format!("text,label\n{table}"));
    let files = ["int.jsonl", "float.jsonl", "mixed.jsonl", "float.csv"];
    let mut hashes = Vec::new();
    for file in files {
        world.does(&train(&["--data", file]));
        let manifest = world.json(&["inspect", "m.safetensors", "--json"]);
        assert_eq!(manifest["manifest"]["labels"], serde_json::json!(["0", "1"]), "{file}");
        hashes.push(manifest["manifest"]["provenance"]["data_sha256"].clone());
        for other in files {
            let said = world.json(&["eval", "m.safetensors", "--data", other, "--json"]);
            assert_eq!(said["documents"], 300, "{file} {other}");
        }
    }
    assert!(hashes.iter().all(|hash| hash == &hashes[0]), "the same rows are the same corpus: {hashes:?}");
    assert!(says(&world, &train(&["--data", "float.csv"])).contains("0.0 as 0, 1.0 as 1"));
}

#[test]
fn names_and_keys_that_stand_twice_are_refused() {
    let world = World::new();
    let rows: String = (0..40).map(|i| format!("{},{},x\n", row(i).0, row(i).1)).collect();
    for (header, says) in [
        ("text,label,label", "two columns are called label: give one by number"),
        ("text,label, label ", "two columns are called label: give one by number"),
        (
            "text,label,text",
            "two columns are called text: give one by number (`--text-column 0` or `--text-column 2`)",
        ),
    ] {
        world.write("t.csv", format!("{header}\n{rows}"));
        world.refuses(&train(&["--data", "t.csv"]), b"", &["t.csv:1", says]);
    }
    world.write("t.csv", format!("text,label,label\n{rows}"));
    world.does(&train(&["--data", "t.csv", "--label-column", "1"]));
    world.write("t.csv", format!("text,label,x\n{rows}").replace(",x\n", ",x\n"));
    world.does(&train(&["--data", "t.csv"]));
    let keys: String = (0..40)
        .map(|i| {
            format!(
                "{{\"text\": \"{}\", \"label\": \"{}\", \"label\": \"good\", \"id\": 1, \"id\": 2}}\n",
                row(i).0,
                row(i).1
            )
        })
        .collect();
    world.write("keys.jsonl", &keys);
    world.refuses(
        &train(&["--data", "keys.jsonl"]),
        b"",
        &["40 of 40 rows", "keys.jsonl:1", "the key \"label\" twice"],
    );
    world.write("keys.jsonl", keys.replace("\"label\": \"good\", \"id\"", "\"id\""));
    world.does(&train(&["--data", "keys.jsonl"]));
}

#[test]
fn labels_of_several_columns_or_lines_are_refused() {
    let world = World::new();
    for (label, what) in [
        ("top\tshelf", "a tab"),
        ("two\nlines", "a line end"),
        ("two\rlines", "a carriage return"),
        ("\u{1b}[31mred", "an escape character"),
        ("be\u{7}ll", "U+0007"),
        ("ne\u{85}xt", "U+0085"),
    ] {
        let text = csv(40, |line, row| {
            if line % 2 == 0 { format!("\"{label}\",{}", row.split_once(',').unwrap().1) } else { row }
        });
        world.write("t.csv", text);
        let said = world.refuses(&train(&["--data", "t.csv"]), b"", &["20 of 40 rows", "t.csv:2", what]);
        assert!(!said.contains(label), "{said:?}");
    }
}

#[test]
fn lone_carriage_returns_are_text_where_lines_end_otherwise() {
    let world = World::new();
    let mut tsv = String::from("text\tlabel\n");
    for i in 0..300 {
        let (text, label) = row(i);
        let text = if i == 50 { text.replacen(' ', "\r", 1) } else { text };
        writeln!(tsv, "{text}\t{label}").unwrap();
    }
    world.write("lone.tsv", &tsv);
    assert!(says(&world, &train(&["--data", "lone.tsv"])).contains("300 documents"));
    world.write("lone.tsv", tsv.replace('\n', "\r\n"));
    assert!(says(&world, &train(&["--data", "lone.tsv"])).contains("300 documents"));
    let plain = csv(300, |_, row| row);
    for (name, text) in [
        ("crlf.csv", plain.replace('\n', "\r\n")),
        ("mac.csv", plain.replace('\n', "\r")),
        ("quoted.csv", csv(300, |_, row| row.replacen(',', ",\"", 1).replacen(' ', "\r", 1) + "\"")),
        ("bare.csv", csv(300, |line, row| if line == 60 { row.replacen(' ', "\r", 1) } else { row })),
    ] {
        world.write(name, text);
        assert!(says(&world, &train(&["--data", name])).contains("300 documents"), "{name}");
    }
}

#[test]
fn files_are_read_in_every_format_from_anywhere() {
    let world = World::new();
    let rows: Vec<(String, &str)> = (0..60).map(row).collect();
    let object =
        |(text, label): &(String, &str)| serde_json::json!({ "text": text, "label": label }).to_string();
    let objects: Vec<String> = rows.iter().map(object).collect();
    let table = format!("text,label\n{}", rows.iter().map(|(t, l)| format!("{t},{l}\n")).collect::<String>());
    world.write("t.jsonl", objects.join("\n"));
    world.write("array.json", format!("[{}]", objects.join(",\n ")));
    world.write("array.jsonl", format!("[{}]", objects.join(",")));
    world.write("lines.json", objects.join("\n"));
    world.write("t.ft", rows.iter().map(|(t, l)| format!("__label__{l} {t}\n")).collect::<String>());
    world.write("t.txt", &table);
    world.write("semicolon.csv", table.replace(',', ";"));
    world.write("bom.csv", format!("\u{feff}{table}"));
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    world.write("wide.csv", wide(&format!("\u{feff}{table}")));
    world.write("unmarked.csv", wide(&table));
    world.write("a.csv", table.lines().take(31).fold(String::new(), |all, line| all + line + "\n"));
    world.write("b.jsonl", objects[30..].join("\n"));
    let data = |arguments: &[&str], input: &[u8]| {
        let done = world.run(&train(arguments), input);
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.err);
        let manifest = world.json(&["inspect", "m.safetensors", "--json"]);
        manifest["manifest"]["provenance"]["data_sha256"].as_str().unwrap().to_owned()
    };
    let same = data(&["--data", "t.jsonl"], b"");
    for arguments in [
        &["--data", "array.json"][..],
        &["--data", "array.jsonl"],
        &["--data", "lines.json"],
        &["--data", "t.ft"],
        &["--data", "t.txt", "--format", "csv"],
        &["--data", "semicolon.csv", "--delimiter", ";"],
        &["--data", "bom.csv"],
        &["--data", "wide.csv"],
        &["--data", "unmarked.csv", "--encoding", "utf-16le"],
        &["--data", "a.csv", "--data", "b.jsonl"],
        &["--data", "-", "--format", "csv"],
    ] {
        assert_eq!(data(arguments, table.as_bytes()), same, "{arguments:?}");
    }
    for (arguments, says) in [
        (&["--data", "t.txt"][..], &["t.txt", "--format csv"][..]),
        (&["--data", "-"], &["standard input", "--format csv"]),
        (&["--data", "semicolon.csv"], &["semicolon.csv:1", "there are: text;label", "--delimiter \";\""]),
        (&["--data", "unmarked.csv"], &["unmarked.csv", "UTF-16", "--encoding utf-16le"]),
        (&["--data", "t.jsonl", "--format", "xml"], &["xml", "fasttext"]),
        (&["--data", "t.jsonl", "--encoding", "klingon"], &["klingon", "utf-16le"]),
        (&["--data", "t.jsonl", "--delimiter", ";;"], &["one character"]),
        (&["--data", "-", "--valid", "-", "--format", "csv"], &["standard input can be read only once"]),
    ] {
        world.refuses(&train(arguments), table.as_bytes(), says);
    }
    world.write("several.ft", "__label__a x\n__label__a __label__b y\n__label__b z\n");
    world.refuses(&train(&["--data", "several.ft"]), b"", &["several.ft:2", "2 labels", "one label"]);
    world.write("latin.csv", b"text,label\nun caf\xe9 tr\xe8s d\xe9licieux,good\nx,bad\n");
    world.refuses(
        &train(&["--data", "latin.csv"]),
        b"",
        &["latin.csv:2", "--encoding windows-1252", "iconv"],
    );
}

#[test]
fn files_without_documents_say_so() {
    let world = World::new();
    world.train("a.safetensors");
    for (name, bytes) in [
        ("zero.csv", &b"text,label\n"[..]),
        ("zero.csv", b""),
        ("zero.csv", b"\xef\xbb\xbf\r\n"),
        ("zero.tsv", b"text\tlabel\n"),
        ("zero.jsonl", b"\n \n"),
        ("zero.json", b"[]"),
        ("zero.ft", b"\n"),
    ] {
        world.write(name, bytes);
        let says = format!("{name} has no documents");
        world.refuses(&train(&["--data", name]), b"", &[&says]);
        world.refuses(&["eval", "a.safetensors", "--data", name], b"", &[&says]);
        world.refuses(&["bench", "a.safetensors", "--data", name], b"", &[&says]);
    }
}

#[test]
fn every_class_of_one_file_trains() {
    let world = World::new();
    let mut text = csv(600, |_, row| row);
    (0..12).for_each(|i| writeln!(text, "rare{i:02},only once {i}").unwrap());
    world.write("rare.csv", text);
    let said = says(&world, &train(&["--data", "rare.csv"]));
    assert!(
        said.contains("612 documents") && said.contains("12 classes have too few") && said.contains("rare11"),
        "{said}"
    );
    assert!(said.contains("split rule 2, 80/10/10"), "{said}");

    world.write("twenty.csv", csv(20, |_, row| row));
    let said = says(&world, &train(&["--data", "twenty.csv"]));
    assert!(said.contains("train 16 (bad 8, good 8), valid 2 (bad 1, good 1), test 2"), "{said}");
    world.write("two.csv", csv(2, |_, row| row));
    world.refuses(
        &train(&["--data", "two.csv"]),
        b"",
        &["two", "2 documents were read", "--valid FILE", "--test FILE"],
    );
}

#[test]
fn train_takes_files_and_percentages_for_the_splits() {
    let world = World::new();
    let part = |from: usize, to: usize| {
        csv(to, |_, row| row)
            .lines()
            .skip(from + 1)
            .fold(String::from("label,text\n"), |all, line| all + line + "\n")
    };
    world.write("train.csv", part(0, 200));
    world.write("valid.csv", part(200, 220));
    world.write("test.csv", part(220, 250));
    for (arguments, says_what) in [
        (&["--valid", "valid.csv", "--test", "test.csv"][..], &["train 200", "valid 20", "test 30"][..]),
        (
            &["--test", "test.csv"],
            &["train 178", "valid 22", "test 30", "no file was given for valid (22 documents)"],
        ),
        (&["--valid", "valid.csv"], &["train 178", "valid 20", "test 22", "no file was given for test"]),
        (&["--split", "60/20/20"], &["train 120", "valid 40", "test 40"]),
        (
            &["--valid", "valid.csv", "--test", "train.csv"],
            &["200 of 200 test documents stand in the train split"],
        ),
    ] {
        let said = says(&world, &train(&[&["--data", "train.csv"][..], arguments].concat()));
        for what in says_what {
            assert!(said.contains(what), "{arguments:?}: {what:?} is not in {said}");
        }
    }
    world.write("strange.csv", "label,text\ngood,x\nodd,y\nodder,z\nodd,w\n");
    let strange = train(&["--data", "train.csv", "--valid", "valid.csv", "--test", "strange.csv"]);
    world.refuses(&strange, b"", &["2 labels", "strange.csv:3: \"odd\" (test)", "strange.csv:4: \"odder\""]);
    for (arguments, says) in [
        (&["--split", "80/10"][..], "80/10/10"),
        (&["--split", "50/50/50"], "100 per cent"),
        (&["--split", "0/50/50"], "train must not be 0"),
        (&["--valid", "none.csv"], "none.csv"),
    ] {
        world.refuses(&train(&[&["--data", "train.csv"][..], arguments].concat()), b"", &[says]);
    }
    world.refuses(&["train", "--corpus", "embedded", "--valid", "valid.csv", "--out", "o"], b"", &["--data"]);
}

#[test]
fn labels_that_look_like_nothing_are_labels() {
    let world = World::new();
    for (a, b) in [("NA", "None"), ("null", "nan"), ("01", "1"), ("N/A", "-"), ("true", "True")] {
        world.write("t.csv", csv(40, |_, row| row.replacen("good", a, 1).replacen("bad", b, 1)));
        world.does(&train(&["--data", "t.csv"]));
        let mut labels = [a, b];
        labels.sort_unstable();
        let manifest = world.json(&["inspect", "m.safetensors", "--json"]);
        assert_eq!(manifest["manifest"]["labels"], serde_json::json!(labels));
    }
}

#[test]
fn where_all_rows_are_bad_nobody_is_told_to_leave_them_out() {
    let world = World::new();
    world.train("a.safetensors");
    world.write("bad.csv", "text,label\n,a\n,b\n,a\n");
    let train = ["train", "--data", "bad.csv", "--out", "o.safetensors"];
    let eval = ["eval", "a.safetensors", "--data", "bad.csv"];
    for ask in [&train[..], &eval] {
        let told = world.refuses(ask, b"", &["3 of 3 rows", "bad.csv:2: empty text"]);
        assert!(!told.contains("--skip-bad-rows"), "{told}");
        world.refuses(&[ask, &["--skip-bad-rows", "9"]].concat(), b"", &["bad rows were left out"]);
    }
}

#[test]
fn a_file_without_a_header_is_told_from_one_with() {
    let world = World::new();
    let rows = csv(40, |_, row| row);
    world.write("bare.csv", rows.split_once('\n').unwrap().1);
    world.refuses(&train(&["--data", "bare.csv"]), b"", &["bare.csv:1", "--no-header", "header = false"]);
    let done = world.run(&["new-recipe", "--data", "bare.csv"], b"");
    assert!(
        done.err.contains("is a value of its column, too") && done.err.contains("--no-header"),
        "{}",
        done.err
    );
    // And of one in the middle.
    world.write("joined.csv", format!("{rows}{rows}"));
    let said = says(&world, &train(&["--data", "joined.csv"]));
    assert!(said.contains("joined.csv:42: the row repeats the header"), "{said}");
}

#[test]
fn where_few_bytes_tell_the_encoding_two_are_shown() {
    let world = World::new();
    world.write("pound.csv", b"text,label\nit costs \xa35 here,good\nx,bad\n");
    let says = ["pound.csv:2", "too few bytes", "--encoding windows-1252", "\"\u{a3}5\""];
    world.refuses(&train(&["--data", "pound.csv"]), b"", &says);
}

#[test]
fn what_would_do_nothing_is_refused() {
    let world = World::new();
    for name in ["a.csv", "b.csv", "c.csv"] {
        world.write(name, csv(40, |_, row| row));
    }
    let files = ["--data", "a.csv", "--valid", "b.csv", "--test", "c.csv", "--split", "50/25/25"];
    world.refuses(&train(&files), b"", &["--split has nothing to divide"]);
    world.does(&train(&files[..4]));
    world.refuses(&["eval", "m.safetensors", "a.csv"], b"", &["a.csv", "--data FILE"]);
}

#[test]
fn texts_are_timed_without_labels() {
    let world = World::new();
    world.train("a.safetensors");
    world.write("texts.csv", "text\nbru1 und2\nzel1 und3\n");
    let bench = ["bench", "a.safetensors", "--data", "texts.csv", "--rounds", "5", "--json"];
    let found = world.json(&bench);
    assert_eq!((&found["documents"], &found["corpus"]), (&2.into(), &"texts".into()));
    let refused = [&bench[..], &["--label-column", "stars"]].concat();
    world.refuses(&refused, b"", &["--label-column", "no labels"]);
}
