//! What the words of a report and of `bench` claim, and where they claim nothing.

use crate::world::World;
use serde_json::Value;
use std::fmt::Write as _;

/// `many` rows of made-up words; a share of `told` of them has a word that tells its class.
fn texts(many: usize, told: f64, positive: f64) -> String {
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 31)
    };
    let mut out = String::from("text,label\n");
    for row in 0..many {
        let class = if random() < positive { "pos" } else { "neg" };
        let word = if random() < told { format!("{class}word") } else { "word".into() };
        let filler: Vec<String> = (0..4).map(|_| format!("w{}", (40.0 * random()) as usize)).collect();
        writeln!(out, "{word} {} n{row},{class}", filler.join(" ")).unwrap();
    }
    out
}

/// A recipe on `t.csv` with these variants.
fn recipe(epochs: u32, more: &str, variants: &[(&str, &str)]) -> String {
    let mut text = format!(
        "schema = 1\nname = \"words\"\n[model]\nnetwork = {{ mlp = {{ hidden = [32] }} }}\n[data]\nfiles = \"t.csv\"\n\
         [train]\nepochs = {epochs}\nlearning_rate = 0.01\n[controls]\nlinear = false\nmore_epochs = 0\nstudent = []\n{more}"
    );
    for (id, steps) in variants {
        writeln!(text, "[[variants]]\nid = \"{id}\"\nsteps = [{steps}]").unwrap();
    }
    text
}

/// Runs `r.toml`: the table on the console, and the report.
fn run(world: &World, more: &[&str]) -> (String, Value) {
    let arguments = [&["run", "r.toml", "--out", "out"], more].concat();
    let table = world.does(&arguments);
    (table, serde_json::from_slice(&world.read("out/report.json")).unwrap())
}

fn text(world: &World, file: &str) -> String {
    String::from_utf8(world.read(file)).unwrap()
}

fn row<'a>(report: &'a Value, id: &str) -> &'a Value {
    report["rows"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap()
}

#[test]
fn equal_files_are_neither_faster_nor_slower() {
    let world = World::new();
    world.write("t.csv", texts(400, 0.9, 0.5));
    let same: Vec<(String, String)> =
        (1..=6).map(|n| (format!("same{n}"), "{ use = \"quant.f16\" }".to_owned())).collect();
    let same: Vec<(&str, &str)> = same.iter().map(|(id, steps)| (id.as_str(), steps.as_str())).collect();
    world.write("r.toml", recipe(2, "", &same));
    let (table, report) = run(&world, &["--quick"]);
    for (id, _) in same {
        let versus = &row(&report, id)["versus_parent"];
        assert_eq!((&versus["faster"], &versus["slower"]), (&false.into(), &false.into()), "{versus}");
        for ratio in ["text1_speedup", "batch1_speedup", "batch32_speedup"] {
            let ends = versus[ratio]["interval"].as_array().unwrap();
            let (low, high) = (ends[0].as_f64().unwrap(), ends[1].as_f64().unwrap());
            assert!(low > 0.0 && high > low * 1.0001, "{ratio}: {versus}");
        }
        let line = table.lines().find(|line| line.starts_with(id)).unwrap();
        assert!(line.contains("smaller, not faster") && !line.contains("slower"), "{line}");
    }
    for call in ["text1", "batch1", "batch32", "rows_per_s.1"] {
        let floor = &report["floors"][call];
        assert!(
            floor["reopened"].as_f64().unwrap() >= 1.0 && floor["rounds"].as_u64().unwrap() >= 5,
            "{floor}"
        );
    }
}

