//! `nlpress predict`: the class of each text, as a line of text or of JSON.

use nlpress::core::shown::escaped;
use nlpress::graph::Output;
use nlpress::runtime::{Explainer, IntegerScratch, IntegerSession, RuntimeError, Scratch, Session, integer};
use serde::Serialize;
use std::io::Write;

use super::open;
use crate::arguments::Predict;
use crate::commands::texts::{self, Asked};
use crate::outcome::refuse;

/// What stands in a column of text that has no answer.
const NONE: &str = "-";

pub(crate) fn predict(arguments: Predict) -> anyhow::Result<()> {
    let session = open(&arguments.answering.artifact)?;
    texts::answer(&Answers::new(&session, &arguments)?, &arguments.texts)
}

/// Answers texts in the form that was asked for.
struct Answers<'s> {
    session: &'s Session,
    /// The artifact's file, for messages.
    file: String,
    integers: Option<IntegerSession<'s>>,
    explainer: Option<Explainer<'s>>,
    /// Whether its network makes scores as they are, of no classes.
    makes_scores: bool,
    form: Form,
    /// The labels on one line each, and as JSON.
    labels: Vec<(String, String)>,
}

/// What is printed of an answer.
struct Form {
    json: bool,
    top: Option<usize>,
    /// Classes of a lower score are not said.
    threshold: Option<f32>,
    known: bool,
    explain: usize,
    with_text: bool,
    pairs: bool,
    with_id: bool,
}

/// Memory that is used again.
#[derive(Default)]
struct Room {
    scratch: Scratch,
    integers: IntegerScratch,
    scores: Vec<f32>,
    order: Vec<usize>,
}

#[derive(Serialize)]
struct Share<'a> {
    word: &'a str,
    amount: f32,
}

/// A label in a column of text, where one of a dash alone must not look like no answer.
fn told(label: &str) -> String {
    if label == NONE { "\\u{2d}".into() } else { escaped(label).to_string() }
}

impl<'s> Answers<'s> {
    fn new(session: &'s Session, arguments: &Predict) -> anyhow::Result<Self> {
        let named =
            |e: &dyn std::fmt::Display| refuse(format!("{}: {e}", arguments.answering.artifact.display()));
        let integers = match arguments.answering.integers {
            false => None,
            true => Some(
                session.in_integers().map_err(|e| named(&format!("it cannot answer in integers: {e}")))?,
            ),
        };
        let explainer = match arguments.explain {
            None => None,
            Some(_) => Some(session.explainer().map_err(|e| named(&e))?),
        };
        let makes_scores = session.outline().graph.output == Output::Scores;
        let of_classes = [
            ("--top", arguments.top.is_some()),
            ("--threshold", arguments.threshold.is_some()),
            ("--integers", arguments.answering.integers),
        ];
        if let Some((option, _)) = of_classes.iter().find(|(_, is_there)| makes_scores && *is_there) {
            return Err(named(&format!(
                "its network makes scores of no classes, and {option} is for classes"
            )));
        }
        let pairs = arguments.texts.pairs || arguments.texts.rows.layout.pair_column.is_some();
        if arguments.explain.is_some() && pairs {
            return Err(named(&"--explain is for one text, not for pairs"));
        }
        let form = Form {
            json: arguments.json,
            top: arguments.top.map(|k| k.min(session.labels().len())),
            threshold: arguments.threshold,
            known: arguments.known,
            explain: arguments.explain.unwrap_or(0),
            with_text: arguments.with_text,
            pairs,
            with_id: arguments.texts.rows.id_column.is_some(),
        };
        let labels = session.labels().iter();
        let labels = labels.map(|l| (told(l), serde_json::Value::from(l.as_str()).to_string()));
        let file = arguments.answering.artifact.display().to_string();
        Ok(Self { session, file, integers, explainer, makes_scores, form, labels: labels.collect() })
    }

