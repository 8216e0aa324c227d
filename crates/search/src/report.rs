//! What a search found, as a page, as Markdown for a terminal, and as the recipe that makes the choice again.

use nlpress_core::shown::counted;
use nlpress_pipeline::report::escape;
use nlpress_pipeline::report::html::{figure, page};
use nlpress_pipeline::report::plot::{Point, scatter};
use serde_json::Value;
use std::fmt::Write as _;

use crate::candidate::{How, Loss, Steps, Training, features};
use crate::choose::{error_of_difference, fits, frontier};
use crate::found::{Found, Tested};
use crate::limits::{Limits, Metric};
use crate::trial::Trial;

/// One sentence: what to ship, and why.
pub fn advice(found: &Found, metric: &Metric) -> String {
    let chosen = &found.trials[found.choice.trial];
    let test = found.on_test(found.choice.trial);
    let on_test = test
        .map(|t| format!("{metric} {:.1} % on test (accuracy {})", 100.0 * t.score, percent(&t.accuracy)));
    let first = format!(
        "{}, {} bytes: {}; {}.",
        chosen.told,
        chosen.bytes,
        on_test.unwrap_or_default(),
        found.choice.why
    );
    match found.choice.missed.as_slice() {
        [] => format!("Ship {first}"),
        missed => format!("Nothing keeps the limits: {}. Nearest: {first}", missed.join("; ")),
    }
}

fn percent(estimate: &nlpress_eval::Estimate) -> String {
    let [low, high] = estimate.ci95.map(|x| 100.0 * x);
    format!("{:.1} ({low:.1}–{high:.1}) %", 100.0 * estimate.mean)
}

/// How much better the choice looked on validation than it is on test: choosing among many finds those that were lucky.
pub fn optimism(found: &Found) -> Option<f64> {
    let test = found.on_test(found.choice.trial)?;
    Some(100.0 * (found.trials[found.choice.trial].score - test.score))
}

/// Standard errors within which a difference may be chance.
const SURE: f64 = 1.96;

/// From this width of the 95 % interval of the accuracy on, it is said that there are few test documents.
const WIDE: f64 = 0.1;

const HEADS: [&str; 7] = [
    "candidate",
    "file, bytes",
    "validation, %",
    "folds",
    "test, %",
    "test accuracy, % (95 % interval)",
    "text to answer, µs",
];

fn cells(trial: &Trial, tested: Option<&Tested>) -> [String; 7] {
    [
        trial.told.clone(),
        trial.bytes.to_string(),
        format!("{:.2}", 100.0 * trial.score),
        trial.folds.to_string(),
        tested.map_or_else(String::new, |t| format!("{:.2}", 100.0 * t.score)),
        tested.map_or_else(String::new, |t| percent(&t.accuracy)),
        format!("{:.2}", tested.map_or(trial.latency_us, |t| t.latency_us)),
    ]
}

/// The frontier as a table in Markdown.
pub fn table(found: &Found) -> String {
    let mut out = format!("| | {} |\n|---|---|--:|--:|--:|--:|--:|--:|\n", HEADS.join(" | "));
    for tested in &found.tested {
        let mark = if tested.trial == found.choice.trial { "→" } else { "" };
        let cells = cells(&found.trials[tested.trial], Some(tested));
        let _ = writeln!(out, "| {mark} | {} |", cells.join(" | "));
    }
    out
}

/// A value of a kind of choice: the best validation score with it, how many candidates had it, and how many of those are on
/// the frontier.
struct Mattered {
    value: String,
    best: f64,
    candidates: usize,
    on_frontier: usize,
}

/// A kind of choice, its values with the best first, and whether it moved the result: its best value is better than what
/// all others reach by more than noise.
struct KindOfChoice {
    name: &'static str,
    values: Vec<Mattered>,
    points: f64,
    moved: bool,
}

/// Which choices moved the result, those first that moved it most.
fn what_mattered(found: &Found, limits: &Limits) -> Vec<KindOfChoice> {
    type Of = fn(&Trial) -> String;
    let kinds: [(&str, Of); 7] = [
        ("features", |t| features(&t.candidate.base.encoder)),
        ("the base's training", |t| match t.candidate.base.fit {
            Training::Optimum { cost } => format!("squared hinge, to the optimum at a cost of {cost}"),
            Training::Steps(Steps { loss: Loss::CrossEntropy, .. }) => "cross-entropy".into(),
            Training::Steps(Steps { loss: Loss::SquaredHinge, .. }) => "squared hinge, by steps".into(),
        }),
        ("network", |t| t.candidate.network()),
        ("learnt from", |t| match t.candidate.student.how {
            How::Tuned(Training::Optimum { .. }) => "labels, to the optimum".into(),
            How::Tuned(Training::Steps(_)) => "labels, from the base's weights".into(),
            How::Distilled { by_file: false, .. } => "the base and labels".into(),
            How::Distilled { by_file: true, .. } | How::Static { .. } => "the teacher and labels".into(),
            How::Frozen => "labels, behind the teacher's encoder".into(),
        }),
        ("words ranked by", |t| match (t.candidate.base.bag(), t.candidate.student.contribution) {
            (None, _) => "frequency".into(),
            (_, true) => "weight times value".into(),
            (_, false) => "weight".into(),
        }),
        ("numbers", |t| t.candidate.student.numbers.name().into()),
        ("connections pruned", |t| format!("{:.0} %", 100.0 * t.candidate.student.sparsity)),
    ];
    let fitting: Vec<&Trial> = found.trials.iter().filter(|t| fits(t, limits)).collect();
    let front: Vec<&Trial> = frontier(&found.trials).into_iter().map(|i| &found.trials[i]).collect();
    let mut mattered: Vec<KindOfChoice> =
        kinds.into_iter().filter_map(|(name, of)| mattered(name, of, &fitting, &front)).collect();
    mattered.sort_by(|a, b| b.moved.cmp(&a.moved).then(b.points.total_cmp(&a.points)));
    mattered
}

