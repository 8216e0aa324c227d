//! Folders of pretrained encoders: in, out, to vectors, and on to a classifier.

use serde_json::Value;
use std::path::PathBuf;

use crate::world::World;

/// A tiny encoder that `transformers` wrote.
fn folder(name: &str) -> String {
    let folders = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../hub/tests/folders");
    folders.join(name).to_str().unwrap().into()
}

/// Sentences in the words of the tiny tokenizer, whose class one word decides.
fn sentences() -> String {
    let mut csv = "text,label\n".to_owned();
    for n in 0..120 {
        let filler = ["the same word", "a large model which is small", "small words", "models are the same"];
        let (word, label) = if n % 2 == 0 { ("fast", "quick") } else { ("slow", "late") };
        csv += &format!("{} {word} {},{label}\n", filler[n % 3], filler[(n / 2) % 4]);
    }
    csv
}

#[test]
fn a_folder_becomes_an_artifact_that_embeds_and_a_folder_again() {
    let world = World::new();
    let bert = folder("bert");
    let said = world.does(&["import", &bert, "--out", "bert.safetensors"]);
    assert!(said.contains("bert.safetensors: bert, embeddings of 8 numbers"), "{said}");
    assert!(said.contains("left out: 2 tensors") && said.contains("pooler.dense.bias"), "{said}");

    let vectors = world.does(&["embed", "bert.safetensors", "a small model answers fast", "the large model"]);
    let vectors: Vec<Vec<f64>> = vectors.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = std::fs::read_to_string(PathBuf::from(&bert).join("expected.jsonl")).unwrap();
    let expected: Value = serde_json::from_str(expected.lines().next().unwrap()).unwrap();
    for (found, expected) in vectors[0].iter().zip(expected["values"].as_array().unwrap()) {
        assert!((found - expected.as_f64().unwrap()).abs() < 1e-4);
    }
    assert_ne!(vectors[0], vectors[1]);
    let lines = world.run(&["embed", "bert.safetensors", "--json", "--threads", "2"], b"small\n\xff\nfast\n");
    let answers: Vec<Value> = lines.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines.code, answers.len(), answers[0]["tokens"].as_u64()),
        (Some(2), 3, Some(1)),
        "{lines:?}"
    );
    assert!(answers[1]["error"].as_str().unwrap().contains("not UTF-8"), "{lines:?}");

    world.does(&["export", "bert.safetensors", "--hf", "copy", "--like", &bert]);
    world.does(&["import", "copy", "--out", "again.safetensors"]);
    assert_eq!(world.read("again.safetensors"), world.read("bert.safetensors"));
    world.does(&["export", "bert.safetensors", "--hf", "plain"]);
    world.does(&["import", "plain", "--out", "plain.safetensors"]);
}

