//! Networks on tokens, from text to answer.

use crate::happy::hashes;
use crate::world::World;

/// A recipe of rows on a small encoder, run on `rows.csv`.
const RECIPE: &str = r#"schema = 1
seed = 3

[model]
network = { encoder = { width = 16, layers = 1, heads = 2, intermediate = 24, dropout = 0.1 } }

[data]
files = "rows.csv"
encoder = { kind = "tokens", algorithm = "words", vocabulary = 60, max_tokens = 12 }

[train]
epochs = 4
learning_rate = 0.01

[controls]
linear = true
more_epochs = 1
student = [8]

[[variants]]
id = "int8"
steps = [{ use = "quant.int8", gate = { max_drop = 100.0 } }]

[[variants]]
id = "narrow"
steps = [
    { use = "prune.heads", on = ["encoder.layer.*.attention.self.query"], with = { remove = 0.5 } },
    { use = "prune.neurons", on = ["encoder.layer.*.intermediate.dense"], with = { remove = 0.5 } },
]

[[variants]]
id = "vocabulary"
steps = [{ use = "select.frequency", with = { keep = 30 } }, { use = "quant.int8" }]

[[variants]]
id = "static"
steps = [{ use = "distill.student", with = { hidden = [8], fit = { epochs = 2 } } }]
"#;

const ROWS: [&str; 8] = [
    "teacher",
    "control.linear",
    "control.more",
    "control.student",
    "int8",
    "narrow",
    "vocabulary",
    "static",
];

#[test]
fn every_tokenizer_trains_networks_that_answer_and_are_measured() {
    let world = World::new();
    let networks: [(&str, &[&str]); 5] = [
        ("words", &["--hidden", "8"]),
        ("words", &["--layers", "1", "--width", "16", "--heads", "2"]),
        ("wordpiece", &["--hidden", "8,6", "--vocabulary", "80"]),
        ("unigram", &["--hidden", "none", "--vocabulary", "80"]),
        ("bpe", &["--hidden", "8", "--vocabulary", "300", "--max-tokens", "40"]),
    ];
    for (encoder, network) in networks {
        let out = ["train", "--data", "rows.csv", "--out", "a.safetensors", "--encoder", encoder, "--json"];
        let how = ["--epochs", "25", "--learning-rate", "0.03", "--dropout", "0"];
        let trained = world.json(&[&out[..], &how, network].concat());
        assert!(trained["test"]["accuracy"].as_f64().unwrap() > 0.9, "{encoder} {network:?}: {trained}");
        assert!(trained["coverage"]["tokens"].as_u64().unwrap() > 200, "{trained}");

        let texts = ["bru1 bru2 und3", "zel4 und1 zel2"];
        let given = world.does(&[&["predict", "a.safetensors"][..], &texts].concat());
        let labels: Vec<&str> = given.lines().map(|l| l.split('\t').next().unwrap()).collect();
        assert_eq!(labels, ["dim", "lit"], "{encoder} {network:?}");
        let piped = world.run(&["predict", "a.safetensors", "--threads", "2"], texts.join("\n").as_bytes());
        assert_eq!((piped.code, piped.out), (Some(0), given));
        let eval = world.json(&["eval", "a.safetensors", "--data", "rows.csv", "--json"]);
        assert!(eval["quality"]["accuracy"]["mean"].as_f64().unwrap() > 0.9, "{eval}");
        let summary = world.does(&["inspect", "a.safetensors"]);
        let site = if network[0] == "--layers" { "embeddings.word_embeddings" } else { "output" };
        assert!(summary.contains(site) && summary.contains("labels: dim, lit"), "{summary}");
    }
    let bench = world.json(&["bench", "a.safetensors", "--data", "rows.csv", "--rounds", "5", "--json"]);
    assert!(bench["speed"]["text1_us"]["p50"].as_f64().unwrap() > 0.0, "{bench}");
    assert!(bench["tokens_per_row"].as_f64().unwrap() > 6.0 && bench.get("nonzeros_per_row").is_none());
    assert!(world.run(&["rss", "a.safetensors"], b"").out.trim().parse::<u64>().unwrap() > 0);
}

#[test]
fn what_a_vocabulary_does_not_have_is_counted_as_unknown() {
    let world = World::new();
    let small = ["--encoder", "words", "--vocabulary", "16", "--hidden", "8", "--epochs", "1"];
    let trained = world
        .json(&[&["train", "--data", "rows.csv", "--out", "a.safetensors", "--json"][..], &small].concat());
    let share = trained["coverage"]["share_unknown"].as_f64().unwrap();
    assert!(share > 0.3 && share < 1.0, "{trained}");
    assert!(trained["advice"].as_str().unwrap().contains("wordpiece"), "{trained}");
    let said = |text: &str| world.json(&["predict", "a.safetensors", "--json", text]);
    assert_eq!(
        (said("never seen").get("known"), said("never seen").get("tokens")),
        (Some(&0.into()), Some(&2.into()))
    );
    let eval = world.json(&["eval", "a.safetensors", "--data", "rows.csv", "--json"]);
    assert!(eval["coverage"]["tokens_unknown"].as_u64().unwrap() > 100, "{eval}");
}

