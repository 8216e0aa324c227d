//! What was found, in a table: accuracies on the test documents, bytes, and differences with their noise.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::peers::aligned;

/// Half of a 95 % interval, in standard errors.
const TWO_SIDED: f64 = 1.96;
/// Points that are a clear difference.
const CLEAR: f64 = 1.0;
/// Points below scikit-learn that are allowed.
const NEAR: f64 = 0.5;

/// A model's name, its bytes, and its answers to the test documents.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub(super) form: String,
    pub(super) bytes: u64,
    pub(super) answers: Vec<String>,
}

/// What was said: models, or why there is none.
#[derive(Debug, PartialEq)]
pub(super) enum Answers {
    /// The best of them counts.
    Rows(Vec<Row>),
    /// Not installed; the packages to install.
    Missing(String),
    /// It raised an error.
    Failed(String),
}

/// Who searched, for how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// Ours at this size.
    Ours(u64),
    /// Ours at a quarter of this size.
    Quarter(u64),
    /// fastText's automatic tuning at this size.
    Fasttext(u64),
    /// scikit-learn at any size.
    Sklearn,
}

/// A model of one seed.
#[derive(Debug)]
struct Made {
    form: String,
    bytes: u64,
    right: Vec<bool>,
}

/// All that one search gave on a corpus: its best model for each seed.
#[derive(Debug)]
struct Cell {
    corpus: String,
    who: Who,
    made: Vec<Made>,
    /// Forms that were not the best: name, bytes, accuracy.
    others: Vec<(String, u64, f64)>,
    /// Why there is none, for some seed.
    failed: Vec<String>,
}

/// Points of accuracy between two, and half of their 95 % interval over the test documents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Difference {
    points: f64,
    noise: f64,
}

/// Everything that was found.
#[derive(Debug)]
pub(super) struct Found {
    minutes: f64,
    threads: usize,
    seeds: u32,
    cells: Vec<Cell>,
    missing: Vec<String>,
}

impl Made {
    fn accuracy(&self) -> f64 {
        self.right.iter().filter(|right| **right).count() as f64 / self.right.len().max(1) as f64
    }
}

impl Cell {
    fn accuracy(&self) -> Option<f64> {
        let sum: f64 = self.made.iter().map(Made::accuracy).sum();
        (!self.made.is_empty()).then(|| sum / self.made.len() as f64)
    }

    /// The largest of its files.
    fn bytes(&self) -> u64 {
        self.made.iter().map(|made| made.bytes).max().unwrap_or(0)
    }

    /// The share of the seeds that are right about a document.
    fn right(&self, document: usize) -> f64 {
        let right = self.made.iter().filter(|made| made.right[document]).count();
        right as f64 / self.made.len() as f64
    }

    /// By how much this one is better, document by document.
    fn beyond(&self, other: &Self) -> Option<Difference> {
        let n = self.made.first()?.right.len().min(other.made.first()?.right.len());
        let differences: Vec<f64> = (0..n).map(|d| self.right(d) - other.right(d)).collect();
        let mean = differences.iter().sum::<f64>() / n as f64;
        let squares = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>();
        let error = (squares / (n.max(2) - 1) as f64 / n as f64).sqrt();
        Some(Difference { points: 100.0 * mean, noise: 100.0 * TWO_SIDED * error })
    }
}

impl Difference {
    fn no_worse(self) -> bool {
        self.points >= -self.noise
    }

    fn text(self) -> String {
        format!("{:+.2} ± {:.2}", self.points, self.noise)
    }
}

impl Found {
    pub(super) const fn new(minutes: f64, threads: usize, seeds: u32) -> Self {
        Self { minutes, threads, seeds, cells: Vec::new(), missing: Vec::new() }
    }

