//! Words that are hashed, from text to answer.

use crate::world::World;

const RECIPE: &str = r#"schema = 1

[model.network.mlp]
hidden = []

[data]
files = "rows.csv"
encoder = { hashed = true, vocabulary = 512, weighting = "count", word_ngrams = [1, 2] }

[train]
solver = "coordinate_descent"

[controls]
linear = false
more_epochs = 0
student = []

[[variants]]
id = "int4"
steps = [{ use = "quant.int4" }]
"#;

#[test]
fn hashed_words_are_trained_without_a_list_and_answer() {
    let world = World::new();
    let train = "train --data rows.csv --out a.safetensors --hidden none --hashed --vocabulary 4096 --epochs 20 --learning-rate 0.05";
    world.does(&train.split(' ').collect::<Vec<_>>());
    let inspected = world.json(&["inspect", "a.safetensors", "--json"]);
    assert!(inspected["sizes"]["vocabulary_bytes"].as_u64().unwrap() < 8, "{inspected}");
    let given = world.does(&["predict", "a.safetensors", "bru1 bru2 und3", "zel4 und1 zel2"]);
    let labels: Vec<&str> = given.lines().map(|l| l.split('\t').next().unwrap()).collect();
    assert_eq!(labels, ["dim", "lit"]);
    let explained = world.run(&["predict", "a.safetensors", "--explain", "3", "bru1"], b"");
    assert_eq!(explained.code, Some(2));
    assert!(explained.err.contains("hashed words"), "{}", explained.err);
    assert!(world.run(&["rss", "a.safetensors"], b"").out.trim().parse::<u64>().unwrap() > 0);
    for wrong in [&["--encoder", "words"][..], &["--vocabulary", "0"]] {
        let line = ["train", "--data", "rows.csv", "--out", "b.safetensors", "--hashed"];
        assert_eq!(world.run(&[&line[..], wrong].concat(), b"").code, Some(2), "{wrong:?}");
    }
}

#[test]
fn recipes_hash_words_and_refuse_to_choose_among_them() {
    let world = World::new();
    world.write("recipe.toml", RECIPE);
    world.does(&["run", "recipe.toml", "--out", "out"]);
    let chosen =
        RECIPE.replace("{ use = \"quant.int4\" }", "{ use = \"select.norm\", with = { keep = 100 } }");
    world.write("chosen.toml", chosen);
    let refused = world.run(&["run", "chosen.toml", "--out", "other"], b"");
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("hashed") && refused.err.contains("chosen.toml:20"), "{}", refused.err);
    world.write("weighted.toml", RECIPE.replace("\"count\"", "\"tf_idf\""));
    let weighted = world.run(&["run", "weighted.toml", "--out", "other"], b"");
    assert!(weighted.code == Some(2) && weighted.err.contains("document frequencies"), "{}", weighted.err);
}
