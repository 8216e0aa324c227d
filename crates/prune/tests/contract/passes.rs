//! Training rows are looked at in one pass for all sites, where a technique does not go from site to site by its paper.

use nlpress_core::event::Quiet;
use nlpress_model::SiteId;
use nlpress_model::network::passes;
use nlpress_prune::KINDS;
use nlpress_testkit::{Bench, cpu};

/// Passes that a technique makes on some sites of a network.
fn made(bench: &Bench, name: &str, with: &str, on: &[SiteId]) -> u64 {
    let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
    let technique = kind.read(&with.parse().unwrap()).unwrap();
    let before = passes();
    bench.apply(&*technique, on, bench.cx(&Quiet)).unwrap();
    passes() - before
}

#[test]
fn more_sites_take_no_more_passes() {
    let tokens = Bench::tokens(&cpu()).unwrap();
    let sites = |name: &str| [0, 1].map(|layer| SiteId::new(format!("encoder.layer.{layer}.{name}")));
    let (inner, heads) = (sites("intermediate.dense"), sites("attention.self.query"));
    for (name, with, on, expected) in [
        ("prune.wanda", "sparsity = 0.5\nscope = 'global'", &inner, 1),
        ("prune.pattern", "block = [4, 1]\nsparsity = 0.5\nscope = 'global'\ncriterion = 'wanda'", &inner, 1),
        ("prune.low_rank", "rank = 2", &inner, 1),
        // Levels and derivatives.
        ("prune.neurons", "remove = 0.5\ncriterion = 'taylor'", &inner, 2),
        ("prune.heads", "remove = 0.5\ncriterion = 'fisher'", &heads, 2),
        ("prune.heads", "remove = 0.7\ncriterion = 'taylor'\npasses = 2", &heads, 4),
        ("prune.search", "units = 0.5\nreconstruct = false", &inner, 2),
    ] {
        for on in [&on[..1], &on[..]] {
            assert_eq!(made(&tokens, name, with, on), expected, "{name} on {} sites", on.len());
        }
    }
}
