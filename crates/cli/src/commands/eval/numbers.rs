//! How near the scores of an artifact are to numbers.

use nlpress::core::shown::counted;
use nlpress::eval::Regression;
use nlpress::graph::Output;
use nlpress::runtime::Session;
use nlpress::text::{AsInput, TextInput};
use std::path::Path;

use super::found::Answers;
use super::shown::show_regression;
use crate::arguments::{Eval, UnknownLabels};
use crate::commands::open;
use crate::data;
use crate::outcome::{refuse, say};

/// Scores an artifact whose network makes one score.
pub(super) fn eval(arguments: &Eval, session: &Session) -> anyhow::Result<()> {
    let artifact = &arguments.answering.artifact;
    let of_classes = [
        ("--errors", arguments.errors.is_some()),
        ("--unknown-labels", arguments.unknown_labels == UnknownLabels::Wrong),
        ("--integers", arguments.answering.integers),
    ];
    if let Some((option, _)) = of_classes.iter().find(|(_, is_there)| *is_there) {
        let why = "its network makes scores of no classes";
        return Err(refuse(format!("{}: {why}: leave {option} out", artifact.display())));
    }
    let (data, reading) = data::numbered_scoring(&arguments.labelled)?;
    data::say_notes(&reading);
    let inputs: Vec<TextInput<'_>> = data.documents.iter().map(AsInput::as_input).collect();
    let threads = data::threads(arguments.threads);
    let ours = scores(session, artifact, &inputs, threads)?;
    let found = Regression::of(&ours, &data.numbers)?;
    let against = arguments.against.as_ref().map(|path| -> anyhow::Result<_> {
        let other = open(path)?;
        let theirs = scores(&other, path, &inputs, threads)?;
        Ok((Regression::of(&theirs, &data.numbers)?, Regression::of(&ours, &theirs)?))
    });
    let against = against.transpose()?;
    if arguments.json {
        let mut json = serde_json::json!({ "documents": found.documents, "quality": found });
        if let Some((its, between)) = against {
            json["against"] = serde_json::json!({ "quality": its, "difference": between });
        }
        say!("{json}");
        return Ok(());
    }
    say!("{}", counted(found.documents, "document"));
    show_regression(&found)?;
    if let Some((its, between)) = against {
        say!("\nthe other artifact");
        show_regression(&its)?;
        say!("\nbetween the two");
        show_regression(&between)?;
    }
    Ok(())
}

/// The score that a session gives each input.
fn scores(
    session: &Session,
    path: &Path,
    inputs: &[TextInput<'_>],
    threads: usize,
) -> anyhow::Result<Vec<f32>> {
    let named = |why: &dyn std::fmt::Display| refuse(format!("{}: {why}", path.display()));
    let graph = &session.outline().graph;
    match (graph.output, graph.outputs()) {
        (Output::Scores, 1) => {}
        (Output::Scores, several) => return Err(named(&format!("it makes {several} scores, not one"))),
        _ => return Err(named(&"its network makes no score")),
    }
    let answers = Answers::of(session, inputs, false, threads).map_err(|e| named(&e))?;
    Ok(answers.into_outputs())
}
