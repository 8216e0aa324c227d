//! Times an encoder's artifact as `cargo xtask bench peers --encoder` times other libraries: in a process of its own, on
//! documents that were tokenized before.
//!
//! `encoder_peer time ARTIFACT TOKENS.json THREADS DOCUMENTS [VECTORS.json]` prints one line of JSON about the first documents;
//! with vectors, which are those of the model in floats, also how near ours are. `encoder_peer tokens ARTIFACT TEXTS.jsonl COUNT` prints the token ids of the
//! first documents, `encoder_peer --instructions NAME …` uses none better than those of that name, and `encoder_peer vectors ARTIFACT TOKENS.json` their embeddings.
#![allow(clippy::print_stdout)]

use nlpress_runtime::{Scratch, Session};
use nlpress_text::{AnyEncoder, AnyScratch, Encode, Example, TokenRows};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["--instructions", most, ..] = words[..] {
        nlpress_runtime::limit_instructions(most)?;
        words.drain(..2);
    }
    match words[..] {
        ["time", artifact, tokens, threads, count, ref vectors @ ..] if vectors.len() < 2 => {
            time((artifact, tokens), threads.parse()?, count.parse()?, vectors.first().copied())
        }
        ["tokens", artifact, texts, count] => tokens(artifact, texts, count.parse()?),
        ["vectors", artifact, tokens] => {
            let session = Session::open(Path::new(artifact))?;
            let vectors = session.logits(&documents(&session, tokens, usize::MAX)?)?;
            println!("{}", serde_json::to_string(&vectors)?);
            Ok(())
        }
        _ => Err(
            "time ARTIFACT TOKENS THREADS DOCUMENTS [VECTORS], tokens ARTIFACT TEXTS COUNT, vectors ARTIFACT TOKENS"
                .into(),
        ),
    }
}

fn vocabulary(session: &Session) -> Result<usize, Failure> {
    match session.encoder() {
        AnyEncoder::Tokens(tokens) => Ok(tokens.width()),
        AnyEncoder::Bag(_) => Err("the artifact has no tokenizer".into()),
    }
}

fn rows(session: &Session, texts: &[Vec<u32>]) -> Result<TokenRows, Failure> {
    let mut offsets = vec![0];
    for text in texts {
        offsets.push(offsets[offsets.len() - 1] + text.len());
    }
    Ok(TokenRows::new(vocabulary(session)?, offsets, texts.concat(), Vec::new())?)
}

/// The first documents of the file.
fn documents(session: &Session, tokens: &str, count: usize) -> Result<TokenRows, Failure> {
    let mut texts: Vec<Vec<u32>> = serde_json::from_str(&std::fs::read_to_string(tokens)?)?;
    texts.truncate(count);
    rows(session, &texts)
}

fn tokens(artifact: &str, texts: &str, count: usize) -> Result<(), Failure> {
    let session = Session::open(Path::new(artifact))?;
    let mut scratch = AnyScratch::default();
    let mut all: Vec<Vec<u32>> = Vec::new();
    for line in std::fs::read_to_string(texts)?.lines().take(count) {
        let document: serde_json::Value = serde_json::from_str(line)?;
        let text = document["text"].as_str().ok_or("a document without text")?;
        match session.encoder().encode(text, &mut scratch)? {
            Example::Tokens(row) => all.push(row.ids.to_vec()),
            Example::Features(_) => return Err("the artifact has no tokenizer".into()),
        }
    }
    println!("{}", serde_json::to_string(&all)?);
    Ok(())
}

fn time(
    (artifact, tokens): (&str, &str),
    threads: usize,
    count: usize,
    vectors: Option<&str>,
) -> Result<(), Failure> {
    let begin = Instant::now();
    let session = Session::open(Path::new(artifact))?;
    let open_ms = milliseconds(begin);
    session.answer("The first text that is asked for.", &mut Scratch::default())?;
    let first_ms = milliseconds(begin);
    let documents = documents(&session, tokens, count)?;
    let found = session.logits_many(&documents, threads)?;
    let seconds = median(3, || session.logits_many(&documents, threads).map(|_| ()))?;
    let mut fixed = serde_json::Map::new();
    for (count, length) in [(1_usize, 16_usize), (1, 128), (32, 128)] {
        let texts: Vec<Vec<u32>> = (0..count)
            .map(|r| {
                let inner = (0..length - 2).map(|n| ((7 * n + 31 * r) % 20_000 + 1000) as u32);
                std::iter::once(101).chain(inner).chain([102]).collect()
            })
            .collect();
        let texts = rows(&session, &texts)?;
        let mut out = vec![0.0; count * session.outline().graph.outputs()];
        let mut scratch = session.scratch(threads)?;
        let repetitions = if count == 1 { 41 } else { 5 };
        let seconds = if threads == 1 || count == 1 {
            median(repetitions, || session.logits_rows(&texts, 0..count, &mut out, &mut scratch))?
        } else {
            median(repetitions, || session.logits_many(&texts, threads).map(|_| ()))?
        };
        fixed.insert(format!("{count}x{length}"), (1000.0 * seconds).into());
    }
    let rss_bytes = most_resident()?;
    let cosine = match vectors {
        None => serde_json::Value::Null,
        Some(path) => {
            let exact: Vec<f32> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
            nearness(&found, &exact, session.outline().graph.outputs())
        }
    };
    let answer = serde_json::json!({
        "documents_per_s": documents.len() as f64 / seconds, "ms": fixed, "open_ms": open_ms, "first_ms": first_ms,
        "file_bytes": std::fs::metadata(artifact)?.len(), "resident_bytes": session.resident_bytes(),
        "rss_bytes": rss_bytes, "cosine": cosine, "instructions": nlpress_runtime::encoder_instructions(),
    });
    println!("{answer}");
    Ok(())
}

fn milliseconds(since: Instant) -> f64 {
    1000.0 * since.elapsed().as_secs_f64()
}

fn median<E>(repetitions: usize, mut run: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut times = Vec::new();
    for _ in 0..=repetitions {
        let begin = Instant::now();
        run()?;
        times.push(begin.elapsed().as_secs_f64());
    }
    // The first warms up.
    times.remove(0);
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// The cosines between rows of two sets of vectors.
fn nearness(a: &[f32], b: &[f32], width: usize) -> serde_json::Value {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosines: Vec<f64> = (a.chunks(width).zip(b.chunks(width)))
        .map(|(a, b)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt())
        .collect();
    let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
    serde_json::json!({ "mean": mean, "least": cosines.iter().copied().fold(1.0, f64::min) })
}

/// The most memory that this process has held, where the system says so.
fn most_resident() -> Result<Option<u64>, Failure> {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return Ok(None) };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let Some(kilobytes) = line.and_then(|line| line.trim().strip_suffix(" kB")) else { return Ok(None) };
    Ok(Some(1024 * kilobytes.trim().parse::<u64>()?))
}
