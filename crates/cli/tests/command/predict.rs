//! Answering: lines as they come, lines that are no text, rows of files, and what stands beside an answer.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::world::{World, finish};

/// Longest wait for an answer that must come; no test waits for one that must not.
const PATIENCE: Duration = Duration::from_secs(60);

/// The lines that a process writes, as they come.
fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}

#[test]
fn a_line_is_answered_while_the_pipe_is_open() {
    let world = World::trained();
    for arguments in [
        &["predict", "a.safetensors"][..],
        &["predict", "a.safetensors", "--json"],
        &["predict", "a.safetensors", "--threads", "3"],
        &["predict", "a.safetensors", "--strict"],
    ] {
        let mut child = world.start(arguments);
        let (mut to, from) = (child.stdin.take().unwrap(), lines(child.stdout.take().unwrap()));
        for (text, label) in [("bru1 bru2", "dim"), ("zel1 zel3", "lit"), ("bru4", "dim"), ("", "")] {
            to.write_all(format!("{text}\n").as_bytes()).unwrap();
            to.flush().unwrap();
            let answer = from.recv_timeout(PATIENCE).expect("an answer while the pipe is open");
            assert!(answer.contains(label), "{arguments:?} {text}: {answer}");
        }
        // A line that has only begun is answered when it ends, two at once are answered at once.
        to.write_all(b"zel1 ").unwrap();
        to.flush().unwrap();
        to.write_all(b"zel2\nbru1 bru3\nzel4").unwrap();
        to.flush().unwrap();
        for label in ["lit", "dim"] {
            assert!(from.recv_timeout(PATIENCE).unwrap().contains(label), "{arguments:?}");
        }
        drop(to);
        assert!(from.recv_timeout(PATIENCE).unwrap().contains("lit"), "the last line has no end");
        assert!(child.wait().unwrap().success(), "{arguments:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_named_pipe_is_answered_as_it_comes() {
    let world = World::trained();
    let fifo = world.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Opened for both, so that neither side waits for the other.
    let both = || std::fs::File::options().read(true).write(true).open(&fifo).unwrap();
    let mut to = both();
    let mut child = Command::new(env!("CARGO_BIN_EXE_nlpress"))
        .args(["predict", "a.safetensors"])
        .current_dir(world.path(""))
        .stdin(both())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let from = lines(child.stdout.take().unwrap());
    for label in ["dim", "lit"] {
        to.write_all(if label == "dim" { b"bru1 bru2\n" } else { b"zel1 zel2\n" }).unwrap();
        assert!(from.recv_timeout(PATIENCE).expect("an answer").contains(label));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_line_that_is_no_text_costs_no_other_its_answer() {
    let world = World::trained();
    let input = b"bru1 bru2\nbad\xff\xfe\nzel1 zel2\n\xc3\n\nbru3";
    let done = world.run(&["predict", "a.safetensors"], input);
    let labels: Vec<&str> = done.out.lines().map(|l| l.split('\t').next().unwrap()).collect();
    assert_eq!(done.code, Some(2), "{}", done.err);
    assert_eq!((labels.len(), labels[0], labels[1], labels[2], labels[3]), (6, "dim", "-", "lit", "-"));
    assert_eq!(labels[5], "dim");
    assert_eq!(done.out.lines().nth(1), Some("-\t-"));
    for said in ["standard input:2", "standard input:4", "not UTF-8", "2 lines"] {
        assert!(done.err.contains(said), "{said}: {}", done.err);
    }

    let json = world.run(&["predict", "a.safetensors", "--json"], input);
    let rows: Vec<Value> = json.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((json.code, rows.len()), (Some(2), 6));
    assert_eq!(
        (&rows[0]["label"], &rows[1]["line"], &rows[3]["line"]),
        (&"dim".into(), &2.into(), &4.into())
    );
    assert!(rows[1]["error"].as_str().unwrap().contains("UTF-8") && rows[1].get("label").is_none());

    let strict = world.run(&["predict", "a.safetensors", "--strict"], input);
    assert_eq!((strict.code, strict.out.lines().count()), (Some(2), 1), "{}", strict.out);
    assert!(strict.out.starts_with("dim\t") && strict.err.contains("standard input:2"), "{}", strict.err);
}

#[test]
fn lines_of_every_kind_have_their_place_whatever_the_threads() {
    let world = World::trained();
    let mut input = b"\xef\xbb\xbf".to_vec();
    let kinds: [&[u8]; 7] = [
        b"bru1 bru2",
        b"zel1\r",
        b"",
        b"\xff",
        b"a\xc3\xa9 bru4",
        b"\t zel2 \0",
        "质量 bru5 zel6".as_bytes(),
    ];
    let mut state = 1_u64;
    for n in 0..30_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        input.extend(kinds[(state >> 33) as usize % if n < 20_000 { 7 } else { 3 }]);
        // Some lines are long, so that pieces end anywhere.
        if n % 997 == 0 {
            input.extend(b" und1".repeat(2000));
        }
        input.push(b'\n');
    }
    let one = world.run(&["predict", "a.safetensors", "--known"], &input);
    assert_eq!((one.code, one.out.lines().count()), (Some(2), 30_000));
    for (line, bytes) in one.out.lines().zip(input.split(|b| *b == b'\n')) {
        assert_eq!(line.starts_with("-\t"), std::str::from_utf8(bytes).is_err(), "{line}");
    }
    for threads in ["2", "5"] {
        let many = world.run(&["predict", "a.safetensors", "--known", "--threads", threads], &input);
        assert!(many.out == one.out && many.code == one.code, "{threads} threads");
        assert_eq!(many.err, one.err, "{threads} threads");
    }
}

#[test]
fn a_line_without_end_is_refused_and_passed_over() {
    let world = World::trained();
    let input = [&b"bru1 bru2\n"[..], &vec![b'x'; (16 << 20) + 1], b"\nzel1 zel2\n"].concat();
    let done = world.run(&["predict", "a.safetensors"], &input);
    let labels: Vec<&str> = done.out.lines().map(|l| l.split('\t').next().unwrap()).collect();
    assert_eq!((done.code, &labels[..]), (Some(2), &["dim", "-", "lit"][..]), "{}", done.err);
    assert!(done.err.contains("standard input:2: the line is longer than 16777216 bytes"), "{}", done.err);
    let most = [&vec![b'x'; 16 << 20][..], b"\n"].concat();
    assert_eq!(world.run(&["predict", "a.safetensors"], &most).code, Some(0));
}

#[cfg(unix)]
#[test]
fn standard_input_that_is_a_folder_is_named() {
    let world = World::trained();
    let done = Command::new(env!("CARGO_BIN_EXE_nlpress"))
        .args(["predict", "a.safetensors"])
        .current_dir(world.path(""))
        .stdin(std::fs::File::open(world.path("")).unwrap())
        .output()
        .unwrap();
    let err = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.code() == Some(2) && err.contains("standard input is a folder"), "{err}");
}

#[test]
fn texts_without_a_known_word_can_be_told() {
    let world = World::trained();
    let input = "qwertyuiop zxcvbnm\nпривет мир\n12345\n!!!\n\nbru1 nothing bru2\n";
    let known = [0, 0, 0, 0, 0, 2];
    let json = world.run(&["predict", "a.safetensors", "--json"], input.as_bytes());
    let rows: Vec<Value> = json.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.iter().map(|r| r["known"].as_u64().unwrap()).collect::<Vec<_>>(), known);
    let tokens: Vec<u64> = rows.iter().map(|r| r["tokens"].as_u64().unwrap()).collect();
    assert_eq!((tokens[0], tokens[1], tokens[4], tokens[5]), (2, 2, 0, 3));
    let text = world.run(&["predict", "a.safetensors", "--known"], input.as_bytes());
    let columns: Vec<u64> =
        text.out.lines().map(|l| l.split('\t').nth(2).unwrap().parse().unwrap()).collect();
    assert_eq!(columns, known);
}

#[test]
fn what_stands_beside_an_answer() {
    let world = World::trained();
    let ask =
        |more: &[&str]| world.does(&[&["predict", "a.safetensors"][..], more, &["bru1 bru2 zel3"]].concat());
    let columns = |out: String| out.trim_end().split('\t').map(str::to_owned).collect::<Vec<_>>();
    let plain = columns(ask(&[]));
    assert_eq!((plain.len(), plain[0].as_str()), (2, "dim"));
    let score: f64 = plain[1].parse().unwrap();

    let top = columns(ask(&["--top", "9"]));
    assert_eq!((top.len(), &top[..2], top[2].as_str()), (4, &plain[..], "lit"));
    assert!((top[1].parse::<f64>().unwrap() + top[3].parse::<f64>().unwrap() - 1.0).abs() < 2e-4);
    assert_eq!(columns(ask(&["--top", "1"])), plain);

    let above = format!("{:.4}", (score + 1.0) / 2.0);
    assert_eq!(columns(ask(&["--threshold", &above])), ["-", plain[1].as_str()]);
    assert_eq!(columns(ask(&["--threshold", "0.1"])), plain);
    let unsure: Value = serde_json::from_str(&ask(&["--threshold", &above, "--json", "--top", "2"])).unwrap();
    assert!(unsure["label"].is_null() && unsure["top"].as_array().unwrap().is_empty(), "{unsure}");
    assert!(unsure["scores"]["dim"].as_f64().unwrap() > 0.5);

    let all = columns(ask(&["--known", "--explain=2", "--with-text"]));
    assert_eq!((all.len(), all[2].as_str(), all[4].as_str()), (5, "3", "bru1 bru2 zel3"));
    let json: Value = serde_json::from_str(&ask(&["--json", "--explain", "--with-text"])).unwrap();
    let shares = json["explain"].as_array().unwrap();
    let share = |word: &str| {
        shares.iter().find(|s| s["word"] == word).map(|s| s["amount"].as_f64().unwrap()).unwrap()
    };
    assert!(share("bru1") > 0.0 && share("bru2") > 0.0 && share("zel3") < 0.0, "{json}");
    assert_eq!(json["text"], "bru1 bru2 zel3");
    for (option, bad) in [("--top", "0"), ("--threshold", "1.5"), ("--threshold", "x"), ("--explain=0", "x")]
    {
        assert_eq!(
            world.run(&["predict", "a.safetensors", option, bad], b"").code,
            Some(2),
            "{option} {bad}"
        );
    }
}

#[test]
fn texts_are_printed_on_one_line() {
    let world = World::trained();
    let done = world.does(&["predict", "a.safetensors", "--with-text", "bru1\tbru2\nbru3\\ \u{1b}[31m"]);
    assert_eq!(done.lines().count(), 1);
    assert_eq!(done.trim_end().split('\t').nth(2), Some("bru1\\tbru2\\nbru3\\\\ \\u{1b}[31m"));
    let json = world.does(&["predict", "a.safetensors", "--with-text", "--json", "a\tb\n\"c\""]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["text"], "a\tb\n\"c\"");
}

#[test]
fn rows_of_a_file_are_answered_with_their_ids() {
    let world = World::trained();
    world.write("new.csv", "id,review\n7,bru1 bru2\n\"8,\tb\",\"zel1, zel2\"\n");
    let rows = ["predict", "a.safetensors", "--data", "new.csv", "--text-column", "review"];
    let plain = world.does(&rows);
    assert_eq!(plain.lines().map(|l| l.split('\t').next().unwrap()).collect::<Vec<_>>(), ["dim", "lit"]);
    let ids = world.does(&[&rows[..], &["--id-column", "id"]].concat());
    let columns: Vec<Vec<&str>> = ids.lines().map(|l| l.split('\t').collect()).collect();
    assert_eq!((columns[0][0], columns[0][1], columns[1][0], columns[1][1]), ("7", "dim", "8,\\tb", "lit"));
    let json = world.does(&[&rows[..], &["--id-column", "id", "--json"]].concat());
    let second: Value = serde_json::from_str(json.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&second["id"], &second["label"]), (&"8,\tb".into(), &"lit".into()));

    world.write("new.jsonl", "{\"text\": \"zel1\", \"n\": 1}\n{\"text\": \"bru1\", \"n\": 2}\n");
    for threads in ["1", "3"] {
        let answer = world.does(&["predict", "a.safetensors", "--data", "new.jsonl", "--threads", threads]);
        assert_eq!(answer.lines().map(|l| &l[..3]).collect::<Vec<_>>(), ["lit", "dim"]);
    }
    world.refuses(&["predict", "a.safetensors", "--data", "new.csv"], b"", &["new.csv", "text", "review"]);
    world.refuses(&["predict", "a.safetensors", "--data", "none.csv"], b"", &["none.csv"]);
    world.refuses(&["predict", "a.safetensors", "--text-column", "review"], b"", &["--data"]);
    assert_eq!(world.run(&["predict", "a.safetensors", "--data", "new.csv", "a text"], b"").code, Some(2));
    assert_eq!(world.run(&["predict", "a.safetensors", "--id-column", "id"], b"").code, Some(2));
}

