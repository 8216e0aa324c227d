//! `nlpress bench`, and the hidden `nlpress rss`.

use nlpress::core::shown::counted;
use nlpress::eval::{Call, Floor, Pace, Speeds, peak_rss};
use nlpress::pipeline::measure::{self, MeasureError};
use nlpress::pipeline::report::{Speed, Versus, verdict};
use nlpress::runtime::Scratch;
use nlpress::text::Encode;
use std::path::Path;
use std::time::{Duration, Instant};

use super::open;
use crate::arguments::{Bench, Rss};
use crate::data;
use crate::outcome::{of_artifact, refuse, say, sort, tell};

/// What is timed is named on standard error where it takes longer than this.
const QUIET: Duration = Duration::from_secs(5);

pub(crate) fn bench(arguments: Bench) -> anyhow::Result<()> {
    if arguments.labelled.data.is_empty() && arguments.labelled.corpus.is_none() {
        return Err(refuse(
            "speed depends on the texts: give --data FILE or --corpus NAME (`--corpus embedded` is built in)",
        ));
    }
    let pace = match arguments.rounds {
        Some(rounds) => Pace::default().with_rounds(rounds).map_err(refuse)?,
        None => Pace::default(),
    };
    let threads = data::threads(arguments.threads);
    data::start(threads)?;
    let names: Vec<String> = arguments.artifacts.iter().map(|path| path.display().to_string()).collect();
    let artifacts: Vec<(&str, &Path)> =
        names.iter().zip(&arguments.artifacts).map(|(name, path)| (name.as_str(), path.as_path())).collect();
    let sessions = artifacts.iter().map(|(_, path)| open(path)).collect::<Result<Vec<_>, _>>()?;
    let data = data::timing(&arguments.labelled)?;
    data::say_notes(&data.reading);
    let documents = &data.documents;
    let entries: Vec<f64> = (names.iter().zip(&sessions))
        .map(|(name, session)| {
            let examples = measure::encode(session, documents).map_err(|error| of_artifact(name, error))?;
            Ok(examples.view().entries() as f64 / examples.len() as f64)
        })
        .collect::<anyhow::Result<_>>()?;
    let of_tokens: Vec<bool> = sessions.iter().map(|session| session.encoder().tokens().is_some()).collect();
    drop(sessions);
    let threads: Vec<usize> = if threads > 1 { vec![1, threads] } else { vec![1] };
    let (began, mut told) = (Instant::now(), None);
    let speeds = measure::speeds::<MeasureError>(&artifacts, documents, &threads, pace, |call| {
        if began.elapsed() > QUIET && told.replace(call) != Some(call) {
            tell!("timing {call}");
        }
        Ok(())
    });
    let speeds = speeds.map_err(sort)?;
    let texts = format!("{}: {}", data.name, counted(documents.len(), "document"));
    if arguments.json {
        return print_json(&names, &speeds, (&entries, &of_tokens), &data.name, documents.len());
    }
    say!("texts of {texts}; {}", floors(&speeds));
    for (n, name) in names.iter().enumerate() {
        let Speed { text1_us, batch1_us, batch32_us, rows_per_s, .. } = speed(&speeds, n);
        let text = text1_us.unwrap_or_default();
        let rates: Vec<String> = rows_per_s.iter().map(|(n, rate)| format!("{rate:.0} on {n}")).collect();
        say!(
            "{name}: from text to answer {:.2} µs (p90 {:.2}, p99 {:.2}), texts a second by threads: {}; network alone: \
             batch 1 {:.2} µs, batch 32 {:.1} µs; {:.1} {} a row",
            text.p50,
            text.p90,
            text.p99,
            rates.join(", "),
            batch1_us.p50,
            batch32_us.p50,
            entries[n],
            if of_tokens[n] { "tokens" } else { "non-zeros" }
        );
        if entries[n] == 0.0 {
            say!("  it knows no feature of these texts, so what is timed are empty rows");
        }
        if n > 0 {
            say!("  beside {}: {}", names[0], beside(&versus(&speeds, n, names.len())));
        }
    }
    Ok(())
}