    /// Takes in what one search said about a corpus whose test documents have these labels.
    ///
    /// # Errors
    /// When there are more or fewer answers than labels.
    pub(super) fn add(&mut self, corpus: &str, who: Who, said: Answers, labels: &[String]) -> Result<()> {
        let same = |cell: &&mut Cell| cell.corpus == corpus && cell.who == who;
        let cell = match self.cells.iter_mut().find(same) {
            Some(cell) => cell,
            None => {
                let (corpus, made, others, failed) = (corpus.to_owned(), vec![], vec![], vec![]);
                self.cells.push(Cell { corpus, who, made, others, failed });
                self.cells.last_mut().expect("one was just added")
            }
        };
        let rows = match said {
            Answers::Rows(rows) => rows,
            Answers::Failed(why) => {
                cell.failed.push(why);
                return Ok(());
            }
            Answers::Missing(packages) => {
                let line = format!("not installed: pip install {packages}");
                if !self.missing.contains(&line) {
                    self.missing.push(line);
                }
                return Ok(());
            }
        };
        let mut best: Option<Made> = None;
        for Row { form, bytes, answers } in rows {
            if answers.len() != labels.len() {
                let (given, wanted) = (answers.len(), labels.len());
                bail!("{corpus}: {form}: {given} answers to {wanted} test documents");
            }
            let right = answers.iter().zip(labels).map(|(answer, label)| answer == label).collect();
            let made = Made { form, bytes, right };
            match &best {
                Some(before) if before.accuracy() >= made.accuracy() => {
                    cell.others.push((made.form.clone(), made.bytes, made.accuracy()));
                }
                _ => {
                    let before = best.replace(made);
                    cell.others.extend(before.map(|m| (m.form.clone(), m.bytes, m.accuracy())));
                }
            }
        }
        cell.made.extend(best);
        Ok(())
    }

    /// What raised an error, and where.
    pub(super) fn failed(&self) -> Vec<String> {
        let told = |cell: &Cell| {
            let place = format!("{}: {}", cell.corpus, cell.who.name());
            cell.failed.iter().map(move |why| format!("{place}: {why}")).collect::<Vec<_>>()
        };
        self.cells.iter().flat_map(told).collect()
    }

    fn cell(&self, corpus: &str, who: Who) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.corpus == corpus && cell.who == who)
    }

    fn difference(&self, corpus: &str, a: Who, b: Who) -> Option<Difference> {
        self.cell(corpus, a)?.beyond(self.cell(corpus, b)?)
    }

    /// Corpora and sizes, in the order in which they came.
    fn pairs(&self) -> Vec<(&str, u64)> {
        let mut pairs: Vec<(&str, u64)> = Vec::new();
        for cell in &self.cells {
            if let Who::Ours(bytes) = cell.who
                && !pairs.contains(&(&cell.corpus, bytes))
            {
                pairs.push((&cell.corpus, bytes));
            }
        }
        pairs
    }

    /// Everything, for people.
    pub(super) fn text(&self) -> String {
        let heads = ["", "", "nlpress", "", "at a quarter", "", "fastText", "", "scikit-learn"];
        let differences = ["nlpress −", "quarter −", "nlpress −"];
        let units = ["corpus", "bytes", "%", "bytes", "%", "bytes", "%", "bytes", "%"];
        let against = ["fastText", "fastText", "scikit-learn"];
        let row = |cells: &[&[&str]]| cells.concat().iter().map(|c| (*c).to_owned()).collect();
        let mut cells: Vec<Vec<String>> = vec![row(&[&heads, &differences]), row(&[&units, &against])];
        cells.extend(self.pairs().into_iter().map(|(corpus, bytes)| self.line(corpus, bytes)));
        let mut out = format!(
            "{} minutes, {} threads, {} for each search; ± is half of a 95 % interval over the test documents\n\n",
            self.minutes,
            self.threads,
            if self.seeds == 1 { "1 seed".to_owned() } else { format!("{} seeds", self.seeds) }
        );
        let lines = aligned(&cells).into_iter().chain([String::new()]).chain(self.verdicts());
        let rest =
            self.missing.iter().cloned().chain(self.failed().into_iter().map(|f| format!("failed: {f}")));
        lines.chain(rest).for_each(|line| out += &format!("{line}\n"));
        out
    }

    fn line(&self, corpus: &str, bytes: u64) -> Vec<String> {
        let none = || "–".to_owned();
        let percent = |cell: &Cell| cell.accuracy().map(|a| format!("{:.2}", 100.0 * a));
        let mut line = vec![corpus.to_owned(), bytes.to_string()];
        for who in [Who::Ours(bytes), Who::Quarter(bytes), Who::Fasttext(bytes)] {
            let cell = self.cell(corpus, who);
            line.push(cell.and_then(percent).unwrap_or_else(none));
            let most = if who == Who::Quarter(bytes) { bytes / super::QUARTER } else { bytes };
            let over = |cell: &Cell| if cell.bytes() > most { " (too large)" } else { "" };
            line.push(cell.map_or_else(none, |cell| format!("{}{}", cell.bytes(), over(cell))));
        }
        line.push(self.cell(corpus, Who::Sklearn).and_then(percent).unwrap_or_else(none));
        for (a, b) in against(bytes) {
            line.push(self.difference(corpus, a, b).map_or_else(none, Difference::text));
        }
        line
    }

    /// For each size, on how many corpora which bound is kept.
    fn verdicts(&self) -> Vec<String> {
        let pairs = self.pairs();
        let mut sizes: Vec<u64> = pairs.iter().map(|(_, bytes)| *bytes).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let told = |bytes: u64| {
            let of_size = |n: usize| {
                let (a, b) = against(bytes)[n];
                let corpora = pairs.iter().filter(|(_, size)| *size == bytes);
                corpora.filter_map(|(corpus, _)| self.difference(corpus, a, b)).collect::<Vec<_>>()
            };
            let count = |n: usize, kept: fn(&Difference) -> bool| {
                let differences = of_size(n);
                format!("{} of {}", differences.iter().filter(|d| kept(d)).count(), differences.len())
            };
            format!(
                "{bytes} bytes: no worse than fastText within the noise on {} corpora, better by {CLEAR} point or more on {}; \
                 at a quarter of the bytes no worse on {}; no more than {NEAR} points below scikit-learn on {}",
                count(0, |d| d.no_worse()),
                count(0, |d| d.points >= CLEAR),
                count(1, |d| d.no_worse()),
                count(2, |d| d.points >= -NEAR),
            )
        };
        sizes.into_iter().map(told).collect()
    }

    /// Everything, for programs.
    pub(super) fn json(&self) -> Value {
        let cells =
            self.cells.iter().map(|cell| {
                let made = cell.made.iter().map(
                    |made| json!({ "form": made.form, "bytes": made.bytes, "accuracy": made.accuracy() }),
                );
                let others = cell.others.iter().map(
                    |(form, bytes, accuracy)| json!({ "form": form, "bytes": bytes, "accuracy": accuracy }),
                );
                json!({
                    "corpus": cell.corpus, "who": cell.who.name(), "max_bytes": cell.who.bytes(),
                    "accuracy": cell.accuracy(), "made": made.collect::<Vec<_>>(),
                    "others": others.collect::<Vec<_>>(), "failed": cell.failed,
                })
            });
        let differences = self.pairs().into_iter().map(|(corpus, bytes)| {
            let [same, quarter, sklearn] = against(bytes).map(|(a, b)| self.difference(corpus, a, b));
            json!({
                "corpus": corpus, "max_bytes": bytes, "nlpress_minus_fasttext": same,
                "quarter_minus_fasttext": quarter, "nlpress_minus_sklearn": sklearn,
            })
        });
        json!({
            "minutes": self.minutes, "threads": self.threads, "seeds": self.seeds,
            "cells": cells.collect::<Vec<_>>(), "differences": differences.collect::<Vec<_>>(),
            "verdicts": self.verdicts(), "not_installed": self.missing,
        })
    }
}

