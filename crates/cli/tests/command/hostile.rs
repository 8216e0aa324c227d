//! What the command must refuse: exit code 2, a message that names the place, no panic, no file, little memory.

use serde_json::{Value, json};

use crate::artifacts::{Parts, file};
use crate::happy::RECIPE;
use crate::world::World;

/// Arguments that make the command open `bad.safetensors`, encoder included.
const ASK: [&str; 3] = ["predict", "bad.safetensors", "bru1 zel2"];

fn refuse_artifact(world: &World, bytes: &[u8], says: &[&str]) {
    world.write("bad.safetensors", bytes);
    world.refuses(&ASK, b"", &[&["bad.safetensors"], says].concat());
}

/// Artifacts of every layout, made by a run.
fn layouts() -> World {
    let world = World::new();
    let bitmask = RECIPE.replace("\"sparse\"", "\"bits\"").replace("\"csr\"", "\"bitmask\"");
    let (_, bits) = bitmask.split_once("[[variants]]").unwrap();
    let (bits, _) = bits.split_once("[[variants]]").unwrap();
    world.write("layouts.toml", format!("{RECIPE}\n[[variants]]{bits}"));
    world.does(&["run", "layouts.toml", "--data", "rows.csv", "--quick", "--out", "out"]);
    world
}

fn artifact(world: &World, row: &str) -> Parts {
    Parts::of(&world.read(&format!("out/artifacts/{row}.0.safetensors")))
}

#[test]
fn artifacts_that_are_cut_short_or_changed() {
    let world = World::new();
    world.train("a.safetensors");
    let whole = world.read("a.safetensors");
    assert!(whole.len() > 1000);
    let lengths = (0..16).chain((16..whole.len()).step_by(97)).chain(whole.len() - 4..whole.len());
    for length in lengths {
        refuse_artifact(&world, &whole[..length], &[]);
    }
    refuse_artifact(&world, &[&whole[..], b"more"].concat(), &[]);

    for at in (0..whole.len()).step_by(29) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        refuse_artifact(&world, &changed, &[]);
    }
}

#[test]
fn artifacts_whose_header_lies() {
    let world = World::new();
    world.train("a.safetensors");
    let good = Parts::of(&world.read("a.safetensors"));
    world.write("bad.safetensors", good.bytes());
    assert_eq!(world.run(&ASK, b"").code, Some(0), "taken apart and put together, it still opens");

    let header = serde_json::to_vec(&good.header).unwrap();
    let huge = json!({ "__metadata__": good.header["__metadata__"].clone(),
        "t": { "dtype": "F32", "shape": [1_u64 << 40], "data_offsets": [0, 1_u64 << 42] } });
    let overflow = json!({ "t": { "dtype": "F32", "shape": [u64::MAX, 8], "data_offsets": [0, 32] } });
    let raw = |value: &Value| {
        let text = value.to_string().into_bytes();
        file(text.len() as u64, &text, &[0; 32])
    };
    let deep = "[".repeat(100_000).into_bytes();
    let cases: Vec<(Vec<u8>, &[&str])> = vec![
        (Vec::new(), &[]),
        (vec![0; 4096], &[]),
        (b"text,label\na,b\n".to_vec(), &["not a safetensors file"]),
        (file(header.len() as u64 + 1_000_000, &header, &good.data), &[]),
        (file(u64::MAX, &header, &good.data), &["not a safetensors file", "18446744073709551615"]),
        (file(1 << 40, &header, &good.data), &["not a safetensors file", "1099511627776"]),
        (file(header.len() as u64 - 1, &header, &good.data), &[]),
        (file(deep.len() as u64, &deep, b""), &[]),
        (raw(&huge), &[]),
        (raw(&overflow), &[]),
        (raw(&json!({ "t": { "dtype": "F32", "shape": [8], "data_offsets": [0, 32] } })), &["nlpress"]),
        (raw(&json!({ "__metadata__": { "nlpress": "{" } })), &[]),
        (raw(&json!({ "__metadata__": { "nlpress": 7 } })), &[]),
    ];
    for (bytes, says) in cases {
        refuse_artifact(&world, &bytes, says);
    }
}

/// How many numbers a node makes.
fn outputs(manifest: &mut Value, node: usize) -> &mut Value {
    let op = &mut manifest["outline"]["graph"]["nodes"][node]["op"];
    let kind = op.as_object().unwrap().keys().next().unwrap().clone();
    &mut op[kind]["outputs"]
}

