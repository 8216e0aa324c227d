//! From text to answers: `nlpress train` and `nlpress predict` beside scikit-learn and fastText, on fetched corpora.
//!
//! The time of ours is that of whole processes, from the start of the program to the last answer printed, with the test
//! documents scored besides; the peers are timed within Python, without its start and their import.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::table::{Quartiles, aligned};
use super::{Peer, Script};
use crate::said::{Said, last_line};

/// The program that trains a peer.
pub(super) const SCRIPT: &str = concat!(include_str!("answer.py"), include_str!("texts.py"));

/// What is trained beside ours.
pub(super) const PEERS: [Peer; 2] =
    [Peer { key: "sklearn", name: "scikit-learn" }, Peer { key: "fasttext", name: "fastText" }];

/// Corpora that are taken where nobody names one, if they are there.
const USUAL: [&str; 2] = ["20ng", "r8"];

/// Our trainings: a name, and what the command line says beside corpus and output.
const OURS: [(&str, &[&str]); 3] = [
    (
        "linear, squared hinge, sublinear",
        &["--hidden", "none", "--vocabulary", "50000", "--loss", "squared-hinge", "--sublinear"],
    ),
    ("linear, cross-entropy", &["--hidden", "none", "--vocabulary", "50000"]),
    ("default", &[]),
];

/// What is compared, and where it lies.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    pub(super) binary: PathBuf,
    pub(super) data: PathBuf,
    pub(super) corpora: Vec<String>,
    pub(super) threads: usize,
    pub(super) rounds: u32,
    /// Folder for what passes.
    pub(super) folder: PathBuf,
}

/// One training: seconds to train and to answer the test documents, accuracy on those, bytes of the model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    form: String,
    train_s: f64,
    predict_s: f64,
    accuracy: f64,
    bytes: u64,
}

/// A form of a library on a corpus, over all rounds.
#[derive(Debug, Serialize)]
struct Entry {
    corpus: String,
    #[serde(rename = "library")]
    peer: String,
    form: String,
    accuracy: Vec<f64>,
    bytes: u64,
    train_s: Vec<f64>,
    predict_s: Vec<f64>,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(super) struct Found {
    threads: usize,
    entries: Vec<Entry>,
    versions: Vec<String>,
    /// Libraries that are not installed, and the packages to install.
    missing: Vec<(String, String)>,
    /// Libraries that raised an error, and which.
    pub(super) failed: Vec<(String, String)>,
}

/// The corpora to take: those named, or the usual ones that are there.
pub(super) fn corpora(named: &[String], data: &Path) -> Vec<String> {
    let there = |name: &str| data.join(name).join("train.jsonl").is_file();
    match named {
        [] => USUAL.iter().filter(|name| there(name)).map(|name| (*name).to_owned()).collect(),
        named => named.to_vec(),
    }
}

impl Texts {
    /// Lets all take turns on every corpus.
    pub(super) fn measure(&self, script: &Script) -> Result<Found> {
        let mut found = Found { threads: self.threads, ..Found::default() };
        for corpus in &self.corpora {
            for round in 1..=self.rounds {
                eprintln!("{corpus}: round {round} of {}", self.rounds);
                for (form, flags) in OURS {
                    let row = self.ours(corpus, form, flags)?;
                    found.add(corpus, "nlpress", row);
                }
                for peer in PEERS {
                    if found.is_out(peer) {
                        continue;
                    }
                    let said = script.train(peer, &self.data.join(corpus), self.threads)?;
                    found.take(corpus, peer, said)?;
                }
            }
        }
        Ok(found)
    }

