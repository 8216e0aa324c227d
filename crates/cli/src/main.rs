//! The `nlpress` command: it reads arguments, shows progress and turns outcomes into exit codes. Everything it
//! does is done by the libraries.

#![allow(clippy::print_stderr)] // a command-line program talks

mod arguments;
mod commands;
mod data;
mod outcome;
mod progress;
mod tokens;

use clap::Parser;
use std::process::ExitCode;

use arguments::{Arguments, Command, ModelCommand};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = start_log(arguments.log.as_deref()).and_then(|()| match arguments.command {
        Command::Run(run) => commands::run::run(run),
        Command::Plan(plan) => commands::plan::plan(plan),
        Command::Train(train) => commands::train::train(train),
        Command::Predict(predict) => commands::predict::predict(predict),
        Command::Eval(eval) => commands::eval::eval(eval),
        Command::Bench(bench) => commands::bench::bench(bench),
        Command::Inspect(inspect) => commands::inspect::inspect(inspect),
        Command::Model(ModelCommand::Summary(summary)) => commands::inspect::summary(summary),
        Command::Techniques(techniques) => commands::techniques::techniques(techniques),
        Command::Rss(rss) => commands::bench::rss(rss),
    });
    outcome::exit_code(done)
}

/// Sends tracing to stderr, filtered by `--log` or else `RUST_LOG`.
fn start_log(filter: Option<&str>) -> anyhow::Result<()> {
    use tracing_subscriber::EnvFilter;
    let filter = match filter {
        Some(text) => {
            EnvFilter::try_new(text).map_err(|e| outcome::refuse(format!("--log {text:?}: {e}")))?
        }
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")),
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}