#[test]
fn artifacts_whose_manifest_lies() {
    let world = World::new();
    world.train("a.safetensors");
    let good = Parts::of(&world.read("a.safetensors"));
    let width = good.header["hidden.0.weight.values"]["shape"][0].as_u64().unwrap();
    type Change = fn(&mut Value);
    let cases: Vec<(Change, &[&str])> = vec![
        (|m| m["schema"] = 5.into(), &["schema 5"]),
        (|m| m["schema"] = "1".into(), &["manifest"]),
        (|m| m["surprise"] = 1.into(), &["surprise"]),
        (|m| m["labels"] = json!(["dim", "dim"]), &["`dim`", "twice"]),
        (|m| m["labels"] = json!(["dim"]), &["found 1 label, expected 2 for 1 output"]),
        (|m| m["labels"] = json!(7), &["manifest"]),
        (|m| m["outline"]["kept"] = 1.into(), &["keeps 1"]),
        (|m| *outputs(m, 0) = 9.into(), &["hidden.0"]),
        (|m| *outputs(m, 0) = json!(1_u64 << 60), &["hidden.0"]),
        (|m| m["outline"]["graph"]["nodes"] = json!([]), &["nodes is 0"]),
        (|m| *outputs(m, 3) = 0.into(), &["output is 0"]),
        (|m| m["outline"]["graph"]["nodes"][2]["op"]["dropout"]["rate"] = json!(1.0), &["dropout"]),
        (
            |m| m["outline"]["graph"]["nodes"][3]["from"] = json!([3]),
            &["nodes.3.from is 3", "an earlier node"],
        ),
        (|m| m["outline"]["graph"]["nodes"][1]["op"] = "add".into(), &["nodes.1.from"]),
        (|m| m["outline"]["spec"] = json!({}), &["manifest"]),
        (|m| m["outline"]["sites"][0]["id"] = "elsewhere".into(), &["elsewhere"]),
        (|m| m["layouts"][0]["site"] = "output".into(), &["output"]),
        (|m| m["layouts"][0]["scheme"]["index"] = "csr".into(), &["hidden.0"]),
        (|m| m["layouts"] = json!([]), &["0 layouts"]),
        (|m| m["encoder"]["config"] = json!({}), &["encoder"]),
        (|m| m["encoder"]["config"]["config"]["weighting"] = "guess".into(), &["guess"]),
        (|m| m["provenance"]["seed"] = json!(-1), &["manifest"]),
    ];
    for (n, (change, says)) in cases.into_iter().enumerate() {
        let bad = good.clone().manifest(change).bytes();
        assert_ne!(bad, good.bytes(), "case {n} changes nothing");
        refuse_artifact(&world, &bad, says);
    }
    assert!(width > 8);
}

#[test]
fn artifacts_whose_tensors_lie() {
    let world = layouts();
    let (dense, int8) = (artifact(&world, "teacher"), artifact(&world, "int8"));
    let (csr, bits) = (artifact(&world, "sparse"), artifact(&world, "bits"));
    let weight = "hidden.0.weight.values";
    let not_finite = |x: f32| x.to_le_bytes();
    let missing = |mut parts: Parts| {
        parts.header.remove("hidden.0.bias");
        parts
    };
    let renamed = |mut parts: Parts| {
        let entry = parts.header.remove("output.bias").unwrap();
        parts.header.insert("stranger".into(), entry);
        parts
    };
    let shape = |parts: &Parts, name: &str| parts.header[name]["shape"].clone();
    let inputs = shape(&dense, weight)[0].as_u64().unwrap();

    let mut mask = bits.clone();
    let first = mask.tensor("hidden.0.weight.mask");
    let popcount = if first[0] == 0xff { 0 } else { 0xff };
    // The first byte of counts and gaps names their code; what follows are the numbers.
    let mut gaps = csr.clone();
    gaps.tensor("hidden.0.weight.gaps")[1..].fill(0xff);
    let mut vocabulary = dense.clone();
    vocabulary.tensor("encoder.vocabulary").fill(0xff);
    let mut words = dense.clone();
    let blob = words.tensor("encoder.vocabulary");
    blob[blob.len() / 2] = 0x80;

    let cases: Vec<(Parts, &[&str])> = vec![
        (dense.clone().over(weight, &not_finite(f32::NAN)), &["hidden.0.weight", "NaN"]),
        (dense.clone().over(weight, &not_finite(f32::INFINITY)), &["hidden.0.weight", "inf"]),
        (dense.clone().over("hidden.0.bias", &not_finite(f32::NAN)), &["hidden.0", "NaN"]),
        (dense.clone().over("output.bias", &not_finite(f32::NEG_INFINITY)), &["output", "-inf"]),
        (dense.clone().entry(weight, "dtype", "I32".into()), &["hidden.0.weight"]),
        (dense.clone().entry(weight, "shape", json!([8, inputs])), &["hidden.0.weight"]),
        (dense.clone().entry(weight, "shape", json!([8 * inputs])), &["hidden.0.weight"]),
        (dense.clone().entry("hidden.0.bias", "shape", json!([2, 4])), &["hidden.0.bias", "[2, 4]"]),
        (dense.clone().entry("hidden.0.bias", "dtype", "I32".into()), &["hidden.0.bias", "i32"]),
        (dense.clone().entry(weight, "data_offsets", json!([0, 1_u64 << 50])), &[]),
        (missing(dense.clone()), &[]),
        (renamed(dense.clone()), &["output.bias"]),
        (vocabulary, &["vocabulary"]),
        (words, &["vocabulary", "byte"]),
        (int8.clone().over(weight, &[0x80]), &["hidden.0.weight", "-128"]),
        (int8.clone().over("hidden.0.weight.scales", &not_finite(f32::NAN)), &["hidden.0.weight", "NaN"]),
        (int8.entry(weight, "dtype", "U8".into()), &["hidden.0.weight"]),
        (bits.over("hidden.0.weight.mask", &[popcount]), &["hidden.0.weight"]),
        (gaps, &["hidden.0.weight"]),
        (csr.clone().over("hidden.0.weight.gaps", &[200]), &["hidden.0.weight", "gaps"]),
        (csr.over("hidden.0.weight.counts", &[255]), &["hidden.0.weight", "counts"]),
    ];
    for (parts, says) in cases {
        refuse_artifact(&world, &parts.bytes(), says);
    }
}