/// What is held against what at a size: ours and a quarter against fastText, ours against scikit-learn.
const fn against(bytes: u64) -> [(Who, Who); 3] {
    [
        (Who::Ours(bytes), Who::Fasttext(bytes)),
        (Who::Quarter(bytes), Who::Fasttext(bytes)),
        (Who::Ours(bytes), Who::Sklearn),
    ]
}

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::Ours(_) => "nlpress",
            Self::Quarter(_) => "nlpress at a quarter",
            Self::Fasttext(_) => "fastText",
            Self::Sklearn => "scikit-learn",
        }
    }

    /// The limit that it kept or was to keep.
    const fn bytes(self) -> Option<u64> {
        match self {
            Self::Ours(bytes) | Self::Fasttext(bytes) => Some(bytes),
            Self::Quarter(bytes) => Some(bytes / super::QUARTER),
            Self::Sklearn => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model that is right about the first documents of a hundred, all of whose labels are `a`.
    fn right(n: usize, bytes: u64) -> Row {
        let answers = (0..100).map(|i| if i < n { "a" } else { "b" }.to_owned()).collect();
        Row { form: format!("right {n}"), bytes, answers }
    }

    fn found(seeds: &[[usize; 3]], sklearn: &[usize]) -> Found {
        let labels = vec!["a".to_owned(); 100];
        let mut found = Found::new(0.5, 2, seeds.len() as u32);
        for (seed, [ours, quarter, theirs]) in seeds.iter().enumerate() {
            let sides = [
                (Who::Ours(400), *ours, 390),
                (Who::Quarter(400), *quarter, 101),
                (Who::Fasttext(400), *theirs, 450 + seed as u64),
            ];
            for (who, n, bytes) in sides {
                found.add("c", who, Answers::Rows(vec![right(n, bytes)]), &labels).unwrap();
            }
        }
        let forms = sklearn.iter().map(|n| right(*n, 9000)).collect();
        found.add("c", Who::Sklearn, Answers::Rows(forms), &labels).unwrap();
        found
    }

    #[test]
    fn seeds_are_averaged_and_the_best_form_counts() {
        let found = found(&[[90, 80, 86], [92, 80, 86]], &[88, 93, 91]);
        let accuracy = |who| found.cell("c", who).unwrap().accuracy().unwrap();
        assert!((accuracy(Who::Ours(400)) - 0.91).abs() < 1e-12);
        assert_eq!(accuracy(Who::Sklearn), 0.93);
        let others = &found.cell("c", Who::Sklearn).unwrap().others;
        assert_eq!(others.iter().map(|o| o.2).collect::<Vec<_>>(), [0.88, 0.91]);
        assert_eq!(found.cell("c", Who::Fasttext(400)).unwrap().bytes(), 451);
    }

    #[test]
    fn noise_is_that_of_the_documents() {
        // Better about 4 documents of 100 and worse about none: d is 1 four times, else 0.
        let found = found(&[[90, 86, 86]], &[90]);
        let difference = found.difference("c", Who::Ours(400), Who::Fasttext(400)).unwrap();
        let expected = 1.96 * (0.04_f64 * 0.96 * 100.0 / 99.0 / 100.0).sqrt() * 100.0;
        assert!((difference.points - 4.0).abs() < 1e-9 && (difference.noise - expected).abs() < 1e-9);
        assert!(difference.no_worse() && Difference { points: -1.0, noise: 1.5 }.no_worse());
        assert!(!Difference { points: -1.0, noise: 0.5 }.no_worse());
        let same = found.difference("c", Who::Quarter(400), Who::Fasttext(400)).unwrap();
        assert_eq!(same, Difference { points: 0.0, noise: 0.0 });
    }

    #[test]
    fn the_table_marks_what_is_too_large_and_counts_what_holds() {
        let text = found(&[[90, 70, 86]], &[90]).text();
        let row = text.lines().find(|line| line.starts_with("c ")).unwrap();
        assert!(row.contains("450 (too large)") && row.contains("101 (too large)"), "{text}");
        assert!(!row.contains("390 (too large)") && row.contains("+4.00 ± 3.86"), "{text}");
        let verdict = text.lines().find(|line| line.starts_with("400 bytes: ")).unwrap();
        assert!(verdict.contains("on 1 of 1 corpora, better by 1 point or more on 1 of 1"), "{verdict}");
        assert!(verdict.contains("no worse on 0 of 1") && verdict.ends_with("on 1 of 1"), "{verdict}");
    }

    #[test]
    fn who_is_not_there_or_fails_is_named_and_leaves_a_gap() {
        let labels = vec!["a".to_owned(); 100];
        let mut found = Found::new(0.5, 2, 1);
        found.add("c", Who::Ours(400), Answers::Rows(vec![right(50, 1)]), &labels).unwrap();
        found.add("c", Who::Fasttext(400), Answers::Failed("E: no luck".into()), &labels).unwrap();
        found.add("c", Who::Sklearn, Answers::Missing("scikit-learn".into()), &labels).unwrap();
        let text = found.text();
        assert!(text.contains("failed: c: fastText: E: no luck"), "{text}");
        assert!(text.contains("not installed: pip install scikit-learn"), "{text}");
        assert!(text.lines().any(|line| line.starts_with("c ") && line.ends_with('–')), "{text}");
        assert_eq!(found.failed(), ["c: fastText: E: no luck"]);
        assert!(found.json()["differences"][0]["nlpress_minus_fasttext"].is_null());
    }

    #[test]
    fn json_has_the_numbers_of_the_table() {
        let json = found(&[[90, 80, 86]], &[93, 88]).json();
        assert_eq!(json["cells"][0]["made"][0]["accuracy"], 0.9);
        assert_eq!(json["cells"][1]["max_bytes"], 100);
        assert_eq!(json["cells"][3]["others"][0]["form"], "right 88");
        let points = &json["differences"][0]["nlpress_minus_fasttext"]["points"];
        assert!((points.as_f64().unwrap() - 4.0).abs() < 1e-9, "{points}");
        assert_eq!(json["verdicts"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn as_many_answers_as_documents() {
        let labels = vec!["a".to_owned(); 99];
        let error = Found::new(1.0, 1, 1).add("c", Who::Ours(400), Answers::Rows(vec![right(1, 1)]), &labels);
        assert!(error.unwrap_err().to_string().contains("100 answers to 99"));
    }
}
