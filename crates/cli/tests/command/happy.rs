//! What the command does when it is asked well.

use crate::world::World;

/// A recipe of two compressed rows on `rows.csv`.
pub(crate) const RECIPE: &str = r#"schema = 1
seed = 3
seeds = 1

[model]
network = { mlp = { hidden = [8], dropout = 0.1 } }

[data]
corpus = "embedded"
read = { split = { train = 80, valid = 10, test = 10 } }
encoder = { vocabulary = 100 }

[train]
epochs = 3
learning_rate = 0.01

[controls]
linear = true
more_epochs = 1
student = [4]

[[variants]]
id = "sparse"
steps = [{ use = "prune.magnitude", with = { sparsity = 0.6, finetune = { epochs = 1 } } }, { use = "prune.sparse", with = { index = "csr" } }]

[[variants]]
id = "int8"
from = "teacher"
steps = [{ use = "quant.int8", on = ["**"], gate = { max_drop = 100.0 } }]
"#;

/// Rows that the recipe makes.
const ROWS: [&str; 6] = ["teacher", "control.linear", "control.more", "control.student", "sparse", "int8"];

/// Row names and hashes of a report.
pub(crate) fn hashes(world: &World, out: &str) -> Vec<(String, String)> {
    let report: serde_json::Value =
        serde_json::from_slice(&world.read(&format!("{out}/report.json"))).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(&row["id"]), text(&row["sha256"]))).collect()
}