#[test]
fn files_that_are_no_files() {
    let world = World::new();
    world.train("a.safetensors");
    std::fs::create_dir(world.path("folder.safetensors")).unwrap();
    std::fs::create_dir(world.path("folder.csv")).unwrap();
    std::fs::create_dir(world.path("folder.toml")).unwrap();
    let train = |data, out| ["train", "--data", data, "--hidden", "8", "--epochs", "1", "--out", out];
    let cases: &[(&[&str], &[&str])] = &[
        (&["inspect", "none.safetensors"], &["none.safetensors", "No such file"]),
        (&["inspect", "folder.safetensors"], &["folder.safetensors"]),
        (&["predict", "none.safetensors", "x"], &["none.safetensors"]),
        (&["bench", "none.safetensors", "--data", "rows.csv"], &["none.safetensors"]),
        (&["model", "summary", "rows.csv"], &["rows.csv"]),
        (&["eval", "a.safetensors", "--data", "none.csv"], &["none.csv", "No such file"]),
        (&["eval", "a.safetensors", "--data", "folder.csv"], &["folder.csv"]),
        (&["eval", "a.safetensors", "--data", "rows.csv", "--against", "none"], &["none"]),
        (&train("none.csv", "o"), &["none.csv", "No such file"]),
        (&train("folder.csv", "o"), &["folder.csv"]),
        (&train("rows.csv", "folder.csv"), &["folder.csv"]),
        (&train("rows.csv", "rows.csv/o"), &["rows.csv/o"]),
        (&["run", "none.toml"], &["none.toml", "No such file"]),
        (&["run", "folder.toml"], &["folder.toml"]),
        (&["plan", "none.toml"], &["none.toml"]),
        (&["techniques", "--markdown", "rows.csv"], &["rows.csv"]),
    ];
    for (arguments, says) in cases {
        world.refuses(arguments, b"", says);
    }
}

