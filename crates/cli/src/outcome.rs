//! Exit codes: 0 done, 1 failed, 2 refused recipe or input, 130 stopped.

use nlpress::core::event::Stopped;
use nlpress::pipeline::RunError;
use nlpress::train::TrainError;
use std::fmt;
use std::io::{self, ErrorKind::BrokenPipe, Write};
use std::process::ExitCode;

/// Input that is refused: exit code 2.
#[derive(Debug)]
pub(crate) struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// An error of the user's input.
pub(crate) fn refuse(why: impl fmt::Display) -> anyhow::Error {
    Refused(why.to_string()).into()
}

/// An error of a run, sorted into refused, stopped and failed.
pub(crate) fn of_run(error: RunError) -> anyhow::Error {
    match error {
        RunError::Recipe(_)
        | RunError::Data(_)
        | RunError::Ship(_)
        | RunError::Measure(_)
        | RunError::File(..) => refuse(error),
        RunError::Stopped(stopped) => stopped.into(),
        other => other.into(),
    }
}

/// An error of training, sorted likewise.
pub(crate) fn of_training(error: TrainError) -> anyhow::Error {
    match error {
        TrainError::Stopped(stopped) => stopped.into(),
        TrainError::Checkpoint(..) | TrainError::Config(_) => refuse(error),
        other => other.into(),
    }
}

/// Says what went wrong, and how the program ends.
pub(crate) fn exit_code(done: anyhow::Result<()>) -> ExitCode {
    let Err(error) = done else { return ExitCode::SUCCESS };
    if error.downcast_ref::<Stopped>().is_some() {
        eprintln!("stopped on request; what was written is whole, and --resume goes on from it");
        return ExitCode::from(130);
    }
    if error.chain().any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == BrokenPipe)) {
        return ExitCode::SUCCESS; // whoever reads standard output has read enough
    }
    eprintln!("error: {}", told(&error));
    ExitCode::from(if error.downcast_ref::<Refused>().is_some() { 2 } else { 1 })
}

/// Writes to standard output, without the panic of `print!` when nobody reads it any more.
pub(crate) fn print(text: fmt::Arguments<'_>) -> io::Result<()> {
    io::stdout().write_fmt(text)
}

/// `println!` whose failure is an error of the command.
macro_rules! say {
    ($($text:tt)*) => {{
        $crate::outcome::print(format_args!($($text)*))?;
        $crate::outcome::print(format_args!("\n"))?;
    }};
}
pub(crate) use say;

/// An error and its causes, each said once: many messages already hold their cause.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
