//! The searches, each in a process of its own, and what they answer.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::table::{Answers, Row};
use crate::said::{Said, check_python, last_line};

/// The program that trains a peer.
const SCRIPT: &str = concat!(include_str!("../peers/answer.py"), include_str!("peers.py"));

/// The exit code of `nlpress fit` when the model that it wrote misses a limit.
const MISSED: i32 = 3;

/// Another library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Sklearn,
    Fasttext,
}

/// What searches, and how long.
#[derive(Debug)]
pub(super) struct Sides {
    python: PathBuf,
    script: PathBuf,
    binary: PathBuf,
    /// For what passes.
    folder: PathBuf,
    minutes: f64,
    threads: usize,
}

/// A row of a corpus, or of our answers.
#[derive(Deserialize)]
struct Labelled {
    label: Option<String>,
}

impl Peer {
    /// What the script calls it.
    const fn key(self) -> &'static str {
        match self {
            Self::Sklearn => "sklearn",
            Self::Fasttext => "fasttext",
        }
    }
}

impl Sides {
    pub(super) fn new(
        python: &Path,
        binary: PathBuf,
        folder: &Path,
        (minutes, threads): (f64, usize),
    ) -> Result<Self> {
        check_python(python, 9)?;
        let script = folder.join("peers.py");
        std::fs::write(&script, SCRIPT).with_context(|| format!("cannot write {}", script.display()))?;
        Ok(Self { python: python.into(), script, binary, folder: folder.into(), minutes, threads })
    }

    /// What `nlpress fit` finds, and its answers to the test documents.
    pub(super) fn ours(&self, corpus: &Path, bytes: u64, seed: u32) -> Result<Row> {
        let model = self.folder.join("ours.safetensors");
        let mut fit = Command::new(&self.binary);
        fit.arg("fit").arg(corpus.join("train.jsonl"));
        fit.arg("--valid").arg(corpus.join("valid.jsonl")).arg("--test").arg(corpus.join("test.jsonl"));
        fit.args(["--json", "--max-size", &bytes.to_string(), "--minutes", &self.minutes.to_string()]);
        fit.args(["--threads", &self.threads.to_string(), "--seed", &seed.to_string(), "--out"]).arg(&model);
        let output = self.output(&mut fit)?;
        if !output.status.success() && output.status.code() != Some(MISSED) {
            bail!("nlpress fit failed ({}): {}", output.status, last_line(&output));
        }
        let form = form(&output.stdout)?;
        let mut predict = Command::new(&self.binary);
        predict.arg("predict").arg(&model).arg("--json").arg("--data").arg(corpus.join("test.jsonl"));
        let output = self.output(&mut predict)?;
        if !output.status.success() {
            bail!("nlpress predict failed ({}): {}", output.status, last_line(&output));
        }
        let said = String::from_utf8(output.stdout).context("nlpress predict printed what is no UTF-8")?;
        Ok(Row { form, bytes: std::fs::metadata(&model)?.len(), answers: read_labels(&said)? })
    }

    /// What a peer answers: `limit` are the bytes and the seed of a search.
    pub(super) fn peer(&self, peer: Peer, corpus: &Path, limit: Option<(u64, u32)>) -> Result<Answers> {
        let mut command = Command::new(&self.python);
        command.arg(&self.script).arg(peer.key()).arg(corpus);
        if let Some((bytes, seed)) = limit {
            let seconds = (60.0 * self.minutes).round() as u64;
            let numbers = [bytes, seconds, self.threads as u64, u64::from(seed)];
            command.args(numbers.map(|n| n.to_string()));
        }
        let threads = self.threads.to_string();
        command.envs(["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"].map(|n| (n, &threads)));
        let output = self.output(&mut command)?;
        if !output.status.success() {
            return Ok(Answers::Failed(format!("{}: {}", output.status, last_line(&output))));
        }
        answers(peer, &String::from_utf8_lossy(&output.stdout))
    }

    fn output(&self, command: &mut Command) -> Result<Output> {
        command.output().with_context(|| format!("cannot run {}", command.get_program().display()))
    }
}