#[test]
fn a_column_of_ids_is_any_column_but_that_of_the_text() {
    let world = World::trained();
    world.write("new.csv", "id,text\n7,bru1\n8,zel1\n");
    world.write("plain.csv", "7,bru1\n8,zel1\n");
    world.write("new.jsonl", "{\"text\": \"zel1\", \"id\": 1}\n{\"text\": \"bru1\", \"id\": \"b\"}\n");
    let ask = |more: &[&'static str]| [&["predict", "a.safetensors", "--data"][..], more].concat();
    let ids = |more: &[&'static str]| -> Vec<String> {
        let out = world.does(&ask(more));
        out.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["new.csv", "--id-column", "0"]), ["7", "8"]);
    let by_number = ["plain.csv", "--no-header", "--text-column", "1", "--id-column", "0"];
    assert_eq!(ids(&by_number), ["7", "8"]);
    assert_eq!(ids(&["new.jsonl", "--id-column", "id"]), ["1", "b"]);
    let cases: [(&[&'static str], &[&str]); 7] = [
        (&["new.csv", "--id-column", "text"], &["--id-column is \"text\"", "--with-text"]),
        (&["new.csv", "--id-column", "1"], &["--id-column is 1", "--with-text"]),
        (&["new.jsonl", "--id-column", "text"], &["--id-column is \"text\"", "--with-text"]),
        (&["new.csv", "--id-column", "key"], &["new.csv:1", "\"key\"", "id, text"]),
        (&["new.csv", "--id-column", "9"], &["new.csv:1", "9"]),
        (&["plain.csv", "--no-header", "--id-column", "0"], &["--text-column is \"text\"", "index"]),
        (
            &["plain.csv", "--no-header", "--text-column", "1", "--id-column", "id"],
            &["--id-column is \"id\"", "by index"],
        ),
    ];
    for (more, says) in cases {
        let told = world.refuses(&ask(more), b"", says);
        assert!(!told.contains("label"), "{more:?}: {told}");
    }
}

#[test]
fn a_text_that_is_the_name_of_a_file_gets_a_hint() {
    let world = World::trained();
    let done = world.run(&["predict", "a.safetensors", "rows.csv", "bru1"], b"");
    assert_eq!((done.code, done.out.lines().count()), (Some(0), 2));
    assert!(done.err.contains("rows.csv") && done.err.contains("--data"), "{}", done.err);
    world.write("my rows's.csv", "text\n");
    let done = world.run(&["predict", "a.safetensors", "my rows's.csv"], b"");
    assert!(done.err.contains("--data 'my rows'\\''s.csv'"), "{}", done.err);
    assert_eq!(world.run(&["predict", "a.safetensors", "no-such.csv"], b"").err, "");
}

#[test]
fn a_reader_that_has_enough_ends_it() {
    let world = World::trained();
    let mut child = world.start(&["predict", "a.safetensors", "--threads", "2"]);
    drop(child.stdout.take());
    child.stdout = None;
    let mut to = child.stdin.take().unwrap();
    let feed = std::thread::spawn(move || {
        // It ends by itself: writing then fails.
        while to.write_all(&b"bru1 bru2\n".repeat(1000)).is_ok() {}
    });
    let status = child.wait().unwrap();
    feed.join().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_model_of_hidden_layers_is_explained_and_attention_is_not() {
    let world = World::new();
    world.train("a.safetensors");
    let out = world.does(&["predict", "a.safetensors", "--explain=3", "bru1 bru2"]);
    assert!(out.contains("\"bru1\"") && out.contains("\"bru2\""), "{out}");
    let child = world.start(&["predict", "a.safetensors", "--explain", "--json"]);
    let done = finish(child, b"unknown words\n", &[]);
    assert!(done.out.contains("\"explain\":[]"), "{}", done.out);
}

#[test]
fn a_number_that_is_an_id_or_a_label_stays_what_the_file_has() {
    let world = World::trained();
    let ids = ["12345678901234567890123", "9007199254740993.0", "1.50", "-0", "18446744073709551616", "7"];
    let rows: String = ids.iter().map(|id| format!("{{\"text\":\"bru1\",\"id\":{id}}}\n")).collect();
    world.write("ids.jsonl", rows);
    let ask = ["predict", "a.safetensors", "--data", "ids.jsonl", "--id-column", "id"];
    let out = world.does(&ask);
    let found: Vec<&str> = out.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(found, ids);
    let label = |number: &str| format!("{{\"text\":\"bru1\",\"label\":{number}}}\n");
    world.write("half.jsonl", label("4503599627370497.5"));
    let eval = |file| ["eval", "a.safetensors", "--data", file];
    world.refuses(&eval("half.jsonl"), b"", &["half.jsonl:1", "4503599627370497.5", "whole number"]);
    world.write("long.jsonl", label("9007199254740993.0"));
    world.refuses(&eval("long.jsonl"), b"", &["9007199254740993"]);
}

#[test]
fn a_label_of_a_dash_is_not_no_answer() {
    let world = World::new();
    let rows = String::from_utf8(world.read("rows.csv")).unwrap();
    world.write("dash.csv", rows.replace(",dim", ",-"));
    world.does(&["train", "--data", "dash.csv", "--out", "d.safetensors", "--hidden", "8", "--epochs", "2"]);
    let ask = ["predict", "d.safetensors", "--top", "2", "bru1 bru2"];
    let answer = world.does(&ask);
    assert!(answer.split('\t').any(|column| column == "\\u{2d}"), "{answer}");
    assert!(world.does(&[&ask[..], &["--json"]].concat()).contains("\"-\""));
    let unsure = world.does(&[&ask[..], &["--threshold", "1"]].concat());
    assert!(unsure.starts_with("-\t"), "{unsure}");
}

#[test]
fn a_dash_is_standard_input() {
    let world = World::trained();
    let done = world.run(&["predict", "a.safetensors", "-"], b"bru1\nzel1\n");
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert_eq!(done.out, world.run(&["predict", "a.safetensors"], b"bru1\nzel1\n").out);
    world.refuses(&["predict", "a.safetensors", "bru1", "-"], b"", &["standard input", "alone"]);
    world.refuses(&["predict", "a.safetensors", "bru1", "--strict"], b"", &["--strict"]);
    world.refuses(
        &["predict", "a.safetensors", "bru1", "--id-column", "id"],
        b"",
        &["--id-column", "--data"],
    );
    let wide: Vec<u8> = "bru1\nzel1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    world.refuses(&["predict", "a.safetensors"], &wide, &["UTF-16", "iconv"]);
}
