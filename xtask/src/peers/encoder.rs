//! A pretrained encoder, in 8-bit integers and in floats, here and elsewhere: documents a second, and the time of a call.
//!
//! Ours is a lean process, the example `encoder_peer` of the runtime: no burn, no Python. Documents are tokenized once, by
//! ours, and everybody reads the same ids. What is compared, and what is not, is in docs/peers.md.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::table::{Quartiles, aligned};
use super::{Peer, Script};
use crate::Refused;
use crate::said::last_line;
use crate::workspace::{cargo, succeed};

/// The program that times a peer.
pub(super) const SCRIPT: &str = concat!(include_str!("answer.py"), include_str!("encoder.py"));

/// A form of ours, which those of the peers are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ours {
    form: &'static str,
    artifact: &'static str,
    /// The technique that makes it of the model in floats.
    by: Option<&'static str>,
}

const F32: Ours = Ours { form: "f32", artifact: "f32.safetensors", by: None };
const BF16: Ours = Ours { form: "bf16", artifact: "bf16.safetensors", by: Some("quant.bf16") };
const INT8: Ours = Ours { form: "int8", artifact: "int8.safetensors", by: Some("quant.int8") };
/// All of them, that in floats, of which the others are made, first.
const OURS: [Ours; 3] = [F32, BF16, INT8];

/// What is timed beside ours, with the form that it has.
pub(super) const PEERS: [(Peer, &str, Ours); 6] = [
    (Peer { key: "openvino", name: "OpenVINO" }, "int8, NNCF", INT8),
    (Peer { key: "onnxruntime", name: "ONNX Runtime" }, "int8-dynamic", INT8),
    (Peer { key: "ctranslate2", name: "CTranslate2" }, "int8", INT8),
    (Peer { key: "openvino-bf16", name: "OpenVINO" }, "bf16", BF16),
    (Peer { key: "openvino-f32", name: "OpenVINO" }, "f32", F32),
    (Peer { key: "onnxruntime-f32", name: "ONNX Runtime" }, "f32", F32),
];
/// Instructions that all can be held to: as ours are called, as oneDNN calls them, and the most of CTranslate2 that are no more.
pub(super) const INSTRUCTIONS: [(&str, &str, &str); 3] = [
    ("avx512-vnni", "AVX512_CORE_VNNI", "AVX512"),
    ("avx-vnni", "AVX2_VNNI", "AVX2"),
    ("avx2", "AVX2", "AVX2"),
];
/// Most documents that are embedded.
pub(super) const DOCUMENTS: usize = 512;
/// Most tokens of one.
const TOKENS: &str = "128";
/// Calls that are timed by themselves: texts and tokens.
const CALLS: [&str; 3] = ["1x16", "1x128", "32x128"];

/// What is compared, and where it lies.
#[derive(Debug)]
pub(super) struct Encoder {
    /// The folder of the model.
    pub(super) model: PathBuf,
    /// What makes artifacts, where there are none yet.
    pub(super) binary: Option<PathBuf>,
    /// The example of the runtime.
    pub(super) timer: PathBuf,
    pub(super) documents: PathBuf,
    /// How many of them.
    pub(super) count: usize,
    /// The keys of those that are timed beside ours; all where none is named.
    pub(super) peers: Vec<String>,
    pub(super) threads: usize,
    pub(super) rounds: u32,
    /// The best instructions that are used.
    pub(super) instructions: Option<String>,
}

/// What a process says of one round.
#[derive(Clone, Debug, Deserialize)]
struct Round {
    documents_per_s: f64,
    ms: BTreeMap<String, f64>,
    rss_bytes: Option<u64>,
    cosine: Option<Cosine>,
    version: Option<String>,
    way: Option<String>,
    first_ms: Option<f64>,
    instructions: Option<Vec<String>>,
}

/// How near embeddings are to those in floats.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Cosine {
    mean: f64,
    least: f64,
}

