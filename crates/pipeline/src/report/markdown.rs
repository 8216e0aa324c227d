//! The report as Markdown, for a pull request or a terminal.

use super::advice::within;
use super::causes::causes;
use super::words::{bytes, counts, grouped, kilobytes, micros, percent, points, short_hash, speedup};
use super::{CorpusInfo, Family, Ratio, Report, Row, brief};
use nlpress_core::shown::{counted, is_plain};

/// Writes the report as Markdown: facts, one table, then what did not shrink and what each row has to say.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut out = format!("# nlpress report: {}\n\n", escape(&report.recipe.name));
    if !report.advice.is_empty() {
        out += &format!("**{}**\n\n", escape(&report.advice));
    }
    for (name, value) in facts(report) {
        out += &format!("- **{name}:** {}\n", escape(&value));
    }
    out += &format!("\n{}\n\n", how_to_read(report));
    table(report, &mut out);
    unshrunk(report, &mut out);
    details(report, &mut out);
    if !report.notes.is_empty() {
        out += "\n## Notes\n\n";
        report.notes.iter().for_each(|note| out += &format!("- {}\n", escape(note)));
    }
    out
}

/// What the numbers and words of the tables mean.
pub(super) fn how_to_read(report: &Report) -> String {
    format!(
        "Every number was measured on sessions opened on the written artifact. In brackets: intervals; of quality \
         over the test documents (95 %), of speed-ups over sessions (all of a report hold in 99 of 100 runs). \"Faster\" and \
         \"slower\" are said where that interval leaves 1× out and the difference is 5 % or more; \"alike\" where \
         the whole interval of the difference of accuracy lies {}, and elsewhere it cannot be told. Latencies are \
         medians on one thread.",
        within(report.alike_points)
    )
}

/// The facts at the head of a report, named.
pub(super) fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let Report { machine: m, recipe: r, .. } = report;
    let memory = m.memory_bytes.map_or(String::new(), |b| format!(", {} of memory", bytes(b)));
    let features =
        if m.features.is_empty() { String::new() } else { format!(" ({})", m.features.join(", ")) };
    let (cores, architecture) = (counted(m.cores, "core"), &m.architecture);
    let machine = format!("{}, {cores}, {architecture}{features}{memory}; {}", m.cpu, m.os);
    let (sha256, seeds) = (short_hash(&r.sha256), counted(r.seeds, "seed"));
    let recipe = format!("{}, SHA-256 {sha256}, seed {}, {seeds} a row", r.path, r.seed);
    let training = format!("{} backend, {}", report.backend, counted(report.threads, "thread"));
    let (corpus, more) = of_corpus(&report.corpus);
    let mut facts =
        vec![("Machine", machine), ("Corpus", corpus), ("Recipe", recipe), ("Training", training)];
    facts.extend(more);
    let floors = report.floors.iter().map(|(call, floor)| {
        let rounds = counted(floor.rounds, "round");
        format!("{call} {:.3}× (control {:.3}×, {rounds})", floor.reopened, floor.control)
    });
    if !report.floors.is_empty() {
        let floors = floors.collect::<Vec<_>>().join("; ");
        facts.push(("A file opened again differs from itself by up to", floors));
    }
    facts
}

