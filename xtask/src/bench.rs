//! `cargo xtask bench`: the criterion benches of every crate that has some, the peers (see `peers`), searches for
//! the best small model (see `bench_fit`), two binaries that train (see `bench_train`), and one core beside several (see
//! `bench_parallel`).

use anyhow::Result;
use clap::{Args, Subcommand};
use std::process::Command;

use crate::workspace::{Package, Workspace, cargo, succeed};
use crate::{Refused, bench_fit, bench_parallel, bench_train, peers};

/// Runs the benchmarks.
///
/// They are the criterion benches of the crates that have some, in the bench profile (which is the release
/// profile). Criterion keeps its results in the build folder and compares each run with the one before.
#[derive(Clone, Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  cargo xtask bench                              all of them
  cargo xtask bench kernels                      those of crates/kernels
  cargo xtask bench int8                         those with int8 in their name
  cargo xtask bench peers                        nlpress beside other libraries
  cargo xtask bench fit                          the best model of so many bytes, here and elsewhere
  cargo xtask bench parallel                     one core beside several
  cargo xtask bench train OLD NEW -- --corpus r8 two binaries that train, in turns"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    with: Option<With>,
    /// A crate (without the `nlpress-` of its name), or a part of a benchmark's name.
    filter: Option<String>,
}

/// What is no bench of criterion's.
#[derive(Clone, Debug, Subcommand)]
enum With {
    Peers(peers::Arguments),
    Fit(bench_fit::Arguments),
    Train(bench_train::Arguments),
    Parallel(bench_parallel::Arguments),
}

/// Runs the benches.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.with {
        Some(With::Peers(arguments)) => return peers::run(arguments),
        Some(With::Fit(arguments)) => return bench_fit::run(arguments),
        Some(With::Train(arguments)) => return bench_train::run(arguments),
        Some(With::Parallel(arguments)) => return bench_parallel::run(arguments),
        None => {}
    }
    succeed(command(&Workspace::read()?.packages, arguments.filter.as_deref())?)
}

fn command(packages: &[Package], filter: Option<&str>) -> Result<Command> {
    let mut with_benches: Vec<(&Package, Vec<&str>)> = Vec::new();
    for package in packages {
        let benches = package.targets.iter().filter(|t| t.kind.iter().any(|k| k == "bench"));
        let benches: Vec<&str> = benches.map(|t| t.name.as_str()).collect();
        if !benches.is_empty() {
            with_benches.push((package, benches));
        }
    }
    let mut name = filter;
    if let Some(package) = filter.and_then(|f| packages.iter().find(|p| short(p) == f || p.name == f)) {
        let names: Vec<&str> = with_benches.iter().map(|(p, _)| short(p)).collect();
        with_benches.retain(|(p, _)| p.name == package.name);
        if with_benches.is_empty() {
            let (crate_name, names) = (short(package), names.join(", "));
            return Err(Refused(format!("crate {crate_name} has no benches; these have: {names}")).into());
        }
        name = None;
    }
    let mut command = cargo(["bench"]);
    for (package, benches) in with_benches {
        command.args(["--package", &package.name]);
        // Named one by one: the unit tests of a library would not understand criterion's arguments.
        command.args(benches.iter().flat_map(|bench| ["--bench", bench]));
    }
    if let Some(name) = name {
        command.args(["--", name]);
    }
    Ok(command)
}

fn short(package: &Package) -> &str {
    package.name.strip_prefix("nlpress-").unwrap_or(&package.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Target;

    fn started(filter: Option<&str>) -> Result<String> {
        let package = |name: &str, benches: &[&str]| {
            let target = |name: &str, kind: &str| Target { name: name.into(), kind: vec![kind.into()] };
            let mut targets = vec![target(name, "lib")];
            targets.extend(benches.iter().map(|b| target(b, "bench")));
            Package { name: name.into(), targets }
        };
        let packages =
            [package("nlpress-a", &["x", "y"]), package("nlpress-b", &[]), package("nlpress-c", &["z"])];
        let command = command(&packages, filter)?;
        Ok(command.get_args().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_word_is_a_filter_or_a_comparison() {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            arguments: Arguments,
        }
        let line = |words: &[&str]| {
            Line::try_parse_from(std::iter::once(&"x").chain(words)).map(|line| line.arguments)
        };
        for word in ["int8", "kernels", "peer"] {
            let arguments = line(&[word]).unwrap();
            assert!(arguments.with.is_none() && arguments.filter.as_deref() == Some(word), "{arguments:?}");
        }
        assert!(line(&[]).unwrap().with.is_none());
        let arguments = line(&["peers", "--rounds", "5", "--json"]).unwrap();
        assert!(matches!(arguments.with, Some(With::Peers(_))) && arguments.filter.is_none());
        let arguments = line(&["train", "a", "b", "--", "--corpus", "r8"]).unwrap();
        assert!(matches!(arguments.with, Some(With::Train(_))));
        for bad in [
            &["peers", "--rounds", "4"][..],
            &["train", "a", "b"],
            &["peers", "--rounds", "x"],
            &["int8", "peers"],
        ] {
            assert!(line(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_filter_is_a_crate_or_a_part_of_a_name() {
        let all = "bench --package nlpress-a --bench x --bench y --package nlpress-c --bench z";
        assert_eq!(started(None).unwrap(), all);
        assert_eq!(started(Some("c")).unwrap(), "bench --package nlpress-c --bench z");
        assert_eq!(started(Some("int8")).unwrap(), format!("{all} -- int8"));
        let error = started(Some("b")).unwrap_err();
        assert!(error.downcast_ref::<Refused>().is_some());
        assert_eq!(error.to_string(), "crate b has no benches; these have: a, c");
    }
}
