//! The `nlpress` command: it reads arguments, shows progress and turns outcomes into exit codes. Everything it
//! does is done by the libraries.
//!
//! What goes to standard error goes through [`outcome::tell!`], never through `eprintln!`, which panics where
//! nobody can read it any more.

mod arguments;
mod commands;
mod data;
mod outcome;
mod progress;
mod signals;
mod tokens;

use clap::Parser;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use arguments::{Arguments, Command, ModelCommand};

/// Large buffers begin at cache lines, so that a training takes the same time wherever the heap puts them.
#[global_allocator]
static HEAP: nlpress::kernels::heap::CacheLines = nlpress::kernels::heap::CacheLines;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refused) if refused.use_stderr() => {
            let _ = refused.print(); // nobody may read it; the exit code says it too
            return ExitCode::from(2);
        }
        Err(help) => return outcome::exit_code(help.print().map_err(Into::into)),
    };
    let done = start_log(arguments.log.as_deref()).and_then(|()| match arguments.command {
        Command::Run(run) => commands::run::run(run),
        Command::Plan(plan) => commands::plan::plan(plan),
        Command::Train(train) => commands::train::train(*train),
        Command::Predict(predict) => commands::predict::predict(predict),
        Command::Eval(eval) => commands::eval::eval(eval),
        Command::Bench(bench) => commands::bench::bench(bench),
        Command::Inspect(inspect) => commands::inspect::inspect(inspect),
        Command::Model(ModelCommand::Summary(summary)) => commands::inspect::summary(summary),
        Command::Techniques(techniques) => commands::techniques::techniques(techniques),
        Command::NewRecipe(new) => commands::new_recipe::new_recipe(&new),
        Command::Completions(completions) => commands::generated::completions(&completions),
        Command::Man(man) => commands::generated::man(&man),
        Command::Rss(rss) => commands::bench::rss(rss),
    });
    outcome::exit_code(done)
}

/// Sends tracing to stderr, filtered by `--log` or else `RUST_LOG`; coloured on a terminal, unless `NO_COLOR` is set.
fn start_log(filter: Option<&str>) -> anyhow::Result<()> {
    use tracing_subscriber::EnvFilter;
    let filter = match filter {
        Some(text) => {
            EnvFilter::try_new(text).map_err(|e| outcome::refuse(format!("--log {text:?}: {e}")))?
        }
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")),
    };
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(io::stderr)
        .log_internal_errors(false) // it would say them by `eprintln!`
        .init();
    Ok(())
}
