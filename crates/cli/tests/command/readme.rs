//! README's section "On a file of your own": its commands work on the very files that it shows.

use std::process::Command;

use crate::world::World;

const README: &str = include_str!("../../../../README.md");

/// The blocks of a language in a section.
fn blocks<'a>(section: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("```{language}\n");
    section.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_example_works_on_the_files_that_it_shows() {
    let (_, section) = README.split_once("\n## On a file of your own\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let (csv, sh) = (blocks(section, "csv"), blocks(section, "sh"));
    let world = World::new();
    world.write("reviews.csv", csv[0]);
    world.write("more-reviews.csv", csv[1]);
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_nlpress"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut said = String::new();
    let commands: Vec<&str> = sh[0].lines().collect();
    assert_eq!(commands.len(), 5);
    for command in commands {
        let done = Command::new("sh")
            .args(["-c", command])
            .env("PATH", &path)
            .current_dir(world.path(""))
            .output()
            .unwrap();
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
        said.push_str(&String::from_utf8(done.stdout).unwrap());
    }
    // The answers are those that a reader expects.
    assert!(said.contains("accuracy   1.0000") && said.contains("3 documents"), "{said}");
    let labels: Vec<&str> =
        said.lines().filter_map(|l| l.split_once("\t0.")).map(|(label, _)| label).collect();
    assert_eq!(labels, ["good", "bad", "good", "bad", "bad"], "{said}");
    assert!(said.contains("{\"label\":\"good\"") && said.contains("{\"label\":\"bad\""), "{said}");
}
