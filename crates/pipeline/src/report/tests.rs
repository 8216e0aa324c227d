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
        [
            "advice",
            "alike_points",
            "backend",
            "corpus",
            "floors",
            "machine",
            "notes",
            "recipe",
            "rows",
            "schema",
            "threads"
        ]
    );
    assert_eq!(keys(&value["recipe"]), ["name", "path", "quick", "seed", "seeds", "sha256"]);
    assert_eq!(
        keys(&value["corpus"]),
        ["classes", "documents", "features", "known", "majority", "name", "sha256", "source"]
    );
    assert_eq!(keys(&value["floors"]["text1"]), ["control", "reopened", "rounds"]);
    let row = &value["rows"][5];
    assert_eq!(
        keys(row),
        [
            "artifact",
            "artifacts",
            "cost_s",
            "curves",
            "family",
            "id",
            "measured",
            "notes",
            "parent",
            "quality",
            "rolled_back",
            "seeds",
            "sha256",
            "size",
            "speed",
            "technique",
            "training",
            "versus_baseline",
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
        [
            "accuracy",
            "accuracy_is",
            "batch1_speedup",
            "batch32_speedup",
            "faster",
            "file_ratio",
            "rows_per_s_speedup",
            "slower",
            "smaller",
            "text1_speedup"
        ]
    );
    assert_eq!(keys(&row["versus_parent"]["batch1_speedup"]), ["interval", "median", "q1", "q3"]);
    assert_eq!(row["versus_parent"]["accuracy_is"], "alike");
    assert_eq!(
        keys(&value["rows"][18]["training"]),
        ["exchanged_bytes", "seconds", "serial_seconds", "speedup"]
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
        words.contains("slower the network alone, on one row: takes 1.41× as long as teacher (1.37 to 1.46)"),
        "{words}"
    );
    assert!(words.contains("slower from text to answer: takes 1.26× as long"), "{words}");
    assert!(words.contains("its accuracy is alike to that of teacher: 0.0 (−0.7 to +0.7) points"), "{words}");
    let (brief, words) = says("chain");
    assert_eq!(brief, "smaller, faster, accuracy cannot be told");
    assert!(words.contains("cannot be told apart from that of teacher, nor called alike"), "{words}");
    let (brief, words) = says("prune.l2");
    assert_eq!(brief, "not smaller, not faster, accuracy alike");
    assert!(
        words.contains("not faster from text to answer: 1.00× the speed of teacher (0.97 to 1.03)"),
        "{words}"
    );
}

#[test]
fn parallel_rows_speak_of_training() {
    let mut report = fixture::report();
    let row = report.row("parallel.data").unwrap();
    assert_eq!(
        brief(row),
        "not smaller, training 1.60× of serial (faster), 1.2 MB on the wire, accuracy alike"
    );
    let words = verdict(row, report.parent(row)).join("; ");
    let expected = "training is 1.60× as fast as the serial one (1.55 to 1.65) (faster): 1.25 s against 2.00 s; 1.2 MB \
                    on the wire";
    assert!(words.contains(expected) && !words.contains("from text"), "{words}");
    let row = report.rows.iter_mut().find(|row| row.id == "parallel.data").unwrap();
    row.training.as_mut().unwrap().speedup.as_mut().unwrap().interval = None;
    assert!(brief(row).contains("training 1.60× of serial (one run)"), "{}", brief(row));
    row.training = None;
    assert_eq!(brief(row), "not smaller, training not compared, accuracy alike");
    let page = html(&report);
    assert!(!page.contains("parallel.data over teacher") && page.contains("prune.l1 over teacher"));
}

#[test]
fn the_network_alone_is_told_where_it_says_something_else() {
    let mut report = fixture::report();
    let row = &mut report.rows[6];
    let versus = row.versus_parent.as_mut().unwrap();
    versus.text1_speedup = Some(Ratio { median: 1.01, q1: 1.0, q3: 1.02, interval: Some([0.98, 1.04]) });
    assert_eq!(brief(row), "smaller, not faster (network alone faster), less accurate");
    row.versus_parent.as_mut().unwrap().text1_speedup = None;
    assert_eq!(brief(row), "smaller, network faster, less accurate");
}

#[test]
fn a_row_that_was_rolled_back_says_so_everywhere() {
    let mut report = fixture::report();
    report.rows[6].rolled_back = [("prune.sparse".to_owned(), 3)].into();
    report.rows[7].rolled_back = [("prune.layers".to_owned(), 1)].into();
    let text = "rolled back (prune.sparse): smaller, faster";
    assert!(brief(&report.rows[6]).starts_with(text));
    assert!(brief(&report.rows[7]).starts_with("rolled back (prune.layers for 1 of 3 seeds): "));
    assert!(html(&report).contains(text) && markdown(&report).contains(text));
}

