//! `nlpress fit`: limits are kept, the recipe makes the same file, and a stop loses nothing.

use crate::world::{Done, World, finish};
use std::process::Command;
use std::time::{Duration, Instant};

const TRIALS: [&str; 4] = ["--trials", "9", "--seed", "5"];

fn fit<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["fit", "rows.csv", "--out", out][..], &TRIALS, more].concat()
}

#[test]
fn what_is_found_keeps_its_limits_and_is_made_again_by_its_recipe() {
    let world = World::new();
    let found = world.json(&fit("a.safetensors", &["--max-size", "4KB", "--threads", "1", "--json"]));
    let bytes = world.read("a.safetensors");
    assert!(bytes.len() <= 4000, "{}", bytes.len());
    assert_eq!(found["found"]["choice"]["missed"].as_array().unwrap().len(), 0);
    let trials = found["found"]["trials"].as_array().unwrap();
    assert_eq!(trials.len() + found["found"]["failed"].as_array().unwrap().len(), 9, "{found:#}");
    assert_eq!(found["found"]["failed"].as_array().unwrap().len(), 0, "{found:#}");
    // What was foreseen before a candidate was made is what its file takes, and near it where connections are pruned.
    for trial in trials {
        let bytes = |key: &str| trial[key].as_f64().unwrap();
        let pruned = trial["candidate"]["student"]["sparsity"] != 0.0;
        let off = (bytes("foreseen") - bytes("bytes")).abs();
        assert!(off <= if pruned { 0.2 * bytes("bytes") } else { 0.0 }, "{trial:#}");
    }
    let chosen = &trials[found["found"]["choice"]["trial"].as_u64().unwrap() as usize];
    assert_eq!(chosen["bytes"].as_u64().unwrap() as usize, bytes.len());

    // The same on two threads.
    world.does(&fit("b.safetensors", &["--max-size", "4KB", "--threads", "2"]));
    assert!(bytes == world.read("b.safetensors"));

    // What ships is what the page and the recipe speak of.
    world.does(&["run", "a.fit/recipe.toml", "--out", "again"]);
    assert!(bytes == world.read("again/artifacts/fit.0.safetensors"));
    let page = String::from_utf8(world.read("a.fit/report.html")).unwrap();
    assert!(page.contains("Ship ") && page.contains("The frontier") && page.contains("<svg"), "{page}");
    assert!(!world.path("a.fit/trials").exists());
    let scored = world.json(&["eval", "a.safetensors", "--data", "rows.csv", "--json"]);
    assert!(scored["quality"]["accuracy"]["mean"].as_f64().unwrap() > 0.8, "{scored}");
}

