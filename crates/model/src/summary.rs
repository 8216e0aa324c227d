//! What a network consists of, as a table: layers, shapes, parameters, multiply-accumulates, bytes.

use nlpress_outline::{Outline, Site};
use std::fmt::Write;

/// The table of an outline, as plain text.
pub fn summarise(outline: &Outline) -> String {
    let mut text = String::new();
    let line = |text: &mut String, cells: [&str; 6]| {
        let [a, b, c, d, e, f] = cells;
        writeln!(text, "{a:<12} {b:>14} {c:<20} {d:>12} {e:>12} {f:>12}")
            .expect("a String takes every write");
    };
    line(&mut text, ["site", "shape", "form", "parameters", "MACs", "bytes"]);
    let bytes = |site: &Site| {
        let kept = if outline.sites.len() == 1 { outline.kept } else { share(outline, site) };
        Outline { spec: outline.spec.clone(), sites: vec![site.clone()], kept }.predicted_bytes()
    };
    for site in &outline.sites {
        line(
            &mut text,
            [
                site.id.as_str(),
                &format!("{} × {}", site.shape.inputs, site.shape.outputs),
                &site.form.to_string(),
                &site.shape.parameters().to_string(),
                &site.shape.weights().to_string(),
                &bytes(site).to_string(),
            ],
        );
    }
    line(
        &mut text,
        [
            "total",
            &format!("{} kept", outline.kept),
            "",
            &outline.parameters().to_string(),
            &outline.macs().to_string(),
            &outline.predicted_bytes().to_string(),
        ],
    );
    text
}

/// Kept entries of a site when only the total is known: in proportion to its size.
fn share(outline: &Outline, site: &Site) -> usize {
    let all: usize = outline.sites.iter().map(|s| s.shape.weights()).sum();
    (site.shape.weights() as f64 * outline.kept as f64 / all.max(1) as f64).round() as usize
}
