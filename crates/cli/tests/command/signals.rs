//! Signals: the first one stops at a safe point, the second one at once, and what was ignored stays ignored.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::{Done, World, finish};

/// A training of many epochs, each of which writes a checkpoint.
const LONG: [&str; 12] = [
    "train",
    "--data",
    "rows.csv",
    "--hidden",
    "8",
    "--batch",
    "1",
    "--epochs",
    "10000",
    "--out",
    "a.safetensors",
    "--dropout=0.5",
];
/// The same that ends soon.
const SHORT: [&str; 14] = [
    "train",
    "--data",
    "rows.csv",
    "--hidden",
    "8",
    "--batch",
    "1",
    "--epochs",
    "40",
    "--out",
    "a.safetensors",
    "--checkpoint",
    "state",
    "--dropout=0.5",
];

/// Starts a command with these signals ignored, or with none.
fn start(world: &World, ignored: &str, arguments: &[&str]) -> Child {
    // Whoever runs the tests may ignore signals, which children inherit.
    let script = match ignored {
        "" => "exec env --default-signal=INT,HUP,TERM \"$0\" \"$@\"".to_owned(),
        signals => format!("exec env --ignore-signal={signals} \"$0\" \"$@\""),
    };
    let mut command = world.command(&script, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn wait_for(world: &World, file: &str) {
    let start = Instant::now();
    while !world.path(file).exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "{file} does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn send(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, id.as_str()]).status().unwrap().success());
}

fn long_with_checkpoint() -> Vec<&'static str> {
    [&LONG[..], &["--checkpoint", "state"]].concat()
}

#[test]
fn a_signal_stops_and_says_what_is_left() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let world = World::new();
        let arguments = long_with_checkpoint();
        let child = start(&world, "", &arguments);
        wait_for(&world, "state");
        send(&child, signal);
        let done = finish(child, b"", &arguments);
        assert_eq!(done.code, Some(130), "{signal}: {}", done.err);
        assert!(
            done.err.contains("stopped on request") && done.err.contains("--resume goes on from state"),
            "{}",
            done.err
        );
        assert!(!world.path("a.safetensors").exists());
    }
}

#[test]
fn without_a_checkpoint_nothing_is_promised() {
    let world = World::new();
    // The log says when the training is on its way.
    let arguments = [&LONG[..], &["--log", "info"]].concat();
    let mut child = start(&world, "", &arguments);
    let mut err = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("epoch 1/") {
        assert!(std::io::BufRead::read_line(&mut err, &mut said).unwrap() > 0, "{said}");
    }
    send(&child, "-INT");
    std::io::Read::read_to_string(&mut err, &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(said.contains("nothing was written") && said.contains("--checkpoint FILE"), "{said}");
    assert!(!said.contains("what was written is whole"), "{said}");
}

#[test]
fn a_command_without_safe_points_ends_at_once() {
    let world = World::new();
    world.train("a.safetensors");
    world.write("r.toml", crate::happy::RECIPE);
    let before = world.files("");
    let read = ["--data", "-", "--format", "csv"];
    // Each of them waits for what does not come, or works for minutes.
    let cases: [Vec<&str>; 7] = [
        vec!["predict", "a.safetensors"],
        [&["predict", "a.safetensors"][..], &read].concat(),
        [&["eval", "a.safetensors", "--errors", "wrong.csv"][..], &read].concat(),
        [&["train", "--out", "b.safetensors"][..], &read].concat(),
        vec!["bench", "a.safetensors", "--data", "rows.csv", "--rounds", "10000"],
        vec!["run", "r.toml", "--out", "out", "--data", "-"],
        vec!["plan", "r.toml", "--data", "-"],
    ];
    let with_format = crate::happy::RECIPE.replace("read = {", "read = { format = \"csv\",");
    world.write("r.toml", &with_format);
    for arguments in cases {
        let mut child = start(&world, "", &arguments);
        let stdin = child.stdin.take();
        wait_for_handler(&child);
        std::thread::sleep(Duration::from_millis(50)); // any moment will do
        send(&child, "-INT");
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "{arguments:?} goes on");
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(stdin);
        let done = child.wait_with_output().unwrap();
        let err = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(130), "{arguments:?}: {err}");
        assert_eq!(err, "stopped on request; no file is half-written\n", "{arguments:?}");
        let after: Vec<String> = world.files("").into_keys().collect();
        assert_eq!(after, before.keys().cloned().collect::<Vec<_>>(), "{arguments:?}");
    }
}

#[test]
fn an_ignored_signal_stays_ignored() {
    for (ignored, signal) in [("HUP", "-HUP"), ("INT", "-INT"), ("HUP,INT", "-INT"), ("TERM", "-TERM")] {
        let world = World::new();
        let child = start(&world, ignored, &SHORT);
        wait_for(&world, "state");
        send(&child, signal);
        send(&child, signal);
        let done = finish(child, b"", &SHORT);
        assert_eq!(done.code, Some(0), "{ignored}: {}", done.err);
        assert!(world.path("a.safetensors").exists(), "{ignored}");
    }
    // One that is ignored does not protect from the others.
    let world = World::new();
    let arguments = long_with_checkpoint();
    let child = start(&world, "HUP", &arguments);
    wait_for(&world, "state");
    send(&child, "-HUP");
    send(&child, "-TERM");
    let Done { code, err, .. } = finish(child, b"", &arguments);
    assert_eq!(code, Some(130), "{err}");
}

#[test]
fn the_second_signal_ends_at_once() {
    let world = World::new();
    // A wide network, so that the next safe point is some way off.
    let arguments = [
        "train",
        "--data",
        "rows.csv",
        "--hidden",
        "2048,2048",
        "--batch",
        "1",
        "--epochs",
        "10000",
        "--out",
        "a.safetensors",
    ];
    let arguments = [&arguments[..], &["--log", "nlpress=debug"]].concat();
    let mut child = start(&world, "", &arguments);
    // Before there are safe points, the first signal would do.
    let mut err = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("answered at safe points") {
        assert!(std::io::BufRead::read_line(&mut err, &mut said).unwrap() > 0, "{said}");
    }
    let start = Instant::now();
    send(&child, "-INT");
    // Two signals that wait to be delivered are one.
    let waits = || mask_has_int(child.id(), "ShdPnd:") || mask_has_int(child.id(), "SigPnd:");
    while start.elapsed() < Duration::from_secs(60) && waits() {
        std::thread::sleep(Duration::from_millis(1));
    }
    send(&child, "-INT");
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(60), "it goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// Until a signal is caught it ends the process by itself; the shell that becomes the command catches some, too.
fn wait_for_handler(child: &Child) {
    let start = Instant::now();
    while !is_nlpress(child.id()) || !mask_has_int(child.id(), "SigCgt:") {
        assert!(start.elapsed() < Duration::from_secs(60), "no handler");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process is the command by now.
fn is_nlpress(id: u32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{id}/comm"));
    name.is_ok_and(|name| name.trim() == "nlpress")
}

/// Whether SIGINT is in a mask of a process: of signals that it catches, or of those that wait for it.
fn mask_has_int(id: u32, mask: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix(mask)).unwrap_or("0");
    u64::from_str_radix(mask.trim(), 16).unwrap_or(0) & (1 << 1) != 0
}
