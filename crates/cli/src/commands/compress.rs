//! `nlpress compress`: one technique on one artifact, without labels.

use nlpress::core::files::{self, Outputs};
use nlpress::core::shown::counted;
use nlpress::core::{Seed, Selectors};
use nlpress::pipeline::compress::{self, Compressed, Compression, settings};
use nlpress::pipeline::{Origin, kinds};
use nlpress::runtime::{Scratch, Session};

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
        let bytes = files::read_bounded(file, LARGEST_TEXTS)
            .map_err(|e| refuse(format!("{}: {e}", file.display())))?;
        String::from_utf8(bytes).map_err(|e| refuse(format!("{}: it is not UTF-8: {e}", file.display())))
    });
    let texts = texts.transpose()?;
    let texts: Option<Vec<&str>> =
        texts.as_ref().map(|texts| texts.lines().filter(|line| !line.trim().is_empty()).collect());
    if let (Some([]), Some(file)) = (texts.as_deref(), &arguments.texts) {
        return Err(refuse(format!("--texts: {} has no text", file.display())));
    }
    let origin = Origin::open(&arguments.artifact).map_err(refuse)?;
    let (backend, threads) = data::compute(&arguments.compute)?;
    let seed = Seed(arguments.seed);
    let how = Compression { kind, with: &with, on: &on, texts: texts.as_deref(), seed, threads };
    let progress = Progress::start(None)?;
    let made = compress::compress(origin, &how, &backend, &progress).map_err(of_compression)?;
    progress.end().map_err(|_| compression_stopped())?;
    let Compressed { artifact, notes, shares } = made;
    artifact.write(&arguments.out).map_err(sort)?;

    let sessions = [&arguments.artifact, &arguments.out].map(|file| Session::open(file).map_err(refuse));
    let [before, after] = sessions;
    let (before, after) = (before?, after?);
    let bytes = [&arguments.artifact, &arguments.out].map(|file| std::fs::metadata(file).map(|m| m.len()));
    let [was, is] = bytes;
    let (was, is) = (was?, is?);
    let held = texts.map(|texts| shares.held.iter().map(|n| texts[*n]).collect::<Vec<_>>());
    let compared = held.map(|held| Compared::of(&before, &after, &held)).transpose()?;
    let seen = shares.calibrated.len() + shares.chosen.len();
    if arguments.json {
        let compared = compared.as_ref().map(Compared::json);
        say!(
            "{}",
            serde_json::json!({
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

/// How the answers of two artifacts differ over some texts.
struct Compared {
    texts: usize,
    /// Cosine of the two answers: mean and least.
    cosine: [f64; 2],
    /// Share of texts with the same class; none for embeddings.
    agreement: Option<f64>,
}

impl Compared {
    fn of(before: &Session, after: &Session, texts: &[&str]) -> anyhow::Result<Self> {
        let (mut first, mut second) = (Scratch::default(), Scratch::default());
        let (mut sum, mut least, mut same, mut count) = (0.0, f64::INFINITY, 0, 0);
        for text in texts {
            let a = before.answer(text, &mut first).map_err(refuse)?;
            let b = after.answer(text, &mut second).map_err(refuse)?;
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let length = (dot(a, a) * dot(b, b)).sqrt();
            let cosine = if length > 0.0 { dot(a, b) / length } else { f64::from(u8::from(a == b)) };
            (sum, least, count) = (sum + cosine, f64::min(least, cosine), count + 1);
            same += usize::from(!before.labels().is_empty() && before.class(a) == after.class(b));
        }
        let agreement = (!before.labels().is_empty()).then(|| same as f64 / count as f64);
        Ok(Self { texts: count, cosine: [sum / count as f64, least], agreement })
    }

    fn json(&self) -> serde_json::Value {
        let [mean, least] = self.cosine;
        serde_json::json!({
            "texts": self.texts, "cosine": {"mean": mean, "least": least}, "agreement": self.agreement,
        })
    }
}

impl std::fmt::Display for Compared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [mean, least] = self.cosine;
        write!(
            f,
            "over {}: cosine to the original {mean:.5} on average, {least:.5} at least",
            counted(self.texts, "text")
        )?;
        self.agreement.map_or(Ok(()), |share| write!(f, "; the same class in {:.2} %", 100.0 * share))
    }
}
