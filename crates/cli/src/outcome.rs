//! Exit codes: 0 done, 1 failed, 2 refused recipe or input, 3 limits that nothing keeps, 130 stopped.
//!
//! *Refused* is what the user can put right by giving something else: a recipe, a setting, a file that is not
//! there or may not be read or written. *Failed* is what went wrong with the work: training that diverges, a row
//! that could not be made, and errors of the machine, such as a disk that is full or broken.

use anyhow::Chain;
use nlpress::artifact::ArtifactError;
use nlpress::core::event::Stopped;
use nlpress::core::files;
use nlpress::core::shown::is_plain;
use nlpress::pipeline::RunError;
use nlpress::pipeline::compress::CompressError;
use nlpress::pipeline::draft::DraftError;
use nlpress::runtime::RuntimeError;
use nlpress::search::SearchError;
use nlpress::technique::StepError;
use nlpress::train::TrainError;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

/// Exit code of a search that found nothing within the limits.
const MISSED: u8 = 3;

/// Exit code of a command that was asked to stop.
pub(crate) const STOPPED: u8 = 130;

/// Input that is refused: exit code 2.
#[derive(Debug)]
pub(crate) struct Refused(String);

/// A command that was asked to stop, with what is left of its work: exit code 130.
#[derive(Debug)]
struct Halted(String);

/// Limits that nothing keeps: exit code 3.
#[derive(Debug)]
struct Missed(String);

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Missed {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Halted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped on request; {}", self.0)
    }
}

impl Error for Refused {}
impl Error for Halted {}

/// An error of the user's input.
pub(crate) fn refuse(why: impl fmt::Display) -> anyhow::Error {
    Refused(why.to_string()).into()
}

/// An error that may be the user's or the machine's: refused, unless a cause of it is the machine's.
pub(crate) fn sort(error: impl Error + Send + Sync + 'static) -> anyhow::Error {
    let of_machine = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| !files::is_refusal(e))
            || matches!(cause.downcast_ref(), Some(RuntimeError::Pool { .. }))
    };
    if Chain::new(&error).any(of_machine) { error.into() } else { refuse(error) }
}

/// An error that was sorted, with a text that says more than its own and holds it.
fn with_text(sorted: anyhow::Error, text: String) -> anyhow::Error {
    if sorted.is::<Refused>() { refuse(text) } else { sorted.context(text) }
}

/// An error of one of several artifacts, sorted likewise, with its name.
pub(crate) fn of_artifact(name: &str, error: impl Error + Send + Sync + 'static) -> anyhow::Error {
    let text = format!("{name}: {error}");
    with_text(sort(error), text)
}

/// An error of writing a file, with its path.
pub(crate) fn of_file(path: &Path, error: io::Error) -> anyhow::Error {
    let text = format!("{}: cannot be written: {error}", path.display());
    if !files::is_refusal(&error) { anyhow::Error::new(error).context(text) } else { refuse(text) }
}

/// An error of a run, sorted into refused, stopped and failed.
pub(crate) fn of_run(error: RunError) -> anyhow::Error {
    match error {
        RunError::Stopped(_) => {
            Halted("what was written is whole, and --resume goes on from it".into()).into()
        }
        RunError::Ship(_) | RunError::Write(..) if Chain::new(&error).any(|e| e.is::<io::Error>()) => {
            let kept =
                format!("{error}; the rows that were made before are whole, and --resume goes on from them");
            with_text(sort(error), kept)
        }
        RunError::Recipe(_)
        | RunError::Data(_)
        | RunError::Ship(_)
        | RunError::Threshold(_)
        | RunError::Measure(_)
        | RunError::Busy(_)
        | RunError::File(..) => sort(error),
        other => other.into(),
    }
}

/// An error of writing a recipe for a file, sorted likewise.
pub(crate) fn of_draft(error: DraftError) -> anyhow::Error {
    match error {
        DraftError::Recipe(_) | DraftError::Plan(_) => error.into(),
        other => sort(other),
    }
}

/// An error of a compression, sorted likewise.
pub(crate) fn of_compression(error: CompressError) -> anyhow::Error {
    match error {
        CompressError::Step { source: StepError::Stopped(_), .. } => compression_stopped(),
        other => refuse(other),
    }
}

/// A compression that was stopped before its artifact was written.
pub(crate) fn compression_stopped() -> anyhow::Error {
    Halted("nothing was written".into()).into()
}

/// An error of training, sorted likewise. A training that is stopped leaves its checkpoint, if it has one.
pub(crate) fn of_training(error: TrainError, checkpoint: Option<&Path>) -> anyhow::Error {
    match error {
        TrainError::Stopped(_) => training_stopped(checkpoint),
        TrainError::Checkpoint(..) | TrainError::Write(..) | TrainError::Config(_) => sort(error),
        other => other.into(),
    }
}

