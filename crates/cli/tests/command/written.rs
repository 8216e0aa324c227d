//! What is written, and what is never written over.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use crate::world::World;

const TRAIN: [&str; 8] = ["train", "--data", "rows.csv", "--hidden", "4", "--epochs", "1", "--out"];

fn train(world: &World, out: &str) {
    world.does(&[&TRAIN[..], &[out]].concat());
}

fn mode(world: &World, name: &str) -> u32 {
    std::fs::metadata(world.path(name)).unwrap().permissions().mode() & 0o7777
}

#[test]
fn permissions_are_those_of_the_umask_or_of_the_file_before() {
    let world = World::new();
    for (umask, expected) in [("077", 0o600), ("027", 0o640), ("022", 0o644)] {
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        let done = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_nlpress")])
            .args(TRAIN)
            .arg(format!("m{umask}"))
            .current_dir(world.path(""))
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        assert_eq!(mode(&world, &format!("m{umask}")), expected, "umask {umask}");
    }
    for kept in [0o600, 0o640, 0o664] {
        std::fs::set_permissions(world.path("m022"), std::fs::Permissions::from_mode(kept)).unwrap();
        train(&world, "m022");
        assert_eq!(mode(&world, "m022"), kept);
    }
}

#[test]
fn a_link_stays_and_its_target_is_written() {
    let world = World::new();
    std::fs::create_dir(world.path("below")).unwrap();
    world.write("below/target", "old");
    symlink("below/target", world.path("link")).unwrap();
    symlink("below/new", world.path("dangling")).unwrap();
    train(&world, "link");
    train(&world, "dangling");
    assert!(world.path("link").is_symlink() && world.path("dangling").is_symlink());
    assert_eq!(world.read("below/target"), world.read("below/new"));
    world.does(&["inspect", "link"]);
}

#[test]
fn what_is_no_regular_file_is_never_replaced() {
    let world = World::new();
    assert!(Command::new("mkfifo").arg(world.path("fifo")).status().unwrap().success());
    let _listens = std::os::unix::net::UnixListener::bind(world.path("socket")).unwrap();
    symlink("fifo", world.path("to-fifo")).unwrap();
    let mut targets = vec!["fifo", "socket", "to-fifo"];
    // A device of our own, where we may make one: never that of the machine.
    if Command::new("mknod")
        .arg(world.path("null"))
        .args(["c", "1", "3"])
        .output()
        .is_ok_and(|o| o.status.success())
    {
        targets.push("null");
    }
    for target in targets {
        let before = std::fs::metadata(world.path(target)).unwrap();
        let done = world.run(&[&TRAIN[..], &[target]].concat(), b"");
        assert_eq!(done.code, Some(2), "{target}: {done:?}");
        assert!(done.err.contains(target) && done.err.contains("expected a regular file"), "{done:?}");
        let after = std::fs::metadata(world.path(target)).unwrap();
        assert_eq!((before.ino(), before.file_type()), (after.ino(), after.file_type()));
        assert!(!after.file_type().is_file() && !after.file_type().is_dir());
    }
    assert!(std::fs::metadata(world.path("fifo")).unwrap().file_type().is_fifo());
}

#[test]
fn what_dead_writers_left_is_removed_by_the_next() {
    let world = World::new();
    world.write(".nlpress-dead.partial", "half");
    world.write(".nlpress-alive.partial", "half");
    let alive = std::fs::File::open(world.path(".nlpress-alive.partial")).unwrap();
    alive.try_lock().unwrap();
    train(&world, "m");
    assert!(!world.path(".nlpress-dead.partial").exists());
    assert!(world.path(".nlpress-alive.partial").exists());
    drop(alive);
    train(&world, "m");
    assert!(!world.path(".nlpress-alive.partial").exists());
}