/// A library over all rounds.
#[derive(Debug)]
struct Entry {
    toolkit: String,
    form: String,
    /// What it is held against.
    ours: Ours,
    rounds: Vec<Round>,
}

/// Everything that was measured; of ours, one entry for each form that a peer is held against.
#[derive(Debug, Default)]
pub(super) struct Found {
    threads: usize,
    documents: usize,
    flags: Vec<String>,
    entries: Vec<Entry>,
    missing: Vec<(String, String)>,
    pub(super) failed: Vec<(String, String)>,
}

/// Builds the example that times ours.
pub(super) fn build_timer(target: &Path) -> Result<PathBuf> {
    succeed(cargo(["build", "--release", "--package", "nlpress-runtime", "--example", "encoder_peer"]))?;
    Ok(target.join("release/examples/encoder_peer"))
}

/// Whether the artifacts that are timed were made before.
pub(super) fn is_made(models: &Path) -> bool {
    OURS.iter().all(|ours| models.join(ours.artifact).exists())
}

impl Encoder {
    /// Lets all take turns.
    pub(super) fn measure(&self, script: &Script) -> Result<Found> {
        let models = std::path::absolute(&script.models)?;
        self.prepare(&models)?;
        let text = |file: &str| models.join(file);
        let threads = self.threads.to_string();
        let count = self.count.to_string();
        let wanted = |peer: &Peer| self.peers.is_empty() || self.peers.iter().any(|key| key == peer.key);
        let mut found =
            Found { threads: self.threads, documents: self.count, flags: flags(), ..Found::default() };
        for round in 1..=self.rounds {
            eprintln!("encoder: round {round} of {}", self.rounds);
            let all = || PEERS.into_iter().filter(|(peer, ..)| wanted(peer));
            for ours in OURS.into_iter().filter(|ours| all().any(|(.., of)| of == *ours)) {
                let mut timer = Command::new(&self.timer);
                if let Some(most) = &self.instructions {
                    timer.args(["--instructions", most]);
                }
                timer.arg("time").args([text(ours.artifact), text("tokens.json")]);
                timer.args([&threads, &count]).arg(text("f32.json"));
                let said = said(timer)?;
                let times = serde_json::from_str(&said).with_context(|| format!("ours printed {said:?}"))?;
                found.add("nlpress", ours.form, ours, times);
            }
            for (peer, form, ours) in all() {
                let out = |of: &[(String, String)]| of.iter().any(|(key, _)| key == peer.key);
                if out(&found.missing) || out(&found.failed) {
                    continue;
                }
                match self.embed(script, peer, &models)? {
                    Told::Times(times) => found.add(peer.name, form, ours, times),
                    Told::Missing(packages) => found.missing.push((peer.key.into(), packages)),
                    Told::Failed(why) => found.failed.push((peer.key.into(), why)),
                }
            }
        }
        Ok(found)
    }

    /// The model as artifacts of every form, the documents' tokens, and their embeddings in floats: whatever of it is not there.
    fn prepare(&self, models: &Path) -> Result<()> {
        let there = |file: &str| models.join(file);
        let exact = there(F32.artifact);
        let make = || self.binary.as_ref().map(Command::new).context("no binary was built to make artifacts");
        let copy = there("encoder");
        std::fs::create_dir_all(&copy)?;
        for file in ["config.json", "model.safetensors"].into_iter().filter(|file| !copy.join(file).exists())
        {
            std::fs::copy(self.model.join(file), copy.join(file))
                .map_err(|error| Refused(format!("--encoder {}: {file}: {error}", self.model.display())))?;
        }
        for ours in OURS.into_iter().filter(|ours| !there(ours.artifact).exists()) {
            let mut command = make()?;
            match ours.by {
                None => command.arg("import").arg(&self.model).args(["--max-tokens", TOKENS]),
                Some(technique) => command.arg("compress").arg(&exact).args(["--use", technique]),
            };
            command.arg("--out").arg(there(ours.artifact));
            said(command)?;
        }
        if !there("tokens.json").exists() {
            let mut tokens = Command::new(&self.timer);
            tokens.arg("tokens").args([&exact, &self.documents]).arg(DOCUMENTS.to_string());
            std::fs::write(there("tokens.json"), said(tokens)?)?;
        }
        if !there("f32.json").exists() {
            let mut vectors = Command::new(&self.timer);
            vectors.arg("vectors").args([&exact, &there("tokens.json")]);
            std::fs::write(there("f32.json"), said(vectors)?)?;
        }
        Ok(())
    }

