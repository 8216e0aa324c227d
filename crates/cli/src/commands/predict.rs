//! `nlpress predict`.

use nlpress::runtime::{IntegerScratch, Session, integer};
use std::io::{BufRead, Write};

use crate::arguments::Predict;
use crate::outcome::refuse;

/// Lines, and bytes of them, that are read before they are answered together.
const CHUNK: (usize, usize) = (4096, 1 << 20);
/// Longest line of standard input, in bytes.
const LONGEST: usize = 16 << 20;

pub(crate) fn predict(arguments: Predict) -> anyhow::Result<()> {
    let session = Session::open(&arguments.artifact).map_err(refuse)?;
    if !arguments.texts.is_empty() {
        return answer(&session, &arguments.texts, &arguments);
    }
    let mut input = std::io::stdin().lock();
    let (mut line, mut texts, mut held, mut bytes) = (0, Vec::new(), 0, Vec::new());
    loop {
        bytes.clear();
        let read = std::io::Read::take(&mut input, LONGEST as u64 + 1).read_until(b'\n', &mut bytes)?;
        line += 1;
        if read > LONGEST {
            return Err(refuse(format!("standard input:{line}: the line is longer than {LONGEST} bytes")));
        }
        if read > 0 {
            let text = std::str::from_utf8(&bytes)
                .map_err(|e| refuse(format!("standard input:{line}: it is not UTF-8: {e}")))?;
            held += read;
            texts.push(text.trim_end_matches(['\n', '\r']).to_owned());
        }
        if (read == 0 && !texts.is_empty()) || texts.len() == CHUNK.0 || held >= CHUNK.1 {
            answer(&session, &texts, &arguments)?;
            texts.clear();
            held = 0;
        }
        if read == 0 {
            return Ok(());
        }
    }
}

fn answer(session: &Session, texts: &[String], arguments: &Predict) -> anyhow::Result<()> {
    if arguments.integers {
        return answer_in_integers(session, texts, arguments);
    }
    let predictions = session.predict_many(texts, arguments.threads).map_err(refuse)?;
    let mut out = std::io::stdout().lock();
    for prediction in predictions {
        if arguments.json {
            let scores: serde_json::Map<String, serde_json::Value> =
                session.labels().iter().cloned().zip(prediction.scores.iter().map(|s| (*s).into())).collect();
            writeln!(out, "{}", serde_json::json!({ "label": prediction.label, "scores": scores }))?;
        } else {
            writeln!(out, "{}\t{:.4}", prediction.label, prediction.scores[prediction.class])?;
        }
    }
    Ok(())
}

fn answer_in_integers(session: &Session, texts: &[String], arguments: &Predict) -> anyhow::Result<()> {
    let integers = session.in_integers();
    let integers = integers.map_err(|e| {
        refuse(format!("{}: it cannot answer in integers: {e}", arguments.artifact.display()))
    })?;
    let mut scratch = IntegerScratch::default();
    let mut out = std::io::stdout().lock();
    for text in texts {
        let logits = integers.logits(text, &mut scratch);
        let class = integer::class(logits);
        let label = &session.labels()[class];
        let real = |logit: i64| logit as f64 / integer::ONE as f64;
        if arguments.json {
            let logits: Vec<f64> = logits.iter().map(|logit| real(*logit)).collect();
            writeln!(out, "{}", serde_json::json!({ "label": label, "logits": logits }))?;
        } else {
            writeln!(out, "{label}\t{:.4}", real(logits[class.min(logits.len() - 1)]))?;
        }
    }
    Ok(())
}