    fn text(&self, asked: Asked<'_>, class: usize, room: &mut Room, out: &mut Vec<u8>) -> anyhow::Result<()> {
        if let Some(id) = asked.id {
            write!(out, "{}\t", escaped(id))?;
        }
        for (n, class) in self.said(class, room).into_iter().enumerate() {
            let tab = if n > 0 { "\t" } else { "" };
            let score = self.score(class, &room.scores);
            let label = if self.is_sure(score) { self.labels[class].0.as_str() } else { NONE };
            write!(out, "{tab}{label}\t{score:.4}")?;
        }
        if self.form.known {
            write!(out, "\t{}", self.seen(room).0)?;
        }
        if self.form.explain > 0 {
            out.push(b'\t');
            for (n, share) in self.shares(asked, class, room)?.iter().enumerate() {
                let comma = if n > 0 { ", " } else { "" };
                write!(out, "{comma}\"{}\" {:+.4}", escaped(share.word), share.amount)?;
            }
        }
        self.texts(asked, out)
    }

    fn json(&self, asked: Asked<'_>, class: usize, room: &mut Room, out: &mut Vec<u8>) -> anyhow::Result<()> {
        out.push(b'{');
        if let Some(id) = asked.id {
            out.extend(b"\"id\":");
            serde_json::to_writer(&mut *out, id)?;
            out.push(b',');
        }
        let sure = self.is_sure(self.score(class, &room.scores));
        let label = if sure { self.labels[class].1.as_str() } else { "null" };
        write!(out, "\"label\":{label}")?;
        if self.integers.is_some() {
            out.extend(b",\"logits\":[");
            for (n, logit) in room.scores.iter().enumerate() {
                write!(out, "{}{}", if n > 0 { "," } else { "" }, f64::from(*logit))?;
            }
            out.push(b']');
        } else {
            out.extend(b",\"scores\":{");
            for (n, ((_, label), score)) in self.labels.iter().zip(&room.scores).enumerate() {
                write!(out, "{}{label}:{}", if n > 0 { "," } else { "" }, f64::from(*score))?;
            }
            out.push(b'}');
        }
        if self.form.top.is_some() {
            out.extend(b",\"top\":[");
            for (n, class) in self.said(class, room).into_iter().enumerate() {
                let score = self.score(class, &room.scores);
                if self.is_sure(score) {
                    let (comma, label) = (if n > 0 { "," } else { "" }, &self.labels[class].1);
                    write!(out, "{comma}{{\"label\":{label},\"score\":{}}}", f64::from(score))?;
                }
            }
            out.push(b']');
        }
        let (known, tokens) = self.seen(room);
        write!(out, ",\"known\":{known},\"tokens\":{tokens}")?;
        if self.form.explain > 0 {
            out.extend(b",\"explain\":");
            serde_json::to_writer(&mut *out, &self.shares(asked, class, room)?)?;
        }
        self.end_json(asked, out)
    }

    /// The texts behind an answer, where they are to be printed.
    fn texts(&self, asked: Asked<'_>, out: &mut Vec<u8>) -> anyhow::Result<()> {
        for text in [Some(asked.text), asked.pair].into_iter().flatten().filter(|_| self.form.with_text) {
            write!(out, "\t{}", escaped(text))?;
        }
        Ok(())
    }

