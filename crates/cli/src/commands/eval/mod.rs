//! `nlpress eval`: how good an artifact's answers to labelled text are, and where they are wrong.
//!
//! It scores what it is given. A label that the artifact does not know is counted, with the places of the first few
//! documents that have it; only where no label is known is there nothing to score. Embeddings are scored by what they find.

mod embeddings;
mod errors;
mod found;
mod numbers;
mod shown;

use nlpress::core::shown::shown;
use nlpress::core::{Seed, files};
use nlpress::eval::{Bootstrap, Quality};
use nlpress::graph::Output;
use std::path::Path;

use super::open;
use crate::arguments::Eval;
use crate::data;
use crate::outcome::{refuse, say, sort};
use found::{Answers, Chosen, Found};
pub(super) use shown::show_regression;

pub(crate) fn eval(arguments: Eval) -> anyhow::Result<()> {
    let errors =
        arguments.errors.as_deref().map(|path| Ok::<_, anyhow::Error>((path, errors::Format::of(path)?)));
    let errors = errors.transpose()?;
    check_outputs(&arguments)?;
    let session = open(&arguments.answering.artifact)?;
    if session.labels().is_empty() {
        return match session.outline().graph.output {
            Output::Scores => numbers::eval(&arguments, &session),
            _ => embeddings::eval(&arguments, &session),
        };
    }
    let data = data::scoring(&arguments.labelled)?;
    data::say_notes(&data.reading);
    let chosen = Chosen::of(&session, &data, arguments.unknown_labels)?;
    let threads = data::threads(arguments.threads);
    let texts = chosen.inputs(&data);
    let named = |path: &Path, e: anyhow::Error| refuse(format!("{}: {e}", path.display()));
    let answers = Answers::of(&session, &texts, arguments.answering.integers, threads)
        .map_err(|e| named(&arguments.answering.artifact, e))?;
    let scores = answers.scores(&chosen.labels).map_err(|e| named(&arguments.answering.artifact, e))?;
    let reference = match &arguments.against {
        None => scores.predictions.clone(),
        Some(path) => {
            let other = open(path)?;
            if other.labels() != session.labels() {
                let [its, ours] = [&other, &session].map(|s| listed(s.labels()));
                return Err(refuse(format!(
                    "{}: its labels are {its}, those of {} are {ours}",
                    path.display(),
                    arguments.answering.artifact.display()
                )));
            }
            Answers::of(&other, &texts, false, threads).map_err(|e| named(path, e))?.predictions
        }
    };
    let bootstrap = Bootstrap::new(Seed(0));
    let quality = Quality::of(std::slice::from_ref(&scores), &chosen.labels, &[reference], &bootstrap)?;
    let mut quality = serde_json::to_value(quality)?;
    if let (None, Some(object)) = (&arguments.against, quality.as_object_mut()) {
        object.remove("agreement");
    }
    if let Some((path, format)) = errors {
        let wrong = errors::wrong(&session, &data, &chosen, &answers);
        let bytes = errors::written(&wrong, arguments.labelled.layout.pair_column.is_some(), format)?;
        files::write_atomically(path, &bytes).map_err(|e| crate::outcome::of_file(path, e))?;
    }
    let found = Found::of(&session, &chosen, &answers)?;
    if arguments.json {
        let mut json = serde_json::to_value(&found)?;
        json["quality"] = quality;
        say!("{json}");
    } else {
        shown::show(&found, &quality)?;
    }
    Ok(())
}

/// Labels for a message.
fn listed(labels: &[String]) -> String {
    const MOST: usize = 10;
    let more = if labels.len() > MOST { ", …" } else { "" };
    let shown: Vec<String> = labels.iter().take(MOST).map(|label| format!("\"{}\"", shown(label))).collect();
    format!("{}{more}", shown.join(", "))
}

/// The file of errors must not replace what is read.
fn check_outputs(arguments: &Eval) -> anyhow::Result<()> {
    let Some(errors) = &arguments.errors else { return Ok(()) };
    let mut outputs =
        files::Outputs::new().input("ARTIFACT", &arguments.answering.artifact).output("--errors", errors);
    for (name, file) in arguments.labelled.files() {
        outputs = outputs.input(name, file);
    }
    if let Some(against) = &arguments.against {
        outputs = outputs.input("--against", against);
    }
    outputs.check().map_err(sort)
}
