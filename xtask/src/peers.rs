//! `cargo xtask bench peers`: nlpress and other libraries, side by side: the article's network alone, whole classifiers
//! from text to answers, and a pretrained encoder.
//!
//! A speed means little without one to hold it against, and the libraries that people would otherwise take are the
//! ones to hold it against. Each runs in a process of its own, on one thread, and they take turns: the ratios are
//! of times within a round, so that a machine that slows down slows all of them. What is compared, and what is not,
//! is in docs/peers.md.

mod answer;
mod encoder;
mod ours;
mod table;
mod texts;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Refused;
use crate::said::{check_python, last_line};
use crate::workspace::{Backend, Build, Workspace};
use answer::{Answer, Times};
use encoder::Encoder;
use ours::Ours;
pub(crate) use table::aligned;
use table::{Comparison, DENSE, Side};
use texts::Texts;

/// The program that times a peer.
const SCRIPT: &str = concat!(include_str!("peers/answer.py"), include_str!("peers/time.py"));

/// nlpress beside TensorFlow Lite, ONNX Runtime and PyTorch (the article's network), and beside scikit-learn and
/// fastText (from text to answers): whichever are installed.
///
/// The network: makes the network (1000 to 128 to 64 to 1, ReLU) as 32-bit floats and as 8-bit integers, and the same shape in
/// each library that the Python given has; all take turns, on one thread, one row and 32 rows at a time. From text:
/// each trains on fetched corpora and answers their test documents, in processes of its own, in turns. What is not
/// installed is named and left out. docs/peers.md says what the numbers mean.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask bench peers                                 whatever python3 has
  cargo xtask bench peers --python venv/bin/python        what a virtual environment has
  cargo xtask bench peers --only texts --corpus r8        training and answering, on one corpus
  cargo xtask bench peers --encoder data/minilm           a pretrained encoder in 8-bit integers
  cargo xtask bench peers --json > peers.json")]
pub(crate) struct Arguments {
    /// The Python whose packages are the peers.
    #[arg(long, value_name = "PATH", default_value = "python3")]
    python: PathBuf,
    /// Rounds in which all take turns, 5 or more.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(5..=1000))]
    rounds: u32,
    /// Keep the peers' converted models in this folder, and use those that are there [default: a passing one].
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Compare only this.
    #[arg(long, value_name = "WHAT")]
    only: Option<Only>,
    /// Compare only this pretrained encoder, a folder of the kind of BERT, in 8-bit integers and in floats: with OpenVINO, ONNX
    /// Runtime and CTranslate2, on the test documents of r8, fetched before. `--threads` counts, one where it is not given.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["only", "corpus"])]
    encoder: Option<PathBuf>,
    /// Compare the encoder with this only, given several times.
    #[arg(long, value_name = "PEER", requires = "encoder", value_parser = encoder::PEERS.map(|(peer, ..)| peer.key))]
    peer: Vec<String>,
    /// Run the encoder with no better instructions than these; all but ONNX Runtime, which cannot be told.
    #[arg(long, value_name = "NAME", requires = "encoder", value_parser = encoder::INSTRUCTIONS.map(|(ours, ..)| ours))]
    instructions: Option<String>,
    /// So many documents for the encoder, 512 at most [default: 512].
    #[arg(long, value_name = "N", requires = "encoder", value_parser = clap::value_parser!(u16).range(8..=512))]
    documents: Option<u16>,
    /// Corpora to train on, fetched before [default: 20ng and r8, as far as they are fetched].
    #[arg(long, value_name = "NAME")]
    corpus: Vec<String>,
    /// Folder with fetched corpora.
    #[arg(long, default_value = "data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Threads for training and answering [default: all processors].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    build: Build,
}

/// A part of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// The article's network, encoded rows in, logits out.
    Network,
    /// Training and answering from text.
    Texts,
}

/// A library to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    /// What the script calls it.
    key: &'static str,
    /// What people call it.
    name: &'static str,
}

const PEERS: [Peer; 3] = [
    Peer { key: "tflite", name: "TensorFlow Lite" },
    Peer { key: "onnxruntime", name: "ONNX Runtime" },
    Peer { key: "torch", name: "PyTorch" },
];

/// Lets all take turns and prints the comparison.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a passing folder")?;
    let script = Script::new(arguments, folder.path())?;
    for name in &arguments.corpus {
        let file = arguments.data_dir.join(name).join("train.jsonl");
        if !file.is_file() {
            let why =
                format!("--corpus {name}: {} is not there; `cargo xtask data fetch` gets it", file.display());
            return Err(Refused(why).into());
        }
    }
    let documents = arguments.data_dir.join("r8/test.jsonl");
    if arguments.encoder.is_some() && !documents.is_file() {
        let why = format!("{} is not there; `cargo xtask data fetch r8` gets it", documents.display());
        return Err(Refused(why).into());
    }
    let workspace = Workspace::read()?;
    let build = || workspace.build(arguments.build, Backend::Ndarray);
    if let Some(model) = &arguments.encoder {
        let encoder = Encoder {
            model: model.clone(),
            timer: encoder::build_timer(&workspace.target)?,
            binary: if encoder::is_made(&script.models) { None } else { Some(build()?) },
            documents,
            count: arguments.documents.map_or(encoder::DOCUMENTS, usize::from),
            peers: arguments.peer.clone(),
            threads: arguments.threads.map_or(1, usize::from),
            rounds: arguments.rounds,
            instructions: arguments.instructions.clone(),
        };
        let found = encoder.measure(&script)?;
        print(arguments, &serde_json::json!({ "encoder": found.json() }), &found.text());
        return told(&found.failed);
    }
    let binary = build()?;
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    let (mut json, mut text, mut failed) = (serde_json::Map::new(), String::new(), Vec::new());
    if wanted(Only::Network) {
        let network = network(arguments, &script, &binary, folder.path())?;
        text.push_str(&network.text());
        // Its numbers stand at the top, where they always stood.
        json.extend(network.json().as_object().cloned().into_iter().flatten());
        failed.extend(network.failed);
    }
    if wanted(Only::Texts) {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let texts = Texts {
            binary,
            data: std::path::absolute(&arguments.data_dir)?,
            corpora: texts::corpora(&arguments.corpus, &arguments.data_dir),
            threads: arguments.threads.map_or(processors, usize::from),
            rounds: arguments.rounds,
            folder: folder.path().into(),
        };
        let found = texts.measure(&script)?;
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&found.text());
        json.insert("texts".into(), found.json());
        failed.extend(found.failed);
    }
    print(arguments, &serde_json::Value::Object(json), &text);
    told(&failed)
}