#[test]
fn words_are_claims() {
    let r = |median, low, high| Ratio { median, q1: median, q3: median, interval: Some([low, high]) };
    use verdict::Pace;
    assert_eq!(Pace::of(&r(1.05, 1.01, 1.2)), Pace::Faster);
    assert_eq!(Pace::of(&r(1.04, 1.03, 1.05)), Pace::Same);
    assert_eq!(Pace::of(&r(1.4, 0.9, 2.0)), Pace::Same);
    assert_eq!(Pace::of(&r(0.9, 0.85, 0.95)), Pace::Slower);
    assert_eq!(Pace::of(&r(0.9, 0.5, 1.3)), Pace::Same);
    assert_eq!(
        Pace::of(&Ratio { interval: None, ..r(2.0, 1.9, 2.1) }),
        Pace::Same,
        "nothing is claimed without one"
    );
    let (fast, slow, even) = (r(2.0, 1.9, 2.1), r(0.5, 0.4, 0.6), r(1.0, 0.99, 1.01));
    let v = |file_ratio, text1, batch1_speedup, batch32_speedup| {
        let text1_speedup = Some(text1);
        Versus { file_ratio, text1_speedup, batch1_speedup, batch32_speedup, ..Versus::default() }.judged(1.0)
    };
    assert!(v(0.98, even, fast, even).smaller && v(0.98, even, fast, even).faster);
    assert!(!v(0.981, fast, fast, even).smaller && !v(0.5, even, even, even).faster);
    assert!(
        !v(0.5, fast, fast, slow).faster
            && v(0.5, fast, fast, slow).slower
            && !v(0.5, fast, fast, fast).slower
    );
    let likeness = |low, high, points| {
        verdict::likeness(&Estimate { mean: (low + high) / 2.0, ci95: [low, high] }, points)
    };
    assert_eq!(likeness(-0.008, 0.009, 1.0), Likeness::Alike);
    assert_eq!(likeness(-0.011, 0.009, 1.0), Likeness::CannotBeTold);
    assert_eq!(likeness(-0.011, 0.009, 1.5), Likeness::Alike);
    assert_eq!(likeness(-0.375, 0.0, 1.0), Likeness::CannotBeTold);
    assert_eq!(likeness(-0.008, -0.001, 1.0), Likeness::LessAccurate);
    assert_eq!(likeness(0.001, 0.002, 1.0), Likeness::MoreAccurate);
}

#[test]
fn a_gain_and_a_larger_file_are_said_too() {
    let mut report = fixture::report();
    let r = Ratio { median: 2.0, q1: 1.9, q3: 2.1, interval: Some([1.8, 2.2]) };
    let versus = Versus {
        accuracy: Estimate { mean: 0.012, ci95: [0.004, 0.02] },
        file_ratio: 1.3,
        text1_speedup: Some(r),
        batch1_speedup: r,
        batch32_speedup: r,
        ..Versus::default()
    };
    report.rows[3].versus_parent = Some(versus.judged(1.0));
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
fn a_report_from_before_is_read_and_claims_nothing() {
    let mut value: Value = serde_json::from_str(&fixture::report().json()).unwrap();
    let remove = |value: &mut Value, keys: &[&str]| {
        keys.iter().for_each(|key| drop(value.as_object_mut().unwrap().remove(*key).unwrap()));
    };
    remove(&mut value, &["advice", "alike_points", "floors"]);
    remove(&mut value["corpus"], &["known", "majority"]);
    for row in value["rows"].as_array_mut().unwrap() {
        remove(row, &["curves", "rolled_back", "training", "versus_baseline"]);
        if row["versus_parent"].is_object() {
            let versus = &mut row["versus_parent"];
            remove(versus, &["accuracy_is", "rows_per_s_speedup", "slower", "text1_speedup"]);
            remove(&mut versus["batch1_speedup"], &["interval"]);
            remove(&mut versus["batch32_speedup"], &["interval"]);
        }
    }
    let report = Report::from_json(&value.to_string()).unwrap();
    let row = report.row("chain").unwrap();
    assert_eq!(brief(row), "smaller, network not faster, accuracy cannot be told");
    assert!(html(&report).contains("</html>"));
}

#[test]
fn markdown_has_one_table_with_a_line_for_every_row() {
    let mut report = fixture::report();
    report.rows[2].id = "a|b*<i>\nc".into();
    let text = markdown(&report);
    assert!(text.starts_with("# nlpress report: the article\n\n- **Machine"), "{text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(lines.len(), report.rows.len() + 2);
    for line in &lines {
        assert_eq!(line.replace("\\|", "").matches('|').count(), 16, "{line}");
    }
    assert!(lines[4].starts_with("| a\\|b\\*&lt;i> c |"), "{}", lines[4]);
    let chain = lines.last().unwrap();
    let cells = "| 74.4 (72.5–76.3) | −0.4 (−1.1 to +0.3) | 27.2 | 4.5 | 26.9 | 2.42× (2.34–2.49) |";
    assert!(chain.contains(cells), "{chain}");
    assert!(chain.contains("| 2.90 | 14.1× (13.71–14.56) |"), "{chain}");
    let parallel = lines.iter().find(|line| line.starts_with("| parallel.data")).unwrap();
    assert!(!parallel.contains("1.00× ("), "{parallel}");
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
    assert_eq!(page.matches("aria-label=\"Learning curves of").count(), 22);
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
    report.advice = text();
    report.corpus.majority = Some(Majority { label: text(), ..Majority::default() });
    report.floors.insert(text(), Floor::default());
    let row = &mut report.rows[4];
    row.rolled_back = [(text(), 1)].into();
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
