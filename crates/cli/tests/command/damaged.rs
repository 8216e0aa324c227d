//! Artifacts that are damaged, hostile, or no files at all: refused at once, in little memory, with the place; and never an
//! answer that is no number.

use serde_json::{Value, json};

use crate::artifacts::{Parts, sealing};
use crate::world::World;

const ASK: [&str; 3] = ["predict", "bad.safetensors", "bru1 zel2"];

/// A world with a small artifact `a.safetensors`, and its parts.
fn trained() -> (World, Parts) {
    let world = World::new();
    world.train("a.safetensors");
    let parts = Parts::of(&world.read("a.safetensors"));
    (world, parts)
}

#[test]
fn a_flipped_bit_is_named_by_its_place() {
    let (world, _) = trained();
    let whole = world.read("a.safetensors");
    for (name, range) in sealing::tensors(&whole) {
        for at in [range.start, (range.start + range.end) / 2, range.end - 1] {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            world.write("bad.safetensors", &bad);
            let says = format!("damaged: the checksum of tensor {name} does not agree");
            world.refuses(&ASK, b"", &["bad.safetensors", &says]);
            world.refuses(&["inspect", "bad.safetensors"], b"", &["bad.safetensors", &says]);
        }
    }
    // A letter of a label, which no other check would notice.
    let mut bad = whole.clone();
    let label = bad.windows(5).position(|bytes| bytes == b"\"dim\\").unwrap();
    bad[label + 1] ^= 1;
    world.write("bad.safetensors", &bad);
    world.refuses(&ASK, b"", &["damaged: the checksum of the header does not agree"]);
}

#[test]
fn an_artifact_of_the_schema_before_opens_as_it_was() {
    let (world, parts) = trained();
    let now = world.does(&["predict", "a.safetensors", "bru1 bru2", "zel3"]);
    world.write("old.safetensors", parts.clone().of_schema_2().bytes());
    assert_eq!(world.does(&["predict", "old.safetensors", "bru1 bru2", "zel3"]), now);
    let text = world.does(&["inspect", "old.safetensors"]);
    assert!(text.contains("checksums: none") && text.contains("schema 2"), "{text}");
    let json = world.json(&["inspect", "old.safetensors", "--json"]);
    assert_eq!((&json["checksums"], &json["manifest"]["schema"]), (&json!(false), &json!(2)));
    assert_eq!(json["sizes"]["file_bytes"], world.read("old.safetensors").len());
    let json = world.json(&["inspect", "a.safetensors", "--json"]);
    assert_eq!((&json["checksums"], &json["manifest"]["schema"]), (&json!(true), &json!(4)));
    assert!(world.does(&["inspect", "a.safetensors"]).contains("checksums: those of the header"));
}

#[test]
fn nothing_of_a_file_reaches_the_terminal_as_it_is() {
    let (world, parts) = trained();
    let labels = json!(["red\u{2028}", "b\u{202e}"]);
    let hostile = |m: &mut Value| {
        m["labels"] = labels.clone();
        m["provenance"]["technique"] = json!("\u{1b}]0;title\u{7}");
        m["provenance"]["recipe_sha256"] = json!("x".repeat(100_000));
    };
    world.write("old.safetensors", parts.clone().of_schema_2().manifest(hostile).bytes());
    let text = world.does(&["inspect", "old.safetensors"]);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'), "{text:?}");
    assert!(text.contains("red\\u{2028}") && text.len() < 5000, "{text}");
    // Labels that nobody can read are refused whatever the schema, and the refusal is readable.
    for label in ["", " ", "\u{3000}", "a\tb", "a\nb", "a\u{1b}[31m", "b\u{9b}2J"] {
        let parts = parts.clone().manifest(|m| m["labels"][1] = json!(label));
        for parts in [parts.clone(), parts.of_schema_2()] {
            world.write("bad.safetensors", parts.bytes());
            for ask in [&ASK[..], &["inspect", "bad.safetensors"]] {
                let told = world.refuses(ask, b"", &["bad.safetensors", "label 1"]);
                assert!(told.chars().all(|c| c == '\n' || !c.is_control()), "{told:?}");
            }
        }
    }
    let long = "z".repeat(1_000_000);
    for change in [
        Box::new(|m: &mut Value| m["labels"] = json!([long, long])) as Box<dyn Fn(&mut Value)>,
        Box::new(|m: &mut Value| m["outline"]["sites"][0]["id"] = json!(long)),
        Box::new(|m: &mut Value| m["encoder"]["config"]["config"][&long] = json!(1)),
    ] {
        world.write("bad.safetensors", parts.clone().manifest(|m| change(m)).bytes());
        let told = world.refuses(&ASK, b"", &["bad.safetensors", "zzz"]);
        assert!(told.len() < 4000, "{} bytes", told.len());
    }
}

#[test]
fn answers_are_numbers_or_there_are_none() {
    let (world, parts) = trained();
    let huge = 3.3e38_f32.to_le_bytes().repeat(8);
    let bad =
        parts.over("output.weight.values", &huge).over("hidden.0.bias", &9e30_f32.to_le_bytes().repeat(8));
    world.write("bad.safetensors", bad.bytes());
    for ask in [&ASK[..], &["predict", "bad.safetensors", "--json", "bru1"]] {
        let done = world.run(ask, b"");
        assert!(done.code == Some(2) || done.code == Some(1), "{done:?}");
        assert!(!done.out.contains("NaN") && !done.out.contains("null"), "{done:?}");
        assert!(done.err.contains("too large to compute with"), "{done:?}");
        assert!(done.err.contains("bad.safetensors: logit"), "{done:?}");
    }
    let done = world.run(&["predict", "bad.safetensors"], b"bru1\n");
    let says = done.err.contains("standard input:1: bad.safetensors: logit");
    assert!(done.code == Some(2) && says, "{done:?}");
    let done = world.run(&["predict", "bad.safetensors", "--data", "rows.csv"], b"");
    assert!(done.code == Some(2) && done.err.contains("rows.csv:2: bad.safetensors: logit"), "{done:?}");
    let done = world.run(&["bench", "bad.safetensors", "--data", "rows.csv", "--rounds", "5"], b"");
    assert!(done.code == Some(2) && done.err.contains("bad.safetensors"), "{done:?}");
    let done = world.run(&["eval", "bad.safetensors", "--data", "rows.csv"], b"");
    let says = ["bad.safetensors", "too large to compute with"].iter().all(|part| done.err.contains(part));
    assert!(done.code != Some(0) && says, "{done:?}");
}