fn print(arguments: &Arguments, json: &serde_json::Value, text: &str) {
    if arguments.json {
        println!("{json}");
    } else {
        print!("{text}");
    }
}

/// An error that names what failed, where anything did.
fn told(failed: &[(String, String)]) -> Result<()> {
    match failed {
        [] => Ok(()),
        failed => bail!("could not time {}", names(failed)),
    }
}

/// The article's network, here and elsewhere.
fn network(arguments: &Arguments, script: &Script, binary: &Path, folder: &Path) -> Result<Comparison> {
    eprintln!("making the models");
    let ours = Ours::make(binary, folder)?;
    let mut comparison = Comparison::new(ours.machine()?);
    // The first call converts and shows who is there; its times count for nothing.
    let mut present = Vec::new();
    for peer in PEERS {
        match script.ask(peer)? {
            Answer::Times(times) => present.push((peer, times.version)),
            Answer::Missing(packages) => comparison.missing.push((peer.name.to_owned(), packages)),
            Answer::Failed(why) => comparison.failed.push((peer.name.to_owned(), why)),
        }
    }
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        let mut sides = ours.time()?;
        for (peer, version) in &present {
            match script.ask(*peer)? {
                Answer::Times(times) => sides.extend(sides_of(*peer, version, times)),
                Answer::Missing(why) | Answer::Failed(why) => {
                    bail!("{} answered the trial and failed in round {round}: {why}", peer.name)
                }
            }
        }
        comparison.add(sides)?;
    }
    Ok(comparison)
}

fn names(of: &[(String, String)]) -> String {
    of.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

fn sides_of(peer: Peer, version: &str, times: Times) -> Vec<(Side, [f64; 2])> {
    let side = |form: String| Side {
        toolkit: peer.name.to_owned(),
        version: Some(version.to_owned()),
        form,
        rows: DENSE,
        nonzeros: None,
        call_us: Some(times.call_us),
    };
    times.rows.into_iter().map(|row| (side(row.form), [row.batch1_us, row.batch32_us])).collect()
}

/// The script, written out, and what runs it.
#[derive(Debug)]
struct Script {
    python: PathBuf,
    path: PathBuf,
    /// Where the one for texts goes.
    texts: PathBuf,
    models: PathBuf,
}

impl Script {
    fn new(arguments: &Arguments, folder: &Path) -> Result<Self> {
        let python = arguments.python.clone();
        check_python(&python, 8)?;
        let path = folder.join("time.py");
        std::fs::write(&path, SCRIPT).with_context(|| format!("cannot write {}", path.display()))?;
        let models = arguments.models.clone().unwrap_or_else(|| folder.join("models"));
        std::fs::create_dir_all(&models)
            .map_err(|error| Refused(format!("--models {}: cannot be made: {error}", models.display())))?;
        Ok(Self { python, path, texts: folder.join("texts.py"), models })
    }

    /// Times one peer, in a process of its own.
    fn ask(&self, peer: Peer) -> Result<Answer> {
        let mut command = Command::new(&self.python);
        command.arg(&self.path).arg(peer.key).arg(&self.models);
        // The libraries' own counts of threads, and the chatter of one of them.
        command.envs([("OMP_NUM_THREADS", "1"), ("MKL_NUM_THREADS", "1"), ("TF_CPP_MIN_LOG_LEVEL", "2")]);
        let output = command.output().with_context(|| format!("cannot run {}", self.python.display()))?;
        if !output.status.success() {
            return Ok(Answer::Failed(format!("{}: {}", output.status, last_line(&output))));
        }
        Answer::read(peer.key, &String::from_utf8_lossy(&output.stdout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(python: PathBuf) -> Arguments {
        Arguments {
            python,
            rounds: 5,
            models: None,
            only: None,
            encoder: None,
            peer: Vec::new(),
            instructions: None,
            documents: None,
            corpus: Vec::new(),
            data_dir: "data".into(),
            threads: None,
            json: false,
            build: Build::default(),
        }
    }

    #[test]
    fn what_is_no_python_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (bad, says) in [("/no/such/python", "cannot be run"), (env!("CARGO"), "is no Python")] {
            let error = Script::new(&arguments(bad.into()), folder.path()).unwrap_err();
            assert!(error.downcast_ref::<Refused>().is_some(), "{error:#}");
            assert!(error.to_string().contains(bad) && error.to_string().contains(says), "{error:#}");
        }
    }

    #[test]
    fn the_script_knows_every_peer_and_this_shape() {
        let line = SCRIPT.lines().find(|line| line.starts_with("PEERS = ")).unwrap();
        for peer in PEERS {
            assert!(line.contains(&format!("\"{}\"", peer.key)), "{}", peer.key);
        }
        assert!(SCRIPT.contains("\nWIDTHS = [1000, 128, 64, 1]\n"));
        assert!(SCRIPT.contains("\nBATCHES = [1, 32]\n"));
    }
}