#[test]
fn text_that_is_no_corpus() {
    let world = World::new();
    world.train("a.safetensors");
    let long = format!("text,label\nshort,dim\n{},lit\n", "zel1 ".repeat(4 << 20));
    let quote = format!("text,label\nbru1,dim\n\"{}", "zel1\n".repeat(4 << 20));
    let deep = format!("{{\"text\":\"a\",\"label\":\"b\"}}\n{}", "[".repeat(100_000));
    let cases: &[(&str, &[u8], &[&str])] = &[
        ("bad.csv", b"text,label\nbru1,dim\nzel\xff,lit\n", &["bad.csv:3", "UTF-8"]),
        (
            "bad.jsonl",
            b"{\"text\":\"a\",\"label\":\"b\"}\n{\"text\":\"\xc3\x28\",\"label\":\"b\"}\n",
            &["bad.jsonl:2", "UTF-8"],
        ),
        ("bad.tsv", b"text\tlabel\na\tdim\n\xe4\tlit\n", &["bad.tsv:3", "UTF-8"]),
        ("bad.csv", b"", &["bad"]),
        ("bad.csv", b"\xef\xbb\xbf", &["bad"]),
        ("bad.jsonl", b"\n\n\n", &["bad"]),
        ("bad.csv", b"text,label\n", &["bad"]),
        ("bad.csv", b"text,label\nbru1,dim\n  ,lit\n", &["bad.csv:3", "empty text"]),
        ("bad.csv", b"text,label\nbru1,dim\nzel1,\n", &["bad.csv:3", "empty label"]),
        ("bad.csv", b"text,label\nbru1,dim\nzel1,lit,more\n", &["bad.csv:3", "3 fields"]),
        ("bad.csv", b"text,label\nbru1,dim\nzel1\n", &["bad.csv:3", "1 field"]),
        ("bad.csv", b"text,class\nbru1,dim\nzel1,lit\n", &["bad.csv:1", "label", "class"]),
        ("bad.jsonl", b"{\"text\":\"a\",\"label\":\"b\"}\n{\"text\":\n", &["bad.jsonl:2"]),
        ("bad.jsonl", b"{\"text\":\"a\",\"label\":\"b\"}\n[1]\n", &["bad.jsonl:2"]),
        ("bad.jsonl", b"{\"text\":7,\"label\":\"b\"}\n", &["bad.jsonl:1", "text", "7"]),
        ("bad.jsonl", b"{\"text\":\"a\",\"label\":1.5}\n", &["bad.jsonl:1", "label", "1.5"]),
        ("bad.jsonl", b"{\"text\":\"a\",\"label\":null}\n", &["bad.jsonl:1", "null"]),
        ("bad.jsonl", b"{\"label\":\"b\"}\n", &["bad.jsonl:1", "text"]),
        ("bad.jsonl", deep.as_bytes(), &["bad.jsonl:2"]),
        ("bad.parquet", b"PAR1", &["bad.parquet", "Parquet"]),
        ("bad", b"text,label\na,b\n", &["bad", ".csv"]),
        ("bad.csv", long.as_bytes(), &["bad.csv:3", "16777216"]),
        ("bad.csv", quote.as_bytes(), &["bad.csv:3", "16777216"]),
    ];
    for (name, bytes, says) in cases {
        world.write(name, bytes);
        world.refuses(&["eval", "a.safetensors", "--data", name], b"", says);
        world.refuses(&["train", "--data", name, "--out", "o.safetensors"], b"", says);
    }
    world.write("other.csv", "text,label\nbru1,faint\nzel1,bright\n");
    for command in [
        &["eval", "a.safetensors", "--data", "other.csv"][..],
        &["eval", "a.safetensors", "--data", "other.csv", "--against", "a.safetensors"],
    ] {
        world.refuses(command, b"", &["other.csv:2", "faint", "bright", "\"dim\", \"lit\""]);
    }
    world.refuses(&["train", "--data", "other.csv", "--out", "o"], b"", &["other", "2 documents", "--valid"]);
    let one = (0..100).fold("text,label\n".to_owned(), |all, n| format!("{all}bru{n},dim\n"));
    world.write("one.csv", one);
    world.refuses(&["train", "--data", "one.csv", "--out", "o"], b"", &["one", "dim", "two classes"]);
}

