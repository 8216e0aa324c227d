//! `cargo xtask bench train`: two binaries that train the same, in turns.
//!
//! A change to training is judged beside the program before it, not by a time that was noted on another day: both run
//! in turns, whole processes, and what counts is the ratio within a round.

use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::Refused;

/// Times `nlpress train` of two binaries, in turns.
///
/// Prints seconds of each and the ratio, new over old, as median (lower to upper quartile) over the rounds; below 1 the
/// new one is faster.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask bench train old/nlpress target/release/nlpress -- --corpus 20ng --hidden none
  cargo xtask bench train a b --rounds 11 -- --data reviews.jsonl --vocabulary 50000 --threads 2")]
pub(crate) struct Arguments {
    /// The binary that is compared with.
    old: PathBuf,
    /// The binary that is judged.
    new: PathBuf,
    /// Rounds in which both take turns, 5 or more.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(5..=1000))]
    rounds: u32,
    /// What follows `train`, for both; `--out` is added.
    #[arg(last = true, required = true)]
    train: Vec<String>,
}

/// Lets both take turns and prints the comparison.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binaries = [&arguments.old, &arguments.new];
    if let Some(missing) = binaries.iter().find(|path| !path.is_file()) {
        return Err(Refused(format!("{} is no file", missing.display())).into());
    }
    let folder = tempfile::tempdir().context("cannot make a passing folder")?;
    let mut seconds = [Vec::new(), Vec::new()];
    for round in 0..arguments.rounds as usize {
        // Who is first changes from round to round.
        for side in [round % 2, 1 - round % 2] {
            let out = folder.path().join("trained.safetensors");
            seconds[side].push(time(binaries[side], &arguments.train, &out)?);
        }
    }
    let [old, new] = &seconds;
    println!("old {} s, new {} s", quartiles(old), quartiles(new));
    println!("new over old: {}", quartiles(&ratios(old, new)));
    Ok(())
}

fn time(binary: &Path, train: &[String], out: &Path) -> Result<f64> {
    let mut command = Command::new(binary);
    command.arg("train").args(train).arg("--out").arg(out);
    let begin = Instant::now();
    let output = command.output().with_context(|| format!("cannot run {}", binary.display()))?;
    let taken = begin.elapsed().as_secs_f64();
    if !output.status.success() {
        bail!("{} failed: {}", binary.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(taken)
}

fn ratios(old: &[f64], new: &[f64]) -> Vec<f64> {
    old.iter().zip(new).map(|(old, new)| new / old).collect()
}

fn quartiles(of: &[f64]) -> String {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[(share * (sorted.len() - 1) as f64).round() as usize];
    format!("{:.3} ({:.3}–{:.3})", at(0.5), at(0.25), at(0.75))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_within_a_round() {
        let ratios = ratios(&[1.0, 2.0, 4.0, 8.0, 1.0], &[0.5, 1.0, 2.0, 4.0, 3.0]);
        assert_eq!(quartiles(&ratios), "0.500 (0.500–0.500)");
        assert_eq!(quartiles(&[3.0, 1.0, 2.0, 5.0, 4.0]), "3.000 (2.000–4.000)");
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_timed_is_an_error() {
        let arguments = |old: &str| Arguments {
            old: old.into(),
            new: "/bin/false".into(),
            rounds: 5,
            train: vec!["--corpus".into(), "x".into()],
        };
        let error = run(&arguments("/no/such/binary")).unwrap_err();
        assert!(error.downcast_ref::<Refused>().is_some() && error.to_string().contains("/no/such/binary"));
        let failed = run(&arguments("/bin/false")).unwrap_err();
        assert!(failed.downcast_ref::<Refused>().is_none() && failed.to_string().contains("failed"));
    }
}
