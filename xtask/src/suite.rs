//! `cargo xtask test`: the one test command.

use anyhow::Result;
use clap::Args;
use std::process::Stdio;

use crate::workspace::{ALL_BACKENDS, Workspace, cargo, succeed};

/// Runs every test of the workspace, then the examples in its documentation.
///
/// The tests are built in the release profile, as the binary is, so that burn is compiled once. They run with
/// `cargo nextest` where that is installed and with `cargo test` where it is not.
#[derive(Clone, Debug, Default, Args)]
#[command(after_help = "Examples:
  cargo xtask test                               everything, on ndarray
  cargo xtask test --all-backends                everything, on ndarray, flex and wgpu
  cargo xtask test -- round_trip                 only tests with this in their name")]
pub(crate) struct Arguments {
    /// Compile every backend in; a test that opens backends then opens all three.
    #[arg(long)]
    pub(crate) all_backends: bool,
    /// Words for the test runner, such as a part of a test's name; the documentation's examples are then left out.
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) words: Vec<String>,
}

/// Runs the tests.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::read()?;
    let nextest = has_nextest();
    test(arguments, nextest, &workspace)?;
    if nextest && arguments.words.is_empty() {
        test_documentation(arguments, &workspace)?; // `cargo test` has done it by itself
    }
    Ok(())
}

fn has_nextest() -> bool {
    let mut asked = cargo(["nextest", "--version"]);
    asked.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

fn test(arguments: &Arguments, nextest: bool, workspace: &Workspace) -> Result<()> {
    let runner: &[&str] = if nextest { &["nextest", "run"] } else { &["test"] };
    start(runner, arguments, &arguments.words, workspace)
}

fn test_documentation(arguments: &Arguments, workspace: &Workspace) -> Result<()> {
    start(&["test", "--doc"], arguments, &[], workspace)
}

fn start(runner: &[&str], arguments: &Arguments, words: &[String], workspace: &Workspace) -> Result<()> {
    let mut command = cargo(runner);
    command.args(["--release", "--workspace"]);
    if arguments.all_backends {
        command.args(["--features", ALL_BACKENDS]);
        workspace.lend_runtime_folder(&mut command)?;
    }
    command.args(words);
    succeed(command)
}
