//! What scoring finds: the documents that can be scored, the answers to them, and what is told of both.

use nlpress::core::shown::shown;
use nlpress::eval::{Calibration, ClassScore, Confusion, Scores};
use nlpress::runtime::{IntegerScratch, Scratch, Session, integer};
use nlpress::text::corpus::{self, Scoring};
use nlpress::text::{AsInput, Coverage, Encode, TextInput};
use serde::Serialize;
use std::collections::BTreeMap;

use crate::arguments::UnknownLabels;
use crate::outcome::refuse;

/// Unknown labels, and places of each, that are named.
const NAMED: (usize, usize) = (10, 3);
/// Most classes of which the whole confusion matrix is told.
pub(super) const MATRIX: usize = 64;
/// Most mistakes that are told.
const MISTAKES: usize = 20;

/// The documents to score.
pub(super) struct Chosen {
    /// Their numbers in the data.
    pub(super) documents: Vec<usize>,
    /// Their classes: those of the session, and from there on the labels that it does not know.
    pub(super) labels: Vec<u32>,
    /// The labels that the session does not know and that are scored as wrong.
    strangers: Vec<String>,
    unknown: Unknown,
}

/// Documents whose label the artifact does not know.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Unknown {
    pub(super) documents: usize,
    /// Whether they count as wrong.
    pub(super) counted_as_wrong: bool,
    /// The most frequent of the labels.
    pub(super) labels: Vec<UnknownLabel>,
    /// All of them.
    pub(super) distinct: usize,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct UnknownLabel {
    pub(super) label: String,
    pub(super) documents: usize,
    /// Where the first few stand.
    pub(super) places: Vec<String>,
}

impl Chosen {
    /// Chooses documents by their labels.
    ///
    /// # Errors
    /// A refusal where the session knows none of the labels.
    pub(super) fn of(session: &Session, data: &Scoring, how: UnknownLabels) -> anyhow::Result<Self> {
        let mut known: BTreeMap<String, u32> = BTreeMap::new();
        for (class, label) in (0..).zip(session.labels()) {
            // Labels of files are read in this form; an artifact may be older than the form.
            if let Ok(form) = corpus::label(label) {
                known.entry(form.into_owned()).or_insert(class);
            }
        }
        for (class, label) in (0..).zip(session.labels()) {
            known.insert(label.clone(), class);
        }
        let classes: Vec<Option<u32>> = data.labels.iter().map(|l| known.get(l).copied()).collect();
        let mut chosen = Self {
            documents: Vec::new(),
            labels: Vec::new(),
            strangers: Vec::new(),
            unknown: Unknown::of(data, &classes, how == UnknownLabels::Wrong),
        };
        if chosen.unknown.documents == data.documents.len() {
            return Err(refuse(chosen.unknown.nothing_known(session, data)));
        }
        let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
        for (n, document) in data.documents.iter().enumerate() {
            let class = match (classes[document.label as usize], how) {
                (Some(class), _) => class,
                (None, UnknownLabels::Skip) => continue,
                (None, UnknownLabels::Wrong) => {
                    let strangers = &mut chosen.strangers;
                    *numbers.entry(document.label).or_insert_with(|| {
                        strangers.push(data.labels[document.label as usize].clone());
                        (session.labels().len() + strangers.len() - 1) as u32
                    })
                }
            };
            chosen.documents.push(n);
            chosen.labels.push(class);
        }
        Ok(chosen)
    }

    pub(super) fn inputs<'d>(&self, data: &'d Scoring) -> Vec<TextInput<'d>> {
        self.documents.iter().map(|n| data.documents[*n].as_input()).collect()
    }

    /// The name of a class.
    pub(super) fn name<'a>(&'a self, session: &'a Session, class: u32) -> &'a str {
        let (class, known) = (class as usize, session.labels());
        known.get(class).unwrap_or_else(|| &self.strangers[class - known.len()])
    }
}

