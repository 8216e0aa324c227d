//! `cargo xtask bench peers`: inference of the article's network beside other toolkits.
//!
//! Every round times our artifacts and then each peer, so that all see the same machine; what is reported are medians over
//! the rounds, and of the ratios within each. Peers are Python packages, timed by `peers.py`; the ones that are not there
//! are named and left out.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::Refused;
use crate::workspace::{Workspace, succeed};

/// The program that times the peers.
const SCRIPT: &str = include_str!("peers.py");
/// What ours is made by.
const RECIPE: &str = r#"schema = 1
name = "peers"
seed = 7
seeds = 1

[model]
network = { mlp = { inputs = 1000, hidden = [128, 64], dropout = 0.5 } }

[data]
corpus = "embedded"
encoder = { vocabulary = 1000, weighting = "tf_idf" }

[[variants]]
id = "int8"
steps = [{ use = "quant.int8", with = { activations = {} } }]
"#;
/// The rows that are timed, and what they are called.
const OURS: [(&str, &str); 2] = [("int8", "nlpress int8"), ("teacher", "nlpress f32")];

/// What `peers.py` prints.
#[derive(Debug, Deserialize)]
struct Peers {
    timed: Vec<Timed>,
    missing: Vec<String>,
}

/// Microseconds of one network.
#[derive(Clone, Debug, Deserialize)]
struct Timed {
    name: String,
    batch1_us: f64,
    batch32_us: f64,
}

/// What `nlpress bench --json` prints of an artifact.
#[derive(Debug, Deserialize)]
struct Benched {
    speed: Speed,
}

#[derive(Debug, Deserialize)]
struct Speed {
    batch1_us: Percentiles,
    batch32_us: Percentiles,
}

#[derive(Debug, Deserialize)]
struct Percentiles {
    p50: f64,
}

/// Measures, and prints a table.
pub(crate) fn run(python: &str, rounds: usize) -> Result<()> {
    if rounds == 0 {
        return Err(Refused("--rounds is 0, expected at least 1".into()).into());
    }
    let workspace = Workspace::read()?;
    let binary = workspace.build("ndarray")?;
    let folder = tempfile::tempdir()?;
    let (recipe, out) = (folder.path().join("peers.toml"), folder.path().join("out"));
    std::fs::write(&recipe, RECIPE)?;
    let script = folder.path().join("peers.py");
    std::fs::write(&script, SCRIPT)?;
    let mut make = Command::new(&binary);
    make.arg("run").arg(&recipe).arg("--quick").args(["--threads", "1"]).arg("--out").arg(&out);
    succeed(make)?;
    let mut all: BTreeMap<String, Vec<Timed>> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    let mut missing = Vec::new();
    for round in 1..=rounds {
        println!("round {round} of {rounds}");
        let mut timed = ours(&binary, &out)?;
        let peers = peers(python, &script)?;
        timed.extend(peers.timed);
        missing = peers.missing;
        for one in timed {
            if !order.contains(&one.name) {
                order.push(one.name.clone());
            }
            all.entry(one.name.clone()).or_default().push(one);
        }
    }
    println!("{}", table(&order, &all));
    for package in missing {
        println!("not timed, because not installed: {package}");
    }
    println!(
        "One thread. The peers get rows of 1000 numbers; nlpress gets rows of text as it is served them, of the embedded \
         corpus, and touches only what is not zero in them. Without this corpus' sparsity it would be slower."
    );
    Ok(())
}

