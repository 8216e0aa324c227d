//! `nlpress run`.

use nlpress::core::Peers;
use nlpress::core::files::{OutputError, Outputs};
use nlpress::core::shown::counted;
use nlpress::eval::Pace;
use nlpress::pipeline::prepared::fetched_files;
use nlpress::pipeline::{Recipe, Report, RunOptions, folder, plan_of, report, run as run_recipe, together};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::arguments::Run;
use crate::data;
use crate::outcome::{of_file, of_run, say, sort};
use crate::processes::{self, Processes};
use crate::progress::{Progress, Unheard};

pub(crate) fn run(mut arguments: Run) -> anyhow::Result<()> {
    let processes = Processes::join()?;
    arguments.compute.threads = Some(processes::threads(arguments.compute.threads));
    let peers = processes.as_ref().map(Processes::peers);
    match peers.filter(|peers| peers.rank() > 0) {
        Some(peers) => follow(arguments, peers)?,
        None => lead(&arguments, peers)?,
    }
    processes.map_or(Ok(()), Processes::finish)
}

/// The run, in its folder.
fn lead(arguments: &Run, peers: Option<&dyn Peers>) -> anyhow::Result<()> {
    let recipe = data::recipe(&arguments.recipe, &arguments.changes)?;
    check_files(&recipe, arguments).map_err(sort)?;
    let (backend, threads) = data::compute(&arguments.compute)?;
    let prepared = data::prepare(&recipe, &arguments.changes)?;
    // What is refused leaves neither a folder nor a file of events.
    plan_of(&recipe, &prepared).map_err(of_run)?;
    std::fs::create_dir_all(&arguments.out).map_err(|e| of_file(&arguments.out, e))?;
    if let Some(peers) = peers.filter(|_| arguments.resume) {
        together::share(peers, &arguments.out).map_err(of_run)?;
    }
    let quick = arguments.changes.quick;
    let pace = if quick { Pace::quick() } else { Pace::default() };
    let memory = |artifact: &Path| peak_memory(artifact);
    let options = RunOptions {
        backend: &backend,
        threads,
        workers: arguments.workers,
        budget: arguments.memory.map(|mib| mib << 20),
        peers,
        out: &arguments.out,
        resume: arguments.resume,
        pace,
        memory: Some(&memory),
    };
    let progress = Progress::start(arguments.events.as_deref())?;
    let report = run_recipe(&recipe, &prepared, &options, &progress).map_err(of_run)?;
    if arguments.json {
        say!("{}", report.json().trim_end());
    } else {
        print_table(&report)?;
        say!("\nartifacts and report.{{json,md,html}} are in {}", arguments.out.display());
    }
    if let Some(first) = report.failed.first() {
        let (failed, made) = (report.failed.len(), report.rows.len());
        anyhow::bail!(
            "{} failed and {made} did not; the first: {}: {}",
            counted(failed, "row"),
            first.id,
            first.why
        );
    }
    Ok(())
}

/// The same rows in a folder that passes, together with the process that leads.
fn follow(arguments: Run, peers: &dyn Peers) -> anyhow::Result<()> {
    let recipe = data::recipe(&arguments.recipe, &arguments.changes)?;
    let (backend, threads) = data::compute(&arguments.compute)?;
    let prepared = data::prepare(&recipe, &arguments.changes)?;
    let folder = tempfile::tempdir()?;
    if arguments.resume {
        together::share(peers, folder.path()).map_err(of_run)?;
    }
    let options = RunOptions {
        backend: &backend,
        threads,
        workers: Some(1),
        budget: None,
        peers: Some(peers),
        out: folder.path(),
        resume: arguments.resume,
        pace: Pace::quick(),
        memory: None,
    };
    together::follow(&recipe, &prepared, &options, &Unheard::start()).map_err(of_run)
}

/// Nothing that the run writes is something that it reads, and all of it can be written.
fn check_files(recipe: &Recipe, arguments: &Run) -> Result<(), OutputError> {
    let mut all = Outputs::new().input("the recipe", &arguments.recipe);
    for (name, path) in recipe.reads() {
        all = all.input(name, path);
    }
    if let Some(corpus) = &recipe.data.corpus {
        for file in fetched_files(corpus, &arguments.changes.data_dir) {
            all = all.input("the data", file);
        }
    }
    for path in folder::writes(recipe, &arguments.out) {
        all = all.output("the file", path);
    }
    if let Some(path) = &arguments.events {
        all = all.appended("--events", path);
    }
    all.check()
}

/// One line a row: accuracy with its interval, bytes, what a user waits for, the network alone, and the verdict.
fn print_table(report: &Report) -> anyhow::Result<()> {
    say!(
        "{:<30} {:>19} {:>24} {:>9} {:>10} {:>19} {:>11} {:>19}  verdict",
        "row",
        "accuracy, %",
        "to parent, points",
        "file, KB",
        "text, µs",
        "× parent",
        "network, µs",
        "× parent"
    );
    for row in &report.rows {
        let cells = report::markdown::cells(report, row);
        // As in report.md, where every column has its name.
        let [
            id,
            _,
            _,
            accuracy,
            points,
            bytes,
            _,
            text,
            text_ratio,
            _,
            network,
            network_ratio,
            _,
            _,
            verdict,
        ] = cells;
        say!(
            "{id:<30} {accuracy:>19} {points:>24} {bytes:>9} {text:>10} {text_ratio:>19} {network:>11} {network_ratio:>19}  \
             {verdict}"
        );
    }
    if let Some(majority) = &report.corpus.majority {
        let label = format!("always {:?}", majority.label);
        say!(
            "{label:<30} {:>19}  (macro-F1 {:.1} %)",
            format!("{:.1}", 100.0 * majority.accuracy),
            100.0 * majority.macro_f1
        );
    }
    if let Some(known) = &report.corpus.known {
        let share = 100.0 * known.tokens_unknown as f64 / known.tokens.max(1) as f64;
        let (without, all) = (known.documents_without, known.documents);
        say!(
            "unknown: {share:.1} % of the tokens of the test documents; {without} of {all} have no known feature"
        );
    }
    if !report.advice.is_empty() {
        say!("\n{}", report.advice);
    }
    Ok(())
}

/// Peak memory of this program serving an artifact in a process of its own.
fn peak_memory(artifact: &Path) -> Option<u64> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new(program).arg("rss").arg(artifact).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