/// The values of one kind of choice; nothing where all candidates have one value.
fn mattered(
    name: &'static str,
    of: fn(&Trial) -> String,
    fitting: &[&Trial],
    front: &[&Trial],
) -> Option<KindOfChoice> {
    let mut values: Vec<Mattered> = Vec::new();
    for trial in fitting {
        let (value, on_front) = (of(trial), usize::from(front.iter().any(|f| f.path == trial.path)));
        match values.iter_mut().find(|m| m.value == value) {
            Some(m) => {
                m.best = m.best.max(trial.score);
                m.candidates += 1;
                m.on_frontier += on_front;
            }
            None => {
                values.push(Mattered { value, best: trial.score, candidates: 1, on_frontier: on_front });
            }
        }
    }
    values.sort_by(|a, b| b.best.total_cmp(&a.best));
    let best_of = |value: &str| {
        let with = fitting.iter().filter(|t| of(t) == value);
        with.max_by(|a, b| a.score.total_cmp(&b.score))
    };
    let (first, second) = (values.first()?, values.get(1)?);
    let noise = SURE * error_of_difference(best_of(&first.value)?, best_of(&second.value)?);
    let difference = first.best - second.best;
    Some(KindOfChoice { name, points: 100.0 * difference, moved: difference > noise, values })
}

/// The whole page.
pub fn html(found: &Found, name: &str, metric: &Metric, limits: &Limits) -> String {
    let mut body = format!("<p class=\"advice\">{}</p>\n", escape(&advice(found, metric)));
    for text in facts(found, metric, limits) {
        let _ = writeln!(body, "<p class=\"soft\">{}</p>", escape(&text));
    }
    let points: Vec<Point> = points(found);
    let caption = "Every candidate on validation documents: the frontier in green, the choice in black, the others in grey.";
    figure("Size and quality", caption, &scatter(&points, &metric.to_string()), &mut body);
    body += "<h2>The frontier</h2>\n";
    let rows = found.tested.iter().map(|t| (t.trial, cells(&found.trials[t.trial], Some(t))));
    rows_of(rows, found.choice.trial, &mut body);
    body += "<h2>What mattered</h2>\n<p class=\"soft\">For each kind of choice, the best validation score of candidates within \
             the limits on size and latency, and how many of them no other beats in size and quality. A kind moved the \
             result where its best value is better than the next by more than noise.</p>\n<dl>\n";
    for KindOfChoice { name, values, points, moved } in what_mattered(found, limits) {
        let verdict = match moved {
            true => format!("moved the result, {points:.2} points"),
            false => "cannot be told".to_owned(),
        };
        let values = values.iter().map(|Mattered { value, best, candidates, on_frontier }| {
            let count = counted(*candidates, "candidate");
            format!("{value}: {:.2} % ({count}, {on_frontier} on the frontier)", 100.0 * best)
        });
        let values = values.collect::<Vec<_>>().join("; ");
        let _ = writeln!(body, "<dt>{name} ({verdict})</dt><dd>{}</dd>", escape(&values));
    }
    body += "</dl>\n<h2>All candidates</h2>\n";
    rows_of(
        found.trials.iter().enumerate().map(|(i, t)| (i, cells(t, found.on_test(i)))),
        found.choice.trial,
        &mut body,
    );
    if !found.failed.is_empty() {
        body += "<h2>Could not be made</h2>\n<ul>\n";
        found.failed.iter().for_each(|why| body += &format!("<li>{}</li>\n", escape(why)));
        body += "</ul>\n";
    }
    page(&format!("nlpress fit: {name}"), &body)
}

/// The same sentence, its first letter a capital one.
fn capital(sentence: String) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `3 candidates were`.
fn were(count: usize, what: &str) -> String {
    format!("{} {}", counted(count, what), if count == 1 { "was" } else { "were" })
}