/// Times our artifacts.
fn ours(binary: &Path, out: &Path) -> Result<Vec<Timed>> {
    let report = std::fs::read_to_string(out.join("report.json"))?;
    let report: serde_json::Value = serde_json::from_str(&report)?;
    let mut bench = Command::new(binary);
    bench.arg("bench");
    for (id, _) in OURS {
        let rows = report["rows"].as_array().into_iter().flatten();
        let row = rows.into_iter().find(|row| row["id"] == id);
        let artifact = row.and_then(|row| row["artifact"].as_str());
        bench.arg(out.join(artifact.with_context(|| format!("the report has no row {id}"))?));
    }
    bench.args(["--corpus", "embedded", "--json"]);
    let benched: Vec<Benched> = read(bench)?;
    let named = OURS.iter().zip(benched).map(|((_, name), Benched { speed })| Timed {
        name: (*name).to_owned(),
        batch1_us: speed.batch1_us.p50,
        batch32_us: speed.batch32_us.p50,
    });
    Ok(named.collect())
}

/// Times the peers that are installed.
fn peers(python: &str, script: &Path) -> Result<Peers> {
    let mut command = Command::new(python);
    command.arg(script);
    read(command).map_err(|error| Refused(format!("{python}: {error:#}")).into())
}

/// Runs a command that ends its output with a line of JSON.
fn read<T: serde::de::DeserializeOwned>(mut command: Command) -> Result<T> {
    let output = command.output().context("cannot be started")?;
    if !output.status.success() {
        bail!(
            "{} ended with {}: {}",
            command.get_program().display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    last_line(&String::from_utf8_lossy(&output.stdout))
}

fn last_line<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("it printed {line:?}, expected JSON"))
}

/// The numbers as Markdown: medians, and how many times as long as the first each takes, with quartiles.
fn table(order: &[String], all: &BTreeMap<String, Vec<Timed>>) -> String {
    let mut text = String::from(
        "| network 1000 → 128 → 64 → 1 | batch 1, µs | as long as ours | batch 32, µs | as long as ours |\n|---|---|---|---|---|\n",
    );
    let Some(first) = order.first().and_then(|name| all.get(name)) else { return text };
    for name in order {
        let own = &all[name];
        let cell = |of: fn(&Timed) -> f64| {
            let times: Vec<f64> = own.iter().map(of).collect();
            let ratios: Vec<f64> = own.iter().zip(first).map(|(a, b)| of(a) / of(b)).collect();
            let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| quantile(&ratios, share));
            format!("{:.2} | {middle:.2}× ({low:.2}–{high:.2})", quantile(&times, 0.5))
        };
        text += &format!("| {name} | {} | {} |\n", cell(|t| t.batch1_us), cell(|t| t.batch32_us));
    }
    text
}

/// The number below which that share of some is.
fn quantile(numbers: &[f64], share: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = share * (sorted.len().max(1) - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(name: &str, one: f64, many: f64) -> Timed {
        Timed { name: name.into(), batch1_us: one, batch32_us: many }
    }

    #[test]
    fn what_the_script_prints_is_read() {
        let text = "warning\n{\"timed\": [{\"name\": \"a\", \"batch1_us\": 1.5, \"batch32_us\": 9}], \"missing\": [\"b\"]}\n\n";
        let peers: Peers = last_line(text).unwrap();
        assert_eq!((peers.timed[0].batch32_us, peers.missing), (9.0, vec!["b".to_owned()]));
        let error = last_line::<Peers>("Traceback").unwrap_err();
        assert!(format!("{error:#}").contains("it printed \"Traceback\""));
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let ours = vec![timed("ours", 1.0, 10.0), timed("ours", 2.0, 10.0), timed("ours", 4.0, 10.0)];
        let other = vec![timed("other", 2.0, 5.0), timed("other", 4.0, 5.0), timed("other", 8.0, 5.0)];
        let all = BTreeMap::from([("ours".to_owned(), ours), ("other".to_owned(), other)]);
        let text = table(&["ours".into(), "other".into()], &all);
        assert!(text.contains("| other | 4.00 | 2.00× (2.00–2.00) | 5.00 | 0.50× (0.50–0.50) |"), "{text}");
        assert_eq!(quantile(&[1.0, 2.0, 4.0, 8.0], 0.5), 3.0);
    }
}
