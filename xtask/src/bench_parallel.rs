//! `cargo xtask bench parallel`: what a second core brings, in turns.
//!
//! Each way to compute runs on one thread that is pinned to one core, and on several threads, whole processes in turns; what
//! counts is the ratio within a round. The processes say themselves how long their work took, so that starting them does not
//! count.

use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Refused;
use crate::workspace::{Backend, Build, Workspace};

/// Times training and serving on one core and on several, in turns.
///
/// Prints for each way the ratio of the times, one core over several, as median (lower to upper quartile) over the rounds;
/// above 1 the threads pay. Linux only, with `taskset`: the one-thread runs are pinned to the first core.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask bench parallel
  cargo xtask bench parallel --rounds 11 --json
  cargo xtask bench parallel --backend flex --only data")]
pub(crate) struct Arguments {
    /// Rounds in which both take turns, 3 or more.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(3..=1000))]
    rounds: u32,
    /// Threads of the runs that are not pinned.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=64))]
    threads: u32,
    /// Where tensors live.
    #[arg(long, value_enum, default_value = "ndarray")]
    backend: Backend,
    /// Only the ways whose name has this in it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// A binary that is there, in place of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A way to compute on one core, and the one on several that is held against it.
struct Case {
    name: &'static str,
    one: &'static str,
    several: &'static str,
    with: &'static str,
    /// The ratio that is wanted of two cores, where one is.
    wanted: Option<f64>,
}

const CASES: [Case; 9] = [
    case("data, batch 32", "plain", "data", "--batch 32", None),
    case("data, batch 128", "plain", "data", "--batch 128", Some(1.5)),
    case("data, batch 512", "plain", "data", "--batch 512 --rows 8192", None),
    case("data, batch 512, 8 bits", "plain", "data-int8", "--batch 512 --rows 8192", None),
    case("data, encoder", "plain", "data", "--encoder --hidden 128 --batch 32 --rows 512", None),
    case("stages", "plain", "model", "--batch 128", None),
    case("columns and rows", "plain", "tensor", "--batch 128", None),
    case("tasks", "tasks", "tasks", "", Some(1.7)),
    case("serving", "serve", "serve", "--rows 20000", Some(1.8)),
];

const fn case(
    name: &'static str,
    one: &'static str,
    several: &'static str,
    with: &'static str,
    wanted: Option<f64>,
) -> Case {
    Case { name, one, several, with, wanted }
}

/// Lets all cases take turns and prints the ratios.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.name.contains(&arguments.only)).collect();
    if cases.is_empty() {
        let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        return Err(Refused(format!(
            "no way has {:?} in its name; there are: {}",
            arguments.only,
            names.join("; ")
        ))
        .into());
    }
    let binary = match &arguments.binary {
        Some(binary) if binary.is_file() => binary.clone(),
        Some(binary) => return Err(Refused(format!("{} is no file", binary.display())).into()),
        None => Workspace::read()?.build(Build::default(), arguments.backend)?,
    };
    let mut seconds: Vec<[Vec<f64>; 2]> = cases.iter().map(|_| Default::default()).collect();
    for round in 0..arguments.rounds as usize {
        for (case, seconds) in cases.iter().zip(&mut seconds) {
            // Who is first changes from round to round.
            for side in [round % 2, 1 - round % 2] {
                seconds[side].push(time(command(&binary, case, side == 0, arguments))?);
            }
        }
    }
    let lines = cases.iter().zip(&seconds).map(|(case, [one, several])| Line::of(case, one, several));
    if arguments.json {
        let lines: Vec<serde_json::Value> = lines.map(|line| line.json()).collect();
        let all = serde_json::json!({
            "backend": arguments.backend.name(), "threads": arguments.threads, "rounds": arguments.rounds, "ways": lines
        });
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        lines.for_each(|line| println!("{}", line.text()));
    }
    Ok(())
}

fn command(binary: &Path, case: &Case, is_pinned: bool, arguments: &Arguments) -> Command {
    let mut command = if is_pinned { Command::new("taskset") } else { Command::new(binary) };
    if is_pinned {
        command.args(["--cpu-list", "0"]).arg(binary);
    }
    let threads = if is_pinned { 1 } else { arguments.threads };
    command.args(["scaling", if is_pinned { case.one } else { case.several }]);
    command.args(["--backend", arguments.backend.name(), "--threads", &threads.to_string()]);
    command.args(["--shares", &arguments.threads.to_string()]);
    command.args(case.with.split_whitespace());
    command
}

/// The seconds that a process says its work took.
fn time(mut command: Command) -> Result<f64> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    said.trim().parse().with_context(|| format!("{name} said {:?} in place of seconds", said.trim()))
}

/// What is printed of a case.
struct Line {
    name: &'static str,
    wanted: Option<f64>,
    one: f64,
    several: f64,
    /// Lower quartile, median, upper quartile.
    ratio: [f64; 3],
}

impl Line {
    fn of(case: &Case, one: &[f64], several: &[f64]) -> Self {
        let ratios: Vec<f64> = one.iter().zip(several).map(|(one, several)| one / several).collect();
        let median = |of: &[f64]| at(of, 0.5);
        Self {
            name: case.name,
            wanted: case.wanted,
            one: median(one),
            several: median(several),
            ratio: [0.25, 0.5, 0.75].map(|share| at(&ratios, share)),
        }
    }

    fn text(&self) -> String {
        let Self { name, one, several, ratio: [low, ratio, high], wanted } = self;
        let wanted = wanted.map_or(String::new(), |wanted| format!("; wanted: {wanted}"));
        format!("{name:<18} {one:>8.3} s {several:>8.3} s  {ratio:.2}x ({low:.2}–{high:.2}){wanted}")
    }

    fn json(&self) -> serde_json::Value {
        let Self { name, one, several, ratio: [low, ratio, high], wanted } = self;
        serde_json::json!({
            "way": name, "seconds_on_one_core": one, "seconds": several, "ratio": ratio, "quartiles": [low, high],
            "wanted_of_two_cores": wanted
        })
    }
}

fn at(of: &[f64], share: f64) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(share * (sorted.len() - 1) as f64).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_a_round() {
        let line = Line::of(&CASES[1], &[2.0, 9.0, 4.0], &[1.0, 3.0, 2.0]);
        assert_eq!((line.one, line.several, line.ratio), (4.0, 2.0, [2.0, 2.0, 3.0]));
        assert!(line.text().contains("2.00x (2.00–3.00); wanted: 1.5"), "{}", line.text());
        assert_eq!(line.json()["quartiles"][1], 3.0);
    }

    #[test]
    fn one_side_is_pinned_to_a_core() {
        use clap::Parser;
        #[derive(Parser)]
        struct Lines {
            #[command(flatten)]
            arguments: Arguments,
        }
        let arguments = Lines::try_parse_from(["x", "--threads", "4"]).unwrap().arguments;
        let said = |is_pinned| {
            let command = command(Path::new("nlpress"), &CASES[1], is_pinned, &arguments);
            let words: Vec<String> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
            format!("{} {}", command.get_program().to_string_lossy(), words.join(" "))
        };
        let rest = "--shares 4 --batch 128";
        assert_eq!(
            said(true),
            format!("taskset --cpu-list 0 nlpress scaling plain --backend ndarray --threads 1 {rest}")
        );
        assert_eq!(said(false), format!("nlpress scaling data --backend ndarray --threads 4 {rest}"));
        assert!(Lines::try_parse_from(["x", "--rounds", "2"]).is_err());
    }
}
