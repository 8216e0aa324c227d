//! The report as Markdown, for a pull request or a terminal.

use super::words::{bytes, grouped, kilobytes, micros, percent, points, short_hash, speedup};
use super::{Report, Row, brief, verdict};

/// Writes the report as Markdown: facts, one table, then what did not shrink and what each row has to say.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut out = format!("# nlpress report: {}\n\n", escape(&report.recipe.name));
    for (name, value) in facts(report) {
        out += &format!("- **{name}:** {}\n", escape(&value));
    }
    out += "\nEvery number was measured on a session opened on the written artifact. In brackets: 95 % intervals \
            over the test documents; for speed-ups, quartiles over rounds. Latencies are medians on one thread.\n\n";
    table(report, &mut out);
    unshrunk(report, &mut out);
    details(report, &mut out);
    if !report.notes.is_empty() {
        out += "\n## Notes\n\n";
        report.notes.iter().for_each(|note| out += &format!("- {}\n", escape(note)));
    }
    out
}

/// The facts at the head of a report, named.
pub(super) fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let Report { machine: m, corpus: c, recipe: r, .. } = report;
    let memory = m.memory_bytes.map_or(String::new(), |b| format!(", {} of memory", bytes(b)));
    let features =
        if m.features.is_empty() { String::new() } else { format!(" ({})", m.features.join(", ")) };
    let documents: Vec<String> = ["train", "validation", "test"]
        .into_iter()
        .filter_map(|split| Some(format!("{} {split}", grouped(*c.documents.get(split)? as u64))))
        .chain(
            (c.documents
                .iter()
                .filter(|(name, _)| !["train", "validation", "test"].contains(&name.as_str())))
            .map(|(name, n)| format!("{} {name}", grouped(*n as u64))),
        )
        .collect();
    vec![
        ("Machine", format!("{}, {} cores, {}{features}{memory}; {}", m.cpu, m.cores, m.architecture, m.os)),
        (
            "Corpus",
            format!(
                "{} ({}): {} classes, documents: {}; {} features; SHA-256 {}",
                c.name,
                c.source,
                c.classes,
                documents.join(", "),
                grouped(c.features as u64),
                short_hash(&c.sha256)
            ),
        ),
        (
            "Recipe",
            format!(
                "{}, SHA-256 {}, seed {}, {} seeds a row",
                r.path,
                short_hash(&r.sha256),
                r.seed,
                r.seeds
            ),
        ),
        ("Training", format!("{} backend, {} threads", report.backend, report.threads)),
    ]
}

/// The heads of the one table.
pub(super) const HEADS: [&str; 12] = [
    "row",
    "family",
    "parent",
    "accuracy, %",
    "to parent, points",
    "file, KB",
    "% of baseline",
    "1 row, µs",
    "speed-up",
    "32 rows, µs",
    "speed-up",
    "verdict",
];

/// The cells of one row, in the order of [`HEADS`].
pub(super) fn cells(report: &Report, row: &Row) -> [String; 12] {
    let none = || "–".to_owned();
    let versus = row.versus_parent.as_ref();
    let share = report.baseline().filter(|b| b.size.file_bytes > 0).map_or_else(none, |b| {
        format!("{:.1}", 100.0 * row.size.file_bytes as f64 / b.size.file_bytes as f64)
    });
    [
        row.id.clone(),
        row.family.to_string(),
        row.parent.clone().unwrap_or_else(none),
        percent(&row.quality.accuracy),
        versus.map_or_else(none, |v| points(&v.accuracy)),
        kilobytes(row.size.file_bytes),
        share,
        micros(row.speed.batch1_us.p50),
        versus.map_or_else(none, |v| speedup(&v.batch1_speedup)),
        micros(row.speed.batch32_us.p50),
        versus.map_or_else(none, |v| speedup(&v.batch32_speedup)),
        brief(row),
    ]
}

fn table(report: &Report, out: &mut String) {
    *out += &format!("| {} |\n", HEADS.join(" | "));
    *out += "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n";
    for row in &report.rows {
        *out += &format!("| {} |\n", cells(report, row).map(|cell| escape(&cell)).join(" | "));
    }
}

fn unshrunk(report: &Report, out: &mut String) {
    *out += "\n## What did not shrink\n\n";
    let before = out.len();
    for row in &report.rows {
        for part in &row.size.unshrunk {
            *out += &format!(
                "- {}: {}, {}: {}\n",
                escape(&row.id),
                escape(&part.what),
                bytes(part.bytes),
                escape(&part.why)
            );
        }
    }
    if out.len() == before {
        *out += "Nothing was left as it was.\n";
    }
}

fn details(report: &Report, out: &mut String) {
    *out += "\n## Rows in words\n";
    for row in &report.rows {
        *out += &format!("\n### {}\n\n{}\n\n", escape(&row.id), escape(&row.technique));
        for line in verdict(row, report.parent(row)).iter().chain(&row.notes) {
            *out += &format!("- {}\n", escape(line));
        }
    }
}

/// Keeps a text from being read as Markdown or HTML, and on one line.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '<' => out += "&lt;",
            '&' => out += "&amp;",
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}