#[test]
fn a_recipe_on_tokens_is_planned_run_and_run_again_to_the_same_bytes() {
    let world = World::new();
    world.write("r.toml", RECIPE);
    let plan = world.json(&["plan", "r.toml", "--json"]);
    assert_eq!(plan["rows"][0]["outline"]["graph"]["source"]["tokens"]["most"], 12);
    for (out, threads) in [("one", "1"), ("two", "2")] {
        world.does(&["run", "r.toml", "--quick", "--out", out, "--threads", threads]);
    }
    assert_eq!(hashes(&world, "one").iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ROWS);
    let artifacts = world.files("one/artifacts");
    assert!(artifacts == world.files("two/artifacts"), "the thread count changes artifacts");
    let report: serde_json::Value = serde_json::from_slice(&world.read("one/report.json")).unwrap();
    assert!(
        report["rows"][0]["quality"]["accuracy"]["mean"].as_f64().unwrap() > 0.9,
        "{}",
        report["rows"][0]
    );
    // A row that goes is made again, as it was.
    std::fs::remove_file(world.path("one/artifacts/vocabulary.0.safetensors")).unwrap();
    world.does(&["run", "r.toml", "--quick", "--out", "one", "--resume"]);
    assert!(world.files("one/artifacts") == artifacts, "resuming changes artifacts");
    // What was narrowed, and what was not, is started from.
    for row in ["vocabulary", "teacher"] {
        let network = RECIPE.lines().find(|line| line.starts_with("network")).unwrap();
        let path = format!("path = \"one/artifacts/{row}.0.safetensors\"");
        let rest = RECIPE.replace(network, &path);
        // All of its sites are integers, so nothing trains on.
        let rest = rest.replace("more_epochs = 1", "more_epochs = 0");
        let (head, _) = rest.split_once("[[variants]]").unwrap();
        let step = "[[variants]]\nid = \"f16\"\nsteps = [{ use = \"quant.f16\" }]\n";
        let step = if row == "vocabulary" { "" } else { step };
        world.write("on.toml", format!("{head}{step}"));
        world.does(&["run", "on.toml", "--quick", "--out", row]);
    }
}

#[test]
fn networks_and_encoders_that_do_not_go_together_are_refused() {
    let world = World::new();
    let line_of = |recipe: &str, part: &str| 1 + recipe[..recipe.find(part).unwrap()].matches('\n').count();
    let step = "steps = [{ use = \"select.frequency\", with = { keep = 30 } }";
    for (from, to, at, says) in [
        (
            "kind = \"tokens\", algorithm = \"words\", vocabulary = 60, max_tokens = 12",
            "vocabulary = 60",
            "network",
            "kind = \"tokens\"",
        ),
        (
            "encoder = { width = 16, layers = 1, heads = 2, intermediate = 24, dropout = 0.1 }",
            "mlp = { hidden = [8] }",
            "network",
            "bags of words",
        ),
        ("heads = 2", "heads = 3", "network", "heads is 3"),
        (
            "{ width = 16, layers = 1, heads = 2, intermediate = 24, dropout = 0.1 }",
            "3",
            "network",
            "encoder = { width = 64",
        ),
        ("\"words\", vocabulary = 60", "\"words\", vocabulary = 3", "vocabulary = 3", "vocabulary = 3"),
        ("max_tokens = 12", "max_token = 12", "max_token", "unknown field `max_token`"),
        ("max_tokens = 12", "max_tokens = \"many\"", "max_tokens", "`max_tokens` is the text \"many\""),
        ("kind = \"tokens\"", "kind = \"pieces\"", "kind", "\"bag\" or \"tokens\""),
        ("\"words\", vocabulary = 60", "\"bpe\", vocabulary = 300", step, "special ones always do"),
        ("keep = 30", "keep = 2", "keep = 2", "special ones always do"),
        ("keep = 30", "keep = 30, finetune = { epochs = 1 }", "finetune", "leave it out"),
    ] {
        assert!(RECIPE.contains(from), "{from}");
        let recipe = RECIPE.replacen(from, to, 1);
        world.write("bad.toml", &recipe);
        for command in ["run", "plan"] {
            let said = world.refuses(&[command, "bad.toml"], b"", &["bad.toml:", says]);
            let line = line_of(&recipe, at);
            assert!(said.contains(&format!("bad.toml:{line}: ")), "{to}: line {line} is not in: {said}");
        }
    }
    world.write("good.toml", RECIPE);
    world.refuses(&["plan", "good.toml", "--ngrams", "1-2"], b"", &["--ngrams is for a bag of words"]);
    let train = |more: &[&str], says: &str| {
        let start = ["train", "--data", "rows.csv", "--out", "a.safetensors"];
        world.refuses(&[&start[..], more].concat(), b"", &[says]);
    };
    train(&["--max-tokens", "9"], "--max-tokens is for tokens");
    train(&["--layers", "1"], "--layers is for tokens");
    train(&["--encoder", "words", "--symbols"], "--symbols is for a bag of words");
    train(&["--encoder", "words", "--sublinear"], "--sublinear is for a bag of words");
    train(&["--encoder", "words", "--layers", "1", "--heads", "5"], "heads is 5");
    train(&["--encoder", "words", "--vocabulary", "3"], "vocabulary = 3");
    train(&["--tokenizer", "none.json"], "none.json");
    world.write("t.json", "{}");
    train(&["--tokenizer", "t.json"], "t.json");
    // Words of attention are not told, and integers need fixed steps.
    world.does(&[
        "train",
        "--data",
        "rows.csv",
        "--out",
        "a.safetensors",
        "--encoder",
        "words",
        "--epochs",
        "1",
    ]);
    world.refuses(&["predict", "a.safetensors", "--explain", "bru1"], b"", &["which words decided"]);
    world.refuses(&["predict", "a.safetensors", "--integers", "bru1"], b"", &["cannot answer in integers"]);
}
