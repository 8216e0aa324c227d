use super::*;

fn machine() -> Machine {
    Machine { cpu: "C".into(), architecture: "a".into(), features: vec!["f".into()], os: "o".into() }
}

fn side(library: &str, form: &str, rows: &'static str) -> Side {
    let ours = library == OURS;
    Side {
        toolkit: library.into(),
        version: (!ours).then(|| "v 1".into()),
        form: form.into(),
        rows,
        nonzeros: ours.then_some(12.0),
        call_us: (!ours).then_some(0.5),
    }
}

/// Ours takes 1, 2, 4 µs on text and ten times that on dense rows, f32 double; the peer always four times ours on
/// text at one row, eight times at 32.
fn three_rounds() -> Comparison {
    let mut comparison = Comparison::new(machine());
    for us in [1.0, 2.0, 4.0] {
        let sides = vec![
            (side(OURS, "f32", TEXT), [2.0 * us, 20.0 * us]),
            (side(OURS, "int8", TEXT), [us, 10.0 * us]),
            (side(OURS, "f32", DENSE), [20.0 * us, 200.0 * us]),
            (side(OURS, "int8", DENSE), [10.0 * us, 100.0 * us]),
            (side("P", "f32", DENSE), [8.0 * us, 160.0 * us]),
            (side("P", "int8-dynamic", DENSE), [4.0 * us, 80.0 * us]),
        ];
        comparison.add(sides).unwrap();
    }
    comparison
}

#[test]
fn quartiles_lie_between_numbers() {
    assert_eq!(Quartiles::of(vec![]), None);
    let one = Quartiles { q1: 3.0, median: 3.0, q3: 3.0 };
    assert_eq!(Quartiles::of(vec![3.0]), Some(one));
    let four = Quartiles { q1: 1.75, median: 2.5, q3: 3.25 };
    assert_eq!(Quartiles::of(vec![4.0, 1.0, 3.0, 2.0]), Some(four));
    let five = Quartiles { q1: 2.0, median: 3.0, q3: 4.0 };
    assert_eq!(Quartiles::of(vec![5.0, 1.0, 3.0, 4.0, 2.0]), Some(five));
}

#[test]
fn ratios_are_of_the_same_round_form_and_batch() {
    let comparison = three_rounds();
    let all = |ratio: f64| Quartiles { q1: ratio, median: ratio, q3: ratio };
    for (entry, rows, one, many) in
        [(4, TEXT, 4.0, 8.0), (4, DENSE, 0.4, 0.8), (5, TEXT, 4.0, 8.0), (5, DENSE, 0.4, 0.8)]
    {
        let ratios = comparison.ratios(&comparison.entries[entry], rows).unwrap();
        // The times spread by a factor of four over the rounds, the ratios not at all.
        assert_eq!(ratios, [all(one), all(many)], "{entry} {rows}");
    }
    for ours in 0..4 {
        assert_eq!(comparison.ratios(&comparison.entries[ours], TEXT), None);
    }
}

#[test]
fn ratios_that_spread_have_quartiles() {
    let mut comparison = Comparison::new(machine());
    for peer in [10.0, 20.0, 30.0, 40.0, 50.0] {
        let ours = (side(OURS, "int8", TEXT), [10.0, 10.0]);
        comparison.add(vec![ours, (side("P", "int8", DENSE), [peer, 10.0])]).unwrap();
    }
    let [one, many] = comparison.ratios(&comparison.entries[1], TEXT).unwrap();
    assert_eq!(one.text(), "3.00 (2.00–4.00)");
    assert_eq!(many.text(), "1.00 (1.00–1.00)");
    assert_eq!(comparison.ratios(&comparison.entries[1], DENSE), None);
}

#[test]
fn the_table_has_a_row_for_each_and_names_who_is_not_there() {
    let mut comparison = three_rounds();
    comparison.missing.push(("Q".into(), "q r".into()));
    comparison.failed.push(("R".into(), "no luck".into()));
    let text = comparison.text();
    let row = text.lines().find(|line| line.starts_with("P ") && line.contains("int8-dynamic")).unwrap();
    let words: Vec<&str> = row.split_whitespace().collect();
    let ratios = ["4.00", "(4.00–4.00)", "8.00", "(8.00–8.00)", "0.40", "(0.40–0.40)", "0.80", "(0.80–0.80)"];
    assert_eq!(words[..6], ["P", "int8-dynamic", "dense", "8.00", "160.00", "0.50"]);
    assert_eq!(words[6..], ratios);
    for line in [
        "C, a (f), o",
        "text rows of nlpress: 12 non-zeros of 1000",
        "P: v 1",
        "Q: not installed: pip install q r",
        "R: failed: no luck",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(!text.contains("nothing to compare with"));
}

#[test]
fn alone_it_says_so() {
    let mut comparison = Comparison::new(machine());
    comparison.add(vec![(side(OURS, "f32", TEXT), [1.0, 2.0])]).unwrap();
    assert!(comparison.text().contains("nothing to compare with"), "{}", comparison.text());
}

#[test]
fn json_has_the_numbers_of_the_table() {
    let mut comparison = three_rounds();
    comparison.missing.push(("Q".into(), "q".into()));
    let json = comparison.json();
    assert_eq!(json["rounds"], 3);
    assert_eq!(json["machine"]["cpu"], "C");
    let peer = &json["entries"][5];
    assert_eq!(peer["batch1_us"]["median"], 8.0);
    assert_eq!(peer["call_us"]["median"], 0.5);
    assert_eq!(peer["times_ours_on_text"]["batch32"]["q3"], 8.0);
    assert_eq!(peer["times_ours_on_dense"]["batch1"]["median"], 0.4);
    assert!(json["entries"][0]["times_ours_on_text"].is_null());
    assert_eq!(json["not_installed"][0]["packages"], "q");
}

#[test]
fn rounds_must_be_of_the_same_things() {
    let mut comparison = three_rounds();
    let error = comparison.add(vec![(side(OURS, "f32", TEXT), [1.0, 2.0])]).unwrap_err();
    assert!(error.to_string().contains("round 4"), "{error}");
}
