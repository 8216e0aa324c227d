//! `cargo xtask test`: the one test command.

use anyhow::Result;
use clap::Args;
use std::process::Stdio;

use crate::workspace::{Backend, Build, Workspace, cargo, succeed};

/// Runs every test of the workspace, then the examples in its documentation.
///
/// The tests are built in the release profile, as the binary is, so that burn is compiled once. They run with
/// `cargo nextest` where that is installed and with `cargo test` where it is not. The tests of `cargo xtask` itself
/// come second, in a build of their own.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:
  cargo xtask test                               everything, on ndarray
  cargo xtask test --all-backends                everything, on ndarray, flex and wgpu
  cargo xtask test --mpi                         runs of several processes, too
  cargo xtask test -- round_trip                 only tests with this in their name")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) build: Build,
    /// Words for the test runner, such as a part of a test's name; only the tests of the crates are then run.
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) words: Vec<String>,
}

/// All crates but this one, whose dependencies would make cargo compile burn again, with the features that the binary has and
/// no others, so that nothing is compiled twice (see `once`).
pub(crate) const CRATES: &[&str] = &["--workspace", "--exclude", "xtask", "--no-default-features"];
const XTASK: &[&str] = &["--package", "xtask"];

/// Runs the tests.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::read()?;
    let features = arguments.build.features(Backend::Ndarray);
    let features = ["--features", features.as_str()];
    let nextest = has_nextest();
    let runner: &[&str] = if nextest { &["nextest", "run"] } else { &["test"] };
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    start(&workspace, &[runner, &["--no-fail-fast", "--release"], CRATES, &features, &words])?;
    if words.is_empty() {
        // In the profile in which it runs, so that what it needs is there.
        start(&workspace, &[runner, &["--no-fail-fast"], XTASK])?;
        if nextest {
            start(&workspace, &[&["test", "--release", "--doc"], CRATES, &features])?; // `cargo test` did them
        }
    }
    Ok(())
}

fn start(workspace: &Workspace, words: &[&[&str]]) -> Result<()> {
    let mut command = cargo(words.concat());
    workspace.lend_runtime_folder(&mut command)?;
    succeed(command)
}

fn has_nextest() -> bool {
    let mut asked = cargo(["nextest", "--version"]);
    asked.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}
