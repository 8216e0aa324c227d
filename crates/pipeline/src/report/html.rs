//! The report as one self-contained HTML page.
//!
//! No script, no font, no picture from elsewhere: the page can be mailed, archived and opened without a
//! network, follows the reader's choice of light or dark, and scrolls its wide parts on a phone. Every text
//! that comes from outside is escaped.

use super::causes::causes;
use super::curves::curves;
use super::escape::escape;
use super::markdown::{HEADS, NUMERIC, cells, facts, how_to_read};
use super::plot::size_quality_latency;
use super::speedups::speedups;
use super::words::{bytes, grouped, micros, percent};
use nlpress_core::shown::counted;

use super::{Estimate, Family, Likeness, Percentiles, Report, Row};

const STYLE: &str = include_str!("report.css");

/// Writes the report as HTML.
#[must_use]
pub fn html(report: &Report) -> String {
    let mut out = String::new();
    if !report.advice.is_empty() {
        out += &format!("<p class=\"advice\">{}</p>\n", escape(&report.advice));
    }
    out += &format!("<p class=\"soft\">{}</p>\n", escape(&how_to_read(report)));
    list(facts(report).into_iter().map(|(name, value)| (name.to_owned(), escape(&value))), &mut out);
    notes(report, &mut out);
    figure(
        "Size, quality, latency",
        "Accuracy with its 95 % interval over file size; the larger a marker, the longer one text takes.",
        &size_quality_latency(report),
        &mut out,
    );
    table(report, &mut out);
    figure(
        "Speed-ups",
        "How many times faster than its parent, with the interval of the same file opened again. Rows of the family \
         parallel claim no speed of serving and are left out.",
        &speedups(report),
        &mut out,
    );
    learning(report, &mut out);
    unshrunk(report, &mut out);
    out += "<h2>Row by row</h2>\n";
    for (i, row) in report.rows.iter().enumerate() {
        details(i, row, &mut out);
    }
    page(&format!("nlpress report: {}", report.recipe.name), &out)
}

/// A whole page in the report's style; `body` is HTML.
#[must_use]
pub fn page(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    )
}

/// Pairs of a name and of a value that is already HTML.
fn list(pairs: impl IntoIterator<Item = (String, String)>, out: &mut String) {
    *out += "<dl>\n";
    pairs
        .into_iter()
        .for_each(|(name, value)| *out += &format!("<dt>{}</dt><dd>{value}</dd>\n", escape(&name)));
    *out += "</dl>\n";
}

fn bullets<'a>(items: impl IntoIterator<Item = &'a String>, out: &mut String) {
    *out += "<ul>\n";
    items.into_iter().for_each(|item| *out += &format!("<li>{}</li>\n", escape(item)));
    *out += "</ul>\n";
}

fn notes(report: &Report, out: &mut String) {
    if !report.notes.is_empty() {
        *out += "<h2>Notes</h2>\n";
        bullets(&report.notes, out);
    }
}

/// A picture with its heading and caption; nothing without one.
pub fn figure(title: &str, caption: &str, svg: &str, out: &mut String) {
    if !svg.is_empty() {
        *out += &format!(
            "<h2>{title}</h2>\n<figure>\n<figcaption>{caption}</figcaption>\n<div class=\"scroll\">\n{svg}</div>\n\
             </figure>\n"
        );
    }
}

fn table(report: &Report, out: &mut String) {
    *out += "<h2>All rows</h2>\n<div class=\"scroll\">\n<table>\n<caption>One line a row; the row's name leads to \
             its details.</caption>\n<thead><tr>";
    let numeric = |column: usize| NUMERIC.contains(&column);
    for (column, head) in HEADS.iter().enumerate() {
        let class = if numeric(column) { " class=\"n\"" } else { "" };
        *out += &format!("<th scope=\"col\"{class}>{head}</th>");
    }
    *out += "</tr></thead>\n<tbody>\n";
    for (i, row) in report.rows.iter().enumerate() {
        let cells = cells(report, row);
        let [id, family, rest @ ..] = &cells;
        *out += &format!(
            "<tr><th scope=\"row\"><a href=\"#row-{i}\">{}</a></th><td class=\"name\"><span class=\"dot {family}\"></span>{family}</td>",
            escape(id)
        );
        for (column, cell) in (2..).zip(rest) {
            if !numeric(column) {
                let class = if column == HEADS.len() - 1 { verdict_class(row) } else { "name" };
                *out += &format!("<td class=\"{class}\">{}</td>", escape(cell));
                continue;
            }
            // The interval goes under its number, so that the table stays narrow.
            let (value, interval) = cell.split_once(' ').unwrap_or((cell, ""));
            let small = if interval.is_empty() {
                String::new()
            } else {
                format!("<small>{}</small>", escape(interval))
            };
            *out += &format!("<td class=\"n\">{}{small}</td>", escape(value));
        }
        *out += "</tr>\n";
    }
    *out += "</tbody>\n</table>\n</div>\n";
}