impl Unknown {
    fn of(data: &Scoring, classes: &[Option<u32>], counted_as_wrong: bool) -> Self {
        let mut labels: Vec<UnknownLabel> = Vec::new();
        let mut at: BTreeMap<u32, usize> = BTreeMap::new();
        let mut documents = 0;
        for (document, place) in data.documents.iter().zip(&data.places) {
            if classes[document.label as usize].is_some() {
                continue;
            }
            documents += 1;
            let number = *at.entry(document.label).or_insert_with(|| {
                let label = data.labels[document.label as usize].clone();
                labels.push(UnknownLabel { label, documents: 0, places: Vec::new() });
                labels.len() - 1
            });
            labels[number].documents += 1;
            if labels[number].places.len() < NAMED.1 {
                labels[number].places.push(place.to_string());
            }
        }
        labels.sort_by(|a, b| b.documents.cmp(&a.documents).then_with(|| a.label.cmp(&b.label)));
        let distinct = labels.len();
        labels.truncate(NAMED.0);
        Self { documents, counted_as_wrong, labels, distinct }
    }

    /// The labels with the places where they stand first.
    pub(super) fn named(&self) -> String {
        let one = |l: &UnknownLabel| {
            let more = if l.documents > l.places.len() { ", …" } else { "" };
            format!("\"{}\" ({}{more})", shown(&l.label), l.places.join(", "))
        };
        let more = if self.distinct > self.labels.len() { ", …" } else { "" };
        format!("{}{more}", self.labels.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    fn nothing_known(&self, session: &Session, data: &Scoring) -> String {
        let known: Vec<String> =
            session.labels().iter().take(20).map(|l| format!("\"{}\"", shown(l))).collect();
        let more = if session.labels().len() > known.len() { ", …" } else { "" };
        let lower = |text: &str| text.to_lowercase();
        let case =
            data.labels.iter().any(|l| session.labels().iter().any(|k| k != l && lower(k) == lower(l)));
        let hint = if case { "; upper and lower case are told apart" } else { "" };
        format!(
            "{}: no document has a label that the artifact knows: it has {}, but the artifact knows {}{more}{hint}",
            data.name,
            self.named(),
            known.join(", ")
        )
    }
}

/// The answers of a session.
pub(super) struct Answers {
    logits: Vec<f32>,
    outputs: usize,
    pub(super) predictions: Vec<u32>,
    coverage: Coverage,
}

impl Answers {
    /// Asks a session, by several threads; in integers alone, logits are what the integers stand for.
    pub(super) fn of(
        session: &Session,
        texts: &[TextInput<'_>],
        integers: bool,
        threads: usize,
    ) -> anyhow::Result<Self> {
        let share = texts.len().div_ceil(threads).max(1);
        let parts = std::thread::scope(|scope| {
            let ask = |(n, texts)| {
                let work = move || match integers {
                    true => in_integers(session, texts),
                    false => in_floats(session, texts, n * share),
                };
                // Where the system gives no more threads, this one does the work.
                std::thread::Builder::new().spawn_scoped(scope, work).map_err(|_| work())
            };
            let parts: Vec<_> = texts.chunks(share).enumerate().map(ask).collect();
            let join = |part: Result<std::thread::ScopedJoinHandle<'_, _>, _>| match part.map(|p| p.join()) {
                Err(part) | Ok(Ok(part)) => part,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
            };
            parts.into_iter().map(join).collect::<anyhow::Result<Vec<_>>>()
        })?;
        let outputs = session.outline().graph.outputs();
        let mut all =
            Self { logits: Vec::new(), outputs, predictions: Vec::new(), coverage: Coverage::default() };
        for (logits, predictions, coverage) in parts {
            all.logits.extend(logits);
            all.predictions.extend(predictions);
            all.coverage.merge(&coverage);
        }
        Ok(all)
    }

    /// What the network made of the texts, `[texts, outputs]`.
    pub(super) fn into_outputs(self) -> Vec<f32> {
        self.logits
    }

    pub(super) fn scores(&self, labels: &[u32]) -> anyhow::Result<Scores> {
        Ok(Scores::with_unknown(self.predictions.clone(), &self.logits, self.outputs, labels)?)
    }

    /// The score of a document's prediction.
    pub(super) fn score(&self, document: usize) -> f32 {
        let logits = &self.logits[document * self.outputs..][..self.outputs];
        nlpress::eval::quality::probability(logits, self.predictions[document]) as f32
    }

    /// How far the scores are from being probabilities, on the documents whose label is a class.
    fn calibration(&self, labels: &[u32]) -> anyhow::Result<Calibration> {
        let classes = self.outputs.max(2);
        let known: Vec<usize> = (0..labels.len()).filter(|n| (labels[*n] as usize) < classes).collect();
        let logits: Vec<f32> =
            known.iter().flat_map(|n| &self.logits[n * self.outputs..][..self.outputs]).copied().collect();
        let of = |classes: &[u32]| known.iter().map(|n| classes[*n]).collect::<Vec<_>>();
        Ok(Calibration::of(&logits, self.outputs, &of(&self.predictions), &of(labels))?)
    }
}

type Part = (Vec<f32>, Vec<u32>, Coverage);

/// Of texts of which the first is number `first`.
fn in_floats(session: &Session, texts: &[TextInput<'_>], first: usize) -> anyhow::Result<Part> {
    let mut scratch = Scratch::default();
    let (mut logits, mut predictions, mut coverage) = (Vec::new(), Vec::new(), Coverage::default());
    for (row, text) in (first..).zip(texts) {
        let found = session.answer(text, &mut scratch).map_err(|e| e.in_row(row))?;
        logits.extend_from_slice(found);
        predictions.push(session.class(found) as u32);
        coverage.add(scratch.seen());
    }
    Ok((logits, predictions, coverage))
}

fn in_integers(session: &Session, texts: &[TextInput<'_>]) -> anyhow::Result<Part> {
    let integers = session.in_integers().map_err(|e| anyhow::anyhow!("it cannot answer in integers: {e}"))?;
    let mut scratch = IntegerScratch::default();
    let (mut logits, mut predictions, mut coverage) = (Vec::new(), Vec::new(), Coverage::default());
    for text in texts {
        let found = integers.logits(text, &mut scratch)?;
        logits.extend(found.iter().map(|logit| *logit as f32 / integer::ONE as f32));
        predictions.push(integers.class(found) as u32);
        coverage.add(scratch.seen());
    }
    Ok((logits, predictions, coverage))
}

/// What is told of the answers, beside the quality.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    /// Documents scored.
    pub(super) documents: usize,
    pub(super) unknown_labels: Unknown,
    pub(super) majority: Majority,
    /// The one class that was predicted, where the documents have several.
    pub(super) predicts_only: Option<String>,
    /// The score above which the second class is predicted, where it is not one half.
    pub(super) threshold: Option<f64>,
    pub(super) classes: Vec<Class>,
    /// Documents by label (rows) and prediction (columns), classes in the order of `classes`; none for very many.
    pub(super) confusion: Option<Vec<Vec<u64>>>,
    /// The most frequent mistakes.
    pub(super) mistakes: Vec<NamedMistake>,
    pub(super) calibration: Calibration,
    pub(super) coverage: Coverage,
    pub(super) advice: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Class {
    pub(super) label: String,
    #[serde(flatten)]
    pub(super) score: ClassScore,
}

/// A model that always says the most frequent label.
#[derive(Debug, Serialize)]
pub(super) struct Majority {
    pub(super) label: String,
    pub(super) accuracy: f64,
    pub(super) macro_f1: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct NamedMistake {
    pub(super) label: String,
    pub(super) predicted: String,
    pub(super) documents: u64,
}

impl Found {
    pub(super) fn of(session: &Session, chosen: &Chosen, answers: &Answers) -> anyhow::Result<Self> {
        let confusion = Confusion::of(&answers.predictions, &chosen.labels)?;
        let classes = (session.labels().len() + chosen.strangers.len()) as u32;
        let name = |class: u32| chosen.name(session, class).to_owned();
        let (class, accuracy) = confusion.majority();
        let always = vec![class; chosen.labels.len()];
        let majority = Majority {
            label: name(class),
            accuracy,
            macro_f1: nlpress::eval::quality::macro_f1(&always, &chosen.labels)?,
        };
        let matrix = || (0..classes).map(|l| (0..classes).map(|p| confusion.count(l, p)).collect()).collect();
        let mistakes = confusion.mistakes(MISTAKES).into_iter().map(|m| NamedMistake {
            label: name(m.label),
            predicted: name(m.predicted),
            documents: m.documents,
        });
        Ok(Self {
            documents: chosen.documents.len(),
            unknown_labels: chosen.unknown.clone(),
            majority,
            predicts_only: confusion.only_prediction().map(name),
            threshold: session.threshold(),
            classes: (0..classes).map(|c| Class { label: name(c), score: confusion.class(c) }).collect(),
            confusion: (classes as usize <= MATRIX).then(matrix),
            mistakes: mistakes.collect(),
            calibration: answers.calibration(&chosen.labels)?,
            advice: session.encoder().advice(&answers.coverage),
            coverage: answers.coverage,
        })
    }
}
