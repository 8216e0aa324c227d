//! That burn, and all of ours, is compiled once: the tests of all crates ask of every package that the binary is made of the
//! same features as the binary alone does. One that differs is compiled again, with all that is built on it.
//!
//! This program is left out of that build, and tested in one of its own: what it needs to open archives and mail
//! asks for features that would reach down to burn.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;

use crate::suite::CRATES;
use crate::workspace::{Backend, Build, cargo};

/// Compares the two builds, with one backend and with everything.
pub(crate) fn check() -> Result<()> {
    for features in [Build::default(), Build::ALL].map(|build| build.features(Backend::Ndarray)) {
        let features = ["--features", &features];
        let binary = ["--package", "nlpress-cli", "--no-default-features", "--edges", "normal,build"];
        let binary = packages(&[&binary[..], &features].concat())?;
        let tests = packages(&[CRATES, &["--edges", "normal,build,dev"], &features].concat())?;
        let twice = differing(&binary, &tests);
        if !twice.is_empty() {
            bail!(
                "with {}, these are built for the binary with features that the tests do not share \
                  (crates/core/Cargo.toml has a list against that, `one-build`):\n  {}",
                features[1],
                twice.join("\n  ")
            );
        }
    }
    Ok(())
}

/// Every package of a build, as `name version [features]`.
fn packages(selection: &[&str]) -> Result<BTreeSet<String>> {
    let mut command = cargo(["tree", "--prefix", "none", "--format", "{p} [{f}]"]);
    let output = command.args(selection).output().context("cannot run cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout).context("cargo tree printed something unknown")?;
    Ok(text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect())
}

/// Those of the binary's packages that the tests do not have alike.
fn differing<'a>(binary: &'a BTreeSet<String>, tests: &'a BTreeSet<String>) -> Vec<&'a str> {
    binary.difference(tests).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_with_other_features_is_named() {
        let set = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect();
        let binary = set(&["a v1 [x]", "b v1 []", "nlpress-core v0 [y]"]);
        let tests = set(&["a v1 [x]", "b v1 [std]", "nlpress-core v0 [y,z]", "c v1 []"]);
        assert_eq!(differing(&binary, &tests), ["b v1 []", "nlpress-core v0 [y]"]);
        assert!(differing(&binary, &binary).is_empty());
    }
}