#[test]
fn an_embedder_is_calibrated_by_texts_and_scored_by_what_it_finds() {
    let world = World::new();
    world.write("sentences.csv", sentences());
    let lines: String =
        (0..40).map(|n| format!("a {} word of number {n}\n", ["small", "large", "fast"][n % 3])).collect();
    world.write("lines.txt", lines);
    world.does(&["import", &folder("bert"), "--out", "encoder.safetensors"]);
    let step = |kind: &'static str, with: &'static str| {
        [
            "compress",
            "encoder.safetensors",
            "--out",
            "small.safetensors",
            "--use",
            kind,
            "--on",
            "encoder.**",
            "--with",
            with,
        ]
    };
    for (kind, with) in [
        ("quant.gptq", "grid = 'int8'"),
        ("quant.int8", "activations = {}"),
        ("prune.wanda", "sparsity = 0.3"),
        ("quant.mixed", "size = 0.5"),
    ] {
        let refused = world.run(&step(kind, with), b"");
        assert!(refused.code == Some(2) && refused.err.contains("it looks at texts"), "{kind}: {refused:?}");
        let said = world.does(&[&step(kind, with)[..], &["--texts", "lines.txt"]].concat());
        assert!(
            said.contains("calibrated by 30 texts; every fourth, 10 texts, it has not seen"),
            "{kind}: {said}"
        );
        assert!(said.contains("over 10 texts: cosine to the original"), "{kind}: {said}");
    }
    for (kind, with, says) in [
        ("prune.magnitude", "sparsity = 0.5\nfinetune = { epochs = 1 }", "labelled text"),
        ("quant.qat", "", "labelled text"),
        ("distill.layers", "", "a teacher"),
    ] {
        let refused = world.run(&[&step(kind, with)[..], &["--texts", "lines.txt"]].concat(), b"");
        assert!(refused.code == Some(2) && refused.err.contains(says), "{kind}: {refused:?}");
        assert!(refused.err.contains("a step of a recipe"), "{kind}: {refused:?}");
    }
    world.write("one.txt", "a text\n");
    let refused = world.run(&[&step("quant.gptq", "")[..], &["--texts", "one.txt"]].concat(), b"");
    assert!(refused.code == Some(2) && refused.err.contains("at least 2"), "{refused:?}");

    let eval = ["eval", "small.safetensors", "--data", "sentences.csv"];
    let said = world.does(&[&eval[..], &["--against", "encoder.safetensors"]].concat());
    assert!(said.contains("nDCG@10") && said.contains("Spearman") && said.contains("its nDCG@10"), "{said}");
    let json = world.does(&[&eval[..], &["--against", "small.safetensors", "--json"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    let quality = &json["quality"];
    assert!((0.0..=1.0).contains(&quality["ndcg_at_10"].as_f64().unwrap()), "{json}");
    assert!(quality["against"]["cosine"]["least"].as_f64().unwrap() > 0.9999, "{json}");
    assert!(quality["against"]["spearman"].as_f64().unwrap() > 0.9999, "{json}");
    for option in [&["--errors", "e.csv"][..], &["--unknown-labels", "wrong"], &["--integers"]] {
        let refused = world.run(&[&eval[..], option].concat(), b"");
        assert!(refused.code == Some(2) && refused.err.contains(option[0]), "{refused:?}");
    }
}

#[test]
fn a_classifier_of_a_folder_predicts_and_takes_no_embed() {
    let world = World::new();
    world.does(&["import", &folder("distilbert-classifier"), "--out", "c.safetensors"]);
    let answer = world.does(&["predict", "c.safetensors", "a small model"]);
    assert!(["bad", "fair", "good"].iter().any(|label| answer.starts_with(label)), "{answer}");
    let refused = world.run(&["embed", "c.safetensors", "a text"], b"");
    assert!(refused.code == Some(2) && refused.err.contains("ask it by `nlpress predict`"), "{refused:?}");
    let refused = world.run(&["export", "c.safetensors", "--hf", "folder"], b"");
    assert!(refused.code == Some(2) && refused.err.contains("stands before its classifier"), "{refused:?}");
    assert!(!world.path("folder").exists());
}

#[test]
fn pairs_of_texts_are_scored_from_arguments_columns_and_json() {
    let world = World::new();
    let from = folder("bert-pairs");
    let said = world.does(&["import", &from, "--out", "p.safetensors"]);
    assert!(said.contains("bert, 1 score, "), "{said}");
    let lines = std::fs::read_to_string(PathBuf::from(&from).join("expected.jsonl")).unwrap();
    let expected: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let near = |found: &str, n: usize| {
        let value = expected[n]["values"][0].as_f64().unwrap();
        assert!((found.parse::<f64>().unwrap() - value).abs() < 1e-3, "{found} {value}");
    };
    let text = |n: usize, key: &str| expected[n][key].as_str().unwrap();
    let alone = world.does(&["predict", "p.safetensors", "--pairs", text(0, "text"), text(0, "pair")]);
    near(alone.trim(), 0);
    let json = expected.iter().map(|line| serde_json::json!({"text": line["text"], "pair": line["pair"]}));
    let json: Vec<String> = json.map(|line| line.to_string()).collect();
    let tabs: Vec<String> =
        (0..expected.len()).map(|n| format!("{}\t{}", text(n, "text"), text(n, "pair"))).collect();
    for lines in [json, tabs] {
        let done = world.run(&["predict", "p.safetensors", "--pairs"], lines.join("\n").as_bytes());
        assert_eq!((done.code, done.out.lines().count()), (Some(0), expected.len()), "{done:?}");
        done.out.lines().enumerate().for_each(|(n, line)| near(line, n));
    }
    let answer = world.run(&["predict", "p.safetensors", "--pairs", "--json", "--with-text"], b"small\tfast");
    let answer: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((answer["scores"].as_array().unwrap().len(), answer["pair"].as_str()), (1, Some("fast")));
    let bad = world.run(&["predict", "p.safetensors", "--pairs"], b"one\na\tb\n{\"text\": 7}\na\tb\tc\n");
    assert_eq!((bad.code, bad.out.lines().count()), (Some(2), 4), "{bad:?}");
    for says in
        ["input:1: it has 1 column,", "input:3: it is no JSON of a `text` and a `pair`", "input:4: it has 3"]
    {
        assert!(bad.err.contains(says), "{says}: {bad:?}");
    }
    for (arguments, says) in [
        (&["predict", "p.safetensors", "--pairs", "a"][..], "takes texts two by two"),
        (&["predict", "p.safetensors", "--top", "1", "a"], "--top is for classes"),
        (&["embed", "p.safetensors", "a"], "its network makes scores"),
    ] {
        let refused = world.run(arguments, b"");
        assert!(refused.code == Some(2) && refused.err.contains(says), "{arguments:?}: {refused:?}");
    }
}

/// Pairs of sentences whose class one word of the second decides: as CSV, and as lines of JSON under other names.
fn pairs() -> [String; 2] {
    let (mut csv, mut json) = ("first,second,label\n".to_owned(), String::new());
    for n in 0..120 {
        let filler = ["the same word", "a large model which is small", "small words", "models are the same"];
        let (word, label) = if n % 2 == 0 { ("fast", "quick") } else { ("slow", "late") };
        let (text, pair) =
            (format!("{} {}", filler[n % 3], filler[n / 3 % 4]), format!("{word} {}", filler[(n / 2) % 4]));
        csv += &format!("{text},{pair},{label}\n");
        json += &format!("{}\n", serde_json::json!({ "a": text, "b": pair, "label": label }));
    }
    [csv, json]
}

#[test]
fn a_cross_encoder_is_trained_on_pairs_and_scored_on_them() {
    let world = World::new();
    let [csv, json] = pairs();
    world.write("pairs.csv", csv);
    world.write("pairs.jsonl", json);
    let from = folder("bert-pairs");
    let columns = ["--text-column", "first", "--pair-column", "second"];
    let tuned = ["train", "--data", "pairs.csv", "--from", &from, "--out", "p.safetensors", "--epochs", "30"];
    let how = ["--learning-rate", "0.01", "--batch", "8"];
    let said = world.does(&[&tuned[..], &how, &columns].concat());
    assert!(said.contains("accuracy 100.00 %"), "{said}");
    for (files, columns) in
        [("pairs.csv", columns), ("pairs.jsonl", ["--text-column", "a", "--pair-column", "b"])]
    {
        let scored =
            world.does(&[&["eval", "p.safetensors", "--data", files, "--json"][..], &columns].concat());
        let scored: Value = serde_json::from_str(&scored).unwrap();
        assert!(scored["quality"]["accuracy"]["mean"].as_f64().unwrap() > 0.99, "{scored}");
        let told = world
            .does(&[&["predict", "p.safetensors", "--data", files, "--with-text"][..], &columns].concat());
        let of_file = told.lines().nth(1).unwrap();
        let lines: Vec<&str> = of_file.split('\t').collect();
        assert_eq!(lines[0], "late", "{of_file}");
        let alone = world.does(&["predict", "p.safetensors", "--pairs", "--with-text", lines[2], lines[3]]);
        assert_eq!(alone.trim_end(), of_file);
    }
    // The file of errors has both texts; so has its header where nothing is wrong.
    let errors = ["eval", "p.safetensors", "--data", "pairs.csv", "--errors", "wrong.csv"];
    world.does(&[&errors[..], &columns].concat());
    assert_eq!(world.read("wrong.csv"), b"text,pair,label,predicted,score,place\n");
    world.does(&[&["bench", "p.safetensors", "--data", "pairs.csv", "--rounds", "5"][..], &columns].concat());

    for (arguments, says) in [
        (
            &["train", "--out", "a.safetensors", "--pair-column", "second"][..],
            "a bag of words takes one text",
        ),
        (&["eval", "p.safetensors", "--pair-column", "third"], "no column \"third\""),
        (
            &["eval", "p.safetensors", "--pair-column", "first"],
            "--pair-column is \"first\": must be another column",
        ),
        (&["eval", "p.safetensors", "--pair-column", "0"], "is the text or the label as well"),
    ] {
        let refused =
            world.run(&[arguments, &["--data", "pairs.csv", "--text-column", "first"]].concat(), b"");
        assert!(refused.code == Some(2) && refused.err.contains(says), "{arguments:?}: {refused:?}");
    }
}

#[test]
fn a_cross_encoder_learns_numbers_and_is_scored_by_how_near_it_is() {
    let world = World::new();
    // The number is that of the second sentence's word, so that only who reads both texts learns it.
    let rows: String = pairs()[0].lines().skip(1).fold(String::new(), |rows, line| {
        let (texts, label) = line.rsplit_once(',').unwrap();
        rows + &format!("{texts},{}\n", if label == "quick" { 2.5 } else { -0.5 })
    });
    world.write("numbers.csv", format!("first,second,label\n{rows}"));
    let columns = ["--text-column", "first", "--pair-column", "second"];
    let data = ["--data", "numbers.csv"];
    for from in ["bert-pairs", "bert"] {
        let from = folder(from);
        let train = ["train", "--numbers", "--from", &from, "--out", "n.safetensors", "--epochs", "40"];
        let how = ["--learning-rate", "0.01", "--batch", "8", "--json"];
        let said = world.does(&[&train[..], &how, &data, &columns].concat());
        let said: Value = serde_json::from_str(&said).unwrap();
        assert!(said["test"]["mse"].as_f64().unwrap() < 0.1, "{said}");
        let scored = world.does(
            &[&["eval", "n.safetensors", "--json", "--against", "n.safetensors"][..], &data, &columns]
                .concat(),
        );
        let scored: Value = serde_json::from_str(&scored).unwrap();
        assert!(scored["quality"]["pearson"].as_f64().unwrap() > 0.95, "{scored}");
        assert_eq!(scored["against"]["difference"]["mse"], 0.0);
        let asked = ["the same word the same word", "fast the same word"];
        let told = world.does(&["predict", "n.safetensors", "--pairs", asked[0], asked[1]]);
        assert!((told.trim().parse::<f64>().unwrap() - 2.5).abs() < 0.6, "{told}");
    }
    // The same recipe, data and seed give the same bytes.
    let once = world.read("n.safetensors");
    let again = ["train", "--numbers", "--from", &folder("bert"), "--out", "n.safetensors", "--epochs", "40"];
    let how = ["--learning-rate", "0.01", "--batch", "8", "--threads", "1"];
    world.does(&[&again[..], &how, &data, &columns].concat());
    assert!(world.read("n.safetensors") == once);
    world.write("pairs.csv", &pairs()[0]);
    for (arguments, says) in [
        (
            &[
                "train",
                "--numbers",
                "--data",
                "pairs.csv",
                "--from",
                "n.safetensors",
                "--out",
                "m.safetensors",
            ][..],
            "holds \"quick\", expected a finite number",
        ),
        (&["eval", "n.safetensors", "--data", "numbers.csv", "--integers"], "leave --integers out"),
        (&["eval", "n.safetensors", "--corpus", "embedded"], "give --data FILE, whose labels are numbers"),
    ] {
        let columns: &[&str] = if says.contains("--data FILE") { &[] } else { &columns };
        let refused = world.run(&[arguments, columns].concat(), b"");
        assert!(refused.code == Some(2) && refused.err.contains(says), "{arguments:?}: {refused:?}");
    }
    world.train("bag.safetensors");
    let refused = world.run(
        &[
            "train",
            "--numbers",
            "--data",
            "numbers.csv",
            "--text-column",
            "first",
            "--from",
            "bag.safetensors",
            "--out",
            "m.safetensors",
        ],
        b"",
    );
    assert!(refused.code == Some(2) && refused.err.contains("tells 2 classes apart"), "{refused:?}");
}

#[test]
fn a_recipe_compresses_a_cross_encoder_on_pairs() {
    let world = World::new();
    world.write("pairs.csv", &pairs()[0]);
    let recipe = format!(
        r#"
schema = 1
seeds = 1
model = {{ path = "{}" }}
data = {{ files = "pairs.csv", read = {{ text = "first", pair = "second" }} }}
train = {{ epochs = 30, learning_rate = 1e-2, batch = 8 }}
controls = {{ linear = false, more_epochs = 0, student = [] }}

[[variants]]
id = "int8"
steps = [{{ use = "quant.int8" }}]
"#,
        folder("bert-pairs")
    );
    world.write("recipe.toml", recipe);
    world.does(&["run", "recipe.toml", "--out", "out"]);
    let report: Value = serde_json::from_slice(&world.read("out/report.json")).unwrap();
    for row in report["rows"].as_array().unwrap() {
        assert!(row["quality"]["accuracy"]["mean"].as_f64().unwrap() > 0.95, "{row}");
    }
}

#[test]
fn an_encoder_of_a_folder_is_fine_tuned_and_compressed() {
    let world = World::new();
    world.write("sentences.csv", sentences());
    world.does(&["import", &folder("bert"), "--out", "encoder.safetensors"]);
    let tuned =
        ["train", "--data", "sentences.csv", "--from", "encoder.safetensors", "--out", "tuned.safetensors"];
    let said =
        world.does(&[&tuned[..], &["--epochs", "30", "--learning-rate", "0.01", "--batch", "8"]].concat());
    assert!(said.contains("accuracy 100.00 %"), "{said}");
    assert!(world.does(&["predict", "tuned.safetensors", "a slow word"]).starts_with("late"));
    // A classifier is trained on; of other labels it is refused.
    let more =
        ["train", "--from", "tuned.safetensors", "--out", "more.safetensors", "--epochs", "1", "--data"];
    world.does(&[&more[..], &["sentences.csv"]].concat());
    let refused = world.run(&[&more[..], &["rows.csv"]].concat(), b"");
    assert!(refused.code == Some(2) && refused.err.contains("its labels are late, quick"), "{refused:?}");
    let refused = world.run(&[&tuned[..], &["--hidden", "8"]].concat(), b"");
    assert_eq!(refused.code, Some(2), "{refused:?}");

    world.write(
        "recipe.toml",
        r#"
schema = 1
[model]
path = "encoder.safetensors"
[data]
files = "sentences.csv"
[train]
epochs = 30
batch = 8
learning_rate = 1e-2
[[variants]]
id = "int8"
steps = [{ use = "quant.int8" }]
[[variants]]
id = "half"
steps = [{ use = "prune.neurons", on = ["encoder.layer.*.intermediate.dense"], with = { remove = 0.5 } }]
"#,
    );
    let plan = world.does(&["plan", "recipe.toml"]);
    assert!(plan.contains("int8"), "{plan}");
    world.does(&["run", "recipe.toml", "--out", "out", "--quick"]);
    let report: Value = serde_json::from_slice(&world.read("out/report.json")).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let bytes = |id: &str| {
        let row = rows.iter().find(|row| row["id"] == id).unwrap();
        assert!(row["quality"]["accuracy"]["mean"].as_f64().unwrap() > 0.9, "{row}");
        row["size"]["weight_bytes"].as_u64().unwrap()
    };
    assert!(bytes("int8") < bytes("teacher") / 2);
    assert!(bytes("half") < bytes("teacher"));
    // What was compressed here is a folder there: neurons in fewer numbers, integers as the floats that they stand for.
    let artifact = |id: &str| {
        let row = rows.iter().find(|row| row["id"] == id).unwrap();
        format!("out/{}", row["artifact"].as_str().unwrap())
    };
    for id in ["int8", "half"] {
        let refused = world.run(&["export", &artifact(id), "--hf", id], b"");
        assert!(refused.code == Some(2) && refused.err.contains("its classifier reads"), "{refused:?}");
    }
}

#[test]
fn a_folder_is_no_artifact_and_nothing_is_written_into_it() {
    let world = World::new();
    world.does(&["import", &folder("bert"), "--out", "bert.safetensors"]);
    world.does(&["export", "bert.safetensors", "--hf", "copy"]);
    few_sentences(&world);
    for command in [
        &["predict", "copy", "a text"][..],
        &["embed", "copy", "a text"],
        &["bench", "copy", "--data", "few.csv"],
        &["inspect", "copy"],
        &["model", "summary", "copy"],
    ] {
        world.refuses(command, b"", &["copy: is a folder", "nlpress import copy"]);
    }
    let model = world.read("copy/model.safetensors");
    for out in ["copy/model.safetensors", "copy/new.safetensors"] {
        let arguments = ["compress", "copy", "--use", "quant.int8", "--out", out];
        world.refuses(&arguments, b"", &["--out", "lies in the folder ARTIFACT copy"]);
    }
    assert_eq!(world.read("copy/model.safetensors"), model);
}

#[test]
fn what_names_no_class_is_timed_too() {
    let world = World::new();
    few_sentences(&world);
    for kind in ["bert", "bert-pairs"] {
        world.does(&["import", &folder(kind), "--out", "it.safetensors"]);
        let done =
            world.does(&["bench", "it.safetensors", "--data", "few.csv", "--rounds", "5", "--threads", "2"]);
        assert!(done.contains("texts a second by threads: ") && done.contains(" on 2;"), "{kind}: {done}");
    }
}

#[test]
fn what_is_no_folder_is_refused_and_nothing_is_written() {
    let world = World::new();
    for (arguments, says) in [
        (&["import", "nowhere", "--out", "a.safetensors"][..], "nowhere: it is no folder"),
        (&["import", ".", "--out", "a.safetensors"], "no config.json"),
        (&["import", &folder("bert"), "--out", "a.safetensors", "--max-tokens", "1"], "max_tokens"),
        (
            &["import", &folder("bert"), "--out", "a.safetensors", "--max-tokens", "33"],
            "33 tokens are asked for",
        ),
        (&["export", "rows.csv", "--hf", "folder"], "rows.csv: not a safetensors file"),
        (&["embed", "rows.csv", "a text"], "rows.csv"),
    ] {
        let refused = world.run(arguments, b"");
        assert!(refused.code == Some(2) && refused.err.contains(says), "{arguments:?}: {refused:?}");
        assert!(!world.path("a.safetensors").exists() && !world.path("folder").exists());
    }
    world.train("bag.safetensors");
    let refused = world.run(&["export", "bag.safetensors", "--hf", "folder"], b"");
    assert!(refused.code == Some(2) && refused.err.contains("rows of features, not tokens"), "{refused:?}");
}

/// Sentences whose class is what the tiny encoder tells apart, untrained; and some without labels.
fn few_sentences(world: &World) {
    let words = [
        ["the large model", "the same large words", "large words"],
        ["small , small .", "a small model is small", "small"],
    ];
    let filler = ["the same word", "a model", "words are the same", "which is cut", "seen"];
    let text = |n: usize| format!("\"{} {}\"", words[n % 2][n / 2 % 3], filler[n / 6 % 5]);
    let rows: String = (0..120).map(|n| format!("{},{}\n", text(n), ["wide", "narrow"][n % 2])).collect();
    world.write("few.csv", format!("text,label\n{rows}"));
    let more: String = (0..60).map(|n| format!("{} {n}\"\n", text(n).trim_end_matches('"'))).collect();
    world.write("more.csv", format!("text\n{more}"));
}

#[test]
fn a_folder_teaches_by_a_probe_and_its_encoder_is_a_candidate() {
    let world = World::new();
    few_sentences(&world);
    let bert = folder("bert");
    let fit = |out: &'static str, more: &[&'static str]| -> Vec<String> {
        let all =
            ["fit", "few.csv", "--trials", "14", "--seed", "5", "--unlabelled", "more.csv", "--out", out];
        let all = all.iter().chain(more).map(|argument| (*argument).to_owned());
        all.chain(["--teacher".to_owned(), bert.clone()]).collect()
    };
    let does = |arguments: &[String]| world.does(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let found: Value = serde_json::from_str(&does(&fit("a.safetensors", &["--json"]))).unwrap();
    let found = &found["found"];
    assert_eq!(found["failed"].as_array().unwrap().len(), 0, "{found:#}");
    assert_eq!(found["teacher"]["probed"], 8, "{found:#}");
    assert!(found["teacher"]["right"].as_f64().unwrap() > 0.6, "{found:#}");
    let trials = found["trials"].as_array().unwrap();
    let of = |how: &str| {
        let is = |trial: &&Value| match &trial["candidate"]["student"]["how"] {
            Value::String(name) => name == how,
            table => table.get(how).is_some(),
        };
        trials.iter().filter(is).count()
    };
    assert!(of("frozen") > 0 && of("static") > 0 && of("distilled") > 0, "{found:#}");
    let page = String::from_utf8(world.read("a.fit/report.html")).unwrap();
    assert!(page.contains("a linear probe of them teaches"), "{page}");
    assert!(page.contains("the frozen encoder and a linear probe, int8"), "{page}");
    // Those of the teacher to texts, and those of the encoder to tokens.
    assert_eq!(std::fs::read_dir(world.path("a.fit/answers")).unwrap().count(), 2);
    world.does(&["run", "a.fit/recipe.toml", "--out", "again"]);
    assert!(world.read("a.safetensors") == world.read("again/artifacts/fit.0.safetensors"));
    // On one thread, and with the folder as the artifact that it is imported as.
    world.does(&["import", &bert, "--out", "bert.safetensors"]);
    let mut other = fit("b.safetensors", &["--threads", "1"]);
    *other.last_mut().unwrap() = "bert.safetensors".into();
    does(&other);
    assert!(world.read("a.safetensors") == world.read("b.safetensors"));
}

#[test]
fn a_recipe_starts_from_a_folder_and_learns_from_one() {
    let world = World::new();
    few_sentences(&world);
    let bert = folder("bert");
    let recipe = format!(
        r#"
schema = 1
seeds = 1
model = {{ path = "{bert}" }}
data = {{ files = "few.csv", unlabelled = "more.csv" }}
train = {{ solver = "coordinate_descent", cost = 8.0 }}
controls = {{ linear = false, student = [] }}
[[variants]]
id = "int8"
steps = [{{ use = "quant.int8" }}]
[[variants]]
id = "static"
teacher = {{ path = "{bert}" }}
steps = [
    {{ use = "select.frequency" }},
    {{ use = "distill.static", with = {{ width = 6 }} }},
    {{ use = "distill.student", with = {{ from = "model", fit = {{ epochs = 20, learning_rate = 1e-2 }} }} }},
]
"#
    );
    world.write("recipe.toml", recipe);
    world.does(&["plan", "recipe.toml"]);
    for out in ["one", "two"] {
        world.does(&["run", "recipe.toml", "--out", out, "--quick"]);
    }
    let report: Value = serde_json::from_slice(&world.read("one/report.json")).unwrap();
    for row in report["rows"].as_array().unwrap() {
        assert!(row["quality"]["accuracy"]["mean"].as_f64().unwrap() > 0.6, "{row}");
        let artifact = row["artifact"].as_str().unwrap();
        assert!(world.read(&format!("one/{artifact}")) == world.read(&format!("two/{artifact}")));
    }
    // What an encoder of scores makes is no embedding.
    let scores = String::from_utf8(world.read("recipe.toml")).unwrap().replace(&bert, &folder("bert-pairs"));
    world.write("scores.toml", scores);
    let refused = world.run(&["plan", "scores.toml"], b"");
    assert!(refused.code == Some(2) && refused.err.contains("makes scores"), "{refused:?}");
}

#[test]
fn what_two_artifacts_answer_is_compared_by_what_they_make() {
    let world = World::new();
    let step = |from: &str, texts: &'static str| -> Vec<String> {
        let all = ["compress", from, "--use", "quant.int8", "--out", "small.safetensors", "--texts", texts];
        all.iter().map(|argument| (*argument).to_owned()).collect()
    };
    let lines = b"a small model\nslow words\n\nthe same large model\n";
    let run = |arguments: &[String]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        world.run(&arguments, lines)
    };
    for (name, says, not) in [
        ("bert", "over 3 texts: cosine to the original 0.9", "class"),
        ("bert-pairs", "over 3 texts: scores differ by 0.", "cosine"),
        ("bert-classifier", "over 3 texts: the same class in 100.00 %; logits differ by 0.", "cosine"),
    ] {
        let done = run(&step(&folder(name), "-"));
        assert!(
            done.code == Some(0) && done.out.contains(says) && !done.out.contains(not),
            "{name}: {done:?}"
        );
    }
    let json = run(&[step(&folder("bert-pairs"), "-"), vec!["--json".into()]].concat());
    let json: Value = serde_json::from_str(&json.out).unwrap();
    let compared = &json["compared"];
    assert!(compared["spearman"].as_f64().unwrap() > 0.4 && compared.get("cosine").is_none(), "{json}");
    assert!(compared["difference"]["most"].as_f64() >= compared["difference"]["mean"].as_f64(), "{json}");
    #[cfg(target_os = "linux")]
    {
        let done = run(&step(&folder("bert"), "/dev/stdin"));
        assert!(done.code == Some(0) && done.out.contains("over 3 texts"), "{done:?}");
    }
}

#[test]
fn a_classifier_is_trained_behind_a_frozen_encoder() {
    let world = World::new();
    few_sentences(&world);
    let bert = folder("bert");
    let train = |from: &str, more: &[&str]| -> Vec<String> {
        let all = ["train", "--data", "few.csv", "--from", from, "--solver", "coordinate-descent"];
        let all = all.iter().chain(&["--out", "probe.safetensors"]).chain(more);
        all.map(|argument| (*argument).to_owned()).collect()
    };
    let run =
        |arguments: Vec<String>| world.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), b"");
    let done = run(train(&bert, &["--cost", "8"]));
    assert!(done.code == Some(0) && done.out.contains("a linear probe of what it makes, frozen"), "{done:?}");
    let json: Value = serde_json::from_str(&run(train(&bert, &["--cost", "8", "--json"])).out).unwrap();
    assert!(json["epochs"].is_null() && json["test"]["accuracy"].as_f64().unwrap() > 0.6, "{json}");
    for (from, more, says) in [
        (&bert, &["--checkpoint", "c"][..], "--checkpoint: a linear probe"),
        (&folder("bert-pairs"), &[], "linear models of feature rows"),
    ] {
        let refused = run(train(from, more));
        assert!(refused.code == Some(2) && refused.err.contains(says), "{says}: {refused:?}");
    }
}
