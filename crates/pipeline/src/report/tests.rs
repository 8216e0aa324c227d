//! What scripts and readers rely on.

use super::*;
use serde_json::Value;

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn json_comes_back_as_it_was() {
    let report = fixture::report();
    let text = report.json();
    assert_eq!(Report::from_json(&text).unwrap(), report);
    assert_eq!(Report::from_json(&text).unwrap().json(), text);
}

#[test]
fn another_schema_is_refused() {
    let text = fixture::report().json().replacen("\"schema\": 1", "\"schema\": 2", 1);
    let error = Report::from_json(&text).unwrap_err().to_string();
    assert!(error.starts_with("report schema 2 is not known, expected 1"), "{error}");
    assert!(Report::from_json("{}").is_err() && Report::from_json("").is_err());
}

#[test]
fn field_names_are_the_promised_ones() {
    let value: Value = serde_json::from_str(&fixture::report().json()).unwrap();
    assert_eq!(
        keys(&value),
        ["backend", "corpus", "machine", "notes", "recipe", "rows", "schema", "threads"]
    );
    assert_eq!(keys(&value["recipe"]), ["name", "path", "seed", "seeds", "sha256"]);
    assert_eq!(keys(&value["corpus"]), ["classes", "documents", "features", "name", "sha256", "source"]);
    let row = &value["rows"][5];
    assert_eq!(
        keys(row),
        [
            "artifact",
            "artifacts",
            "cost_s",
            "family",
            "id",
            "measured",
            "notes",
            "parent",
            "quality",
            "seeds",
            "sha256",
            "size",
            "speed",
            "technique",
            "versus_parent"
        ]
    );
    assert_eq!((&row["id"], &row["family"]), (&"prune.magnitude".into(), &"clip".into()));
    assert_eq!(keys(&row["quality"]), ["accuracy", "agreement", "macro_f1", "nll"]);
    assert_eq!(keys(&row["quality"]["accuracy"]), ["ci95", "mean"]);
    assert_eq!(row["quality"]["accuracy"]["ci95"].as_array().unwrap().len(), 2);
    let size =
        ["file_bytes", "macs", "nonzeros", "parameters", "unshrunk", "vocabulary_bytes", "weight_bytes"];
    assert_eq!(keys(&row["size"]), size);
    assert_eq!(keys(&row["size"]["unshrunk"][0]), ["bytes", "what", "why"]);
    assert_eq!(keys(&row["speed"]), ["batch1_us", "batch32_us", "rows_per_s", "rss_bytes", "text1_us"]);
    assert_eq!(keys(&row["speed"]["batch1_us"]), ["p50", "p90", "p99"]);
    assert_eq!(keys(&row["speed"]["rows_per_s"]), ["1", "2"]);
    assert_eq!(
        keys(&row["versus_parent"]),
        ["accuracy", "batch1_speedup", "batch32_speedup", "faster", "file_ratio", "smaller"]
    );
    for family in Family::ALL {
        assert_eq!(serde_json::to_value(family).unwrap(), Value::from(family.name()));
    }
}

#[test]
fn a_row_says_in_words_what_it_is_not() {
    let report = fixture::report();
    let says = |id: &str| {
        let row = report.row(id).unwrap();
        (brief(row), verdict(row, report.parent(row)).join("; "))
    };
    assert_eq!(says("teacher"), ("baseline".into(), String::new()));
    let (brief, words) = says("distill.outputs");
    assert_eq!(brief, "smaller, faster, less accurate");
    assert_eq!(words, "loses 2.1 points (1.4 to 2.8) of accuracy to teacher");
    let (brief, words) = says("quant.int32");
    assert_eq!(brief, "not smaller, slower, accuracy alike");
    assert!(words.contains("not smaller: the file has 100.1 % of the bytes of teacher"), "{words}");
    assert!(
        words.contains("slower at one row: takes 1.41× as long as teacher (quartiles 1.37 to 1.46)"),
        "{words}"
    );
    assert!(
        words.contains("cannot be told apart from that of teacher: 0.0 (−0.7 to +0.7) points"),
        "{words}"
    );
    let (brief, words) = says("parallel.data");
    assert_eq!(brief, "not smaller, not faster, accuracy alike");
    assert!(words.contains("not faster at one row: 1.00× the speed of teacher"), "{words}");
    assert!(words.contains("not faster at 32 rows"), "{words}");
}

