//! Our side: the article's network made by `nlpress run` and timed by `nlpress bench`.
//!
//! Two corpora, for two kinds of rows. The embedded one is text, whose rows have a dozen non-zeros in a thousand;
//! that is what the network is for. The other is made up of texts that use every word of a vocabulary of a thousand,
//! so that a row has no zeros, which is the work that the peers do.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::table::{DENSE, Machine, Side, TEXT};

/// Features of the article's network.
const WORDS: usize = 1000;
/// Documents to train on, with dense rows.
const TRAINED: usize = 200;
/// Documents to time on, with dense rows: a batch of the peers'.
const TIMED: usize = 32;
/// Rounds of `nlpress bench` within one of ours.
const ROUNDS: &str = "9";
/// Rows of the report that are compared; they are also the names of forms.
const FORMS: [(&str, &str); 2] = [("f32", "teacher"), ("int8", "int8")];

/// The artifacts, and the binary that times them.
#[derive(Debug)]
pub(super) struct Ours {
    binary: PathBuf,
    folder: PathBuf,
}

/// What `nlpress bench --json` says of an artifact, as far as it is needed.
#[derive(Debug, Deserialize)]
struct Bench {
    nonzeros_per_row: f64,
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

impl Ours {
    /// Trains and quantizes both networks in a folder.
    pub(super) fn make(binary: &Path, folder: &Path) -> Result<Self> {
        let ours = Self { binary: binary.into(), folder: folder.into() };
        ours.write("trained.jsonl", &texts(TRAINED))?;
        ours.write("dense.jsonl", &texts(TIMED))?;
        for (name, data) in [(TEXT, "corpus = \"embedded\""), (DENSE, "files = \"trained.jsonl\"")] {
            let file = format!("{name}.toml");
            ours.write(&file, &recipe(name, data))?;
            ours.say(&["run", &file, "--threads", "1", "--backend", "ndarray", "--out", name])?;
        }
        Ok(ours)
    }

    /// The machine, as the report of the run describes it.
    pub(super) fn machine(&self) -> Result<Machine> {
        #[derive(Deserialize)]
        struct Report {
            machine: Machine,
        }
        let path = self.folder.join(TEXT).join("report.json");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let report: Report = serde_json::from_str(&text).context("report.json has no machine")?;
        Ok(report.machine)
    }

    /// One round: both forms on both kinds of rows, microseconds for a row and for 32.
    pub(super) fn time(&self) -> Result<Vec<(Side, [f64; 2])>> {
        let mut sides = Vec::new();
        for (name, data) in [(TEXT, ["--corpus", "embedded"]), (DENSE, ["--data", "dense.jsonl"])] {
            let artifacts = FORMS.map(|(_, row)| format!("{name}/artifacts/{row}.0.safetensors"));
            let mut arguments = vec!["bench", "--json", "--threads", "1", "--rounds", ROUNDS];
            arguments.extend(data);
            arguments.extend(artifacts.iter().map(String::as_str));
            let said = self.say(&arguments)?;
            let benches: [Bench; 2] =
                serde_json::from_str(&said).context("nlpress bench printed something unknown")?;
            for ((form, _), bench) in FORMS.iter().zip(benches) {
                let side = Side {
                    toolkit: "nlpress".into(),
                    version: None,
                    form: (*form).to_owned(),
                    rows: name,
                    nonzeros: Some(bench.nonzeros_per_row),
                    call_us: None,
                };
                sides.push((side, [bench.speed.batch1_us.p50, bench.speed.batch32_us.p50]));
            }
        }
        Ok(sides)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Runs the binary in the folder; gives what it printed.
    fn say(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command.args(arguments).current_dir(&self.folder);
        let output = command.output().with_context(|| format!("cannot run {}", self.binary.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`nlpress {}` failed ({}): {}", arguments.join(" "), output.status, said.trim());
        }
        String::from_utf8(output.stdout).context("nlpress printed something that is no text")
    }
}

/// The network trained a little, for its time and not its quality, and quantized with fixed scales throughout.
fn recipe(name: &str, data: &str) -> String {
    format!(
        r#"schema = 1
name = "{name}"
seed = 7
seeds = 1

[model]
network = {{ mlp = {{ inputs = {WORDS}, hidden = [128, 64], dropout = 0.5 }} }}

[data]
{data}
encoder = {{ vocabulary = {WORDS}, weighting = "tf_idf" }}

[train]
epochs = 2
batch = 32
learning_rate = 1e-3

[controls]
linear = false
more_epochs = 0
student = []

[[variants]]
id = "int8"
steps = [{{ use = "quant.int8", with = {{ activations = {{}} }} }}]
"#
    )
}

/// Texts that use every word once to three times, as JSONL; no two are alike.
fn texts(count: usize) -> String {
    let mut lines = String::new();
    for n in 0..count {
        lines.push_str("{\"text\": \"");
        for word in 0..WORDS {
            // A hash of the place, so that the texts are the same on every machine.
            let mixed = ((n * WORDS + word) as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for _ in 0..=(mixed >> 40) % 3 {
                let _ = write!(lines, "w{word} "); // a String takes everything
            }
        }
        let _ = writeln!(lines, "\", \"label\": \"{}\"}}", ["even", "odd"][n % 2]);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_text_uses_every_word_and_none_is_there_twice() {
        let texts = texts(20);
        let mut seen = BTreeSet::new();
        for line in texts.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = line["text"].as_str().unwrap();
            assert_eq!(text.split_whitespace().collect::<BTreeSet<_>>().len(), WORDS);
            assert!(seen.insert(text.to_owned()));
        }
        assert_eq!(seen.len(), 20);
    }

    #[test]
    fn a_recipe_is_toml_with_its_data() {
        let table: toml::Table = recipe("dense", "files = \"a.jsonl\"").parse().unwrap();
        assert_eq!(table["data"]["files"].as_str(), Some("a.jsonl"));
        let step = &table["variants"][0]["steps"][0];
        assert_eq!(step["use"].as_str(), Some("quant.int8"));
        assert!(step["with"]["activations"].as_table().unwrap().is_empty());
    }

    #[test]
    fn the_times_of_a_bench_are_read() {
        let said = r#"{"artifact": "a", "nonzeros_per_row": 12.5, "batch1_speedup": {"median": 1},
            "speed": {"batch1_us": {"p50": 0.5, "p90": 1}, "batch32_us": {"p50": 20}, "rss_bytes": null}}"#;
        let bench: Bench = serde_json::from_str(said).unwrap();
        assert_eq!(
            (bench.nonzeros_per_row, bench.speed.batch1_us.p50, bench.speed.batch32_us.p50),
            (12.5, 0.5, 20.0)
        );
    }
}