/// The labels of a corpus.
pub(super) fn labels(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    read_labels(&text).with_context(|| format!("{}: no corpus", file.display()))
}

/// The key `label` of every line.
fn read_labels(text: &str) -> Result<Vec<String>> {
    let label = |(n, line): (usize, &str)| {
        let row: Labelled = serde_json::from_str(line).with_context(|| format!("line {}", n + 1))?;
        row.label.with_context(|| format!("line {}: no label", n + 1))
    };
    text.lines().enumerate().map(label).collect()
}

/// What our search chose, in its own words.
fn form(json: &[u8]) -> Result<String> {
    let found: serde_json::Value =
        serde_json::from_slice(json).context("nlpress fit printed something unknown")?;
    let trial = found["found"]["choice"]["trial"].as_u64().context("nlpress fit chose nothing")?;
    let told = found["found"]["trials"][trial as usize]["told"].as_str();
    Ok(told.context("nlpress fit does not say what it chose")?.to_owned())
}

/// Reads what the script printed.
fn answers(peer: Peer, said: &str) -> Result<Answers> {
    let said = Said::read(peer.key(), said, &format!("{:.200}", said.trim()))?;
    Ok(match said {
        Said::Missing(packages) => Answers::Missing(packages),
        Said::Failed(why) => Answers::Failed(why),
        Said::Rows(_, rows) => Answers::Rows(rows),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Refused;

    #[test]
    fn the_script_knows_both_peers() {
        let line = SCRIPT.lines().find(|line| line.starts_with("PEERS = ")).unwrap();
        for peer in [Peer::Sklearn, Peer::Fasttext] {
            assert!(line.contains(&format!("\"{}\"", peer.key())), "{peer:?}");
        }
    }

    #[test]
    fn what_is_no_python_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (bad, says) in [("/no/such/python", "cannot be run"), (env!("CARGO"), "is no Python")] {
            let error = Sides::new(Path::new(bad), "x".into(), folder.path(), (1.0, 1)).unwrap_err();
            assert!(error.downcast_ref::<Refused>().is_some(), "{error:#}");
            assert!(error.to_string().contains(bad) && error.to_string().contains(says), "{error:#}");
        }
    }

    #[test]
    fn answers_are_rows_or_a_reason() {
        let row = r#"{"form": "f", "bytes": 3, "answers": ["a", "b"]}"#;
        let said = format!(r#"{{"peer": "sklearn", "version": "s 1", "rows": [{row}]}}"#);
        let Answers::Rows(rows) = answers(Peer::Sklearn, &said).unwrap() else { panic!("{said}") };
        assert_eq!((rows[0].form.as_str(), rows[0].bytes, rows[0].answers.len()), ("f", 3, 2));
        let missing = answers(Peer::Fasttext, r#"{"peer": "fasttext", "missing": "p"}"#).unwrap();
        assert_eq!(missing, Answers::Missing("p".into()));
        let failed = answers(Peer::Fasttext, r#"{"peer": "fasttext", "error": "E: e"}"#).unwrap();
        assert_eq!(failed, Answers::Failed("E: e".into()));
        for bad in ["", "{}", r#"{"peer": "sklearn"}"#, &said] {
            assert!(answers(Peer::Fasttext, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_are_of_every_line() {
        assert_eq!(read_labels("{\"label\":\"a\",\"x\":1}\n{\"label\":\"b\"}\n").unwrap(), ["a", "b"]);
        for (bad, says) in [("{\"label\":\"a\"}\n{\"label\":null}", "line 2"), ("x", "line 1")] {
            assert!(format!("{:#}", read_labels(bad).unwrap_err()).contains(says), "{bad}");
        }
        let said = br#"{"found":{"choice":{"trial":1},"trials":[{"told":"x"},{"told":"y"}]}}"#;
        assert_eq!(form(said).unwrap(), "y");
        assert!(form(b"{}").is_err() && form(b"no").is_err());
    }
}
