//! How good an artifact's embeddings are: whether they find documents of the same label, and how near they stay to those of
//! another artifact.

use nlpress::core::shown::counted;
use nlpress::eval::{Fidelity, Retrieval};
use nlpress::runtime::Session;
use nlpress::text::corpus::Scoring;
use nlpress::text::{AsInput, TextInput};
use serde::Serialize;
use std::path::Path;

use super::found::Answers;
use crate::arguments::{Eval, UnknownLabels};
use crate::commands::{MOST_PAIRED, open};
use crate::data;
use crate::outcome::{refuse, say};

/// Most documents that are embedded: each is compared with every other.
const MOST: usize = 10_000;

/// What is told.
#[derive(Debug, Serialize)]
struct Found {
    /// Documents that were embedded, spread evenly over those that there are.
    documents: usize,
    of_documents: usize,
    labels: usize,
    quality: Quality,
}

#[derive(Debug, Serialize)]
struct Quality {
    #[serde(flatten)]
    retrieval: Retrieval,
    /// The same of the artifact that it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Against>,
}

#[derive(Debug, Serialize)]
struct Against {
    #[serde(flatten)]
    fidelity: Fidelity,
    retrieval: Retrieval,
}

pub(super) fn eval(arguments: &Eval, session: &Session) -> anyhow::Result<()> {
    let artifact = &arguments.answering.artifact;
    let without = |option: &str| {
        let why = "its network makes embeddings, which name no class";
        Err(refuse(format!("{}: {why}: leave {option} out", artifact.display())))
    };
    if arguments.errors.is_some() {
        return without("--errors");
    }
    if arguments.unknown_labels == UnknownLabels::Wrong {
        return without("--unknown-labels");
    }
    if arguments.answering.integers {
        return without("--integers");
    }
    let data = data::scoring(&arguments.labelled)?;
    data::say_notes(&data.reading);
    let all = data.documents.len();
    let chosen: Vec<usize> = (0..all.min(MOST)).map(|n| n * all / all.min(MOST)).collect();
    let labels: Vec<u32> = chosen.iter().map(|n| data.documents[*n].label).collect();
    let threads = data::threads(arguments.threads);
    let ours = Embedded::of((session, artifact), (&data, &chosen), threads)?;
    let retrieval = ours.retrieval(&labels, threads)?;
    let against = arguments.against.as_ref().map(|path| {
        let other = open(path)?;
        if !other.labels().is_empty() {
            return Err(refuse(format!(
                "{}: its network makes logits of classes, not embeddings",
                path.display()
            )));
        }
        let theirs = Embedded::of((&other, path), (&data, &chosen), threads)?;
        let fidelity =
            Fidelity::of((&ours.numbers, ours.width), (&theirs.numbers, theirs.width), MOST_PAIRED)?;
        Ok(Against { fidelity, retrieval: theirs.retrieval(&labels, threads)? })
    });
    let found = Found {
        documents: chosen.len(),
        of_documents: all,
        labels: data.labels.len(),
        quality: Quality { retrieval, against: against.transpose()? },
    };
    if arguments.json {
        say!("{}", serde_json::to_value(&found)?);
        return Ok(());
    }
    show(&found)
}

/// Embeddings `[documents, width]`.
struct Embedded<'a> {
    of: &'a Path,
    numbers: Vec<f32>,
    width: usize,
}

impl<'a> Embedded<'a> {
    fn of(
        (session, of): (&Session, &'a Path),
        (data, chosen): (&Scoring, &[usize]),
        threads: usize,
    ) -> anyhow::Result<Self> {
        let texts: Vec<TextInput<'_>> = chosen.iter().map(|n| data.documents[*n].as_input()).collect();
        let answers = Answers::of(session, &texts, false, threads);
        let answers = answers.map_err(|e| refuse(format!("{}: {e}", of.display())))?;
        Ok(Self { of, numbers: answers.into_outputs(), width: session.outline().graph.outputs() })
    }

    fn retrieval(&self, labels: &[u32], threads: usize) -> anyhow::Result<Retrieval> {
        let found = Retrieval::of(&self.numbers, self.width, labels, threads);
        found.map_err(|e| refuse(format!("{}: {e}", self.of.display())))
    }
}

fn show(found: &Found) -> anyhow::Result<()> {
    let Quality { retrieval, against } = &found.quality;
    let of = match found.of_documents == found.documents {
        true => String::new(),
        false => format!(" of {}, spread evenly", found.of_documents),
    };
    say!(
        "{}{of}, {}; {} ask for others of their label",
        counted(found.documents, "document"),
        counted(found.labels, "label"),
        retrieval.queries
    );
    lines("", retrieval)?;
    let Some(Against { fidelity, retrieval }) = against else { return Ok(()) };
    say!("\nagainst the other artifact");
    if let Some(cosine) = fidelity.cosine {
        say!("cosine         {:.5} on average, {:.5} at least", cosine.mean, cosine.least);
    } else {
        say!("cosine         –  (the embeddings differ in width)");
    }
    match fidelity.spearman {
        Some(rho) => {
            say!(
                "Spearman       {rho:.5}  (of the similarities of all pairs of {} documents)",
                fidelity.documents
            )
        }
        None => say!("Spearman       –  (one of them says the same of all pairs)"),
    }
    lines("its ", retrieval)
}

fn lines(whose: &str, retrieval: &Retrieval) -> anyhow::Result<()> {
    let Retrieval { ndcg_at_10, recall_at_10, recall_at_100, precision_at_1, .. } = retrieval;
    for (name, value) in [
        ("nDCG@10", ndcg_at_10),
        ("recall@10", recall_at_10),
        ("recall@100", recall_at_100),
        ("nearest", precision_at_1),
    ] {
        let name = format!("{whose}{name}");
        say!("{name:<15}{value:.4}");
    }
    Ok(())
}
