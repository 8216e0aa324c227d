//! The project's own chores. Each is thin: it runs the binary, cargo or a package client, and none of our
//! crates is linked in, so this program builds in seconds.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a command-line program talks

mod bench;
mod bench_fit;
mod bench_parallel;
mod bench_train;
mod ci;
mod data;
mod once;
mod pages;
mod peers;
mod pipeline;
mod readme;
mod said;
mod suite;
mod wasm;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The project's own chores. Run them from the top folder of the repository.
///
/// Exit codes: 0 done, 1 failed, 2 refused input; `pipeline` passes on those of `nlpress run` (130: stopped).
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    Pipeline(pipeline::Arguments),
    /// Fetches public corpora, or rebuilds the embedded one.
    #[command(subcommand)]
    Data(data::Chore),
    Test(suite::Arguments),
    Bench(bench::Arguments),
    Docs(pages::Arguments),
    Readme(readme::Arguments),
    Wasm(wasm::Arguments),
    Ci(ci::Arguments),
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
        Chore::Pipeline(arguments) => return answer(pipeline::run(&arguments)),
        Chore::Data(chore) => data::run(chore),
        Chore::Test(arguments) => suite::run(&arguments),
        Chore::Bench(arguments) => bench::run(&arguments),
        Chore::Docs(arguments) => pages::run(&arguments),
        Chore::Readme(arguments) => readme::run(&arguments),
        Chore::Wasm(wasm::Arguments {}) => wasm::run(),
        Chore::Ci(ci::Arguments {}) => ci::run(),
    };
    answer(outcome.map(|()| ExitCode::SUCCESS))
}

fn answer(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(if error.downcast_ref::<Refused>().is_some() { 2 } else { 1 })
    })
}
