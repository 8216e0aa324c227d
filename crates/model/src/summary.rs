//! What a network consists of, as a table: layers, shapes, parameters, multiply-accumulates, bytes.

use nlpress_graph::{Form, Outline, Site, SiteId, Source};
use std::fmt::Write;

/// The table of an outline, as plain text, with totals that are the sums of their columns.
///
/// An outline says how many entries are kept in all. Dense sites keep theirs; the rest is spread over the other
/// sites in proportion to their size. Multiply-accumulates are of a row with no zero in it; of a network on tokens, they
/// are of the longest text that it takes, which a line behind the table says.
pub fn summarise(outline: &Outline) -> String {
    let vectors = outline.graph.vectors();
    let names = outline.sites.iter().map(|site| &site.id).chain(vectors.iter().map(|(id, _)| id));
    let width = names.map(|id| id.as_str().len()).max().unwrap_or(0).max(12);
    let mut text = String::new();
    let mut line = |cells: [&str; 6]| line(&mut text, width, cells);
    line(["site", "shape", "form", "parameters", "MACs", "bytes"]);
    let (among_tokens, macs_of) = macs(outline);
    let (mut all_macs, mut all_bytes) = (among_tokens, 0);
    for (site, kept) in outline.sites.iter().zip(kept(outline)) {
        let shape = site.shape;
        let (macs, bytes) = (macs_of(&site.id, kept), site.predicted_bytes(kept));
        all_macs += macs;
        all_bytes += bytes;
        let name = format!("{} × {}", shape.inputs, shape.outputs);
        let form = site.form.to_string();
        let numbers = [shape.parameters(), macs, bytes].map(|n| n.to_string());
        line([site.id.as_str(), &name, &form, &numbers[0], &numbers[1], &numbers[2]]);
    }
    if among_tokens > 0 {
        line(["attention", "", "", "0", &among_tokens.to_string(), "0"]);
    }
    for (id, vector) in vectors {
        let numbers = [vector.length, 0, 4 * vector.length].map(|n| n.to_string());
        all_bytes += 4 * vector.length;
        let shape = vector.length.to_string();
        line([id.as_str(), &shape, "vector", &numbers[0], &numbers[1], &numbers[2]]);
    }
    let numbers = [outline.parameters(), all_macs, all_bytes].map(|n| n.to_string());
    let name = format!("{} kept", outline.kept);
    line(["total", &name, "", &numbers[0], &numbers[1], &numbers[2]]);
    if let Source::Tokens { most, .. } = outline.graph.source {
        writeln!(text, "MACs are of a text of {most} tokens").expect("a String takes every write");
    }
    text
}

fn line(text: &mut String, width: usize, [a, b, c, d, e, f]: [&str; 6]) {
    writeln!(text, "{a:<width$} {b:>14} {c:<20} {d:>12} {e:>12} {f:>12}")
        .expect("a String takes every write");
}

/// Multiply-accumulates that no site has, and those of a site by its kept entries.
fn macs(outline: &Outline) -> (usize, impl Fn(&SiteId, usize) -> usize) {
    let graph = &outline.graph;
    let tokens = match graph.source {
        Source::Tokens { most, .. } => Some(most),
        Source::Features { .. } | Source::Bag { .. } => None,
    };
    let among = tokens.map_or(0, |tokens| graph.macs_of(tokens, |_, _| 0));
    let of_site = move |site: &SiteId, kept: usize| match tokens {
        None => kept,
        Some(tokens) => graph.macs_of(tokens, |id, _| if id == site { kept } else { 0 }) - among,
    };
    (among, of_site)
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
    use nlpress_graph::{EncoderSpec, Graph, Head, MlpSpec, Pooling};

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
    fn a_network_on_tokens_multiplies_for_every_token() {
        let spec = EncoderSpec {
            vocabulary: 50,
            tokens: 7,
            positions: 7,
            intermediate: 16,
            head: Head::Classifier { pooling: Pooling::Mean, outputs: 3 },
            ..EncoderSpec::new(8, 1, 2)
        };
        let graph = Graph::from(spec);
        let text = summarise(&Outline::dense(&graph));
        let cells = |name: &str| -> Vec<&str> {
            text.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect()
        };
        let macs = |name: &str| cells(name).iter().rev().nth(1).unwrap().parse::<usize>().unwrap();
        assert_eq!(macs("embeddings.word_embeddings"), 0);
        assert_eq!(macs("encoder.layer.0.intermediate.dense"), 7 * 8 * 16);
        assert_eq!((macs("attention "), macs("classifier")), (2 * 7 * 7 * 8, 8 * 3));
        assert_eq!(macs("total"), graph.macs(7));
        assert!(text.ends_with("MACs are of a text of 7 tokens\n"), "{text}");
        let ends: Vec<usize> = text.lines().take(5).map(|line| line.chars().count()).collect();
        assert!(ends.iter().all(|end| *end == ends[0]), "columns are in line: {text}");
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