    /// Times one peer's encoder, in a process of its own.
    fn embed(&self, script: &Script, peer: Peer, models: &Path) -> Result<Told> {
        let path = script.models.join("encoder.py");
        std::fs::write(&path, SCRIPT).with_context(|| format!("cannot write {}", path.display()))?;
        let mut command = Command::new(&script.python);
        let threads = self.threads.to_string();
        command.arg(&path).arg(peer.key).arg(models).arg(&threads).arg(self.count.to_string());
        command.envs([("OMP_NUM_THREADS", &threads), ("MKL_NUM_THREADS", &threads)]);
        let most = INSTRUCTIONS.iter().find(|(ours, ..)| self.instructions.as_deref() == Some(*ours));
        if let Some((_, of_onednn, of_ctranslate2)) = most {
            // What oneDNN, which OpenVINO has in it, and CTranslate2 look at; ONNX Runtime looks at nothing.
            command.env("ONEDNN_MAX_CPU_ISA", of_onednn).env("CT2_FORCE_CPU_ISA", of_ctranslate2);
        }
        let output = command.output().with_context(|| format!("cannot run {}", script.python.display()))?;
        if !output.status.success() {
            return Ok(Told::Failed(format!("{}: {}", output.status, last_line(&output))));
        }
        told(peer.key, &String::from_utf8_lossy(&output.stdout))
    }
}

/// What a peer said.
enum Told {
    Times(Round),
    Missing(String),
    Failed(String),
}

/// Reads what the script printed for a peer.
fn told(peer: &str, printed: &str) -> Result<Told> {
    #[derive(Deserialize)]
    struct Line {
        peer: String,
        missing: Option<String>,
        error: Option<String>,
    }
    let unknown = || format!("the script printed something unknown for {peer}: {:?}", printed.trim());
    let line: Line = serde_json::from_str(printed).with_context(unknown)?;
    if line.peer != peer {
        bail!("the script was asked for {peer} and answered for {}", line.peer);
    }
    match line {
        Line { missing: Some(packages), .. } => Ok(Told::Missing(packages)),
        Line { error: Some(why), .. } => Ok(Told::Failed(why)),
        Line { .. } => Ok(Told::Times(serde_json::from_str(printed).with_context(unknown)?)),
    }
}

/// Runs a command to its end; gives what it printed.
fn said(mut command: Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} failed ({}): {}", output.status, last_line(&output));
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed something that is no text"))
}

/// What the system says of the processor, as far as it matters to integers and floats of 16 bits.
fn flags() -> Vec<String> {
    let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") else { return Vec::new() };
    let line = text.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let matters = |flag: &&str| {
        ["avx2", "fma", "f16c"].contains(flag)
            || ["avx512", "avx_vnni", "amx", "avx10"].iter().any(|start| flag.starts_with(start))
    };
    line.split_whitespace().filter(matters).map(str::to_owned).collect()
}

impl Entry {
    fn is_ours(&self) -> bool {
        self.toolkit == "nlpress"
    }
}

impl Found {
    fn add(&mut self, library: &str, form: &str, ours: Ours, round: Round) {
        match self.entries.iter_mut().find(|entry| entry.toolkit == library && entry.form == form) {
            Some(entry) => entry.rounds.push(round),
            None => {
                let (toolkit, form) = (library.to_owned(), form.to_owned());
                self.entries.push(Entry { toolkit, form, ours, rounds: vec![round] });
            }
        }
    }

