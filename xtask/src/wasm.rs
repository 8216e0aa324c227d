//! `cargo xtask wasm`: the runtime in WebAssembly, built for browsers, and its tests in node.

use anyhow::{Context, Result};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Refused;
use crate::workspace::{Workspace, cargo, succeed};

/// What a browser runs, and what tests run as: programs that read files.
const BROWSER: &str = "wasm32-unknown-unknown";
const FILES: &str = "wasm32-wasip1";
/// With vectors, as anything that is shipped should be built, and without.
const FLAGS: [&str; 2] = ["-C target-feature=+simd128", ""];

/// Builds the runtime for browsers, and runs its tests and those of the kernels in node.
///
/// Once with vectors (simd128) and once without. The tests are those that run natively, on the same files, but for those that start
/// threads or make files. Needs node (it was tried with node 20), and the targets: `rustup target add wasm32-unknown-unknown wasm32-wasip1`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {}

/// Builds and tests.
pub(crate) fn run() -> Result<()> {
    let workspace = Workspace::read()?;
    [BROWSER, FILES].iter().try_for_each(|target| check_target(target))?;
    if Command::new("node").arg("--version").output().is_err() {
        return Err(Refused("node is not installed, in which the tests run".into()).into());
    }
    let runner = format!("node --no-warnings --single-threaded {}", runner(&workspace.root).display());
    for flags in FLAGS {
        let start = |words: &[&str]| {
            let mut command = cargo(words);
            command.env("RUSTFLAGS", flags).env("CARGO_TARGET_WASM32_WASIP1_RUNNER", &runner);
            succeed(command)
        };
        start(&["build", "--release", "--package", "nlpress-runtime", "--target", BROWSER])?;
        let tests = ["test", "--release", "--package", "nlpress-kernels", "--package", "nlpress-runtime"];
        start(&[&tests[..], &["--lib", "--tests", "--target", FILES]].concat())?;
    }
    Ok(())
}

/// What runs a program of WASI in node.
fn runner(root: &Path) -> PathBuf {
    root.join("xtask/src/wasm/node.mjs")
}

/// Refuses where the standard library of a target is not there.
fn check_target(target: &str) -> Result<()> {
    let asked = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .context("cannot run rustc")?;
    let folder = String::from_utf8_lossy(&asked.stdout);
    if asked.status.success() && Path::new(folder.trim()).is_dir() {
        return Ok(());
    }
    let hint = format!("rustup target add {target}");
    Err(Refused(format!("the target {target} is not installed, expected it from `{hint}`")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_is_there() {
        assert!(runner(&Workspace::read().unwrap().root).is_file());
    }

    #[test]
    fn a_target_that_is_not_there_is_named() {
        let error = check_target("wasm32-nowhere").unwrap_err().to_string();
        assert!(error.contains("rustup target add wasm32-nowhere"), "{error}");
    }
}
