//! Scoring what is given: unknown labels, one class, one document, rare classes; and what is told of it.

use serde_json::Value;
use std::fmt::Write as _;

use crate::world::World;

fn eval(world: &World, more: &[&str]) -> Value {
    world.json(&[&["eval", "a.safetensors", "--json"][..], more].concat())
}

/// One hundred documents that the model gets right, of which the one on line 42 has the label `mixed`.
fn with_a_stranger() -> String {
    let mut text = String::from("text,label\n");
    for line in 2..=101 {
        let (words, label) = if line % 2 == 0 { ("bru1 bru2", "dim") } else { ("zel1 zel2", "lit") };
        let label = if line == 42 { "mixed" } else { label };
        writeln!(text, "{words} n{line},{label}").unwrap();
    }
    text
}

#[test]
fn a_label_that_the_artifact_does_not_know_is_counted() {
    let world = World::trained();
    world.write("test.csv", with_a_stranger());
    let left_out = eval(&world, &["--data", "test.csv"]);
    assert_eq!((&left_out["documents"], &left_out["quality"]["accuracy"]["mean"]), (&99.into(), &1.0.into()));
    let unknown = &left_out["unknown_labels"];
    assert_eq!((&unknown["documents"], &unknown["labels"][0]["label"]), (&1.into(), &"mixed".into()));
    let place = unknown["labels"][0]["places"][0].as_str().unwrap();
    assert!(place.ends_with("test.csv:42"), "{place}");
    let said = world.does(&["eval", "a.safetensors", "--data", "test.csv"]);
    assert!(said.contains("99 documents") && said.contains("1 of 100 documents has a label"), "{said}");
    assert!(said.contains("\"mixed\"") && said.contains("test.csv:42"), "{said}");

    let wrong = eval(&world, &["--data", "test.csv", "--unknown-labels", "wrong"]);
    assert_eq!(wrong["documents"], 100);
    assert!((wrong["quality"]["accuracy"]["mean"].as_f64().unwrap() - 0.99).abs() < 1e-9, "{wrong}");
    assert_eq!(wrong["classes"][2]["label"], "mixed");
    assert_eq!(
        (&wrong["classes"][2]["recall"], &wrong["classes"][2]["precision"]),
        (&0.0.into(), &Value::Null)
    );
    // dim: 2·49/(49 + 50) or so; lit: 1; mixed: 0.
    let f1 = wrong["quality"]["macro_f1"]["mean"].as_f64().unwrap();
    assert!(f1 > 0.65 && f1 < 0.67, "{f1}");
    assert_eq!(wrong["quality"]["nll"], left_out["quality"]["nll"], "an unknown label has no likelihood");
    assert_eq!(wrong["unknown_labels"]["counted_as_wrong"], true);
}

#[test]
fn labels_of_which_none_is_known_are_refused_with_the_reason() {
    let world = World::trained();
    world.write("case.csv", "text,label\nbru1,Dim\nzel1,Lit\n");
    let ask = ["eval", "a.safetensors", "--data", "case.csv"];
    let said = world.refuses(&ask, b"", &["case.csv:2", "\"Dim\"", "\"dim\"", "upper and lower case"]);
    assert!(!said.contains("training"), "{said}");
    world.write("other.csv", "text,label\nbru1,x\nzel1,y\n");
    let other = ["eval", "a.safetensors", "--data", "other.csv", "--unknown-labels", "wrong"];
    world.refuses(&other, b"", &["no document has a label", "other.csv:2", "other.csv:3"]);
}

#[test]
fn one_class_and_one_document_are_scored() {
    let world = World::trained();
    for (rows, documents) in [("bru1 bru2,dim\nbru3,dim\n", 2), ("zel1,lit\n", 1), ("zel1,dim\n", 1)] {
        world.write("one.csv", format!("text,label\n{rows}"));
        let found = eval(&world, &["--data", "one.csv"]);
        assert_eq!(
            (&found["documents"], found["predicts_only"].is_null()),
            (&documents.into(), true),
            "{found}"
        );
        assert_eq!(found["majority"]["accuracy"], 1.0);
        world.does(&["eval", "a.safetensors", "--data", "one.csv"]);
    }
    for empty in ["", "text,label\n"] {
        world.write("none.csv", empty);
        let said = world.refuses(&["eval", "a.safetensors", "--data", "none.csv"], b"", &["none.csv"]);
        assert!(!said.contains("split") && !said.contains("train"), "{said}");
    }
}