#[test]
fn thresholds_are_sceptical() {
    let r = |median, q1, q3| Ratio { median, q1, q3 };
    use verdict::Pace;
    assert_eq!(Pace::of(&r(1.05, 1.01, 1.2)), Pace::Faster);
    assert_eq!(Pace::of(&r(1.04, 1.03, 1.05)), Pace::Same);
    assert_eq!(Pace::of(&r(1.4, 0.9, 2.0)), Pace::Same);
    assert_eq!(Pace::of(&r(0.9, 0.85, 0.95)), Pace::Slower);
    assert_eq!(Pace::of(&r(0.9, 0.5, 1.3)), Pace::Same);
    let fast = r(2.0, 1.9, 2.1);
    let slow = r(0.5, 0.4, 0.6);
    let even = r(1.0, 0.99, 1.01);
    let v = |file, one, many| Versus::new(Estimate::exact(0.0), file, one, many);
    assert!(v(0.98, fast, even).smaller && v(0.98, fast, even).faster);
    assert!(!v(0.981, fast, even).smaller && !v(0.5, even, even).faster && !v(0.5, fast, slow).faster);
}

#[test]
fn a_gain_and_a_larger_file_are_said_too() {
    let mut report = fixture::report();
    let gain = Estimate { mean: 0.012, ci95: [0.004, 0.02] };
    let r = Ratio { median: 2.0, q1: 1.9, q3: 2.1 };
    report.rows[3].versus_parent = Some(Versus::new(gain, 1.3, r, r));
    let row = &report.rows[3];
    let says = verdict(row, report.parent(row));
    assert_eq!(
        says,
        [
            "not smaller: the file is 1.30× the size of teacher",
            "gains 1.2 points (0.4 to 2.0) of accuracy over teacher"
        ]
    );
    assert_eq!(brief(row), "not smaller, faster, more accurate");
}

#[test]
fn markdown_has_one_table_with_a_line_for_every_row() {
    let mut report = fixture::report();
    report.rows[2].id = "a|b*<i>\nc".into();
    let text = markdown(&report);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(lines.len(), report.rows.len() + 2);
    for line in &lines {
        assert_eq!(line.replace("\\|", "").matches('|').count(), 13, "{line}");
    }
    assert!(lines[4].starts_with("| a\\|b\\*&lt;i> c |"), "{}", lines[4]);
    let chain = lines.last().unwrap();
    assert!(chain.contains("| 74.4 (72.5–76.3) | −0.4 (−1.1 to +0.3) | 27.2 | 4.5 | 2.90 |"), "{chain}");
    for part in ["# nlpress report: the article", "8\u{202f}000 train", "## What did not shrink", "### chain"]
    {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn html_stands_alone_and_is_well_formed() {
    let page = html(&fixture::report());
    for outside in ["http:", "https:", "//", "url(", "@import", "<script", "<link", "<img", " src="] {
        assert!(!page.contains(outside), "{outside}");
    }
    for tag in ["svg", "table", "details", "figure", "tr", "dl", "text", "circle", "ul", "div"] {
        let open = format!("<{tag} ");
        let opened = page.matches(&open).count() + page.matches(&format!("<{tag}>")).count();
        let closed = page.matches(&format!("</{tag}>")).count();
        let empty = page.split(&open).skip(1).filter(|rest| rest[..rest.find('>').unwrap()].ends_with('/'));
        assert_eq!(opened - empty.count(), closed, "{tag}");
    }
    assert_eq!(page.matches("<details>").count(), 22);
    assert_eq!(page.matches("<caption>").count(), page.matches("<table>").count());
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("name=\"viewport\""));
    assert!(!page.contains("NaN") && !page.contains("inf\""));
}

#[test]
fn every_text_is_escaped() {
    let evil = "<script>alert(\"1\")</script>&'";
    let mut report = fixture::report();
    let text = || evil.to_owned();
    (report.recipe.name, report.recipe.path, report.corpus.name, report.corpus.source) =
        (text(), text(), text(), text());
    (report.corpus.sha256, report.recipe.sha256, report.backend) = (text(), text(), text());
    (report.machine.cpu, report.machine.os, report.notes) = (text(), text(), vec![text()]);
    report.corpus.documents.insert(text(), 1);
    let row = &mut report.rows[4];
    (row.id, row.parent, row.technique, row.artifact, row.sha256) =
        (text(), Some(text()), text(), text(), text());
    (row.notes, row.measured) = (vec![text()], vec![Measurement::lower(evil, 1.0, evil)]);
    row.size.unshrunk = vec![Unshrunk { what: text(), bytes: 1, why: text() }];
    row.artifacts[0].path = text();
    row.speed.rows_per_s.insert(text(), 1.0);
    let page = html(&report);
    assert!(!page.contains("<script") && !page.contains("alert(\""));
    assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39;"));
    assert!(!markdown(&report).contains("<script"));
}

#[test]
fn an_empty_report_and_one_with_odd_numbers_are_pages_too() {
    let mut report = fixture::report();
    report.rows.truncate(1);
    report.rows[0].size.file_bytes = 1;
    report.rows[0].speed.batch1_us = Percentiles::default();
    report.rows[0].quality.accuracy = Estimate::exact(1.0);
    let page = html(&report);
    assert!(page.contains("<circle") && !page.contains("NaN") && !page.contains("inf\""));
    report.rows.clear();
    assert!(!html(&report).contains("<svg") && markdown(&report).contains("Nothing was left as it was."));
}