#[test]
fn few_documents_make_nobody_alike() {
    let world = World::new();
    world.write("t.csv", texts(140, 1.0, 0.5));
    let steps = |sparsity| format!("{{ use = \"prune.magnitude\", with = {{ sparsity = {sparsity} }} }}");
    let (half, most) = (steps(0.5), steps(0.98));
    world.write(
        "r.toml",
        recipe(40, "", &[("p0.5", &half), ("p0.98", &most), ("same", "{ use = \"quant.f16\" }")]),
    );
    let (table, report) = run(&world, &["--quick"]);
    let documents = report["corpus"]["documents"]["test"].as_u64().unwrap();
    assert!((5..60).contains(&documents), "{documents}");
    // The same numbers, and still so few documents cannot show it.
    let same = &row(&report, "same")["versus_parent"];
    assert_eq!(
        (&same["accuracy"]["mean"], &same["accuracy_is"]),
        (&0.0.into(), &"cannot_be_told".into()),
        "{same}"
    );
    for id in ["p0.5", "p0.98"] {
        assert_ne!(row(&report, id)["versus_parent"]["accuracy_is"], "alike");
    }
    assert!(!table.contains("accuracy alike") && table.contains("accuracy cannot be told"), "{table}");
    assert!(table.contains("it cannot be told whether") && table.contains("Ship teacher for now"), "{table}");
    for file in ["out/report.md", "out/report.html"] {
        let page = text(&world, file);
        assert!(!page.contains("accuracy alike") && page.contains("Ship teacher for now"), "{file}");
    }
    // A tolerance that holds everything lets them be alike; the same recipe otherwise.
    let wide = recipe(40, "[report]\nalike_points = 100\n", &[("same", "{ use = \"quant.f16\" }")]);
    world.write("r.toml", wide);
    let (table, report) = run(&world, &["--quick"]);
    assert_eq!(row(&report, "same")["versus_parent"]["accuracy_is"], "alike");
    assert!(table.contains("Ship same: ") && table.contains("within 100 points"), "{table}");
    for bad in ["0", "-1", "101", "nan"] {
        world.write("bad.toml", recipe(1, &format!("[report]\nalike_points = {bad}\n"), &[]));
        world.refuses(&["plan", "bad.toml"], b"", &["bad.toml:14", "alike_points is"]);
    }
}

#[test]
fn a_teacher_at_chance_is_said_to_be_one() {
    let world = World::new();
    // One row in sixteen is positive, and no word tells which.
    world.write("t.csv", texts(1224, 0.0, 0.06));
    world.write("r.toml", recipe(1, "", &[("int8", "{ use = \"quant.int8\" }")]));
    let (table, report) = run(&world, &["--quick"]);
    let majority = &report["corpus"]["majority"];
    assert_eq!(majority["label"], "neg");
    let (accuracy, macro_f1) =
        (majority["accuracy"].as_f64().unwrap(), majority["macro_f1"].as_f64().unwrap());
    assert!(accuracy > 0.85 && accuracy < 1.0 && macro_f1 < 0.51, "{majority}");
    assert!(table.contains("always \"neg\"") && table.contains("Ship none of these yet"), "{table}");
    let notes = row(&report, "teacher")["notes"].to_string();
    assert!(notes.contains("predicts one class only: \\\"neg\\\" for every test document"), "{notes}");
    assert!(report["notes"].to_string().contains("not shown to be better than always answering"), "{report}");
    for file in ["out/report.md", "out/report.html"] {
        let page = text(&world, file);
        assert!(page.contains("Majority class") && page.contains("Ship none of these yet"), "{file}");
        assert!(page.contains("predicts one class only"), "{file}");
    }
}

#[test]
fn what_a_gate_rolled_back_is_said_in_every_table_and_after_a_resume() {
    let world = World::new();
    world.write("t.csv", texts(400, 1.0, 0.5));
    let step = "{ use = \"prune.random\", with = { sparsity = 0.99 }, gate = { max_drop = 1.0 } }";
    world.write("r.toml", recipe(20, "", &[("gone", step), ("kept", "{ use = \"quant.int8\" }")]));
    let (table, report) = run(&world, &["--quick"]);
    let says = "rolled back (prune.random): ";
    assert_eq!(row(&report, "gone")["rolled_back"], serde_json::json!({ "prune.random": 1 }));
    assert_eq!(row(&report, "kept")["rolled_back"], serde_json::json!({}));
    assert_eq!(table.matches(says).count(), 1, "{table}");
    for file in ["out/report.md", "out/report.html"] {
        assert!(text(&world, file).contains(says), "{file}");
    }
    let curves = row(&report, "teacher")["curves"].clone();
    assert_eq!(curves[0]["epochs"].as_array().unwrap().len(), 20, "{curves}");
    assert!(curves[0]["epochs"][19]["loss"].as_f64() < curves[0]["epochs"][0]["loss"].as_f64(), "{curves}");
    assert!(text(&world, "out/report.html").contains("<h2>Learning curves</h2>"));
    let (_, resumed) = run(&world, &["--quick", "--resume"]);
    assert_eq!(row(&resumed, "teacher")["curves"], curves);
    assert_eq!(row(&resumed, "gone")["rolled_back"], row(&report, "gone")["rolled_back"]);
}