fn verdict_class(row: &Row) -> &'static str {
    match &row.versus_parent {
        Some(v) if v.accuracy_is == Likeness::LessAccurate => "words",
        Some(v) if (v.smaller || v.faster) && !v.slower => match v.accuracy_is {
            Likeness::CannotBeTold => "words",
            _ => "words good",
        },
        Some(v) if !v.smaller && row.family != Family::Parallel => "words bad",
        _ => "words",
    }
}

fn learning(report: &Report, out: &mut String) {
    let pictures = curves(report);
    if !pictures.is_empty() {
        *out += &format!(
            "<h2>Learning curves</h2>\n<figure>\n<figcaption>Training loss (grey) and validation accuracy (coloured) \
             by epoch, of the first seed; each between its least and its greatest value.</figcaption>\n\
             <div class=\"curves\">\n{pictures}</div>\n</figure>\n"
        );
    }
}

fn unshrunk(report: &Report, out: &mut String) {
    let causes = causes(report);
    if causes.is_empty() {
        return;
    }
    *out += "<h2>What did not shrink</h2>\n<div class=\"scroll\">\n<table>\n<caption>Parts of a file that are as \
             large as in the uncompressed model, by cause.</caption>\n<thead><tr><th scope=\"col\">why</th>\
             <th scope=\"col\">parts</th><th scope=\"col\" class=\"n\">in a file</th><th scope=\"col\">rows</th></tr>\
             </thead>\n<tbody>\n";
    for cause in causes {
        *out += &format!(
            "<tr><th scope=\"row\" class=\"why\">{}</th><td>{}</td><td class=\"n\">{}</td><td>{}</td></tr>\n",
            escape(&cause.why),
            escape(&cause.parts),
            cause.size,
            escape(&cause.rows)
        );
    }
    *out += "</tbody>\n</table>\n</div>\n";
}

/// The anchor is inside the closed part: a link to it opens it, without a script.
fn details(i: usize, row: &Row, out: &mut String) {
    *out += &format!(
        "<details><summary><b>{}</b><span class=\"soft\">{}</span></summary><div id=\"row-{i}\">\n",
        escape(&row.id),
        escape(&row.technique)
    );
    if !row.notes.is_empty() {
        bullets(&row.notes, out);
    }
    let mut pairs = vec![
        ("accuracy", format!("{} %", percent(&row.quality.accuracy))),
        ("macro-F1", format!("{} %", percent(&row.quality.macro_f1))),
        ("negative log-likelihood", plain(&row.quality.nll)),
        ("agreement with the teacher", format!("{} %", percent(&row.quality.agreement))),
        ("seeds", row.seeds.to_string()),
        (
            "file",
            format!(
                "{}: weights {}, vocabulary {}",
                bytes(row.size.file_bytes),
                bytes(row.size.weight_bytes),
                bytes(row.size.vocabulary_bytes)
            ),
        ),
        ("parameters", format!("{}, not zero {}", grouped(row.size.parameters), grouped(row.size.nonzeros))),
        (
            "multiply-accumulates a row",
            match row.size.mean_macs {
                None => grouped(row.size.macs),
                Some(mean) => {
                    format!("{} at the mean length, {} at the longest", grouped(mean), grouped(row.size.macs))
                }
            },
        ),
    ];
    pairs.extend(row.speed.text1_us.as_ref().map(|p| ("from text to answer", latency(p))));
    pairs.push(("network alone, 1 row", latency(&row.speed.batch1_us)));
    pairs.push(("network alone, 32 rows", latency(&row.speed.batch32_us)));
    let rates: Vec<String> = (row.speed.rows_per_s.iter())
        .map(|(threads, rate)| {
            let threads = threads.parse().map_or_else(|_| threads.clone(), |n: u64| counted(n, "thread"));
            format!("{} on {threads}", grouped(rate.max(0.0).round() as u64))
        })
        .collect();
    if !rates.is_empty() {
        pairs.push(("texts a second", rates.join(", ")));
    }
    pairs.extend(row.speed.rss_bytes.map(|b| ("peak memory", bytes(b))));
    pairs.push(("made in", format!("{:.1} s", row.cost_s)));
    let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), escape(&value)));
    let measured =
        row.measured.iter().map(|m| (m.name.clone(), escape(&format!("{} {}", m.value, unit(&m.unit)))));
    let file = |name: &str, path: &str, sha256: &str| {
        (name.to_owned(), format!("<code>{}</code>, SHA-256 <code>{}</code>", escape(path), escape(sha256)))
    };
    let artifact = file("artifact", &row.artifact, &row.sha256);
    let seeds = row.artifacts.iter().map(|a| file(&format!("seed {}", a.seed), &a.path, &a.sha256));
    list(pairs.chain(measured).chain([artifact]).chain(seeds), out);
    *out += "</div></details>\n";
}

fn latency(p: &Percentiles) -> String {
    format!("{} µs (p90 {}, p99 {})", micros(p.p50), micros(p.p90), micros(p.p99))
}

fn plain(e: &Estimate) -> String {
    format!("{:.3} ({:.3}–{:.3})", e.mean, e.ci95[0], e.ci95[1])
}

fn unit(unit: &str) -> &str {
    if unit == "1" { "" } else { unit }
}