#[test]
fn recipes_that_cannot_be_run() {
    let world = World::new();
    let step = "use = \"quant.int8\"";
    let packed =
        "steps = [{ use = \"quant.int8\" }, { use = \"prune.magnitude\", with = { sparsity = 0.5 } }]";
    let int8 = "steps = [{ use = \"quant.int8\", on = [\"**\"], gate = { max_drop = 100.0 } }]";
    let cases: &[(&str, &str, &[&str])] = &[
        ("schema = 1", "schema = 2", &["schema is 2"]),
        ("schema = 1", "schema = -1", &["-1"]),
        ("seed = 3", "sede = 3", &["sede"]),
        ("seeds = 1", "seeds = 0", &["seeds is 0"]),
        ("seeds = 1", "seeds = 1000000", &["seeds is 1000000"]),
        ("seed = 3", "seed = \"three\"", &["three"]),
        ("[model]", "[model]\nshape = 1", &["shape"]),
        ("[model]", "[model]\npath = \"a.safetensors\"", &["path", "network"]),
        ("mlp", "cnn", &["cnn"]),
        ("dropout = 0.1", "dropout = 1.0", &["dropout is 1"]),
        ("dropout = 0.1", "dropout = nan", &["dropout is NaN"]),
        ("dropout = 0.1", "drop = 0.1", &["drop"]),
        ("hidden = [8]", "hidden = [0]", &["hidden.0 is 0"]),
        ("hidden = [8]", "hidden = [4000000000, 4000000000]", &["hidden.0 is 4000000000"]),
        ("hidden = [8]", "hidden = [8], inputs = 7", &["7 inputs"]),
        ("hidden = [8]", "hidden = [8], outputs = 3", &["3 outputs"]),
        ("[data]", "[data]\nencodr = 1", &["encodr"]),
        ("corpus = \"embedded\"", "", &["data", "corpus"]),
        ("corpus = \"embedded\"", "files = { train = \"rows.csv\", tset = \"rows.csv\" }", &["tset"]),
        ("corpus = \"embedded\"", "files = 7", &["7"]),
        ("read = {", "read = { header = \"yes\",", &["yes"]),
        ("read = {", "read = { colour = 1,", &["colour"]),
        ("train = 80", "train = 90", &["split = 90/10/10"]),
        (
            "corpus = \"embedded\"\nread = {",
            "corpus = \"embedded\"\nread = { header = false,",
            &["read", "limit"],
        ),
        ("train = 80,", "train = 80, rest = 1,", &["rest"]),
        ("vocabulary = 100", "vocabulary = 0", &["vocabulary = 0"]),
        ("vocabulary = 100", "vocab = 100", &["vocab"]),
        ("epochs = 3", "epochs = 0", &["epochs is 0"]),
        ("epochs = 3", "epoch = 3", &["epoch"]),
        ("learning_rate = 0.01", "learning_rate = -1.0", &["learning_rate is -1"]),
        ("epochs = 3", "solver = \"coordinate_descent\"", &["learning_rate is set"]),
        ("learning_rate = 0.01", "cost = 2.0", &["cost is 2.0"]),
        ("corpus = \"embedded\"", "corpus = \"embedded\"\nunlabelled = \"none.csv\"", &["none.csv"]),
        ("corpus = \"embedded\"", "corpus = \"embedded\"\nunlabelled = 7", &["`unlabelled`"]),
        ("from = \"teacher\"", "teacher = { path = \"none.safetensors\" }", &["none.safetensors"]),
        ("from = \"teacher\"", "teacher = { sha256 = \"1\" }", &["teacher = "]),
        ("more_epochs = 1", "more_epochs = 20000", &["more_epochs", "20000"]),
        ("more_epochs = 1", "more = 1", &["more"]),
        ("student = [4]", "student = [0]", &["student", "hidden.0 is 0"]),
        ("id = \"int8\"", "id = \"int8\"\nform = \"teacher\"", &["form"]),
        ("id = \"int8\"", "id = \"sparse\"", &["\"sparse\"", "taken"]),
        ("id = \"int8\"", "id = \"teacher\"", &["\"teacher\"", "taken"]),
        ("id = \"int8\"", "id = \"../int8\"", &["../int8"]),
        ("id = \"int8\"", "id = \"\"", &["id"]),
        ("from = \"teacher\"", "from = \"nobody\"", &["nobody"]),
        ("from = \"teacher\"", "teacher = \"nobody\"", &["nobody"]),
        ("sparsity = 0.6", "sparsity = 1.5", &["prune.magnitude", "1.5"]),
        ("sparsity = 0.6", "sparsity = nan", &["prune.magnitude", "NaN"]),
        ("sparsity = 0.6", "sparsity = -0.1", &["prune.magnitude", "-0.1"]),
        ("sparsity = 0.6", "sparsity = \"most\"", &["prune.magnitude", "most"]),
        ("sparsity = 0.6", "sparsty = 0.6", &["prune.magnitude", "sparsty"]),
        ("finetune = { epochs = 1 }", "finetune = { epoch = 1 }", &["prune.magnitude", "epoch"]),
        (
            "finetune = { epochs = 1 }",
            "finetune = { solver = \"coordinate_descent\" }",
            &["prune.magnitude", "solver is \"coordinate_descent\"", "\"adam\""],
        ),
        ("index = \"csr\"", "index = \"coo\"", &["prune.sparse", "coo"]),
        (step, "use = \"quant.int5\"", &["quant.int5"]),
        (step, "use = \"quant.int8\", sites = 1", &["sites"]),
        ("on = [\"**\"]", "on = [\"attention.*\"]", &["attention.*", "hidden.0"]),
        ("on = [\"**\"]", "on = [\"hidden.[0\"]", &["hidden.[0"]),
        ("on = [\"**\"]", "on = []", &["quant.int8"]),
        ("on = [\"**\"]", "on = \"**\"", &["`on` is the text \"**\"", "a list"]),
        ("max_drop = 100.0", "max_drop = -1.0", &["max_drop is -1"]),
        ("max_drop = 100.0", "max_drop = nan", &["max_drop is NaN"]),
        ("max_drop = 100.0", "max_rise = 1.0", &["max_rise"]),
        (int8, packed, &["int8", "prune.magnitude", "hidden.0"]),
        (int8, "steps = []", &["int8", "no step"]),
        (int8, "", &["steps"]),
        ("seed = 3", "seed = = 3", &[":2"]),
        ("seed = 3", "seed = 3\nseed = 3", &["duplicate key `seed`"]),
    ];
    assert!(cases.len() > 50);
    for (from, to, says) in cases {
        let at = RECIPE.find(from).unwrap_or_else(|| panic!("{from:?} is not in the recipe"));
        world.write("bad.toml", RECIPE.replacen(from, to, 1));
        let says = [&["bad.toml:"][..], says].concat();
        let said = world.refuses(&["run", "bad.toml", "--quick", "--out", "out"], b"", &says);
        // The line of the key, or of the table that is wrong as a whole.
        let line = 1 + RECIPE[..at].matches('\n').count();
        let table = RECIPE[..at].rfind("\n[").map_or(1, |n| 2 + RECIPE[..n].matches('\n').count());
        let lines = [line + to.matches('\n').count(), line, table];
        assert!(lines.iter().any(|n| said.contains(&format!("bad.toml:{n}: "))), "{lines:?}: {said}");
    }
    world.write("bad.toml", [RECIPE.as_bytes(), b"# \xff\n"].concat());
    let line = 1 + RECIPE.matches('\n').count();
    world.refuses(&["run", "bad.toml"], b"", &[&format!("bad.toml:{line}"), "UTF-8"]);
    world.write("bad.toml", " ".repeat((1 << 20) + 1));
    world.refuses(&["run", "bad.toml"], b"", &["bad.toml", "1048576"]);
    world.write("bad.toml", RECIPE.replace("network = ", "path = \"none.safetensors\"\n# "));
    world.refuses(&["run", "bad.toml"], b"", &["none.safetensors"]);
    world.write("bad.toml", RECIPE.replace("corpus = \"embedded\"", "corpus = \"unheard-of\""));
    world.refuses(&["run", "bad.toml"], b"", &["unheard-of", "xtask data fetch"]);
}

