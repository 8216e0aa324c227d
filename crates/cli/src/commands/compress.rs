//! `nlpress compress`: one technique on one artifact, without labels.

use nlpress::core::files::{self, Outputs};
use nlpress::core::shown::counted;
use nlpress::core::{Seed, Selectors};
use nlpress::eval::{Cosine, Fidelity, spearman};
use nlpress::graph::Output;
use nlpress::pipeline::compress::{self, Compressed, Compression, settings};
use nlpress::pipeline::origin::Opened;
use nlpress::pipeline::{Origin, kinds};
use nlpress::runtime::{Scratch, Session};
use serde_json::{Value, json};
use std::fmt::{self, Display};
use std::io;
use std::path::Path;

use super::MOST_PAIRED;
use super::texts::{not_utf8, too_long};
use crate::arguments::Compress;
use crate::data;
use crate::outcome::{compression_stopped, of_compression, refuse, say, sort};
use crate::progress::Progress;

/// Largest file of texts that is read.
const LARGEST_TEXTS: u64 = 1 << 30;

pub(crate) fn compress(arguments: &Compress) -> anyhow::Result<()> {
    let outputs = Outputs::new().input("ARTIFACT", &arguments.artifact).output("--out", &arguments.out);
    let outputs = arguments.texts.iter().fold(outputs, |outputs, texts| outputs.input("--texts", texts));
    outputs.check().map_err(sort)?;
    let name = &arguments.kind;
    let unknown = || refuse(format!("--use: unknown technique {name:?}; `nlpress techniques` lists them"));
    let kind = kinds::find(name).ok_or_else(unknown)?;
    let on = Selectors::parse(&arguments.on).map_err(|e| refuse(format!("--on: {e}")))?;
    let with = settings(&arguments.with).map_err(|e| refuse(format!("--with: {e}")))?;
    let texts = arguments.texts.as_deref().map(|file| {
        let bytes = read(file).map_err(|e| refuse(format!("{}: {e}", file.display())))?;
        lines_of(bytes).map_err(|(line, why)| refuse(format!("{}:{line}: {why}", file.display())))
    });
    let texts = texts.transpose()?;
    let texts: Option<Vec<&str>> =
        texts.as_ref().map(|texts| texts.lines().filter(|line| !line.trim().is_empty()).collect());
    if let (Some([]), Some(file)) = (texts.as_deref(), &arguments.texts) {
        return Err(refuse(format!("--texts: {} has no text", file.display())));
    }
    let opened = Opened::open(&arguments.artifact).map_err(refuse)?;
    let was = opened.bytes;
    let of_artifact = |why: &dyn Display| refuse(format!("{}: {why}", arguments.artifact.display()));
    // What is compared at the end is what is compressed, whatever the file is by then.
    let compares = texts.is_some();
    let before = compares.then(|| Session::from_artifact(opened.artifact.clone())).transpose();
    let before = before.map_err(|e| of_artifact(&e))?;
    let origin = Origin::of(opened).map_err(|e| of_artifact(&e))?;
    let (backend, threads) = data::compute(&arguments.compute)?;
    let seed = Seed(arguments.seed);
    let how = Compression { kind, with: &with, on: &on, texts: texts.as_deref(), seed, threads };
    let progress = Progress::start(None)?;
    let made = compress::compress(origin, &how, &backend, &progress).map_err(of_compression)?;
    progress.end().map_err(|_| compression_stopped())?;
    let Compressed { artifact, notes, shares } = made;
    artifact.write(&arguments.out).map_err(sort)?;

    let is = std::fs::metadata(&arguments.out)?.len();
    let held = texts.map(|texts| shares.held.iter().map(|n| texts[*n]).collect::<Vec<_>>());
    let compared = match (&before, held) {
        (Some(before), Some(held)) => {
            let after = Session::open(&arguments.out).map_err(refuse)?;
            Some(Compared::of(before, &after, &held)?)
        }
        _ => None,
    };
    let seen = shares.calibrated.len() + shares.chosen.len();
    if arguments.json {
        let compared = compared.as_ref().map(Compared::json);
        say!(
            "{}",
            json!({
                "file_bytes": is, "before_bytes": was, "notes": notes, "calibrated": seen, "compared": compared
            })
        );
        return Ok(());
    }
    let share = 100.0 * is as f64 / was as f64;
    let verdict = if is < was { "" } else { ": not smaller" };
    say!("{}: {}, {share:.1} % of {was}{verdict}", arguments.out.display(), counted(is, "byte"));
    notes.iter().try_for_each(|note| -> anyhow::Result<()> {
        say!("{note}");
        Ok(())
    })?;
    if seen > 0 {
        let (seen, held) = (counted(seen, "text"), counted(shares.held.len(), "text"));
        say!("calibrated by {seen}; every fourth, {held}, it has not seen");
    }
    if let Some(compared) = compared {
        say!("{compared}");
    }
    Ok(())
}

/// Reads texts from a file, a pipe or standard input.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    match file == Path::new("-") {
        true => files::read_all_bounded(io::stdin().lock(), LARGEST_TEXTS),
        false => files::read_stream_bounded(file, LARGEST_TEXTS),
    }
}

