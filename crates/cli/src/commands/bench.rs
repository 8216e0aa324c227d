//! `nlpress bench`, and the hidden `nlpress rss`.

use nlpress::eval::{Pace, peak_rss};
use nlpress::pipeline::measure::{self, Served};
use nlpress::pipeline::report::Speed;
use nlpress::runtime::{Scratch, Session};
use std::time::Duration;

use crate::arguments::{Bench, Rss};
use crate::data;
use crate::outcome::{refuse, say};

pub(crate) fn bench(arguments: Bench) -> anyhow::Result<()> {
    let data = data::scoring(&arguments.labelled, Some("embedded"))?;
    data::say_notes(&data.reading);
    let pace = Pace::new(arguments.rounds, 200, 20).map_err(refuse)?;
    let open = |path: &std::path::PathBuf| {
        let session = Session::open(path).map_err(refuse)?;
        let rows = measure::encode(&session, &data.documents);
        anyhow::Ok((session, rows))
    };
    let sessions = arguments.artifacts.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut subjects: Vec<(String, Served<'_>)> = arguments
        .artifacts
        .iter()
        .zip(&sessions)
        .map(|(path, (session, rows))| (path.display().to_string(), Served::new(session, rows, &data.documents)))
        .collect();
    let timings = measure::time(&mut subjects, pace).map_err(refuse)?;
    let threads =
        arguments.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let threads: Vec<usize> = if threads > 1 { vec![1, threads] } else { vec![1] };
    let mut results = Vec::new();
    for (i, timing) in timings.iter().enumerate() {
        let (session, rows) = &sessions[i];
        let speed = Speed {
            batch1_us: timing.one.percentiles,
            batch32_us: timing.batch.percentiles,
            text1_us: timing.text.as_ref().map(|t| t.percentiles),
            rows_per_s: measure::rates(session, &data.documents, &threads, Duration::from_millis(300))
                .map_err(refuse)?,
            rss_bytes: None,
        };
        let (one, many) =
            (timing.one.speedup_over(&timings[0].one)?, timing.batch.speedup_over(&timings[0].batch)?);
        let nonzeros = rows.nonzeros() as f64 / rows.len() as f64;
        results.push(serde_json::json!({
            "artifact": timing.name, "speed": speed, "batch1_speedup": one, "batch32_speedup": many,
            "nonzeros_per_row": nonzeros,
        }));
        if !arguments.json {
            say!(
                "{}: batch 1 {:.2} µs (p90 {:.2}, p99 {:.2}), batch 32 {:.1} µs, {:.2}x the first's speed; {nonzeros:.0} non-zeros a row",
                timing.name,
                speed.batch1_us.p50,
                speed.batch1_us.p90,
                speed.batch1_us.p99,
                speed.batch32_us.p50,
                one.median
            );
        }
    }
    match (arguments.json, results.as_slice()) {
        (true, [only]) => say!("{only}"),
        (true, many) => say!("{}", serde_json::Value::from(many.to_vec())),
        (false, _) => {}
    }
    Ok(())
}

/// Serves some texts and prints the peak memory of the process.
pub(crate) fn rss(arguments: Rss) -> anyhow::Result<()> {
    let session = Session::open(&arguments.artifact).map_err(refuse)?;
    let mut scratch = Scratch::default();
    let words: Vec<&str> = session.encoder().words().iter().take(64).map(|w| &**w).collect();
    let text = words.join(" ");
    for _ in 0..100 {
        session.score(&text, &mut scratch)?;
    }
    if let Some(bytes) = peak_rss() {
        say!("{bytes}");
    }
    Ok(())
}