#[test]
fn parallel_rows_tell_of_training() {
    let world = World::new();
    world.write("t.csv", texts(400, 1.0, 0.5));
    let variants = [
        ("data", "{ use = \"parallel.data\", with = { workers = 2, fit = { epochs = 1 } } }"),
        ("model", "{ use = \"parallel.model\", with = { stages = 2, fit = { epochs = 1 } } }"),
        ("tasks", "{ use = \"parallel.tasks\", with = { fit = { epochs = 1 } } }"),
        ("alone", "{ use = \"parallel.data\", with = { compare = false, fit = { epochs = 1 } } }"),
    ];
    world.write("r.toml", recipe(1, "", &variants));
    let (table, report) = run(&world, &["--quick"]);
    for (id, _) in variants {
        let row = row(&report, id);
        assert_eq!(
            (&row["versus_parent"]["faster"], &row["versus_parent"]["slower"]),
            (&false.into(), &false.into())
        );
        let line = table.lines().find(|line| line.starts_with(id)).unwrap();
        assert!(!line.contains("faster") && !line.contains("slower"), "{line}");
        assert!(line.contains("training "), "{line}");
        let training = &row["training"];
        assert_eq!(training["speedup"].is_null(), id == "alone", "{training}");
        assert_eq!(training["exchanged_bytes"].is_null(), id == "tasks", "{training}");
        if id != "alone" {
            let (own, serial) =
                (training["seconds"].as_f64().unwrap(), training["serial_seconds"].as_f64().unwrap());
            let ratio = training["speedup"]["median"].as_f64().unwrap();
            assert!((serial / own / ratio - 1.0).abs() < 1e-6, "{training}");
        }
    }
    // Two stages of one site each: 32 pre-activations of a row go forward, as many derivatives come back, four bytes
    // a number.
    let documents = report["corpus"]["documents"]["train"].as_u64().unwrap();
    assert_eq!(row(&report, "model")["training"]["exchanged_bytes"], documents * 32 * 2 * 4);
}

#[test]
fn what_did_not_shrink_is_folded_by_cause() {
    let world = World::new();
    world.write("t.csv", texts(300, 1.0, 0.5));
    let variants: Vec<(String, String)> = (0..8)
        .map(|n| {
            (format!("p{n}"), format!("{{ use = \"prune.magnitude\", with = {{ sparsity = 0.{n}1 }} }}"))
        })
        .collect();
    let variants: Vec<(&str, &str)> =
        variants.iter().map(|(id, steps)| (id.as_str(), steps.as_str())).collect();
    world.write("r.toml", recipe(1, "", &variants));
    run(&world, &["--quick"]);
    let page = text(&world, "out/report.md");
    let section = page.split("## What did not shrink").nth(1).unwrap().split("## ").next().unwrap();
    let lines: Vec<&str> = section.lines().filter(|line| line.starts_with("- ")).collect();
    assert!((2..=8).contains(&lines.len()), "{section}");
    let vocabulary = lines.iter().filter(|line| line.contains("features are named in text")).count();
    assert!(vocabulary == 1 && section.contains("(9 rows)"), "{section}");
}

#[test]
fn bench_says_which_texts() {
    let world = World::new();
    world.train("a.safetensors");
    world.refuses(&["bench", "a.safetensors"], b"", &["--data", "--corpus"]);
    for rounds in ["4", "10001", "1000000000000"] {
        let arguments = ["bench", "a.safetensors", "--data", "rows.csv", "--rounds", rounds];
        world.refuses(&arguments, b"", &["--rounds", rounds, "whole number from 5 to 10000"]);
    }
    world.write("other.csv", "text,label\nqqq www,a\nzzz,b\n");
    let out =
        world.does(&["bench", "a.safetensors", "--data", "other.csv", "--rounds", "5", "--threads", "2"]);
    assert!(
        out.contains("texts of other")
            && out.contains(": 2 documents; ")
            && out.contains("knows no feature of these texts"),
        "{out}"
    );
    assert!(out.contains("from text to answer") && out.contains("texts a second by threads: "), "{out}");
    world.write("b.safetensors", world.read("a.safetensors"));
    let files = ["bench", "a.safetensors", "b.safetensors", "--data", "rows.csv", "--rounds", "7"];
    let out = world.does(&files);
    assert!(out.contains("beside a.safetensors: text ") && out.contains(": not faster"), "{out}");
    let json = world.json(&[&files[..], &["--json"]].concat());
    assert_eq!((&json[1]["faster"], &json[1]["slower"]), (&false.into(), &false.into()), "{json}");
    assert!(json[0]["corpus"].as_str().unwrap().contains("rows") && json[0]["documents"] == 200, "{json}");
    assert!(json[1]["text1_speedup"]["interval"].is_array(), "{json}");
}