/// What a file that gzip compressed begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Text whose lines are as `predict` takes them; else the line that is not, and why.
fn lines_of(bytes: Vec<u8>) -> Result<String, (usize, String)> {
    for (n, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        too_long(line).map_or(Ok(()), |why| Err((n + 1, why)))?;
    }
    String::from_utf8(bytes).map_err(|e| {
        let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let why = if e.as_bytes().starts_with(&GZIP) {
            "it is compressed by gzip, and read as it is: unpack it first".into()
        } else {
            not_utf8(line as u64, e.as_bytes(), e.utf8_error())
        };
        (line, why)
    })
}

/// How the answers of two artifacts differ over some texts.
struct Compared {
    texts: usize,
    of: Answers,
}

/// What can be said of two answers, by what the networks make.
enum Answers {
    /// How near the second embeddings are, and how many numbers both have. A student may turn the axes of its teacher: a cosine
    /// means nothing then, and the order of similarities does.
    Embeddings { widths: [usize; 2], near: Fidelity },
    /// Share of texts with the same class, and how far apart two logits are: on average and at most.
    Classes { agreement: f64, difference: [f64; 2] },
    /// How far apart two scores are, and Spearman's correlation of the first ones; none where all texts have one score.
    Scores { difference: [f64; 2], spearman: Option<f64> },
}

impl Compared {
    fn of(before: &Session, after: &Session, texts: &[&str]) -> anyhow::Result<Self> {
        let (mut first, mut second) = (Scratch::default(), Scratch::default());
        let mut each = |see: &mut dyn FnMut(&[f32], &[f32])| {
            texts.iter().try_for_each(|text| {
                let a = before.answer(text, &mut first).map_err(refuse)?;
                see(a, after.answer(text, &mut second).map_err(refuse)?);
                anyhow::Ok(())
            })
        };
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len().max(1) as f64;
        let mean_and_most = |of: &[f64]| [mean(of), of.iter().copied().fold(0.0, f64::max)];
        let mut apart = Vec::new();
        let mut differ = |a: &[f32], b: &[f32]| {
            apart.extend(a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()));
        };
        let widths = [before, after].map(|session| session.outline().graph.outputs());
        let of = match before.outline().graph.output {
            Output::Embedding => {
                let mut all = [Vec::new(), Vec::new()];
                each(&mut |a, b| {
                    all[0].extend_from_slice(a);
                    all[1].extend_from_slice(b);
                })?;
                let [before, after] = &all;
                let near =
                    Fidelity::of((after, widths[1]), (before, widths[0]), MOST_PAIRED).map_err(refuse)?;
                Answers::Embeddings { widths, near }
            }
            Output::Logits => {
                let mut same = Vec::new();
                each(&mut |a, b| {
                    same.push(f64::from(u8::from(before.class(a) == after.class(b))));
                    differ(a, b);
                })?;
                Answers::Classes { agreement: mean(&same), difference: mean_and_most(&apart) }
            }
            Output::Scores => {
                let mut firsts = [Vec::new(), Vec::new()];
                each(&mut |a, b| {
                    for (all, answer) in firsts.iter_mut().zip([a, b]) {
                        all.extend(answer.first().copied().map(f64::from));
                    }
                    differ(a, b);
                })?;
                let [before, after] = &firsts;
                Answers::Scores { difference: mean_and_most(&apart), spearman: spearman(before, after) }
            }
        };
        Ok(Self { texts: texts.len(), of })
    }

    fn json(&self) -> Value {
        let apart = |[mean, most]: [f64; 2]| json!({ "mean": mean, "most": most });
        match self.of {
            Answers::Embeddings { widths, near: Fidelity { cosine, spearman, .. } } => {
                json!({ "texts": self.texts, "widths": widths, "cosine": cosine, "spearman": spearman })
            }
            Answers::Classes { agreement, difference } => {
                json!({ "texts": self.texts, "agreement": agreement, "difference": apart(difference) })
            }
            Answers::Scores { difference, spearman } => {
                json!({ "texts": self.texts, "difference": apart(difference), "spearman": spearman })
            }
        }
    }
}

impl Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "over {}: ", counted(self.texts, "text"))?;
        match self.of {
            Answers::Embeddings { widths: [before, after], near: Fidelity { cosine, spearman, .. } } => {
                match cosine {
                    Some(Cosine { mean, least }) => {
                        write!(f, "cosine to the original {mean:.5} on average, {least:.5} at least")?;
                    }
                    None => write!(f, "embeddings of {before} and of {after} numbers have no cosine")?,
                }
                let all = "Spearman's correlation of the similarities of all pairs";
                spearman.map_or(Ok(()), |rho| write!(f, "; {all} {rho:.4}"))
            }
            Answers::Classes { agreement, difference: [mean, most] } => {
                let share = 100.0 * agreement;
                write!(
                    f,
                    "the same class in {share:.2} %; logits differ by {mean:.4} on average, {most:.4} at most"
                )
            }
            Answers::Scores { difference: [mean, most], spearman } => {
                write!(f, "scores differ by {mean:.4} on average, {most:.4} at most")?;
                spearman.map_or(Ok(()), |rho| write!(f, "; Spearman's correlation {rho:.4}"))
            }
        }
    }
}
