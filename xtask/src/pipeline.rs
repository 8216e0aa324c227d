//! `cargo xtask pipeline`: one command from a fresh clone to a report.
//!
//! It builds the binary, fetches the corpus where it is not there yet, and hands over to `nlpress run`, whose
//! output, signals and exit code are the user's from then on.

use anyhow::{Context, Result};
use clap::Args;
use std::num::NonZeroU32;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::workspace::{Backend, Build, Workspace};
use crate::{Refused, data};

/// Builds the binary and runs a recipe with it, from the data to the report.
///
/// Builds `nlpress` in the release profile with the backend asked for, fetches the corpus into data/ where it is
/// missing, and runs `nlpress run`. The report is then in the output folder: report.html, report.md, report.json.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask pipeline                           the article's methods on the embedded corpus
  cargo xtask pipeline --quick                   the same in a minute or so, to see it work
  cargo xtask pipeline --backend wgpu --corpus r8")]
pub(crate) struct Arguments {
    /// Where tensors live.
    #[arg(long, value_enum, default_value = "ndarray")]
    pub(crate) backend: Backend,
    /// Corpus to use in place of the recipe's: `embedded`, or a folder of data/ (`cargo xtask data fetch --help`).
    #[arg(long, value_name = "NAME")]
    pub(crate) corpus: Option<String>,
    /// The recipe to run.
    #[arg(long, value_name = "FILE", default_value = "recipes/article.toml")]
    pub(crate) recipe: PathBuf,
    /// Folder for artifacts and report [default: out/CORPUS-BACKEND].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Do less of everything: shows that it works, and measures nothing worth quoting.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Go on from what an earlier, stopped run left in the output folder.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Repetitions of every row, in place of the recipe's.
    #[arg(long, value_name = "N")]
    pub(crate) seeds: Option<NonZeroU32>,
    /// Threads that training and measuring may use [default: as `nlpress run` chooses].
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroU32>,
    /// Models to make side by side [default: as many as there are threads, and memory for].
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<NonZeroU32>,
    #[command(flatten)]
    pub(crate) build: Build,
}

/// Prepares everything, then lets `nlpress run` take this process's place.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    hand_over(prepare(arguments, &Workspace::read()?)?)
}

/// Checks the input, fetches the corpus, builds the binary; gives the command that is left to run.
pub(crate) fn prepare(arguments: &Arguments, workspace: &Workspace) -> Result<Command> {
    let corpus = match &arguments.corpus {
        Some(name) => Some(name.clone()),
        None => corpus_of(&arguments.recipe)?,
    };
    if let Some(name) = &corpus {
        obtain(name, Path::new("data"))?;
    }
    let binary = workspace.build(arguments.build, arguments.backend)?;
    let mut command = Command::new(binary);
    command.args(run_arguments(arguments, corpus.as_deref()));
    if arguments.backend == Backend::Wgpu {
        workspace.lend_runtime_folder(&mut command)?;
    }
    Ok(command)
}

fn run_arguments(arguments: &Arguments, corpus: Option<&str>) -> Vec<std::ffi::OsString> {
    let backend = arguments.backend.name();
    let out = arguments.out.clone().unwrap_or_else(|| {
        // A recipe on files of the user's own has no corpus name: its own name serves.
        let stem = arguments.recipe.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        Path::new("out").join(format!("{}-{backend}", corpus.unwrap_or(&stem)))
    });
    let mut list = vec!["run".into(), arguments.recipe.clone().into(), "--backend".into(), backend.into()];
    list.extend(["--out".into(), out.into()]);
    if let Some(name) = &arguments.corpus {
        list.extend(["--corpus".into(), name.into()]);
    }
    list.extend(arguments.quick.then(|| "--quick".into()));
    list.extend(arguments.resume.then(|| "--resume".into()));
    for (option, number) in
        [("--seeds", arguments.seeds), ("--threads", arguments.threads), ("--workers", arguments.workers)]
    {
        if let Some(number) = number {
            list.extend([option.into(), number.to_string().into()]);
        }
    }
    list
}