    /// The same of an answer in JSON, and its end.
    fn end_json(&self, asked: Asked<'_>, out: &mut Vec<u8>) -> anyhow::Result<()> {
        for (key, text) in [("text", Some(asked.text)), ("pair", asked.pair)] {
            if let Some(text) = text.filter(|_| self.form.with_text) {
                write!(out, ",\"{key}\":")?;
                serde_json::to_writer(&mut *out, text)?;
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// The scores of a network that has no classes.
    fn write_scores(&self, asked: Asked<'_>, room: &mut Room, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let scores = self.session.answer(&asked.input(), &mut room.scratch);
        let scores = scores.map_err(|e| refuse(self.unanswered(asked, &e)))?.to_vec();
        let (known, tokens) = self.seen(room);
        if self.form.json {
            out.push(b'{');
            if let Some(id) = asked.id {
                write!(out, "\"id\":{},", serde_json::to_string(id)?)?;
            }
            write!(out, "\"scores\":{}", serde_json::to_string(&scores)?)?;
            write!(out, ",\"known\":{known},\"tokens\":{tokens}")?;
            self.end_json(asked, out)?;
        } else {
            if let Some(id) = asked.id {
                write!(out, "{}\t", escaped(id))?;
            }
            let told: Vec<String> = scores.iter().map(|score| format!("{score:.4}")).collect();
            write!(out, "{}", told.join("\t"))?;
            if self.form.known {
                write!(out, "\t{known}")?;
            }
            self.texts(asked, out)?;
        }
        out.push(b'\n');
        Ok(())
    }

    /// The classes to print: the answer, or with `--top` the answer and then the others by their scores.
    fn said(&self, class: usize, room: &mut Room) -> Vec<usize> {
        let Some(most) = self.form.top else { return vec![class] };
        let Room { scores, order, .. } = room;
        order.clear();
        order.extend((0..scores.len()).filter(|other| *other != class));
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        std::iter::once(class).chain(order.iter().copied()).take(most).collect()
    }

    /// Why a text has no answer: of which artifact, and which text where it is one of many.
    fn unanswered(&self, asked: Asked<'_>, error: &RuntimeError) -> String {
        let place = asked.place.map(|place| format!("{place}: ")).unwrap_or_default();
        match error {
            RuntimeError::NotFinite { class, value, .. } => format!(
                "{place}{}: logit {class} is {value}: the model's numbers are too large to compute with",
                self.file
            ),
            other => format!("{place}{}: {other}", self.file),
        }
    }

    /// The score of a class, or the logit that speaks for it.
    fn score(&self, class: usize, scores: &[f32]) -> f32 {
        scores[class.min(scores.len() - 1)]
    }

    fn is_sure(&self, score: f32) -> bool {
        self.form.threshold.is_none_or(|threshold| score >= threshold)
    }

    /// Known words of the text last answered, and its tokens.
    fn seen(&self, room: &Room) -> (u32, u32) {
        let seen = if self.integers.is_some() { room.integers.seen() } else { room.scratch.seen() };
        (seen.known, seen.tokens)
    }

    fn shares(&self, asked: Asked<'_>, class: usize, room: &mut Room) -> anyhow::Result<Vec<Share<'s>>> {
        let Some(explainer) = &self.explainer else { return Ok(Vec::new()) };
        let all = explainer.explain(asked.text, class, &mut room.scratch);
        let all = all.map_err(|e| refuse(self.unanswered(asked, &e)))?;
        Ok(all
            .into_iter()
            .take(self.form.explain)
            .map(|c| Share { word: c.word, amount: c.amount })
            .collect())
    }
}

impl texts::Answers for Answers<'_> {
    type Room = Room;

    const COMMAND: &'static str = "predict";

    fn write(&self, asked: Asked<'_>, room: &mut Room, out: &mut Vec<u8>) -> anyhow::Result<()> {
        if self.makes_scores {
            return self.write_scores(asked, room, out);
        }
        let class = match &self.integers {
            Some(integers) => {
                let logits = integers.logits(&asked.input(), &mut room.integers);
                let logits = logits.map_err(|e| refuse(self.unanswered(asked, &e)))?;
                room.scores.clear();
                room.scores.extend(logits.iter().map(|logit| *logit as f32 / integer::ONE as f32));
                integers.class(logits)
            }
            None => {
                let answer = self.session.classify(&asked.input(), &mut room.scratch);
                let answer = answer.map_err(|e| refuse(self.unanswered(asked, &e)))?;
                room.scores.clear();
                room.scores.extend_from_slice(answer.scores);
                answer.class
            }
        };
        if self.form.json {
            self.json(asked, class, room, out)?
        } else {
            self.text(asked, class, room, out)?
        }
        out.push(b'\n');
        Ok(())
    }

    fn write_bad(&self, line: u64, why: &str, out: &mut Vec<u8>) -> anyhow::Result<()> {
        if self.form.json {
            writeln!(out, "{}", serde_json::json!({ "line": line, "error": why }))?;
            return Ok(());
        }
        let form = &self.form;
        let answers = match self.makes_scores {
            true => self.session.outline().graph.outputs(),
            false => 2 * form.top.unwrap_or(1),
        };
        let columns = answers
            + usize::from(form.with_id)
            + usize::from(form.known)
            + usize::from(form.explain > 0)
            + usize::from(form.with_text) * (1 + usize::from(form.pairs));
        writeln!(out, "{}", vec![NONE; columns].join("\t"))?;
        Ok(())
    }
}