/// A manifest in which `"BOMB"` is replaced by text that would be slow to make as a value.
fn bomb(parts: &Parts, put: impl FnOnce(&mut Value), text: &str) -> Vec<u8> {
    let mut parts = parts.clone().manifest(put);
    let manifest = parts.header["__metadata__"]["nlpress"].as_str().unwrap().replace("\"BOMB\"", text);
    parts.header["__metadata__"]["nlpress"] = manifest.into();
    parts.bytes()
}

#[test]
fn small_files_take_little_memory() {
    let (world, parts) = trained();
    let ones = format!("[{}1]", "1,".repeat(7_900_000));
    let zeros = format!("[{}0]", "0,".repeat(7_900_000));
    let bombs = [
        ("more than 8", bomb(&parts, |m| m["outline"]["graph"]["nodes"][0]["from"] = json!("BOMB"), &ones)),
        ("more than 262144", bomb(&parts, |m| m["encoder"]["config"] = json!("BOMB"), &zeros)),
        ("expected struct Layout", bomb(&parts, |m| m["layouts"] = json!("BOMB"), &zeros)),
    ];
    for (says, bytes) in bombs {
        world.write("bad.safetensors", bytes);
        for ask in [&ASK[..], &["inspect", "bad.safetensors"]] {
            let done = world.run_within(200_000, ask);
            assert_eq!(done.code, Some(2), "{says}: {done:?}");
            assert!(done.err.contains(says), "{says}: {done:?}");
        }
    }
}

#[test]
fn a_file_that_grows_a_hundredfold_is_refused() {
    let (world, mut parts) = trained();
    // A code of four bits for eight outputs: 32 bytes in memory for half a byte, of 1,061,158,912 in all.
    let (inputs, hidden) =
        (parts.header["hidden.0.weight.values"]["shape"][0].as_u64().unwrap(), 1_u64 << 20);
    assert!((20..256).contains(&inputs), "{inputs}");
    let scheme = json!({"values": {"codebook": {"width": 8, "bits": 4}}, "index": "full"});
    let tensors: [(&str, &str, Value, u64); 6] = [
        ("hidden.0.bias", "F32", json!([hidden]), 4 * hidden),
        ("output.bias", "F32", json!([1]), 4),
        ("output.weight.values", "F32", json!([hidden, 1]), 4 * hidden),
        ("hidden.0.weight.numbers", "F16", json!([128]), 256),
        ("hidden.0.weight.values", "U8", json!([inputs * hidden / 16]), inputs * hidden / 16),
        ("encoder.vocabulary", "U8", json!([0]), 0),
    ];
    let vocabulary = parts.tensor("encoder.vocabulary").to_vec();
    let metadata = parts.header["__metadata__"].clone();
    parts.header.clear();
    parts.header.insert("__metadata__".into(), metadata);
    let mut end = 0;
    for (name, dtype, mut shape, mut bytes) in tensors {
        if name == "encoder.vocabulary" {
            (shape, bytes) = (json!([vocabulary.len()]), vocabulary.len() as u64);
        }
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [end, end + bytes]});
        parts.header.insert(name.into(), entry);
        end += bytes;
    }
    parts.data = vec![0; end as usize];
    parts.tensor("encoder.vocabulary").copy_from_slice(&vocabulary);
    let parts = parts.manifest(|m| {
        m["outline"]["graph"]["nodes"][0]["op"]["features"]["outputs"] = json!(hidden);
        m["outline"]["sites"][0] = json!({"id": "hidden.0", "shape": {"inputs": inputs, "outputs": hidden},
            "form": {"packed": scheme}});
        m["outline"]["sites"][1]["shape"] = json!({"inputs": hidden, "outputs": 1});
        m["outline"]["kept"] = json!((inputs + 1) * hidden);
        m["layouts"][0]["scheme"] = scheme.clone();
    });
    world.write("bad.safetensors", parts.bytes());
    for ask in [&ASK[..], &["inspect", "bad.safetensors"]] {
        let done = world.run_within(250_000, ask);
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.err.contains("bytes in memory, but at most"), "{done:?}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_before_it_is_read() {
    let world = World::new();
    let made = std::process::Command::new("mkfifo").arg(world.path("fifo")).status().unwrap();
    assert!(made.success());
    std::fs::File::create(world.path("sparse")).unwrap().set_len(3 << 30).unwrap();
    for (path, says) in [
        ("fifo", "is a named pipe, expected a regular file"),
        (".", "is a folder, expected a regular file"),
        ("/dev/null", "is a device, expected a regular file"),
        ("/dev/zero", "is a device, expected a regular file"),
        ("sparse", "not a safetensors file"),
    ] {
        for ask in [vec!["inspect", path], vec!["predict", path, "x"], vec!["model", "summary", path]] {
            let done = world.run_within(200_000, &ask);
            assert_eq!(done.code, Some(2), "{ask:?}: {done:?}");
            assert!(done.err.contains(says) && done.err.contains(path), "{ask:?}: {done:?}");
        }
    }
}
