//! The documents that were classified wrongly, as a file.

use nlpress::runtime::Session;
use nlpress::text::corpus::Scoring;
use serde::Serialize;
use std::path::Path;

use super::found::{Answers, Chosen};
use crate::outcome::refuse;

/// How the file is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    Jsonl,
    Csv,
}

/// A document and what was said of it.
#[derive(Debug, Serialize)]
pub(super) struct Wrong<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<&'a str>,
    label: &'a str,
    predicted: &'a str,
    /// The score of the prediction.
    score: f32,
    /// File and line.
    place: String,
}

impl Format {
    /// The format that a file's extension names.
    pub(super) fn of(path: &Path) -> anyhow::Result<Self> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("jsonl" | "ndjson") => Ok(Self::Jsonl),
            Some("csv") => Ok(Self::Csv),
            _ => Err(refuse(format!("--errors {}: its name must end in .jsonl or .csv", path.display()))),
        }
    }
}

/// The wrong documents, in their order.
pub(super) fn wrong<'a>(
    session: &'a Session,
    data: &'a Scoring,
    chosen: &'a Chosen,
    answers: &Answers,
) -> Vec<Wrong<'a>> {
    let mut all = Vec::new();
    for (n, (&document, &label)) in chosen.documents.iter().zip(&chosen.labels).enumerate() {
        let predicted = answers.predictions[n];
        if predicted != label {
            all.push(Wrong {
                text: &data.documents[document].text,
                pair: data.documents[document].pair.as_deref(),
                label: chosen.name(session, label),
                predicted: chosen.name(session, predicted),
                score: answers.score(n),
                place: data.places[document].to_string(),
            });
        }
    }
    all
}

/// The bytes of the file; a file of no errors has its header, which says `is_pairs` whether there are second texts.
pub(super) fn written(wrong: &[Wrong<'_>], is_pairs: bool, format: Format) -> anyhow::Result<Vec<u8>> {
    match format {
        Format::Jsonl => {
            let mut bytes = Vec::new();
            for row in wrong {
                serde_json::to_writer(&mut bytes, row)?;
                bytes.push(b'\n');
            }
            Ok(bytes)
        }
        Format::Csv => {
            let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
            let pair = is_pairs.then_some("pair");
            writer.write_record(["text"].into_iter().chain(pair).chain([
                "label",
                "predicted",
                "score",
                "place",
            ]))?;
            wrong.iter().try_for_each(|row| writer.serialize(row))?;
            Ok(writer.into_inner()?)
        }
    }
}
