//! `cargo xtask ci`: what a change must pass. Every step is a command that one can also run alone.

use anyhow::{Context, Result};
use clap::Args;
use std::time::{Duration, Instant};

use crate::workspace::{Backend, Build, Workspace, cargo, succeed};
use crate::{once, pages, pipeline, suite};

/// Does everything that a change must pass, in order, and stops at the first failure.
///
/// Formatting, that burn is compiled once, clippy, the documentation, the tests on every backend and with several processes by MPI, the
/// article's pipeline in its quick form on every backend, the generated pages, and the example outside the workspace.
#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {}

/// Something to pass, with its name.
type Step<'a> = (&'a str, Box<dyn Fn() -> Result<()> + 'a>);

/// Does all steps.
pub(crate) fn run() -> Result<()> {
    let workspace = &Workspace::read()?;
    let steps: Vec<Step<'_>> = vec![
        ("formatting", Box::new(|| succeed(cargo(["fmt", "--all", "--check"])))),
        ("burn compiled once", Box::new(once::check)),
        ("clippy", Box::new(clippy)),
        ("documentation", Box::new(documentation)),
        ("tests on every backend", Box::new(tests)),
        ("pipeline on ndarray", Box::new(|| quick_pipeline(workspace, Backend::Ndarray))),
        ("pipeline on flex", Box::new(|| quick_pipeline(workspace, Backend::Flex))),
        ("pipeline on wgpu", Box::new(|| quick_pipeline(workspace, Backend::Wgpu))),
        (
            "pages in docs/techniques",
            Box::new(|| pages::run(&pages::Arguments { check: true, build: Build::ALL })),
        ),
        ("example outside the workspace", Box::new(|| example(workspace))),
    ];
    let began = Instant::now();
    for (n, (name, step)) in steps.iter().enumerate() {
        println!("ci {}/{}: {name}", n + 1, steps.len());
        let began = Instant::now();
        step().with_context(|| format!("{name}, after {}", spelled(began.elapsed())))?;
        println!("ci {}/{}: {name}: passed in {}", n + 1, steps.len(), spelled(began.elapsed()));
    }
    println!("ci: all {} steps passed in {}", steps.len(), spelled(began.elapsed()));
    Ok(())
}

/// The backends that clippy and the documentation look at. Checking everything that wgpu stands on would take minutes
/// for a few lines of ours, which the tests compile.
const LOOKED_AT: &str = "ndarray,flex";

/// The feature list is one for the whole workspace: cargo gives it to every member that has such features.
fn clippy() -> Result<()> {
    let mut command = cargo(["clippy", "--release", "--workspace", "--all-targets", "--features", LOOKED_AT]);
    command.args(["--", "-D", "warnings"]);
    succeed(command)
}

/// With clippy's profile and features, so that what clippy checked of the dependencies serves again.
fn documentation() -> Result<()> {
    let mut command = cargo(["doc", "--release", "--workspace", "--no-deps", "--features", LOOKED_AT]);
    command.env("RUSTDOCFLAGS", "-Dwarnings");
    succeed(command)
}

fn tests() -> Result<()> {
    suite::run(&suite::Arguments { build: Build::ALL, words: Vec::new() })
}

fn quick_pipeline(workspace: &Workspace, backend: Backend) -> Result<()> {
    let arguments = pipeline::Arguments {
        backend,
        corpus: None,
        recipe: workspace.root.join("recipes/article.toml"),
        out: Some(workspace.target.join("tmp").join("ci").join(backend.name())),
        quick: true,
        resume: false,
        seeds: None,
        threads: None,
        workers: None,
        build: Build::ALL,
    };
    succeed(pipeline::prepare(&arguments, workspace)?)
}

/// The example is a workspace of its own, as a user's program is. It gets this workspace's build folder, lock file and profile,
/// and all backends: with the same versions, features and flags, what was built for the tests serves again.
fn example(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join("docs/examples/own-model");
    std::fs::copy(workspace.root.join("Cargo.lock"), folder.join("Cargo.lock"))
        .with_context(|| format!("cannot copy Cargo.lock to {}", folder.display()))?;
    let manifest: toml::Table = std::fs::read_to_string(workspace.root.join("Cargo.toml"))?.parse()?;
    let profile: toml::Table = manifest.into_iter().filter(|(key, _)| key == "profile").collect();
    let config = workspace.target.join("tmp/profile.toml");
    std::fs::create_dir_all(workspace.target.join("tmp"))?;
    std::fs::write(&config, profile.to_string())
        .with_context(|| format!("cannot write {}", config.display()))?;
    let mut command = cargo(["run", "--release", "--features", "flex,wgpu", "--config"]);
    command.arg(config).current_dir(folder).env("CARGO_TARGET_DIR", &workspace.target);
    succeed(command)
}

fn spelled(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min {} s", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_spelled_in_minutes_and_seconds() {
        assert_eq!(spelled(Duration::from_millis(1600)), "2 s");
        assert_eq!(spelled(Duration::from_millis(59_800)), "1 min 0 s");
        assert_eq!(spelled(Duration::from_secs(3725)), "62 min 5 s");
    }
}
