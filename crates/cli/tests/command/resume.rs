//! What a run that goes on opens again, and what it makes anew.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::happy::{RECIPE, hashes};
use crate::world::{World, finish};

const RUN: [&str; 7] = ["run", "r.toml", "--data", "rows.csv", "--quick", "--out", "out"];

/// The rows that a resumed run makes anew.
fn made_again(world: &World) -> BTreeSet<String> {
    let rows = || {
        let journals = world.files("out/journal").into_keys();
        let changed =
            |name: &String| std::fs::metadata(world.path(&format!("out/journal/{name}"))).unwrap().modified();
        journals.map(|name| (name.clone(), changed(&name).unwrap())).collect::<BTreeSet<_>>()
    };
    let before = rows();
    world.does(&[&RUN[..], &["--resume"]].concat());
    let name = |journal: &str| journal.trim_end_matches(".0.json").to_owned();
    rows().difference(&before).map(|(journal, _)| name(journal)).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const EVERY: [&str; 6] = ["teacher", "control.linear", "control.more", "control.student", "sparse", "int8"];

#[test]
fn another_start_artifact_makes_every_row_anew() {
    let world = World::new();
    let train = |name: &str, seed: &str| {
        let shape = ["--hidden", "8", "--epochs", "2", "--vocabulary", "100", "--seed", seed];
        world.does(&[&["train", "--data", "rows.csv", "--out", name][..], &shape].concat());
    };
    train("start.safetensors", "1");
    train("other.safetensors", "2");
    let opened = RECIPE.replace("network = {", "path = \"start.safetensors\" #");
    assert_ne!(opened, RECIPE);
    world.write("r.toml", opened);
    let run = ["run", "r.toml", "--data", "rows.csv", "--quick", "--out", "out", "--threads", "1"];
    let resume = [&run[..], &["--resume"]].concat();
    world.does(&run);
    let first = hashes(&world, "out");
    world.does(&resume);
    assert_eq!(hashes(&world, "out"), first);
    let start = |row: &str| {
        let file = format!("out/artifacts/{row}.0.safetensors");
        world.json(&["inspect", &file, "--json"])["manifest"]["provenance"]["start_sha256"].clone()
    };
    let before = start("int8");
    assert!(before.as_str().unwrap().len() == 64 && before == start("teacher"));

    std::fs::rename(world.path("other.safetensors"), world.path("start.safetensors")).unwrap();
    world.does(&resume);
    let resumed = hashes(&world, "out");
    for ((row, old), (_, new)) in first.iter().zip(&resumed) {
        assert_ne!(old, new, "{row} is of the artifact that is gone");
    }
    assert_ne!(start("int8"), before);
    let artifacts = world.files("out/artifacts");
    std::fs::remove_dir_all(world.path("out")).unwrap();
    world.does(&run);
    assert_eq!(hashes(&world, "out"), resumed);
    assert!(world.files("out/artifacts") == artifacts);
}

#[test]
fn what_decides_nothing_makes_nothing_anew() {
    let world = World::new();
    world.write("r.toml", RECIPE);
    world.does(&RUN);
    let before = hashes(&world, "out");
    let same = [
        format!("# a remark\n{RECIPE}\n\n# and another\n"),
        RECIPE.replace("sparsity = 0.6", "sparsity   =  0.60"),
        RECIPE.replace("id = \"int8\"\nfrom = \"teacher\"", "from = \"teacher\"\nid = 'int8'"),
        RECIPE.replace("seed = 3\nseeds = 1", "seeds = 1\nseed = 3\nname = \"other\""),
    ];
    for (n, text) in same.iter().enumerate() {
        assert_ne!(text, RECIPE, "{n}");
        world.write("r.toml", text);
        assert_eq!(made_again(&world), set(&[]), "{n}");
        assert_eq!(hashes(&world, "out"), before, "{n}");
    }
    // The same data under another name, and the same recipe elsewhere.
    std::fs::rename(world.path("rows.csv"), world.path("same.csv")).unwrap();
    let run = ["run", "r.toml", "--data", "same.csv", "--quick", "--out", "out", "--resume"];
    world.does(&run);
    assert_eq!(hashes(&world, "out"), before);
}

#[test]
fn a_change_makes_anew_what_depends_on_it() {
    let world = World::new();
    let below = "\n[[variants]]\nid = \"below\"\nfrom = \"sparse\"\nsteps = [{ use = \"train.alone\" }]\n";
    let base = format!("{RECIPE}{below}");
    let all = [&EVERY[..], &["below"]].concat();
    let cases: [(&str, &str, &[&str]); 8] = [
        ("sparsity = 0.6", "sparsity = 0.7", &["sparse", "below"]),
        ("use = \"quant.int8\"", "use = \"quant.int4\"", &["int8"]),
        ("max_drop = 100.0", "max_drop = 99.0", &["int8"]),
        ("more_epochs = 1", "more_epochs = 2", &["control.more"]),
        ("id = \"below\"", "id = \"under\"", &["under"]),
        ("student = [4]", "student = [4, 4]", &["control.student"]),
        ("learning_rate = 0.01", "learning_rate = 0.02", &all),
        ("seed = 3", "seed = 4", &all),
    ];
    world.write("r.toml", &base);
    world.does(&RUN);
    for (from, to, expected) in cases {
        world.write("r.toml", base.replacen(from, to, 1));
        assert_eq!(made_again(&world), set(expected), "{to}");
        world.write("r.toml", &base);
        world.does(&[&RUN[..], &["--resume"]].concat());
    }
    // A new row costs the others nothing.
    world.write(
        "r.toml",
        format!("{base}\n[[variants]]\nid = \"half\"\nsteps = [{{ use = \"quant.f16\" }}]\n"),
    );
    assert_eq!(made_again(&world), set(&["half"]));
    // One word of one document.
    let data = String::from_utf8(world.read("rows.csv")).unwrap();
    world.write("rows.csv", data.replacen("und", "bru", 1));
    assert_eq!(made_again(&world), set(&[&all[..], &["half"]].concat()));
}

#[test]
fn words_of_a_file_belong_to_the_rows_that_read_them() {
    let world = World::new();
    let row = "\n[[variants]]\nid = \"words\"\nsteps = [{ use = \"select.words\", with = { file = \"words.txt\" } }]\n";
    let below = "\n[[variants]]\nid = \"below\"\nfrom = \"words\"\nsteps = [{ use = \"quant.int8\" }]\n";
    world.write("r.toml", format!("{RECIPE}{row}{below}"));
    world.write("words.txt", "bru1\nbru2\nzel1\nzel3\nund1\n");
    world.does(&RUN);
    assert_eq!(made_again(&world), set(&[]));
    world.write("words.txt", "bru1\nbru2\nzel1\nzel3\nund2\n");
    assert_eq!(made_again(&world), set(&["words", "below"]));
}

#[test]
fn a_row_that_fails_costs_only_those_that_are_made_of_it() {
    let world = World::new();
    // Steps of Adam as long as this make weights that half floats cannot hold.
    let large = RECIPE
        .replace("hidden = [8], dropout = 0.1", "hidden = []")
        .replace("learning_rate = 0.01", "learning_rate = 1e6");
    let rows = "\n[[variants]]\nid = \"half\"\nsteps = [{ use = \"quant.f16\" }]\n\
                [[variants]]\nid = \"below\"\nfrom = \"half\"\nsteps = [{ use = \"train.alone\" }]\n\
                [[variants]]\nid = \"taught\"\nteacher = \"half\"\nsteps = [{ use = \"train.alone\" }]\n\
                [[variants]]\nid = \"last\"\nsteps = [{ use = \"quant.int8\" }]\n";
    world.write("r.toml", format!("{large}{rows}"));
    for arguments in [&RUN[..], &[&RUN[..], &["--resume"]].concat()] {
        let done = world.run(arguments, b"");
        assert_eq!(done.code, Some(1), "{}", done.err);
        assert!(done.err.contains("3 rows failed") && done.err.contains("half: quant.f16"), "{}", done.err);
        let report: serde_json::Value = serde_json::from_slice(&world.read("out/report.json")).unwrap();
        let ids = |key: &str| -> Vec<String> {
            report[key].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(ids("rows"), [&EVERY[..], &["last"]].concat());
        assert_eq!(ids("failed"), ["half", "below", "taught"]);
        let why = |n: usize| report["failed"][n]["why"].as_str().unwrap().to_owned();
        assert!(why(0).contains("quant.f16"), "{}", why(0));
        assert!(
            why(1).contains("starts from half") && why(2).contains("learns from half"),
            "{} {}",
            why(1),
            why(2)
        );
        let markdown = String::from_utf8(world.read("out/report.md")).unwrap();
        assert!(markdown.contains("the row half failed"), "{markdown}");
    }
}

#[test]
fn a_folder_has_one_run_at_a_time() {
    let world = World::new();
    world.write("r.toml", RECIPE.replace("epochs = 3\n", "epochs = 10000\nbatch = 1\n"));
    let mut first = world.start(&RUN);
    let start = Instant::now();
    while !world.path("out/.nlpress.lock").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "the first run does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    world.write("other.toml", RECIPE);
    let second = ["run", "other.toml", "--data", "rows.csv", "--quick", "--out", "out"];
    world.refuses(&second, b"", &["out", "another run"]);
    world.does(&["run", "other.toml", "--data", "rows.csv", "--quick", "--out", "elsewhere"]);
    first.kill().unwrap();
    finish(first, b"", &RUN);
    world.does(&second);
}

#[test]
fn a_linear_model_is_solved_and_its_checkpoint_gone_on_from() {
    let world = World::new();
    let train = |out, more: &[&'static str]| {
        let solver = ["--hidden", "none", "--solver", "coordinate-descent", "--checkpoint", "state"];
        [&["train", "--data", "rows.csv", "--out", out][..], &solver, more].concat()
    };
    let said = world.json(&train("a.safetensors", &["--json"]));
    assert!(
        said["test"]["accuracy"].as_f64().unwrap() > 0.9 && said["epochs"] == said["kept_epoch"],
        "{said}"
    );
    world.does(&train("b.safetensors", &["--resume", "--threads", "1"]));
    assert!(world.read("a.safetensors") == world.read("b.safetensors"));
    world.refuses(
        &train("c.safetensors", &["--resume", "--cost", "2"]),
        b"",
        &["another training", "configuration"],
    );
    let steps =
        ["train", "--data", "rows.csv", "--out", "c.safetensors", "--hidden", "none", "--epochs", "1"];
    let steps = [&steps[..], &["--checkpoint", "state", "--resume"]].concat();
    world.refuses(&steps, b"", &["checkpoint state", "not an nlpress checkpoint of this version"]);
}