    /// Ours of the same form over theirs, round by round: documents a second, then the time of each call.
    fn ratios(&self, entry: &Entry) -> Vec<Option<Quartiles>> {
        // Ours are added first.
        let ours = self.entries.iter().find(|ours| ours.ours == entry.ours).unwrap_or(entry);
        let pairs = || ours.rounds.iter().zip(&entry.rounds);
        let documents = pairs().map(|(ours, theirs)| ours.documents_per_s / theirs.documents_per_s);
        let call = |call: &&str| {
            let of = |round: &Round| round.ms.get(*call).copied();
            Quartiles::of(pairs().filter_map(|(ours, theirs)| Some(of(ours)? / of(theirs)?)).collect())
        };
        std::iter::once(Quartiles::of(documents.collect())).chain(CALLS.iter().map(call)).collect()
    }

    /// Everything, for programs.
    pub(super) fn json(&self) -> serde_json::Value {
        let entries = self.entries.iter().map(|entry| {
            let [first, ..] = &entry.rounds[..] else { return serde_json::Value::Null };
            let all =
                |of: &dyn Fn(&Round) -> Option<f64>| entry.rounds.iter().filter_map(of).collect::<Vec<_>>();
            let ms: BTreeMap<&str, Vec<f64>> =
                CALLS.iter().map(|call| (*call, all(&|round| round.ms.get(*call).copied()))).collect();
            let [documents, calls @ ..] = &self.ratios(entry)[..] else { return serde_json::Value::Null };
            let calls: BTreeMap<&str, _> = CALLS.iter().copied().zip(calls).collect();
            serde_json::json!({
                "library": entry.toolkit, "form": entry.form, "version": first.version, "way": first.way,
                "documents_per_s": all(&|round| Some(round.documents_per_s)), "ms": ms,
                "rss_bytes": first.rss_bytes, "first_ms": first.first_ms, "cosine": first.cosine,
                "instructions": first.instructions,
                "ours_over_theirs": { "documents_per_s": documents, "ms": calls },
            })
        });
        serde_json::json!({
            "threads": self.threads, "flags": self.flags, "documents": self.documents, "tokens": TOKENS,
            "libraries": entries.collect::<Vec<_>>(),
            "missing": self.missing, "failed": self.failed,
        })
    }