/// The corpus that a recipe names. Whether the rest of it is right is for `nlpress run` to say, with its lines.
fn corpus_of(recipe: &Path) -> Result<Option<String>> {
    let text = std::fs::read_to_string(recipe)
        .map_err(|e| Refused(format!("cannot read the recipe {}: {e}", recipe.display())))?;
    let Ok(table) = text.parse::<toml::Table>() else { return Ok(None) };
    let corpus = table.get("data").and_then(|data| data.get("corpus")).and_then(toml::Value::as_str);
    Ok(corpus.map(str::to_owned))
}

/// Sees to it that a named corpus is there.
fn obtain(name: &str, folder: &Path) -> Result<()> {
    let mut parts = Path::new(name).components();
    if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
        || name.contains(['/', '\\'])
    {
        return Err(Refused(format!("a corpus is named by one word, without a path: {name:?}")).into());
    }
    if name == "embedded" || folder.join(name).join("train.jsonl").is_file() {
        return Ok(());
    }
    let Some(known) = data::Name::corpus(name) else {
        return Err(Refused(format!(
            "no corpus {name:?}: it is not in {}, and only embedded, {} are known",
            folder.display(),
            data::Name::corpora().join(", ")
        ))
        .into());
    };
    data::run(data::Chore::Fetch { names: vec![known], out: folder.into() })
        .with_context(|| format!("cannot fetch the corpus {name}"))
}

/// On Unix the command takes this process's place, so that signals and exit code need no passing on.
#[cfg(unix)]
fn hand_over(mut command: Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(command.exec()).with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))
}

#[cfg(not(unix))]
fn hand_over(mut command: Command) -> Result<ExitCode> {
    let status = command.status();
    let status = status.with_context(|| format!("cannot run {}", command.get_program().to_string_lossy()))?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn line(words: &str) -> Result<Arguments, clap::Error> {
        Line::try_parse_from(std::iter::once("x").chain(words.split_whitespace())).map(|l| l.arguments)
    }

    fn passed_on(words: &str, corpus: Option<&str>) -> String {
        let list = run_arguments(&line(words).unwrap(), corpus);
        list.iter().map(|a| a.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn options_reach_the_binary() {
        assert_eq!(
            passed_on("", Some("embedded")),
            "run recipes/article.toml --backend ndarray --out out/embedded-ndarray"
        );
        assert_eq!(
            passed_on(
                "--backend flex --corpus r8 --recipe a/b.toml --out o --quick --resume --seeds 2 --threads 3 --workers 2",
                None
            ),
            "run a/b.toml --backend flex --out o --corpus r8 --quick --resume --seeds 2 --threads 3 --workers 2"
        );
        assert_eq!(
            passed_on("--recipe a/b.toml", None),
            "run a/b.toml --backend ndarray --out out/b-ndarray"
        );
    }

    #[test]
    fn bad_options_are_refused() {
        for bad in ["--seeds 0", "--threads -1", "--workers 0", "--backend cuda", "--threads x"] {
            assert!(line(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_corpus_of_a_recipe_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = folder.path().join("r.toml");
        assert!(corpus_of(&recipe).unwrap_err().downcast_ref::<Refused>().is_some());
        for (text, corpus) in
            [("[data]\ncorpus = 'r8'", Some("r8")), ("[data]\nfiles = 1", None), ("[", None)]
        {
            std::fs::write(&recipe, text).unwrap();
            assert_eq!(corpus_of(&recipe).unwrap().as_deref(), corpus, "{text}");
        }
    }

    #[test]
    fn a_corpus_is_there_or_known_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        obtain("embedded", folder.path()).unwrap();
        for bad in ["", "..", "a/b", "/", "r8/", "nothing", "all", "minilm"] {
            let error = obtain(bad, folder.path()).unwrap_err();
            assert!(error.downcast_ref::<Refused>().is_some(), "{bad}: {error:#}");
        }
        std::fs::create_dir(folder.path().join("mine")).unwrap();
        std::fs::write(folder.path().join("mine/train.jsonl"), "").unwrap();
        obtain("mine", folder.path()).unwrap();
    }
}