#[test]
fn every_class_has_its_numbers_and_mistakes_are_told() {
    let world = World::trained();
    world.write("t.csv", "text,label\nbru1,dim\nbru2,dim\nbru3,lit\nzel1,lit\nzel2,dim\nzel3,lit\n");
    let found = eval(&world, &["--data", "t.csv"]);
    assert_eq!(found["confusion"], serde_json::json!([[2, 1], [1, 2]]));
    let dim = &found["classes"][0];
    assert_eq!((&dim["label"], &dim["support"], &dim["predicted"]), (&"dim".into(), &3.into(), &3.into()));
    assert!((dim["precision"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9, "{dim}");
    assert_eq!(found["mistakes"].as_array().unwrap().len(), 2);
    assert_eq!(found["majority"]["accuracy"], 0.5);
    let ece = found["calibration"]["ece"].as_f64().unwrap();
    assert!(ece > 0.0 && ece < 1.0 && found["calibration"]["brier"].as_f64().unwrap() > 0.0, "{found}");
    assert_eq!(found["coverage"]["documents"], 6);
    let said = world.does(&["eval", "a.safetensors", "--data", "t.csv"]);
    for part in ["accuracy   0.6667", "precision", "majority   0.5000", "ece ", "labels (rows)"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn wrong_documents_are_written_with_their_places() {
    let world = World::trained();
    let rows = "text,label\nbru1,dim\n\"bru2, \"\"so\"\"\",lit\nzel1,lit\nzel2 zel3,dim\n";
    world.write("t.csv", rows);
    let ask = |file: &str| world.does(&["eval", "a.safetensors", "--data", "t.csv", "--errors", file]);
    ask("wrong.jsonl");
    let text = String::from_utf8(world.read("wrong.jsonl")).unwrap();
    let wrong: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(wrong.len(), 2);
    assert_eq!((&wrong[0]["text"], &wrong[0]["label"]), (&"bru2, \"so\"".into(), &"lit".into()));
    assert_eq!((&wrong[0]["predicted"], &wrong[1]["predicted"]), (&"dim".into(), &"lit".into()));
    assert!(wrong[0]["score"].as_f64().unwrap() > 0.5);
    assert!(wrong[1]["place"].as_str().unwrap().ends_with("t.csv:5"), "{}", wrong[1]);
    ask("wrong.csv");
    // What was written can be read: every document of it is wrong.
    assert_eq!(eval(&world, &["--data", "wrong.csv"])["quality"]["accuracy"]["mean"], 0.0);
    let csv = String::from_utf8(world.read("wrong.csv")).unwrap();
    assert!(csv.starts_with("text,label,predicted,score,place\n") && csv.lines().count() == 3, "{csv}");

    for (file, says) in
        [("wrong.txt", ".jsonl or .csv"), ("t.csv", "--data"), ("t.csv/wrong.csv", "t.csv/wrong.csv")]
    {
        world.refuses(&["eval", "a.safetensors", "--data", "t.csv", "--errors", file], b"", &[says]);
    }
    assert_eq!(world.read("t.csv"), rows.as_bytes());
}

#[test]
fn numbers_do_not_depend_on_threads() {
    let world = World::trained();
    let of = |threads: &str| {
        world.does(&["eval", "a.safetensors", "--data", "rows.csv", "--json", "--threads", threads])
    };
    assert_eq!(of("1"), of("2"));
    assert_eq!(of("1"), of("7"));
}

/// 1,224 rows of which 2 in a hundred are spam, told by words that ham has too, but seldom.
fn imbalanced() -> String {
    let mut state = 3_u64;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut text = String::from("text,label\n");
    for row in 0..1224 {
        let spam = row % 50 == 7;
        for _ in 0..9 {
            write!(text, "und{} ", below(40)).unwrap();
        }
        if below(100) < if spam { 85 } else { 4 } {
            write!(text, "win{} ", below(4)).unwrap();
        }
        writeln!(text, "n{row},{}", if spam { "spam" } else { "ham" }).unwrap();
    }
    text
}

#[test]
fn a_rare_class_is_told_weighed_and_cut_for() {
    let world = World::new();
    world.write("t.csv", imbalanced());
    let train = |more: &[&str]| {
        let plain = ["train", "--data", "t.csv", "--out", "a.safetensors", "--json", "--hidden", "none"];
        let how = ["--epochs", "20", "--learning-rate", "0.01", "--vocabulary", "60"];
        world.json(&[&plain[..], &how, more].concat())
    };
    let spam = |found: &Value| found["classes"][1]["recall"].as_f64().unwrap();
    let trained = train(&[]);
    assert_eq!(trained["test"]["predicts_only"], "ham", "{trained}");
    let plain = eval(&world, &["--data", "t.csv"]);
    assert_eq!(
        (&plain["predicts_only"], &plain["majority"]["label"]),
        (&"ham".into(), &"ham".into()),
        "{plain}"
    );
    assert_eq!((plain["classes"][1]["precision"].is_null(), spam(&plain)), (true, 0.0));
    let said = world.does(&["eval", "a.safetensors", "--data", "t.csv"]);
    assert!(said.contains("predicts one class only: \"ham\""), "{said}");

    train(&["--class-weights", "balanced"]);
    let balanced = eval(&world, &["--data", "t.csv"]);
    assert!(spam(&balanced) > 0.5, "{balanced}");
    train(&["--class-weights", "spam=49"]);
    assert!(spam(&eval(&world, &["--data", "t.csv"])) > 0.5);

    let cut = train(&["--threshold", "balanced-accuracy"]);
    let threshold = cut["threshold"].as_f64().unwrap();
    assert!(threshold > 0.0 && threshold < 0.5, "{cut}");
    let found = eval(&world, &["--data", "t.csv"]);
    assert!(spam(&found) > 0.5 && found["threshold"].as_f64() == Some(threshold), "{found}");
    // Scores stay what they were; only the answer moves, in `predict` as in `eval`.
    let texts = String::from_utf8(world.read("t.csv")).unwrap();
    let texts: Vec<&str> = texts.lines().skip(1).map(|l| l.rsplit_once(',').unwrap().0).collect();
    let done = world.run(&["predict", "a.safetensors", "--json"], texts.join("\n").as_bytes());
    let mut said = 0;
    for line in done.out.lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        let score = answer["scores"]["spam"].as_f64().unwrap();
        assert_eq!(answer["label"] == "spam", score > threshold, "{answer}");
        said += u64::from(answer["label"] == "spam");
    }
    assert_eq!(found["classes"][1]["predicted"], said);
    assert!(world.does(&["eval", "a.safetensors", "--data", "t.csv"]).contains("threshold  0."));
}

#[test]
fn a_recipe_weighs_classes_and_every_row_has_a_threshold_of_its_own() {
    let world = World::new();
    world.write("t.csv", imbalanced());
    let recipe = |train: &str| {
        format!(
            "schema = 1\nmodel = {{ network = {{ mlp = {{}} }} }}\n\
             data = {{ files = 't.csv', encoder = {{ vocabulary = 60 }} }}\n\
             controls = {{ linear = false, more_epochs = 0, student = [] }}\n\
             train = {{ epochs = 20, learning_rate = 0.01{train} }}\n\
             [[variants]]\nid = 'int4'\nsteps = [{{ use = 'quant.int4' }}]\n"
        )
    };
    let run = |out: &str| world.does(&["run", "r.toml", "--out", out]);
    let manifest = |file: &str| world.json(&["inspect", file, "--json"])["manifest"].clone();
    let spam = |file: &str| {
        world.json(&["eval", file, "--data", "t.csv", "--json"])["classes"][1]["recall"].as_f64().unwrap()
    };
    let row = |out: &str, row: &str| format!("{out}/artifacts/{row}.0.safetensors");
    world.write("r.toml", recipe(""));
    run("plain");
    assert!(manifest(&row("plain", "teacher")).get("threshold").is_none());
    assert_eq!(spam(&row("plain", "teacher")), 0.0);
    world.write("r.toml", recipe(", class_weights = { spam = 49 }"));
    run("weighed");
    assert!(spam(&row("weighed", "teacher")) > 0.5 && spam(&row("weighed", "int4")) > 0.5);
    world.write("r.toml", recipe(", threshold = 'balanced-accuracy'"));
    run("cut");
    for id in ["teacher", "int4"] {
        let threshold = manifest(&row("cut", id))["threshold"].as_f64().unwrap();
        assert!(threshold > 0.0 && threshold < 0.5 && spam(&row("cut", id)) > 0.5, "{id}: {threshold}");
    }
    let report: Value = serde_json::from_slice(&world.read("cut/report.json")).unwrap();
    assert!(report["rows"][0]["notes"].to_string().contains("balanced-accuracy"), "{report}");
    // A run that starts from an artifact with a threshold decides where that does.
    let start =
        recipe("").replace("{ network = { mlp = {} } }", "{ path = 'cut/artifacts/teacher.0.safetensors' }");
    world.write("r.toml", start);
    run("started");
    let threshold = |file: &str| manifest(file)["threshold"].clone();
    assert_eq!(threshold(&row("started", "int4")), threshold(&row("cut", "teacher")));

    for (bad, says) in [(", threshold = 'f0'", "r.toml:5"), (", class_weights = { other = 2 }", "other")] {
        world.write("r.toml", recipe(bad));
        world.refuses(&["run", "r.toml", "--out", "bad"], b"", &["r.toml", says]);
    }
}

#[test]
fn weights_and_thresholds_that_do_not_fit_are_refused_before_training() {
    let world = World::new();
    let train = |more: &[&'static str]| {
        [&["train", "--data", "rows.csv", "--out", "a.safetensors"][..], more].concat()
    };
    for (more, says) in [
        (["--class-weights", "even"], "balanced"),
        (["--class-weights", "dim=0"], "dim"),
        (["--class-weights", "other=2"], "other"),
        (["--threshold", "f2"], "macro-f1"),
        (["--threshold", "1.5"], "1.5"),
        (["--out", "."], "."),
        (["--out", "rows.csv/a.safetensors"], "rows.csv/a.safetensors"),
        (["--out", "rows.csv"], "rows.csv"),
    ] {
        let arguments = match more[0] {
            "--out" => ["train", "--data", "rows.csv", "--out", more[1]].to_vec(),
            _ => train(&more),
        };
        world.refuses(&arguments, b"", &[says]);
    }
    let rows = (0..90).map(|n| format!("a{n} b,{}\n", ["x", "y", "z"][n % 3]));
    world.write("three.csv", "text,label\n".to_owned() + &rows.collect::<String>());
    world.refuses(
        &["train", "--data", "three.csv", "--out", "b.safetensors", "--threshold", "0.3"],
        b"",
        &["two classes"],
    );
}

#[test]
fn weights_belong_to_a_training_that_is_gone_on_with() {
    let world = World::new();
    let train = |weights: &str, more: &[&str]| {
        let plain =
            ["train", "--data", "rows.csv", "--out", "a.safetensors", "--hidden", "4", "--epochs", "2"];
        let keep = ["--checkpoint", "state", "--class-weights", weights];
        world.run(&[&plain[..], &keep, more].concat(), b"")
    };
    assert_eq!(train("dim=2", &[]).code, Some(0));
    assert_eq!(train("dim=2", &["--resume"]).code, Some(0));
    let other = train("dim=3", &["--resume"]);
    assert!(other.code == Some(2) && other.err.contains("another training"), "{}", other.err);
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_unicode_is_no_panic() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_nlpress"))
        .args(["train", "--data", "rows.csv", "--epochs", "1", "--hidden", "none", "--json", "--out"])
        .arg(std::ffi::OsStr::from_bytes(b"y\xff.safetensors"))
        .current_dir(world.path(""))
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(0), "{err}");
    assert!(serde_json::from_str::<Value>(&out).unwrap()["artifact"].as_str().unwrap().starts_with('y'));
}