#[test]
fn a_trained_artifact_answers_and_is_measured() {
    let world = World::new();
    let trained = world.json(&[
        "train",
        "--data",
        "rows.csv",
        "--out",
        "a.safetensors",
        "--hidden",
        "8",
        "--epochs",
        "20",
        "--learning-rate",
        "0.01",
        "--dropout",
        "0",
        "--json",
    ]);
    assert_eq!(trained["epochs"], 20);
    assert!(trained["test"]["accuracy"].as_f64().unwrap() > 0.9, "{trained}");
    assert_eq!(trained["file_bytes"], world.read("a.safetensors").len());

    let texts = ["bru1 bru2 und3", "zel4 und1 zel2", "words never seen"];
    let given = world.does(&[&["predict", "a.safetensors"][..], &texts].concat());
    let labels: Vec<&str> = given.lines().map(|l| l.split('\t').next().unwrap()).collect();
    assert_eq!(labels[..2], ["dim", "lit"]);
    let piped = world.run(&["predict", "a.safetensors", "--threads", "2"], texts.join("\r\n").as_bytes());
    assert_eq!((piped.code, piped.out), (Some(0), given));
    let json = world.does(&["predict", "a.safetensors", "--json", texts[1]]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let scores = ["dim", "lit"].map(|label| json["scores"][label].as_f64().unwrap());
    assert!(
        json["label"] == "lit" && scores[1] > 0.5 && (scores[0] + scores[1] - 1.0).abs() < 1e-5,
        "{json}"
    );

    let eval = world.json(&["eval", "a.safetensors", "--data", "rows.csv", "--json"]);
    assert!(eval["quality"]["accuracy"]["mean"].as_f64().unwrap() > 0.9, "{eval}");
    assert_eq!(eval["documents"], 200);
    assert!(eval["quality"].get("agreement").is_none(), "{eval}");
    let against =
        world.json(&["eval", "a.safetensors", "--data", "rows.csv", "--json", "--against", "a.safetensors"]);
    assert_eq!(against["quality"]["agreement"]["mean"], 1.0);

    let bench = world.json(&["bench", "a.safetensors", "--data", "rows.csv", "--rounds", "5", "--json"]);
    assert!(bench["speed"]["batch1_us"]["p50"].as_f64().unwrap() > 0.0, "{bench}");

    let inspected = world.json(&["inspect", "a.safetensors", "--json"]);
    assert_eq!(inspected["sizes"]["file_bytes"], trained["file_bytes"]);
    assert_eq!(inspected["manifest"]["labels"], serde_json::json!(["dim", "lit"]));
    assert!(world.does(&["inspect", "a.safetensors"]).contains("labels: dim, lit"));
    assert!(world.does(&["model", "summary", "a.safetensors"]).contains("hidden.0"));
}

#[test]
fn techniques_are_listed_and_explained() {
    let world = World::new();
    let all = world.json(&["techniques", "--json"]);
    let names: Vec<&str> = all.as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    let list = world.does(&["techniques"]);
    assert_eq!(list.lines().map(|l| l.split(' ').next().unwrap()).collect::<Vec<_>>(), names);
    assert!(names.contains(&"quant.int8"), "{names:?}");
    assert!(world.does(&["techniques", "quant.int8"]).starts_with("# quant.int8\n"));
    world.does(&["techniques", "--markdown", "pages"]);
    let pages = world.files("pages");
    assert_eq!(pages.len(), names.len() + 1);
    for name in names {
        assert!(pages[&format!("{name}.md")].starts_with(format!("# {name}\n").as_bytes()), "{name}");
    }
}

#[test]
fn a_recipe_is_planned_run_and_run_again_to_the_same_bytes() {
    let world = World::new();
    world.write("r.toml", RECIPE);
    let plan = world.json(&["plan", "r.toml", "--data", "rows.csv", "--json"]);
    let planned: Vec<&str> =
        plan["rows"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(planned, ["teacher", "sparse", "int8"]);
    assert!(world.does(&["model", "summary", "r.toml", "--data", "rows.csv"]).contains("hidden.0"));

    for (out, threads) in [("one", "1"), ("two", "2")] {
        let run = ["run", "r.toml", "--data", "rows.csv", "--quick", "--out", out, "--threads", threads];
        world.does(&run);
        for file in ["report.json", "report.md", "report.html"] {
            assert!(!world.read(&format!("{out}/{file}")).is_empty());
        }
    }
    assert_eq!(hashes(&world, "one").iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ROWS);
    assert_eq!(hashes(&world, "one"), hashes(&world, "two"));
    let artifacts = world.files("one/artifacts");
    assert_eq!(artifacts.len(), ROWS.len());
    assert!(artifacts == world.files("two/artifacts"), "the thread count changes artifacts");
    let sparse = world.json(&["inspect", "one/artifacts/sparse.0.safetensors", "--json"]);
    assert_eq!(sparse["manifest"]["layouts"][0]["scheme"]["index"], "csr");

    // One artifact goes; a resumed run makes that one and no other, and makes it the same.
    let changed = |name: &str| std::fs::metadata(world.path(name)).unwrap().modified().unwrap();
    let times = || ROWS.map(|row| changed(&format!("one/journal/{row}.0.json")));
    let before = times();
    std::fs::remove_file(world.path("one/artifacts/control.more.0.safetensors")).unwrap();
    let events = "events.jsonl";
    world.does(&[
        "run", "r.toml", "--data", "rows.csv", "--quick", "--out", "one", "--resume", "--events", events,
    ]);
    let after = times();
    for ((row, before), after) in ROWS.iter().zip(before).zip(after) {
        assert_eq!(*row == "control.more", before != after, "{row}");
    }
    assert!(world.files("one/artifacts") == artifacts, "resuming changes artifacts");
    assert_eq!(hashes(&world, "one"), hashes(&world, "two"));
    let events = String::from_utf8(world.read(events)).unwrap();
    assert!(events.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{events}");
    assert_eq!(events.lines().filter(|line| line.contains("epoch_finished")).count(), 1, "{events}");
    let kept = events.lines().filter(|line| line.contains("\"kept\":true")).count();
    assert_eq!(kept, ROWS.len() - 1, "{events}");
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let world = World::new();
    let mut child = world.start(&["techniques", "--json"]);
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), err.as_str()), (Some(0), ""));
}