fn speed(speeds: &Speeds, n: usize) -> Speed {
    let percentiles = |call| speeds.percentiles(n, call);
    Speed {
        batch1_us: percentiles(Call::Row).unwrap_or_default(),
        batch32_us: percentiles(Call::Batch).unwrap_or_default(),
        text1_us: percentiles(Call::Text),
        rows_per_s: speeds.rates(n),
        rss_bytes: None,
    }
}

/// An artifact beside the first, as far as speed goes.
fn versus(speeds: &Speeds, n: usize, artifacts: usize) -> Versus {
    let among = speeds.kinds() * (artifacts - 1);
    let ratio = |call| speeds.speedup(call, n, 0, among);
    let versus = Versus {
        text1_speedup: ratio(Call::Text),
        rows_per_s_speedup: speeds.rate_speedups(n, 0, among),
        batch1_speedup: ratio(Call::Row).unwrap_or_default(),
        batch32_speedup: ratio(Call::Batch).unwrap_or_default(),
        ..Versus::default()
    };
    versus.judged(0.0)
}

/// The ratios with their intervals, and what they allow to say.
fn beside(versus: &Versus) -> String {
    let named = [("batch 1", &versus.batch1_speedup), ("batch 32", &versus.batch32_speedup)];
    let ratios = versus.text1_speedup.iter().map(|r| ("text", r)).chain(named).map(|(name, ratio)| {
        let interval = ratio.interval.map(|[low, high]| format!(" ({low:.2}–{high:.2})")).unwrap_or_default();
        format!("{name} {:.2}×{interval}", ratio.median)
    });
    format!("{}: {}", ratios.collect::<Vec<_>>().join(", "), verdict::speed(versus))
}

/// How far a file, opened again, differed from itself.
fn floors(speeds: &Speeds) -> String {
    let floor = |call| speeds.floor(call).map(|Floor { reopened, .. }| format!("{reopened:.3}×"));
    let named = [("text", Call::Text), ("batch 1", Call::Row), ("batch 32", Call::Batch)];
    let said: Vec<String> =
        named.into_iter().filter_map(|(name, call)| Some(format!("{name} {}", floor(call)?))).collect();
    format!("a file opened again differs from itself by up to {}", said.join(", "))
}

fn print_json(
    names: &[String],
    speeds: &Speeds,
    (entries, of_tokens): (&[f64], &[bool]),
    corpus: &str,
    documents: usize,
) -> anyhow::Result<()> {
    let result = |n: usize| {
        let Versus {
            text1_speedup, rows_per_s_speedup, batch1_speedup, batch32_speedup, faster, slower, ..
        } = versus(speeds, n, names.len().max(2));
        let mut result = serde_json::json!({
            "artifact": names[n], "speed": speed(speeds, n), "batch1_speedup": batch1_speedup,
            "batch32_speedup": batch32_speedup, "text1_speedup": text1_speedup,
            "rows_per_s_speedup": rows_per_s_speedup, "faster": n > 0 && faster, "slower": n > 0 && slower,
            "corpus": corpus, "documents": documents,
        });
        result[if of_tokens[n] { "tokens_per_row" } else { "nonzeros_per_row" }] = entries[n].into();
        result
    };
    let mut results: Vec<serde_json::Value> = (0..names.len()).map(result).collect();
    match results.len() {
        1 => say!("{}", results.remove(0)),
        _ => say!("{}", serde_json::Value::from(results)),
    }
    Ok(())
}

/// Serves some texts and prints the peak memory of the process.
pub(crate) fn rss(arguments: Rss) -> anyhow::Result<()> {
    let session = open(&arguments.artifact)?;
    let mut scratch = Scratch::default();
    let words: Vec<&str> = session.encoder().vocabulary().into_iter().flatten().take(64).collect();
    let text = words.join(" ");
    for _ in 0..100 {
        session.answer(&text, &mut scratch)?;
    }
    if let Some(bytes) = peak_rss() {
        say!("{bytes}");
    }
    Ok(())
}