    /// Everything, as a table.
    pub(super) fn text(&self) -> String {
        let head =
            ["library", "form", "way", "documents/s", "1×16 ms", "1×128", "32×128", "RSS MB", "cosine"];
        let ratios = ["least", "× documents/s", "× 1×16", "× 1×128", "× 32×128"];
        let mut cells: Vec<Vec<String>> = vec![head.iter().chain(&ratios).map(|&word| word.into()).collect()];
        for entry in &self.entries {
            let median = |of: &dyn Fn(&Round) -> Option<f64>, digits: usize| {
                let quartiles = Quartiles::of(entry.rounds.iter().filter_map(of).collect());
                quartiles.map_or_else(|| "–".into(), |of| format!("{:.digits$}", of.median))
            };
            let way = entry.rounds[0].way.clone().unwrap_or_else(|| "ragged".into());
            let mut row = vec![entry.toolkit.clone(), entry.form.clone(), way];
            row.push(median(&|round| Some(round.documents_per_s), 0));
            row.extend(CALLS.iter().map(|call| median(&|round| round.ms.get(*call).copied(), 2)));
            row.push(median(&|round| round.rss_bytes.map(|bytes| bytes as f64 / 1e6), 0));
            row.push(median(&|round| round.cosine.map(|cosine| cosine.mean), 4));
            row.push(median(&|round| round.cosine.map(|cosine| cosine.least), 4));
            let shown = |of: Option<Quartiles>| {
                of.filter(|_| !entry.is_ours()).map_or_else(|| "–".into(), Quartiles::text)
            };
            row.extend(self.ratios(entry).into_iter().map(shown));
            cells.push(row);
        }
        let mut text = format!(
            "encoder, {} documents of at most {TOKENS} tokens, threads: {}; × is ours over theirs, of documents \
             a second and of times\nprocessor: {}\n\n",
            self.documents,
            self.threads,
            self.flags.join(" ")
        );
        for line in aligned(&cells) {
            text.push_str(&line);
            text.push('\n');
        }
        text.push('\n');
        for entry in &self.entries {
            let Entry { toolkit, form, .. } = entry;
            let Round { version, instructions, first_ms, .. } = &entry.rounds[0];
            if let (Some(all), Some(ms)) = (instructions, first_ms) {
                let all = all.join(", ");
                text.push_str(&format!(
                    "{toolkit}, {form}: {all}; first answer {ms:.0} ms after it begins to open the file\n"
                ));
            }
            let version = version.as_deref();
            version.into_iter().for_each(|version| text.push_str(&format!("{toolkit}, {form}: {version}\n")));
        }
        for (key, packages) in &self.missing {
            text.push_str(&format!("{key}: not installed; it takes {packages}\n"));
        }
        for (key, why) in &self.failed {
            text.push_str(&format!("{key}: failed: {why}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(documents_per_s: f64, ms: f64) -> String {
        format!(
            r#"{{"peer": "openvino", "version": "openvino 1", "way": "one by one", "documents_per_s": {documents_per_s},
            "ms": {{"1x16": {ms}, "1x128": {ms}, "32x128": {ms}}}, "rss_bytes": 2000000,
            "cosine": {{"mean": 0.99, "least": 0.9}}}}"#
        )
    }

    #[test]
    fn the_script_knows_every_peer() {
        let list = SCRIPT.split_once("\nPEERS = {").unwrap().1;
        for (peer, ..) in PEERS {
            assert!(list.contains(&format!("\"{}\":", peer.key)), "{}", peer.key);
        }
        for call in CALLS {
            let (count, length) = call.split_once('x').unwrap();
            assert!(SCRIPT.contains(&format!("({count}, {length})")), "{call}");
        }
    }

    #[test]
    fn ratios_are_of_rounds() {
        let mut found = Found { threads: 1, ..Found::default() };
        for (ours, theirs) in [(200.0, 100.0), (300.0, 100.0), (400.0, 100.0)] {
            for (library, of, ms) in [("nlpress", ours, 1.0), ("OpenVINO", theirs, 4.0)] {
                match told("openvino", &round(of, ms)).unwrap() {
                    Told::Times(times) => found.add(library, "int8", INT8, times),
                    _ => panic!("these are times"),
                }
            }
        }
        let text = found.text();
        assert!(text.contains("3.00 (2.50–3.50)") && text.contains("0.25 (0.25–0.25)"), "{text}");
        let json = found.json();
        assert_eq!(json["libraries"][1]["ours_over_theirs"]["documents_per_s"]["median"], 3.0);
        assert_eq!(json["libraries"][0]["ms"]["1x16"], serde_json::json!([1.0, 1.0, 1.0]));
    }

    #[test]
    fn what_is_missing_or_failed_is_told() {
        let missing = told("openvino", r#"{"peer": "openvino", "missing": "nncf"}"#).unwrap();
        assert!(matches!(missing, Told::Missing(packages) if packages == "nncf"));
        let failed = told("openvino", r#"{"peer": "openvino", "error": "E: no"}"#).unwrap();
        assert!(matches!(failed, Told::Failed(why) if why == "E: no"));
        assert!(told("openvino", &round(1.0, 1.0).replace("openvino\"", "other\"")).is_err());
        assert!(told("openvino", "nothing").is_err());
    }
}
