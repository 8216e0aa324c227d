//! Ctrl-C: nothing half-written stays, and what is resumed ends as if it had never been stopped.

use crate::happy::{RECIPE, hashes};
use crate::world::{Done, World, finish};
use std::process::Command;
use std::time::{Duration, Instant};

/// Starts a command, and asks it to stop as soon as a file is there.
fn stop_when(world: &World, file: &str, arguments: &[&str]) -> Done {
    let child = world.start(arguments);
    let (start, file) = (Instant::now(), world.path(file));
    while !file.exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "{} does not come", file.display());
        std::thread::sleep(Duration::from_millis(1));
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", id.as_str()]).status().unwrap().success());
    finish(child, b"", arguments)
}

fn partial(world: &World) -> Vec<String> {
    world.files("").into_keys().filter(|name| name.ends_with(".partial")).collect()
}

#[test]
fn a_stopped_run_goes_on_to_the_same_artifacts() {
    let world = World::new();
    let long = RECIPE
        .replace("epochs = 3\n", "epochs = 60\nbatch = 1\n")
        .replace("more_epochs = 1", "more_epochs = 60");
    assert_ne!(long, RECIPE);
    world.write("r.toml", long);
    let run = |out| ["run", "r.toml", "--data", "rows.csv", "--quick", "--out", out];
    world.does(&run("whole"));

    let done = stop_when(&world, "stopped/artifacts/teacher.0.safetensors", &run("stopped"));
    assert_eq!(done.code, Some(130), "{}", done.err);
    assert!(done.err.contains("stopped on request"), "{}", done.err);
    assert_eq!(partial(&world), Vec::<String>::new());
    let left = world.files("stopped");
    assert!(!left.contains_key("report.json") && !left.contains_key("artifacts/int8.0.safetensors"));

    world.does(&[&run("stopped")[..], &["--resume"]].concat());
    assert_eq!(hashes(&world, "stopped"), hashes(&world, "whole"));
    assert!(world.files("stopped/artifacts") == world.files("whole/artifacts"));
    let teacher = "journal/teacher.0.json";
    assert_eq!(world.files("stopped")[teacher], left[teacher], "the teacher was made again");
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bytes() {
    let world = World::new();
    let train = |out| {
        [
            "train", "--data", "rows.csv", "--hidden", "8", "--epochs", "60", "--batch", "1", "--log",
            "info", "--out", out,
        ]
    };
    world.does(&train("whole.safetensors"));

    let state = ["--checkpoint", "train.state"];
    let stopped = [&train("stopped.safetensors")[..], &state].concat();
    let done = stop_when(&world, "train.state", &stopped);
    assert_eq!(done.code, Some(130), "{}", done.err);
    assert_eq!(partial(&world), Vec::<String>::new());
    assert!(!world.path("stopped.safetensors").exists());

    let resumed = world.run(&[&stopped[..], &["--resume"]].concat(), b"");
    assert_eq!(resumed.code, Some(0), "{}", resumed.err);
    let epochs = |text: &str| text.matches("epoch ").count();
    assert!((1..60).contains(&epochs(&resumed.err)), "{}", resumed.err);
    assert!(world.read("stopped.safetensors") == world.read("whole.safetensors"));
}