/// What a corpus is; then what answering always alike comes to, and how much of it is unknown.
fn of_corpus(c: &CorpusInfo) -> (String, Vec<(&'static str, String)>) {
    let splits = ["train", "validation", "test"];
    let known = splits.into_iter().filter_map(|split| Some((split, *c.documents.get(split)?)));
    let others = c.documents.iter().filter(|(name, _)| !splits.contains(&name.as_str()));
    let all = known.chain(others.map(|(name, n)| (name.as_str(), *n)));
    let documents: Vec<String> = all.map(|(name, n)| format!("{} {name}", grouped(n as u64))).collect();
    let says = format!(
        "{} ({}): {}, documents: {}; {}; SHA-256 {}",
        c.name,
        c.source,
        counted(c.classes, "class"),
        documents.join(", "),
        counts(c.features as u64, "feature"),
        short_hash(&c.sha256)
    );
    let majority = c.majority.as_ref().map(|m| {
        let (accuracy, macro_f1) = (100.0 * m.accuracy, 100.0 * m.macro_f1);
        let label = &m.label;
        let says = format!(
            "always answering {label:?} has {accuracy:.1} % accuracy and a macro-F1 of {macro_f1:.1} %"
        );
        ("Majority class", says)
    });
    let unknown = c.known.map(|k| {
        let share = 100.0 * k.tokens_unknown as f64 / k.tokens.max(1) as f64;
        let says = format!(
            "{share:.1} % of the tokens of the test documents; {} of {} have no known feature",
            grouped(k.documents_without),
            counts(k.documents, "document")
        );
        ("Unknown text", says)
    });
    (says, majority.into_iter().chain(unknown).collect())
}

/// The heads of the one table. First what a user waits for, from text to answer; then the network alone.
pub const HEADS: [&str; 15] = [
    "row",
    "family",
    "parent",
    "accuracy, %",
    "to parent, points",
    "file, KB",
    "% of baseline",
    "text to answer, µs",
    "speed-up",
    "texts a second",
    "network alone: 1 row, µs",
    "speed-up",
    "32 rows, µs",
    "speed-up",
    "verdict",
];

/// The columns of [`HEADS`] that hold numbers.
pub(super) const NUMERIC: std::ops::Range<usize> = 3..14;

/// The cells of one row, in the order of [`HEADS`].
#[must_use]
pub fn cells(report: &Report, row: &Row) -> [String; 15] {
    let none = || "–".to_owned();
    let versus = row.versus_parent.as_ref();
    // The speed of a row of the family `parallel` is that of its training, which its verdict tells.
    let ratios = versus.filter(|_| row.family != Family::Parallel);
    let ratio = |r: Option<&Ratio>| r.map_or_else(none, speedup);
    let share = report.baseline().filter(|b| b.size.file_bytes > 0).map_or_else(none, |b| {
        format!("{:.1}", 100.0 * row.size.file_bytes as f64 / b.size.file_bytes as f64)
    });
    let rate = |rate: &f64| grouped(rate.max(0.0).round() as u64);
    [
        row.id.clone(),
        row.family.to_string(),
        row.parent.clone().unwrap_or_else(none),
        percent(&row.quality.accuracy),
        versus.map_or_else(none, |v| points(&v.accuracy)),
        kilobytes(row.size.file_bytes),
        share,
        row.speed.text1_us.map_or_else(none, |p| micros(p.p50)),
        ratio(ratios.and_then(|v| v.text1_speedup.as_ref())),
        row.speed.rows_per_s.get("1").map_or_else(none, rate),
        micros(row.speed.batch1_us.p50),
        ratio(ratios.map(|v| &v.batch1_speedup)),
        micros(row.speed.batch32_us.p50),
        ratio(ratios.map(|v| &v.batch32_speedup)),
        brief(row),
    ]
}

fn table(report: &Report, out: &mut String) {
    let rule = |column| if NUMERIC.contains(&column) { "---:" } else { "---" };
    *out += &format!("| {} |\n", HEADS.join(" | "));
    *out += &format!("| {} |\n", (0..HEADS.len()).map(rule).collect::<Vec<_>>().join(" | "));
    for row in &report.rows {
        *out += &format!("| {} |\n", cells(report, row).map(|cell| escape(&cell)).join(" | "));
    }
}

fn unshrunk(report: &Report, out: &mut String) {
    *out += "\n## What did not shrink\n\n";
    let causes = causes(report);
    for cause in &causes {
        *out += &format!(
            "- {} ({}): {}; in {}\n",
            escape(&cause.why),
            escape(&cause.parts),
            cause.size,
            escape(&cause.rows)
        );
    }
    if causes.is_empty() {
        *out += "Nothing was left as it was.\n";
    }
}

fn details(report: &Report, out: &mut String) {
    *out += "\n## Rows in words\n";
    for row in &report.rows {
        *out += &format!("\n### {}\n\n{}\n\n", escape(&row.id), escape(&row.technique));
        for line in &row.notes {
            *out += &format!("- {}\n", escape(line));
        }
    }
}

/// Keeps a text from being read as Markdown or HTML or obeyed by a terminal, and on one line.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '<' => out += "&lt;",
            '&' => out += "&amp;",
            '\\' | '|' | '*' | '_' | '`' | '[' | ']' => out.extend(['\\', c]),
            c if is_plain(c) => out.push(c),
            // Seen as `\u{1b}`, for the backslash is escaped itself.
            c => out.extend(['\\'].into_iter().chain(c.escape_default())),
        }
    }
    out
}