/// A training that was stopped before its artifact was written.
pub(crate) fn training_stopped(checkpoint: Option<&Path>) -> anyhow::Error {
    let left = match checkpoint {
        Some(path) if path.exists() => {
            format!("no artifact was written; --resume goes on from {}", path.display())
        }
        Some(path) => {
            format!("nothing was written: no epoch had ended, so {} is not there", path.display())
        }
        None => "nothing was written: with --checkpoint FILE, --resume can go on from the last epoch".into(),
    };
    Halted(left).into()
}

/// An artifact that cannot be written after its training, with what is left of the model.
pub(crate) fn unwritten(error: ArtifactError, checkpoint: Option<&Path>) -> anyhow::Error {
    let left = match checkpoint {
        Some(path) => format!(
            "the training is kept in {}: the same command with --resume, and perhaps another --out, writes the model",
            path.display()
        ),
        None => "the trained model is lost: with --checkpoint FILE, --resume can write it again".to_owned(),
    };
    let text = format!("{error}; {left}");
    with_text(sort(error), text)
}

/// An error of a search, sorted likewise.
pub(crate) fn searched(error: SearchError) -> anyhow::Error {
    match error {
        SearchError::Stopped(stopped) => stopped.into(),
        SearchError::Run(error) => of_run(error),
        SearchError::Data(_) | SearchError::Asked(_) | SearchError::Write(..) => sort(error),
        other => other.into(),
    }
}

/// A search that was stopped; the best until then is written.
pub(crate) fn search_stopped(out: &Path) -> anyhow::Error {
    Halted(format!("{} is the best until then; --resume looks further", out.display())).into()
}

/// A search that found nothing within the limits: exit code 3.
pub(crate) fn missed(out: &Path, limits: &[String]) -> anyhow::Error {
    Missed(format!("no model keeps the limits; {} is the nearest: {}", out.display(), limits.join("; ")))
        .into()
}

/// Says what went wrong, and how the program ends.
pub(crate) fn exit_code(done: anyhow::Result<()>) -> ExitCode {
    // What standard output still holds would be lost in silence at the end of the process.
    let flush = || Ok(io::stdout().flush().map_err(of_stdout)?);
    let Err(error) = done.and_then(|()| flush()) else { return ExitCode::SUCCESS };
    if let Some(halted) = error.downcast_ref::<Halted>() {
        tell!("{halted}");
        return ExitCode::from(STOPPED);
    }
    if error.downcast_ref::<Stopped>().is_some() {
        tell!("stopped on request");
        return ExitCode::from(STOPPED);
    }
    if error.chain().any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe))
    {
        return ExitCode::SUCCESS; // whoever reads standard output has read enough
    }
    tell!("error: {}", told(&error));
    if error.downcast_ref::<Missed>().is_some() {
        return ExitCode::from(MISSED);
    }
    ExitCode::from(if error.downcast_ref::<Refused>().is_some() { 2 } else { 1 })
}

/// Writes to standard output, without the panic of `print!` when nobody reads it any more.
pub(crate) fn print(text: fmt::Arguments<'_>) -> io::Result<()> {
    io::stdout().write_fmt(text).map_err(of_stdout)
}

pub(crate) fn of_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("standard output: cannot be written: {error}"))
}

/// Writes bytes to standard output as they are.
pub(crate) fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    io::stdout().write_all(bytes).map_err(of_stdout)
}

/// A message without what a terminal would obey, because messages quote files.
pub(crate) fn printable(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        match c {
            '\n' | '\t' => line.push(c),
            c if !is_plain(c) => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

/// Writes a line to standard error, if it can be written: a full disk, a closed pipe or a lost terminal must not
/// end hours of work.
pub(crate) fn tell_line(text: fmt::Arguments<'_>) {
    let mut line = printable(&text.to_string());
    line.push('\n');
    let _ = io::stderr().write_all(line.as_bytes());
}

/// `println!` whose failure is an error of the command.
macro_rules! say {
    ($($text:tt)*) => {{
        $crate::outcome::print(format_args!($($text)*))?;
        $crate::outcome::print(format_args!("\n"))?;
    }};
}
pub(crate) use say;

/// `eprintln!` whose failure is none.
macro_rules! tell {
    ($($text:tt)*) => { $crate::outcome::tell_line(format_args!($($text)*)) };
}
pub(crate) use tell;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_machine_are_told_from_those_of_a_path() {
        let raw = io::Error::from_raw_os_error;
        let code = |error| exit_code(Err(error));
        let path = Path::new("a/b");
        assert_eq!(code(of_file(path, raw(28))), ExitCode::from(1));
        assert_eq!(code(of_file(path, raw(13))), ExitCode::from(2));
        assert_eq!(code(sort(RunError::File(path.into(), raw(5)))), ExitCode::from(1));
        assert_eq!(code(sort(RunError::File(path.into(), raw(2)))), ExitCode::from(2));
    }
}