/// Waits until so many candidates were begun.
fn wait_for(world: &World, trials: usize) {
    let (start, folder) = (Instant::now(), world.path("part.fit/trials"));
    let begun = || {
        let there = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        there.filter(|entry| entry.file_name().to_string_lossy().starts_with("trial-")).count()
    };
    while !folder.exists() || begun() < trials {
        assert!(start.elapsed() < Duration::from_secs(60), "{trials} candidates do not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Starts a search, and asks it to stop as soon as so many candidates were begun.
fn stop_at(world: &World, trials: usize, arguments: &[&str]) -> Done {
    let child = world.start(arguments);
    wait_for(world, trials);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    finish(child, b"", arguments)
}

#[test]
fn a_search_that_is_stopped_goes_on_to_the_same_file() {
    let world = World::new();
    world.does(&fit("whole.safetensors", &[]));
    let recipe = |name: &str| {
        String::from_utf8(world.read(&format!("{name}.fit/recipe.toml"))).unwrap().replace(name, "")
    };
    for trials in [0, 1, 6] {
        let done = stop_at(&world, trials, &fit("part.safetensors", &["--threads", "1"]));
        assert_eq!(done.code, Some(130), "{}", done.err);
        assert!(done.err.contains("stopped on request"), "{}", done.err);
        // With a candidate done, the best until then is there.
        assert!(trials < 2 || done.err.contains("part.safetensors is the best until then"), "{}", done.err);
        assert!(world.path("part.safetensors").exists() == (trials >= 2), "{trials}");
        world.does(&fit("part.safetensors", &["--resume"]));
        assert!(world.read("whole.safetensors") == world.read("part.safetensors"));
        assert_eq!(recipe("whole"), recipe("part"));
        std::fs::remove_file(world.path("part.safetensors")).unwrap();
    }
}

#[test]
fn a_search_that_is_killed_goes_on_to_the_same_file() {
    let world = World::new();
    world.does(&fit("whole.safetensors", &[]));
    for trials in [1, 4, 7] {
        let mut child = world.start(&fit("part.safetensors", &["--threads", "2"]));
        wait_for(&world, trials);
        child.kill().unwrap();
        child.wait().unwrap();
        world.does(&fit("part.safetensors", &["--resume"]));
        assert!(world.read("whole.safetensors") == world.read("part.safetensors"), "killed at {trials}");
        std::fs::remove_file(world.path("part.safetensors")).unwrap();
    }
}

/// Files of the rows: every fifth with its label, and the texts of the others.
fn few_labels(world: &World) {
    let rows = String::from_utf8(world.read("rows.csv")).unwrap();
    let (mut few, mut more) = ("text,label\n".to_owned(), "text\n".to_owned());
    for (i, row) in rows.lines().skip(1).enumerate() {
        // Rows of both classes: they take turns.
        match i / 2 % 5 {
            0 => few += &format!("{row}\n"),
            _ => more += &format!("{}\n", row.rsplit_once(',').unwrap().0),
        }
    }
    world.write("few.csv", few);
    world.write("more.csv", more);
}

#[test]
fn a_teacher_and_texts_without_labels_join_and_everything_is_made_again() {
    let world = World::new();
    few_labels(&world);
    world.train("teacher.safetensors");
    let fit = |out: &'static str, more: &[&'static str]| -> Vec<&'static str> {
        let with = ["--teacher", "teacher.safetensors", "--unlabelled", "more.csv"];
        [&["fit", "few.csv", "--out", out][..], &TRIALS, &with, more].concat()
    };
    let found = world.json(&fit("a.safetensors", &["--max-size", "3KB", "--json"]));
    assert_eq!(found["found"]["failed"].as_array().unwrap().len(), 0, "{found:#}");
    let notes = found["found"]["notes"].to_string();
    assert!(notes.contains("160 texts without labels"), "{notes}");
    let trials = found["found"]["trials"].as_array().unwrap();
    let of_file = |t: &&serde_json::Value| t["candidate"]["student"]["how"]["distilled"]["by_file"] == true;
    assert!(trials.iter().filter(of_file).count() > 1, "{found:#}");
    world.does(&["run", "a.fit/recipe.toml", "--out", "again"]);
    assert!(world.read("a.safetensors") == world.read("again/artifacts/fit.0.safetensors"));
    world.does(&["plan", "a.fit/recipe.toml"]);
    let mut child = world.start(&fit("part.safetensors", &["--max-size", "3KB", "--threads", "2"]));
    wait_for(&world, 2);
    child.kill().unwrap();
    child.wait().unwrap();
    world.does(&fit("part.safetensors", &["--max-size", "3KB", "--resume"]));
    assert!(world.read("a.safetensors") == world.read("part.safetensors"));
}

#[test]
fn what_cannot_teach_is_refused() {
    let world = World::new();
    few_labels(&world);
    world.write("three.csv", "text,label\na,x\nb,y\nc,z\na a,x\nb b,y\nc c,z\na b a,x\nb a b,y\nc a c,z\n");
    world.does(&[
        "train",
        "--data",
        "three.csv",
        "--valid",
        "three.csv",
        "--test",
        "three.csv",
        "--hidden",
        "none",
        "--out",
        "three.safetensors",
    ]);
    let refused = |more: &[&str], says: &[&str]| world.refuses(&fit("a.safetensors", more), b"", says);
    refused(&["--teacher", "none.safetensors"], &["none.safetensors"]);
    refused(&["--teacher", "rows.csv"], &["rows.csv"]);
    refused(&["--teacher", "three.safetensors"], &["its labels are x, y, z", "the data's are dim, lit"]);
    refused(&["--unlabelled", "none.csv"], &["none.csv"]);
    refused(&["--unlabelled", "rows.csv"], &["every text is empty or stands among"]);
    world.write("nothing.csv", "text\n");
    refused(&["--unlabelled", "nothing.csv"], &["nothing.csv"]);
}

#[test]
fn there_is_a_candidate_however_little_time_there_is() {
    let world = World::new();
    let hurried = ["fit", "rows.csv", "--minutes", "0.00001", "--out", "a.safetensors", "--json"];
    let found = world.json(&hurried);
    let of = |key: &str| found["found"][key].as_array().unwrap().len();
    assert_eq!((of("bases"), of("trials"), of("failed")), (1, 1, 0), "{found:#}");
    world.does(&["run", "a.fit/recipe.toml", "--out", "again"]);
    assert!(world.read("a.safetensors") == world.read("again/artifacts/fit.0.safetensors"));
}

#[test]
fn limits_that_nothing_keeps_end_with_3_and_the_nearest() {
    let world = World::new();
    let done = world.run(&fit("a.safetensors", &["--max-size", "500"]), b"");
    assert_eq!(done.code, Some(3), "{}{}", done.out, done.err);
    assert!(
        done.err.contains("no model keeps the limits") && done.err.contains("more than 500"),
        "{}",
        done.err
    );
    assert!(world.path("a.safetensors").exists());
    assert!(done.out.contains("Nothing keeps the limits"), "{}", done.out);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let world = World::new();
    let refused = |more: &[&str], says: &[&str]| world.refuses(&fit("a.safetensors", more), b"", says);
    refused(&["--max-size", "many"], &["many", "60KB"]);
    refused(&["--max-latency", "3 weeks"], &["3 weeks", "20us"]);
    refused(&["--metric", "recall"], &["recall", "macro-f1"]);
    refused(&["--max-drop", "-1"], &[]);
    refused(&["--minutes", "1"], &["--trials"]);
    refused(&["--text-column", "nothing"], &["nothing"]);
    world.refuses(&["fit", "rows.csv", "--out", "rows.csv"], b"", &["rows.csv"]);
    world.refuses(&["fit", "rows.csv", "--out", "a.fit"], b"", &[".fit"]);
    world.refuses(&["fit", "missing.csv", "--out", "a.safetensors"], b"", &["missing.csv"]);
    world.refuses(&["fit", "--out", "a.safetensors"], b"", &[]);
    for more in [["--split", "60/20/20"], ["--valid", "rows.csv"], ["--test", "rows.csv"]] {
        let of_corpus = ["fit", "--corpus", "embedded", "--out", "a.safetensors"];
        world.refuses(&[&of_corpus[..], &more].concat(), b"", &["--corpus", "--split"]);
    }
    world.refuses(&["fit", "-", "--out", "a.safetensors"], b"text,label\n", &["standard input"]);
    std::fs::create_dir_all(world.path("b.fit/trials")).unwrap();
    world.write("b.fit/trials/mine", "of the user");
    world.refuses(&["fit", "rows.csv", "--out", "b.safetensors"], b"", &["b.fit/trials", "another name"]);
}