#[test]
fn arguments_out_of_bounds() {
    let world = World::new();
    world.train("a.safetensors");
    world.write("r.toml", RECIPE);
    let train = |more: &[&'static str]| {
        [&["train", "--data", "rows.csv", "--out", "o.safetensors"][..], more].concat()
    };
    let run = |more: &[&'static str]| [&["run", "r.toml", "--out", "o"][..], more].concat();
    let cases: Vec<(Vec<&str>, &[&str])> = vec![
        (vec![], &["Usage"]),
        (vec!["squeeze"], &["squeeze"]),
        (run(&["--backend", "tpu"]), &["tpu"]),
        (run(&["--threads", "0"]), &["--threads", "0"]),
        (run(&["--threads", "1000000"]), &["--threads", "1000000"]),
        (run(&["--seeds", "0"]), &["--seeds", "whole number from 1 to 100"]),
        (run(&["--ngrams", "two"]), &["--ngrams", "two"]),
        (run(&["--ngrams", "3-1"]), &["3", "1"]),
        (run(&["--corpus", "../data"]), &["../data"]),
        (run(&["--corpus", "embedded", "--data", "rows.csv"]), &["--corpus"]),
        (run(&["--log", "nlpress=loudly"]), &["--log", "loudly"]),
        (run(&["--data", "rows.csv", "--events", "none/events"]), &["none/events"]),
        (train(&["--ngrams", "0-2"]), &["0"]),
        (train(&["--ngrams", "1"]), &["--ngrams", "1"]),
        (train(&["--hidden", "8,x"]), &["--hidden", "8,x"]),
        (train(&["--hidden", "0"]), &["hidden.0 is 0"]),
        (train(&["--hidden", "99999999999999999999"]), &["--hidden", "99999999999999999999"]),
        (train(&["--hidden", "1000000,1000000"]), &["parameters"]),
        (train(&["--dropout", "1.0"]), &["--dropout", "less than 1"]),
        (train(&["--dropout", "nan"]), &["--dropout", "less than 1"]),
        (train(&["--vocabulary", "0"]), &["vocabulary = 0"]),
        (train(&["--epochs", "0"]), &["epochs is 0"]),
        (train(&["--batch", "0"]), &["batch is 0"]),
        (train(&["--solver", "newton"]), &["newton", "coordinate-descent"]),
        (train(&["--solver", "coordinate-descent"]), &["linear models", "hidden.0, hidden.1, output"]),
        (train(&["--solver", "coordinate-descent", "--learning-rate", "0.1"]), &["learning_rate is set"]),
        (train(&["--solver", "coordinate-descent", "--cost", "0"]), &["cost is 0.0"]),
        (
            train(&["--solver", "coordinate-descent", "--loss", "cross-entropy"]),
            &["loss is", "squared_hinge"],
        ),
        (train(&["--tolerance", "0.1"]), &["tolerance is 0.1", "coordinate_descent"]),
        (train(&["--learning-rate", "0"]), &["learning_rate is 0"]),
        (train(&["--learning-rate", "inf"]), &["--learning-rate", "inf"]),
        (train(&["--clip-norm", "nan"]), &["--clip-norm", "nan"]),
        (train(&["--clip-norm", "0"]), &["clip_norm is 0"]),
        (train(&["--patience", "0"]), &["patience is 0"]),
        (train(&["--resume"]), &["--checkpoint"]),
        (train(&["--threads", "0"]), &["--threads", "0"]),
        (train(&["--text-column", "label"]), &["label"]),
        (train(&["--text-column", "9"]), &["rows.csv:1", "9"]),
        (train(&["--text-column", "1"]), &["--label-column is \"label\"", "the text"]),
        (train(&["--delimiter", "\u{e9}"]), &["delimiter"]),
        (train(&["--no-header"]), &["--text-column is \"text\"", "index"]),
        (vec!["train", "--out", "o.safetensors"], &["--data"]),
        (vec!["predict", "a.safetensors", "x", "--threads", "0"], &["--threads", "0"]),
        (vec!["bench", "a.safetensors", "--data", "rows.csv", "--threads", "0"], &["--threads", "0"]),
        (vec!["bench", "a.safetensors", "--data", "rows.csv", "--rounds", "4"], &["4", "5"]),
        (vec!["eval", "a.safetensors"], &["--data"]),
        (vec!["eval", "a.safetensors", "--corpus", "embedded", "--text-column", "body"], &["--text-column"]),
        (vec!["train", "--corpus", "embedded", "--out", "o.safetensors", "--no-header"], &["--no-header"]),
        (vec!["eval", "a.safetensors", "--corpus", "unheard-of"], &["unheard-of"]),
        (vec!["techniques", "quant.int5"], &["quant.int5"]),
    ];
    for (arguments, says) in cases {
        world.refuses(&arguments, b"", says);
    }
    // None of these needs the data, so they come first.
    let unread = |more: &[&'static str]| {
        [&["train", "--data", "none.csv", "--out", "o.safetensors"][..], more].concat()
    };
    let bench =
        |more: &[&'static str]| [&["bench", "a.safetensors", "--data", "none.csv"][..], more].concat();
    let predict =
        |more: &[&'static str]| [&["predict", "a.safetensors", "--data", "none.csv"][..], more].concat();
    let cases: Vec<(Vec<&str>, &[&str])> = vec![
        (unread(&["--hidden", "0"]), &["--hidden", "hidden.0 is 0"]),
        (unread(&["--hidden", "1048576,1048576"]), &["--hidden", "parameters is 1099", "at most 268435456"]),
        (unread(&["--hidden", "1048577"]), &["--hidden", "between 1 and 1048576"]),
        (unread(&["--dropout", "1"]), &["--dropout", "less than 1"]),
        (unread(&["--dropout", "-0.1"]), &["--dropout", "at least 0"]),
        (unread(&["--vocabulary", "0"]), &["vocabulary"]),
        (unread(&["--vocabulary", "9999999999"]), &["vocabulary"]),
        (unread(&["--epochs", "0"]), &["epochs is 0"]),
        (unread(&["--batch", "0"]), &["batch is 0"]),
        (unread(&["--patience", "0"]), &["patience is 0"]),
        (unread(&["--threshold", "1.5"]), &["threshold"]),
        (unread(&["--class-weights", "a=-1"]), &["-1"]),
        (unread(&["--split", "90/20/10"]), &["90/20/10"]),
        (bench(&["--rounds", "0"]), &["--rounds", "whole number from 5 to 10000"]),
        (bench(&["--rounds", "10001"]), &["--rounds", "whole number from 5 to 10000"]),
        (predict(&["--top", "0"]), &["--top", "whole number from 1 to"]),
        (predict(&["--top", "99999999999999999999"]), &["--top", "whole number from 1 to"]),
        (predict(&["--explain=99999999999999999999"]), &["--explain", "whole number from 1 to"]),
        (predict(&["--threshold", "1.5"]), &["--threshold", "from 0 to 1"]),
    ];
    for (arguments, says) in cases {
        let told = world.refuses(&arguments, b"", says);
        assert!(!told.contains("none.csv"), "{arguments:?}: {told}");
    }
    for absent in ["flex", "wgpu"] {
        let asked = run(&["--backend"]).into_iter().chain([absent]).collect::<Vec<_>>();
        let done = world.run(&[&asked[..], &["--corpus", "unheard-of"]].concat(), b"");
        if done.err.contains("unheard-of") {
            continue; // it is compiled in: the corpus is what is refused
        }
        world.refuses(&asked, b"", &[absent, "compiled"]);
    }
}

#[test]
fn standard_input_that_is_no_text() {
    let world = World::new();
    world.train("a.safetensors");
    let predict = ["predict", "a.safetensors"];
    world.refuses(&predict, b"bru1\nzel1\n\xff\xfe\n", &["standard input:3", "UTF-8"]);
    let long = [b"bru1\n".to_vec(), vec![b'a'; (16 << 20) + 1]].concat();
    world.refuses(&predict, &long, &["standard input:2", "16777216"]);
}

#[test]
fn checkpoints_of_something_else() {
    let world = World::new();
    let train = |more: &[&'static str]| {
        let common = [
            "train",
            "--data",
            "rows.csv",
            "--hidden",
            "8",
            "--checkpoint",
            "state",
            "--out",
            "o.safetensors",
        ];
        [&common[..], more].concat()
    };
    world.does(&train(&["--epochs", "2"]));
    std::fs::remove_file(world.path("o.safetensors")).unwrap();
    let whole = world.read("state");
    let resume = ["--epochs", "2", "--resume"];
    let others = [
        ([&["--epochs", "3", "--resume"][..]].concat(), "what differs: configuration\n"),
        ([&["--seed", "9"][..], &resume].concat(), ", seed"),
    ];
    for (other, what) in &others {
        world.refuses(&train(other), b"", &["checkpoint state", "another training", what]);
    }
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    let cases =
        [&whole[..0], &whole[..7], &whole[..20], &whole[..whole.len() - 1], &changed, &b"nlpCKPT1"[..]];
    for damaged in cases {
        world.write("state", damaged);
        world.refuses(&train(&resume), b"", &["checkpoint state"]);
    }
    let data = String::from_utf8(world.read("rows.csv")).unwrap();
    world.write("state", &whole);
    world.write("rows.csv", data.replace("bru1", "bru2"));
    world.refuses(&train(&resume), b"", &["checkpoint state", "another training", "training data"]);
}

/// The encoder of a network on tokens, and the graph, may lie as any other part.
#[test]
fn artifacts_whose_tokenizers_lie() {
    let world = World::new();
    let train = ["train", "--data", "rows.csv", "--out", "t.safetensors", "--epochs", "1"];
    let how = ["--encoder", "words", "--layers", "1", "--width", "8", "--heads", "2", "--max-tokens", "20"];
    world.does(&[&train[..], &how].concat());
    let good = Parts::of(&world.read("t.safetensors"));
    type Change = fn(&mut Value);
    let cases: [(Change, &[&str]); 8] = [
        (|m| m["encoder"]["config"]["most"] = 21.into(), &["up to 21 tokens", "takes 20"]),
        (|m| m["encoder"]["config"]["most"] = json!(1_u64 << 40), &["max_tokens"]),
        (|m| m["encoder"]["config"]["kind"] = "bag".into(), &["encoder"]),
        (|m| m["encoder"]["config"]["model"] = "bpe".into(), &["model"]),
        (|m| m["encoder"]["config"] = json!({}), &["encoder"]),
        (
            |m| m["outline"]["graph"]["source"]["tokens"]["vocabulary"] = 9.into(),
            &["embeddings.word_embeddings"],
        ),
        (|m| m["outline"]["graph"]["source"]["tokens"]["most"] = 99.into(), &["position"]),
        (|m| m["outline"]["graph"]["source"] = json!({ "features": { "width": 9 } }), &["embed"]),
    ];
    for (n, (change, says)) in cases.into_iter().enumerate() {
        let bad = good.clone().manifest(change).bytes();
        assert_ne!(bad, good.bytes(), "case {n} changes nothing");
        refuse_artifact(&world, &bad, says);
    }
    let mut words = good.clone();
    words.tensor("encoder.vocabulary").fill(0xff);
    refuse_artifact(&world, &words.bytes(), &["encoder"]);
}
