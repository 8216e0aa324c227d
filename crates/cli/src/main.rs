//! The `nlpress` command: it reads arguments, shows progress and turns outcomes into exit codes. Everything it
//! does is done by the libraries.
//!
//! What goes to standard error goes through [`outcome::tell!`], never through `eprintln!`, which panics where
//! nobody can read it any more.

mod arguments;
mod commands;
mod data;
mod encoding;
mod outcome;
mod processes;
mod progress;
mod signals;
mod tokens;

use anyhow::Context;
use clap::Parser;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use arguments::{Arguments, Command, ModelCommand};

/// Threads that train side by side take large buffers all the time: this heap has some for each of them, and they begin at
/// cache lines (docs/decisions/heap.md).
#[global_allocator]
static HEAP: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refused) if refused.use_stderr() => {
            let _ = refused.print(); // nobody may read it; the exit code says it too
            hint(&refused);
            return ExitCode::from(2);
        }
        Err(help) => return outcome::exit_code(help.print().map_err(|e| outcome::of_stdout(e).into())),
    };
    let done = start(&arguments).and_then(|()| match arguments.command {
        Command::Run(run) => commands::run::run(run),
        Command::Plan(plan) => commands::plan::plan(plan),
        Command::Train(train) => commands::train::train(*train),
        Command::Fit(fit) => commands::fit::fit(&fit),
        Command::Compress(compress) => commands::compress::compress(&compress),
        Command::Import(import) => commands::folders::import(&import),
        Command::Export(export) => commands::folders::export(&export),
        Command::Predict(predict) => commands::predict::predict(predict),
        Command::Embed(embed) => commands::embed::embed(&embed),
        Command::Eval(eval) => commands::eval::eval(eval),
        Command::Bench(bench) => commands::bench::bench(bench),
        Command::Inspect(inspect) => commands::inspect::inspect(inspect),
        Command::Model(ModelCommand::Summary(summary)) => commands::inspect::summary(summary),
        Command::Techniques(techniques) => commands::techniques::techniques(techniques),
        Command::NewRecipe(new) => commands::new_recipe::new_recipe(&new),
        Command::Completions(completions) => commands::generated::completions(&completions),
        Command::Man(man) => commands::generated::man(&man),
        Command::Rss(rss) => commands::bench::rss(rss),
        Command::Scaling(scaling) => commands::scaling::scaling(&scaling),
    });
    outcome::exit_code(done)
}

/// A file that stands where none is expected was probably meant as data.
fn hint(refused: &clap::Error) {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    if let (ErrorKind::UnknownArgument, Some(ContextValue::String(file))) =
        (refused.kind(), refused.get(ContextKind::InvalidArg))
        && std::path::Path::new(file).is_file()
    {
        outcome::tell!("note: there is a file {file}: files of documents are given by --data FILE");
    }
}

/// Starts the log and listens to signals. The process that only measures its memory is left as the system made it.
fn start(arguments: &Arguments) -> anyhow::Result<()> {
    start_log(arguments.log.as_deref())?;
    if !matches!(arguments.command, Command::Rss(_)) {
        signals::listen().context("the thread that waits for signals cannot be started")?;
    }
    Ok(())
}

/// Sends tracing to stderr, filtered by `--log` or else `RUST_LOG`; coloured on a terminal, unless `NO_COLOR` is set.
fn start_log(filter: Option<&str>) -> anyhow::Result<()> {
    use tracing_subscriber::EnvFilter;
    let filter = match filter {
        Some(text) => {
            EnvFilter::try_new(text).map_err(|e| outcome::refuse(format!("--log {text:?}: {e}")))?
        }
        None => of_environment(),
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

/// The filter in `RUST_LOG`; one that cannot be read is said, and is no reason not to work.
fn of_environment() -> tracing_subscriber::EnvFilter {
    use tracing_subscriber::EnvFilter;
    let usual = || EnvFilter::new("warn");
    let Some(text) = std::env::var_os(EnvFilter::DEFAULT_ENV).filter(|text| !text.is_empty()) else {
        return usual();
    };
    let why = match text.to_str() {
        None => "it is not Unicode".to_owned(),
        Some(text) => match EnvFilter::try_new(text) {
            Ok(filter) => return filter,
            Err(error) => error.to_string(),
        },
    };
    let text = text.to_string_lossy();
    outcome::tell!("warning: RUST_LOG={text:?} is not used: {why}; `info` or `nlpress=debug` would do");
    usual()
}

#[cfg(test)]
mod tests {
    #[test]
    fn large_allocations_begin_at_a_cache_line() {
        let mut held: Vec<Vec<u8>> = Vec::new();
        for n in 0..4000_usize {
            let bytes = vec![n as u8; 1024 + n * 37 % 90_000];
            assert!(bytes.as_ptr().addr().is_multiple_of(64), "{}", bytes.len());
            held.push(bytes);
            if n % 3 == 0 {
                held.swap_remove(n * 7 % held.len());
            }
        }
        for size in [1 << 20, 5 << 20, 300 << 20] {
            let zeros = vec![0_u64; size / 8];
            assert!(zeros.as_ptr().addr().is_multiple_of(64), "{size}");
        }
    }
}
