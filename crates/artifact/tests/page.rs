//! The page that describes the file says what the code does.

#![cfg(test)]

mod common;

use common::{artifact, forms};
use nlpress_artifact::manifest::{CHECKSUMS, KEY, SCHEMA};
use nlpress_packed::Grid;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../../docs/architecture.md");

/// The rows of the table that begins with this head, by their cells.
fn table(head: &str) -> Vec<Vec<String>> {
    let (_, rest) = PAGE.split_once(head).unwrap_or_else(|| panic!("the page has no table {head}"));
    let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn the_page_names_every_tensor_with_its_types() {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for form in forms() {
        let artifact = artifact(form, 2);
        for layer in &artifact.layers {
            for part in layer.matrix.parts() {
                let types = found.entry(format!("`SITE.weight.{}`", part.name)).or_default();
                types.insert(part.dtype.to_string());
            }
        }
    }
    found.insert("`SITE.bias`".into(), BTreeSet::from(["f32".into()]));
    found.insert("`encoder.vocabulary`".into(), BTreeSet::from(["u8".into()]));
    let rows = table("| tensor | type | shape | when |");
    let said: BTreeMap<String, BTreeSet<String>> = rows
        .into_iter()
        .map(|row| (row[0].clone(), row[1].split(", ").map(ToOwned::to_owned).collect()))
        .collect();
    assert_eq!(said, found);
}

#[test]
fn the_page_names_every_grid_with_its_integers() {
    let minus = |n: i32| n.to_string().replace('-', "−");
    let range = |(least, most)| format!("{} to {}", minus(least), minus(most));
    let expected: Vec<[String; 3]> = Grid::ALL
        .map(|grid| {
            let levels = grid.levels();
            let all: Vec<String> = match grid.has_zero() {
                true => vec![range((-levels, levels))],
                false => (-levels..=levels).filter(|q| grid.contains(*q)).map(minus).collect(),
            };
            let shifted = grid.with_zero_point().map_or("–".to_owned(), range);
            [format!("`{}`", grid.name()), all.join(", "), shifted]
        })
        .to_vec();
    let said: Vec<[String; 3]> = table("| grid | integers | with a zero point | stored as |")
        .into_iter()
        .map(|row| [row[0].clone(), row[1].clone(), row[2].clone()])
        .collect();
    assert_eq!(said, expected);
}

#[test]
fn the_page_names_every_key_of_the_manifest() {
    // With everything that may be left out.
    let mut artifact = artifact(forms()[0], 1).with_threshold(Some(0.4)).unwrap();
    artifact.provenance.start_sha256 = Some("abc".into());
    let manifest = serde_json::to_value(artifact.manifest()).unwrap();
    let mut keys = BTreeSet::new();
    for (key, value) in manifest.as_object().unwrap() {
        // Two levels where the first is only a group.
        match value {
            Value::Object(inner) if key != "provenance" => {
                keys.extend(inner.keys().map(|below| format!("`{key}.{below}`")));
            }
            _ => drop(keys.insert(format!("`{key}`"))),
        }
    }
    let rows = table("| key | what |");
    assert_eq!(rows.iter().map(|row| row[0].clone()).collect::<BTreeSet<_>>(), keys);
    let schema = rows.iter().find(|row| row[0] == "`schema`").unwrap();
    assert!(schema[1].starts_with(&format!("{SCHEMA}.")));
    for key in manifest["provenance"].as_object().unwrap().keys() {
        let row = rows.iter().find(|row| row[0] == "`provenance`").unwrap();
        assert!(row[1].contains(&format!("`{key}`")), "{key}");
    }
    assert!(
        PAGE.contains(&format!("`{KEY}` holds the manifest"))
            && PAGE.contains(&format!("`{CHECKSUMS}` holds"))
    );
}
