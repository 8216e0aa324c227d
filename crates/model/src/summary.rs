//! What a network consists of, as a table: layers, shapes, parameters, multiply-accumulates, bytes.

use nlpress_graph::{Form, Outline, Site};
use std::fmt::Write;

/// The table of an outline, as plain text, with totals that are the sums of their columns.
///
/// An outline says how many entries are kept in all. Dense sites keep theirs; the rest is spread over the other
/// sites in proportion to their size.
pub fn summarise(outline: &Outline) -> String {
    let mut text = String::new();
    line(&mut text, ["site", "shape", "form", "parameters", "MACs", "bytes"]);
    let (mut all_macs, mut all_bytes) = (0, 0);
    for (site, kept) in outline.sites.iter().zip(kept(outline)) {
        let shape = site.shape;
        let (macs, bytes) = (kept, site.predicted_bytes(kept));
        all_macs += macs;
        all_bytes += bytes;
        let name = format!("{} × {}", shape.inputs, shape.outputs);
        let form = site.form.to_string();
        let numbers = [shape.parameters(), macs, bytes].map(|n| n.to_string());
        line(&mut text, [site.id.as_str(), &name, &form, &numbers[0], &numbers[1], &numbers[2]]);
    }
    for (id, vector) in outline.graph.vectors() {
        let numbers = [vector.length, 0, 4 * vector.length].map(|n| n.to_string());
        all_bytes += 4 * vector.length;
        let shape = vector.length.to_string();
        line(&mut text, [id.as_str(), &shape, "vector", &numbers[0], &numbers[1], &numbers[2]]);
    }
    let numbers = [outline.parameters(), all_macs, all_bytes].map(|n| n.to_string());
    let name = format!("{} kept", outline.kept);
    line(&mut text, ["total", &name, "", &numbers[0], &numbers[1], &numbers[2]]);
    text
}

fn line(text: &mut String, [a, b, c, d, e, f]: [&str; 6]) {
    writeln!(text, "{a:<12} {b:>14} {c:<20} {d:>12} {e:>12} {f:>12}").expect("a String takes every write");
}

/// Kept entries of every site; together they are the outline's.
fn kept(outline: &Outline) -> Vec<usize> {
    let is_dense = |site: &&Site| site.form == Form::Dense;
    let weights = |site: &Site| site.shape.weights();
    let mut left = outline.kept.saturating_sub(outline.sites.iter().filter(is_dense).map(weights).sum());
    let mut room: usize = outline.sites.iter().filter(|s| !is_dense(s)).map(weights).sum();
    let share = |site: &Site| {
        if site.form == Form::Dense {
            return site.shape.weights();
        }
        let share = (site.shape.weights() as f64 * left as f64 / room as f64).round() as usize;
        (left, room) = (left.saturating_sub(share), room - site.shape.weights());
        share
    };
    outline.sites.iter().map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_graph::{Graph, MlpSpec};

    fn outline() -> Outline {
        Outline::dense(&Graph::from(MlpSpec::new(1000, &[128, 64], 1, 0.5)))
    }

    fn totals(text: &str) -> Vec<usize> {
        text.lines().last().unwrap().split_whitespace().skip(3).map(|n| n.parse().unwrap()).collect()
    }

    #[test]
    fn a_dense_network_is_told_in_full() {
        let text = summarise(&outline());
        assert_eq!(text.lines().count(), 5);
        assert_eq!(totals(&text), [136_449, 136_256, 4 * 136_449]);
        assert!(text.lines().nth(1).unwrap().contains("1000 × 128"));
    }

    #[test]
    fn sites_share_what_is_kept() {
        let mut outline = outline();
        outline.sites[0].form = Form::Masked;
        outline.sites[2].form = Form::Masked;
        outline.kept = 20_000;
        let kept = kept(&outline);
        assert_eq!(kept.iter().sum::<usize>(), 20_000);
        assert_eq!(kept[1], 128 * 64, "a dense site keeps all");
        assert!(kept[2] <= 64);
        let text = summarise(&outline);
        assert_eq!(totals(&text)[..2], [136_449, 20_000]);
        assert!(totals(&text)[2] < 4 * 136_449);
    }
}
