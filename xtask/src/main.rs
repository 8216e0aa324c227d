//! The project's own chores. Each is thin: it runs the binary, cargo or a package client, and none of our
//! crates is linked in, so this program builds in seconds.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a command-line program talks

mod data;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The project's own chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Fetches public corpora, or rebuilds the embedded one.
    #[command(subcommand)]
    Data(data::Chore),
}

/// An error of the user's surroundings or input (exit code 2) and not of the work itself (exit code 1).
#[derive(Debug)]
struct Refused(String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Data(chore) => data::run(chore),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.downcast_ref::<Refused>().is_some() { 2 } else { 1 })
        }
    }
}