    /// Trains with the binary, and lets it answer the test documents.
    fn ours(&self, corpus: &str, form: &str, flags: &[&str]) -> Result<Row> {
        #[derive(Deserialize)]
        struct Said {
            file_bytes: u64,
            test: Test,
        }
        #[derive(Deserialize)]
        struct Test {
            accuracy: f64,
        }
        let artifact = self.folder.join("peer.safetensors");
        let threads = self.threads.to_string();
        let mut train = Command::new(&self.binary);
        train.args(["train", "--json", "--threads", &threads, "--corpus", corpus]).args(flags);
        train.arg("--data-dir").arg(&self.data).arg("--out").arg(&artifact);
        let begin = Instant::now();
        let output = train.output().with_context(|| format!("cannot run {}", self.binary.display()))?;
        let train_s = begin.elapsed().as_secs_f64();
        if !output.status.success() {
            bail!("nlpress train failed on {corpus}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let said: Said =
            serde_json::from_slice(&output.stdout).context("nlpress train printed something unknown")?;
        let predict_s = self.answer(corpus, &artifact)?;
        Ok(Row {
            form: form.into(),
            train_s,
            predict_s,
            accuracy: said.test.accuracy,
            bytes: said.file_bytes,
        })
    }

    /// Seconds in which the binary answers the test documents of a corpus, one on each line.
    fn answer(&self, corpus: &str, artifact: &Path) -> Result<f64> {
        #[derive(Deserialize)]
        struct Document {
            text: String,
        }
        let path = self.data.join(corpus).join("test.jsonl");
        let file =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut lines = String::new();
        for line in file.lines() {
            let document: Document =
                serde_json::from_str(line).with_context(|| format!("{}: no document", path.display()))?;
            lines.extend(document.text.split_inclusive(['\n', '\r']).flat_map(|part| [part.trim_end(), " "]));
            lines.push('\n');
        }
        let input = self.folder.join("test.txt");
        std::fs::write(&input, lines).with_context(|| format!("cannot write {}", input.display()))?;
        let mut predict = Command::new(&self.binary);
        predict.arg("predict").arg(artifact).args(["--threads", &self.threads.to_string()]);
        let begin = Instant::now();
        let input = std::fs::File::open(&input)?;
        let status = predict.stdin(input).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if !status.success() {
            bail!("nlpress predict failed on {corpus} ({status})");
        }
        Ok(begin.elapsed().as_secs_f64())
    }
}

impl Found {
    /// Takes in what the script printed for a peer.
    fn take(&mut self, corpus: &str, peer: Peer, said: Result<String, String>) -> Result<()> {
        let said = match said {
            Ok(said) => said,
            Err(why) => {
                self.failed.push((peer.name.into(), why));
                return Ok(());
            }
        };
        match Said::<Row>::read(peer.key, &said, &format!("{:?}", said.trim()))? {
            Said::Missing(packages) => self.missing.push((peer.name.into(), packages)),
            Said::Failed(why) => self.failed.push((peer.name.into(), why)),
            Said::Rows(version, rows) => {
                if let Some(row) = rows.iter().find(|row| !(row.train_s > 0.0 && row.predict_s > 0.0)) {
                    bail!("{}: {}: a time must be more than 0", peer.key, row.form);
                }
                rows.into_iter().for_each(|row| self.add(corpus, peer.name, row));
                if !self.versions.contains(&version) {
                    self.versions.push(version);
                }
            }
        }
        Ok(())
    }

    /// Whether a peer is not there.
    fn is_out(&self, peer: Peer) -> bool {
        self.missing.iter().chain(&self.failed).any(|(name, _)| name == peer.name)
    }

    fn add(&mut self, corpus: &str, library: &str, row: Row) {
        let same = |e: &&mut Entry| (&*e.corpus, &*e.peer, &e.form) == (corpus, library, &row.form);
        let place = match self.entries.iter_mut().find(same) {
            Some(entry) => entry,
            None => {
                let (corpus, library) = (corpus.to_owned(), library.to_owned());
                let (form, bytes) = (row.form.clone(), row.bytes);
                self.entries.push(Entry {
                    corpus,
                    peer: library,
                    form,
                    bytes,
                    accuracy: vec![],
                    train_s: vec![],
                    predict_s: vec![],
                });
                self.entries.last_mut().expect("one was just added")
            }
        };
        place.accuracy.push(row.accuracy);
        place.train_s.push(row.train_s);
        place.predict_s.push(row.predict_s);
    }

    /// Times of an entry over those of our first form on the same corpus, in the same rounds: training and answering.
    fn ratios(&self, entry: &Entry) -> Option<[Quartiles; 2]> {
        let ours = self.entries.iter().find(|e| e.corpus == entry.corpus && e.form == OURS[0].0)?;
        let ratio = |theirs: &[f64], ours: &[f64]| {
            Quartiles::of(theirs.iter().zip(ours).map(|(theirs, ours)| theirs / ours).collect())
        };
        Some([ratio(&entry.train_s, &ours.train_s)?, ratio(&entry.predict_s, &ours.predict_s)?])
    }

    /// Everything, for programs.
    pub(super) fn json(&self) -> serde_json::Value {
        let entries = self.entries.iter().map(|entry| {
            let [train, predict] = self.ratios(entry).map_or([None, None], |both| both.map(Some));
            serde_json::json!({
                "corpus": entry.corpus, "library": entry.peer, "form": entry.form,
                "accuracy": Quartiles::of(entry.accuracy.clone()), "bytes": entry.bytes,
                "train_s": Quartiles::of(entry.train_s.clone()),
                "predict_s": Quartiles::of(entry.predict_s.clone()),
                "train_times_ours": train, "predict_times_ours": predict,
            })
        });
        let pairs = |of: &[(String, String)], key: &str| -> Vec<serde_json::Value> {
            of.iter().map(|(library, what)| serde_json::json!({ "library": library, key: what })).collect()
        };
        serde_json::json!({
            "threads": self.threads,
            "versions": self.versions,
            "entries": entries.collect::<Vec<_>>(),
            "not_installed": pairs(&self.missing, "packages"),
            "failed": pairs(&self.failed, "error"),
        })
    }

    /// Everything, for people.
    pub(super) fn text(&self) -> String {
        if self.entries.is_empty() {
            let get = USUAL.join(" ");
            return format!("from text: no corpus is there; get some with `cargo xtask data fetch {get}`\n");
        }
        let mut cells: Vec<Vec<String>> = vec![
            [
                "corpus",
                "library",
                "form",
                "accuracy",
                "bytes",
                "train s",
                "answer s",
                "× training",
                "× answering",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        let median = |of: &[f64]| Quartiles::of(of.to_vec()).map_or(f64::NAN, |q| q.median);
        for entry in &self.entries {
            let ratios = self.ratios(entry);
            let mut row = vec![entry.corpus.clone(), entry.peer.clone(), entry.form.clone()];
            row.push(format!("{:.2} %", 100.0 * median(&entry.accuracy)));
            row.push(entry.bytes.to_string());
            row.push(format!("{:.2}", median(&entry.train_s)));
            row.push(format!("{:.2}", median(&entry.predict_s)));
            row.extend(ratios.into_iter().flatten().map(Quartiles::text));
            cells.push(row);
        }
        let mut out =
            format!("from text, {} threads; × is a time over that of the first row\n\n", self.threads);
        for line in aligned(&cells) {
            out.push_str(&line);
            out.push('\n');
        }
        out.push('\n');
        let mut say = |line: String| {
            out.push_str(&line);
            out.push('\n');
        };
        self.versions.iter().for_each(|version| say(version.clone()));
        let not_there = |packages: &str| format!("not installed: pip install {packages}");
        self.missing.iter().for_each(|(name, packages)| say(format!("{name}: {}", not_there(packages))));
        self.failed.iter().for_each(|(name, why)| say(format!("{name}: failed: {why}")));
        out
    }
}

impl Script {
    /// What the script prints for a peer on a corpus, or why it failed.
    fn train(&self, peer: Peer, folder: &Path, threads: usize) -> Result<Result<String, String>> {
        let mut file = std::fs::File::create(&self.texts)?;
        file.write_all(SCRIPT.as_bytes())?;
        let mut command = Command::new(&self.python);
        let threads = threads.to_string();
        command.arg(&self.texts).arg(peer.key).arg(folder).arg(&threads);
        command.envs(["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"].map(|n| (n, &threads)));
        let output = command.output().with_context(|| format!("cannot run {}", self.python.display()))?;
        if !output.status.success() {
            return Ok(Err(format!("{}: {}", output.status, last_line(&output))));
        }
        Ok(Ok(String::from_utf8_lossy(&output.stdout).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rows: &str) -> Result<String, String> {
        Ok(format!(r#"{{"peer": "sklearn", "version": "s 1", "rows": [{rows}]}}"#))
    }

    fn row(form: &str, train: f64) -> String {
        format!(r#"{{"form": "{form}", "train_s": {train}, "predict_s": 2, "accuracy": 0.5, "bytes": 7}}"#)
    }

    fn ours(train_s: f64) -> Row {
        Row { form: OURS[0].0.into(), train_s, predict_s: 1.0, accuracy: 0.75, bytes: 3 }
    }

    #[test]
    fn ratios_are_of_the_same_round_and_the_same_corpus() {
        let mut found = Found::default();
        for (mine, theirs) in [(1.0, 2.0), (2.0, 8.0), (4.0, 12.0)] {
            found.add("a", "nlpress", ours(mine));
            found.add("b", "nlpress", ours(100.0));
            found.take("a", PEERS[0], line(&row("svc", theirs))).unwrap();
        }
        let svc = found.entries.iter().find(|e| e.form == "svc").unwrap();
        let [train, predict] = found.ratios(svc).unwrap();
        assert_eq!((train.median, predict.median), (3.0, 2.0));
        assert_eq!(found.versions, ["s 1"]);
        let json = found.json();
        assert_eq!(json["entries"].as_array().unwrap().len(), 3);
        let text = found.text();
        assert!(text.contains("3.00") && text.contains("50.00 %"), "{text}");
    }

    #[test]
    fn who_is_not_there_is_named_and_left_out() {
        let mut found = Found::default();
        found.take("a", PEERS[1], Ok(r#"{"peer": "fasttext", "missing": "fasttext-wheel"}"#.into())).unwrap();
        found.take("a", PEERS[0], Err("exit status: 1: no".into())).unwrap();
        assert!(PEERS.iter().all(|peer| found.is_out(*peer)));
        found.add("a", "nlpress", ours(1.0));
        let text = found.text();
        assert!(text.contains("pip install fasttext-wheel") && text.contains("failed: exit status: 1: no"));
        for (said, says) in [
            (Ok("noise".to_owned()), "something unknown"),
            (Ok(r#"{"peer": "x", "missing": "y"}"#.to_owned()), "answered for x"),
            (line(&row("svc", 0.0)), "more than 0"),
        ] {
            let error = format!("{:#}", found.take("a", PEERS[0], said).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
        assert!(Found::default().text().contains("cargo xtask data fetch"));
    }

    #[test]
    fn the_script_knows_every_peer() {
        let line = SCRIPT.lines().find(|line| line.starts_with("PEERS = ")).unwrap();
        assert!(PEERS.iter().all(|peer| line.contains(&format!("\"{}\"", peer.key))));
    }

    #[test]
    fn only_corpora_that_are_there_are_usual() {
        let folder = tempfile::tempdir().unwrap();
        assert!(corpora(&[], folder.path()).is_empty());
        std::fs::create_dir(folder.path().join("r8")).unwrap();
        std::fs::write(folder.path().join("r8/train.jsonl"), "").unwrap();
        assert_eq!(corpora(&[], folder.path()), ["r8"]);
        assert_eq!(corpora(&["x".into()], folder.path()), ["x"]);
    }
}
