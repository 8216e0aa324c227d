//! What scoring found, for people.

use nlpress::core::shown::{counted, escaped};
use nlpress::eval::Regression;
use serde_json::Value;

use super::found::{Class, Found, Unknown};
use crate::outcome::say;

/// Most classes that the table shows; of more, the worst.
const CLASSES: usize = 30;
/// Most classes that the matrix shows; of more, the mistakes stand in its place.
const MATRIX: usize = 12;
/// Longest name of a class, in characters.
const NAME: usize = 24;

pub(super) fn show(found: &Found, quality: &Value) -> anyhow::Result<()> {
    say!("{}", counted(found.documents, "document"));
    if let Some(sentence) = unknown(&found.unknown_labels, found.documents) {
        say!("{sentence}");
    }
    for (name, value) in quality.as_object().into_iter().flatten() {
        let number = |v: &Value| v.as_f64().unwrap_or(f64::NAN);
        let (low, high) = (number(&value["ci95"][0]), number(&value["ci95"][1]));
        say!("{name:<10} {:.4}  (95 % interval {low:.4} to {high:.4})", number(&value["mean"]));
    }
    let majority = &found.majority;
    say!(
        "majority   {:.4}  (accuracy of always saying \"{}\"; its macro-F1 is {:.4})",
        majority.accuracy,
        escaped(&majority.label),
        majority.macro_f1
    );
    say!(
        "ece        {:.4}  (calibration error of the predicted class's score; Brier score {:.4})",
        found.calibration.ece,
        found.calibration.brier
    );
    if let Some(threshold) = found.threshold {
        let second = found.classes.get(1).map_or_else(String::new, |c| escaped(&c.label).to_string());
        say!("threshold  {threshold:.4}  (\"{second}\" is predicted where its score is greater)");
    }
    let coverage = &found.coverage;
    say!(
        "unknown    {:.1} % of the tokens; {} of {} have no known word",
        100.0 * coverage.share_unknown(),
        coverage.documents_without,
        counted(coverage.documents, "document")
    );
    if let Some(label) = &found.predicts_only {
        say!("it predicts one class only: \"{}\"", escaped(label));
    }
    if let Some(advice) = &found.advice {
        say!("{advice}");
    }
    classes(found)?;
    matrix(found)
}

fn unknown(unknown: &Unknown, scored: usize) -> Option<String> {
    if unknown.documents == 0 {
        return None;
    }
    let all = if unknown.counted_as_wrong { scored } else { scored + unknown.documents };
    let has = if unknown.documents == 1 { "has" } else { "have" };
    let how = if unknown.counted_as_wrong {
        "counted as wrong"
    } else {
        "left out (--unknown-labels wrong counts them as wrong)"
    };
    let labels = if unknown.distinct == 1 { "a label" } else { "labels" };
    Some(format!(
        "{} of {} {has} {labels} the artifact does not know, {how}: {}",
        unknown.documents,
        counted(all, "document"),
        unknown.named()
    ))
}

fn classes(found: &Found) -> anyhow::Result<()> {
    let mut classes: Vec<&Class> = found.classes.iter().collect();
    if classes.len() > CLASSES {
        classes.retain(|c| c.score.support + c.score.predicted > 0);
        let f1 = |c: &Class| c.score.f1.unwrap_or(0.0);
        classes.sort_by(|a, b| f1(a).total_cmp(&f1(b)));
        let all = classes.len();
        classes.truncate(CLASSES);
        say!("\nthe {} classes of the lowest F1, of {all}", classes.len());
    } else {
        say!("");
    }
    let names: Vec<String> = classes.iter().map(|c| name(&c.label)).collect();
    let width = widest(&names).max("class".len());
    say!("{:<width$}  precision  recall      F1  documents  predicted", "class");
    for (class, name) in classes.iter().zip(&names) {
        let s = &class.score;
        let share = |x: Option<f64>| x.map_or("–".into(), |x| format!("{x:.4}"));
        say!(
            "{name:<width$}  {:>9}  {:>6}  {:>6}  {:>9}  {:>9}",
            share(s.precision),
            share(s.recall),
            share(s.f1),
            s.support,
            s.predicted
        );
    }
    Ok(())
}

/// The confusion matrix, or of many classes the most frequent mistakes.
fn matrix(found: &Found) -> anyhow::Result<()> {
    let Some(rows) = found.confusion.as_ref().filter(|rows| rows.len() <= MATRIX) else {
        if !found.mistakes.is_empty() {
            say!("\nmost frequent mistakes");
        }
        for m in found.mistakes.iter().take(10) {
            say!("{:>6} × \"{}\" taken for \"{}\"", m.documents, name(&m.label), name(&m.predicted));
        }
        return Ok(());
    };
    let names: Vec<String> = found.classes.iter().map(|c| name(&c.label)).collect();
    let first = widest(&names).max("label".len());
    let counts = rows.iter().flatten().map(|n| n.to_string().len()).max().unwrap_or(1);
    let widths: Vec<usize> = names.iter().map(|n| n.chars().count().max(counts)).collect();
    let cells = |cells: &mut dyn Iterator<Item = String>| {
        cells.zip(&widths).map(|(cell, &width)| format!("  {cell:>width$}")).collect::<String>()
    };
    say!("\nlabels (rows) and predictions (columns)");
    say!("{:<first$}{}", "label", cells(&mut names.iter().cloned()));
    for (name, row) in names.iter().zip(rows) {
        say!("{name:<first$}{}", cells(&mut row.iter().map(u64::to_string)));
    }
    Ok(())
}

fn widest(names: &[String]) -> usize {
    names.iter().map(|n| n.chars().count()).max().unwrap_or(0)
}

/// A label on one line, cut where it is long.
fn name(label: &str) -> String {
    let label = escaped(label).to_string();
    match label.char_indices().nth(NAME) {
        Some((at, _)) => format!("{}…", &label[..at]),
        None => label,
    }
}

/// Prints the measures of regression.
pub(in crate::commands) fn show_regression(found: &Regression) -> anyhow::Result<()> {
    let told = |of: Option<f64>| {
        of.map_or_else(|| "–  (one side is the same everywhere)".into(), |r| format!("{r:.4}"))
    };
    say!("mean squared error   {:.4}", found.mse);
    say!("mean absolute error  {:.4}", found.mae);
    say!("Pearson              {}", told(found.pearson));
    say!("Spearman             {}", told(found.spearman));
    Ok(())
}
