//! `nlpress run`.

use nlpress::core::files::{OutputError, Outputs};
use nlpress::eval::Pace;
use nlpress::pipeline::{Recipe, Report, RunOptions, make, report, run as run_recipe};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::arguments::Run;
use crate::outcome::{of_file, of_run, say, sort};
use crate::progress::Progress;
use crate::data;

pub(crate) fn run(arguments: Run) -> anyhow::Result<()> {
    let recipe = data::recipe(&arguments.recipe, &arguments.changes)?;
    check_files(&recipe, &arguments).map_err(sort)?;
    let (backend, threads) = data::compute(&arguments.compute)?;
    let prepared = data::prepare(&recipe, &arguments.changes)?;
    std::fs::create_dir_all(&arguments.out).map_err(|e| of_file(&arguments.out, e))?;
    let quick = arguments.changes.quick;
    let pace = if quick { Pace::new(5, 50, 5)? } else { Pace::default() };
    let memory = |artifact: &Path| peak_memory(artifact);
    let options = RunOptions {
        backend: &backend,
        threads,
        out: &arguments.out,
        resume: arguments.resume,
        pace,
        throughput: Duration::from_millis(if quick { 20 } else { 200 }),
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
        let rows = if failed == 1 { "row" } else { "rows" };
        anyhow::bail!("{failed} {rows} failed and {made} did not; the first: {}: {}", first.id, first.why);
    }
    Ok(())
}

/// Nothing that the run writes is something that it reads, and all of it can be written.
fn check_files(recipe: &Recipe, arguments: &Run) -> Result<(), OutputError> {
    let mut all = Outputs::new().input("the recipe", &arguments.recipe);
    for (name, path) in recipe.reads() {
        all = all.input(name, path);
    }
    if let Some(corpus) = &recipe.data.corpus {
        for split in ["train", "valid", "test"] {
            all = all.input("the data", arguments.changes.data_dir.join(corpus).join(format!("{split}.jsonl")));
        }
    }
    for path in make::writes(recipe, &arguments.out) {
        all = all.output("the file", path);
    }
    if let Some(path) = &arguments.events {
        all = all.appended("--events", path);
    }
    all.check()
}

fn print_table(report: &Report) -> anyhow::Result<()> {
    say!(
        "{:<30} {:>9} {:>10} {:>12} {:>8}  verdict",
        "row",
        "accuracy",
        "file KB",
        "batch 1, µs",
        "× parent"
    );
    for row in &report.rows {
        let speedup = row.versus_parent.as_ref().map(|v| format!("{:.2}", v.batch1_speedup.median));
        say!(
            "{:<30} {:>8.2}% {:>10.1} {:>12.2} {:>8}  {}",
            row.id,
            100.0 * row.quality.accuracy.mean,
            row.size.file_bytes as f64 / 1000.0,
            row.speed.batch1_us.p50,
            speedup.unwrap_or_default(),
            report::brief(row),
        );
    }
    Ok(())
}

/// Peak memory of this program serving an artifact in a process of its own.
fn peak_memory(artifact: &Path) -> Option<u64> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new(program).arg("rss").arg(artifact).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