/// Says so where the validation documents are too few to tell the choice from others that keep the limits.
fn cannot_be_told(found: &Found, limits: &Limits) -> Option<String> {
    let chosen = &found.trials[found.choice.trial];
    let alike = |trial: &&Trial| {
        fits(trial, limits)
            && (trial.score - chosen.score).abs() <= SURE * error_of_difference(trial, chosen)
            && trial.path != chosen.path
    };
    let alike: Vec<&Trial> = found.trials.iter().filter(alike).collect();
    let smaller = alike.iter().filter(|trial| trial.bytes < chosen.bytes).count();
    (!alike.is_empty()).then(|| {
        format!(
            "Cannot be told: whether the choice is better or worse than {} within the limits ({smaller} of them smaller); \
             on {} the difference is within its noise.",
            counted(alike.len(), "other candidate"),
            counted(chosen.correct.len(), "validation document"),
        )
    })
}

/// What a reader needs to know about the numbers.
pub fn facts(found: &Found, metric: &Metric, limits: &Limits) -> Vec<String> {
    let mut facts = vec![format!(
        "{} from {} in {:.0} s{}. Chosen on validation documents; the test documents were looked at once, after the choice.",
        counted(found.trials.len(), "candidate"),
        counted(found.bases.len(), "base"),
        found.seconds,
        if found.stopped { ", stopped on request before the end" } else { "" }
    )];
    facts.extend(found.teacher.iter().map(|teacher| format!("{teacher}.")).map(capital));
    facts.extend(found.notes.iter().map(|note| format!("Data: {note}.")));
    if found.spared > 0 {
        facts.push(format!("{} not trained, foreseen to miss the limits.", were(found.spared, "candidate")));
    }
    if let [first, rest @ ..] = &found.failed[..] {
        let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
        facts.push(format!("Could not be made: {first}{more}."));
    }
    if let Some(alike) = cannot_be_told(found, limits) {
        facts.push(alike);
    }
    let wide = |t: &Tested| t.accuracy.ci95[1] - t.accuracy.ci95[0] > WIDE;
    if found.on_test(found.choice.trial).is_some_and(wide) {
        facts.push(
            "There are so few test documents that the interval of the accuracy is wide: which candidate is better cannot \
             be told from them."
                .into(),
        );
    }
    if let Some(points) = optimism(found) {
        let (points, than) = (points.abs(), if points < 0.0 { "lower" } else { "higher" });
        facts.push(format!(
            "Optimism of the choice: its {metric} is {points:.2} points {than} on validation than on test."
        ));
    }
    facts
}

fn points(found: &Found) -> Vec<Point> {
    let class = |i: usize| -> (&'static str, f64) {
        match i {
            i if i == found.choice.trial => ("baseline", 8.0),
            i if found.frontier.contains(&i) => ("distill", 6.0),
            _ => ("control", 4.0),
        }
    };
    let mut order: Vec<usize> = (0..found.trials.len()).collect();
    order.sort_by(|&a, &b| class(a).1.total_cmp(&class(b).1));
    let point = |i: usize| {
        let (trial, (class, radius)) = (&found.trials[i], class(i));
        let title = format!("{}: {:.2} %, {} bytes", trial.told, 100.0 * trial.score, trial.bytes);
        Point { bytes: trial.bytes, quality: trial.score, title, class, radius }
    };
    order.into_iter().map(point).collect()
}

fn rows_of(rows: impl Iterator<Item = (usize, [String; 7])>, chosen: usize, out: &mut String) {
    *out += "<div class=\"scroll\">\n<table>\n<thead><tr>";
    for (n, head) in HEADS.iter().enumerate() {
        let class = if n > 0 { " class=\"n\"" } else { "" };
        let _ = write!(out, "<th scope=\"col\"{class}>{head}</th>");
    }
    *out += "</tr></thead>\n<tbody>\n";
    for (i, cells) in rows {
        let mark = if i == chosen { " class=\"good\"" } else { "" };
        let _ = write!(out, "<tr{mark}><th scope=\"row\">{}</th>", escape(&cells[0]));
        cells[1..].iter().for_each(|cell| *out += &format!("<td class=\"n\">{}</td>", escape(cell)));
        *out += "</tr>\n";
    }
    *out += "</tbody>\n</table>\n</div>\n";
}

/// The recipe as text: `data` is its table of that name, without the encoder; `teacher` is how it names the artifact that
/// teaches, where there is one.
///
/// # Errors
/// When it cannot be written as TOML, such as for a path that is not Unicode.
pub fn recipe(
    found: &Found,
    name: &str,
    data: Value,
    teacher: Option<String>,
) -> Result<String, toml::ser::Error> {
    let mut recipe = found.recipe.clone();
    if let Some(path) = teacher {
        for place in ["/variants/0/teacher/path", "/model/path"] {
            if let Some(named) = recipe.pointer_mut(place) {
                *named = Value::from(path.clone());
            }
        }
    }
    let encoder = recipe["data"]["encoder"].clone();
    recipe["data"] = data;
    // A recipe that starts from an encoder has that one's.
    if !encoder.is_null() {
        recipe["data"]["encoder"] = encoder;
    }
    recipe["name"] = Value::from(name);
    without_null(&mut recipe);
    let head = "# Written by `nlpress fit`: makes the same file again, as the row \"fit\".\n\n";
    Ok(format!("{head}{}", toml::to_string_pretty(&recipe)?))
}

/// TOML has no null: what is not given is left out.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}
