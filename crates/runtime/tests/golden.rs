//! Artifacts that an earlier version wrote, of made-up numbers, open and answer with the same bits.
//!
//! `golden/logits.txt` has a line for each: the file's name, and the bits of the logits in hexadecimal. The
//! ignored test `write` makes new ones; a file that is there already is never written again.

#![cfg(test)]

mod common;

use common::{network, rows};
use nlpress_artifact::Artifact;
use nlpress_graph::{AttentionSpec, BlockSpec, Form, Graph, MlpSpec, Ranks, SiteId};
use nlpress_kernels::instruction_sets;
use nlpress_packed::{Codebook, Grid, Index, Int, Per, Scheme, Values};
use nlpress_runtime::Session;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const INPUTS: usize = 40;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn mlp(hidden: &[usize], outputs: usize, ranks: &[(usize, usize)]) -> Graph {
    let mut graph = MlpSpec::new(INPUTS, hidden, outputs, 0.5);
    graph.ranks = ranks.iter().map(|&(site, rank)| (SiteId::hidden(site), rank)).collect();
    Graph::from(graph)
}

fn attention(blocks: usize, ranks: &[(&str, usize)]) -> Graph {
    Graph::from(AttentionSpec {
        inputs: INPUTS,
        width: 12,
        head_width: 4,
        layers: vec![BlockSpec { heads: 2, neurons: 10 }; blocks],
        outputs: 3,
        dropout: 0.1,
        tokens: 8,
        ranks: ranks.iter().map(|&(site, rank)| (SiteId::new(site), rank)).collect::<Ranks>(),
    })
}

/// What the files hold: every family, factored sites, and a layout of each kind.
fn models() -> Vec<(&'static str, Graph, Form)> {
    let packed = |values, index| Form::Packed(Scheme { values, index });
    let int = |grid, per| Values::int(grid, per);
    let affine = Values::Int(Int { zero_points: true, ..Int::new(Grid::Int4, Per::Group(16)) });
    let codebook = Values::Codebook(Codebook { width: 1, bits: 6, product: false });
    vec![
        ("linear-f32", mlp(&[], 1, &[]), Form::Dense),
        ("mlp-f32", mlp(&[16, 9], 1, &[]), Form::Dense),
        ("mlp-masked", mlp(&[16, 9], 4, &[]), Form::Masked),
        ("mlp-low-rank", mlp(&[16, 9], 4, &[(0, 5), (1, 3)]), Form::Dense),
        ("mlp-f16", mlp(&[16, 9], 4, &[]), packed(Values::F16, Index::Full)),
        ("mlp-csr", mlp(&[16, 9], 4, &[]), packed(Values::F32, Index::Csr)),
        ("mlp-int8", mlp(&[16, 9], 4, &[]), packed(int(Grid::Int8, Per::Channel), Index::Full)),
        ("mlp-int4", mlp(&[16, 9], 2, &[]), packed(affine, Index::Full)),
        ("mlp-ternary", mlp(&[16, 9], 4, &[]), packed(int(Grid::Ternary, Per::Tensor), Index::Bitmask)),
        ("mlp-codebook", mlp(&[16, 9], 4, &[]), packed(codebook, Index::Full)),
        ("bag-f32", attention(0, &[("embedding", 5)]), Form::Dense),
        ("attention-f32", attention(2, &[]), Form::Dense),
        (
            "attention-int8",
            attention(2, &[("encoder.0.ffn.up", 6), ("encoder.1.attention.value", 3)]),
            packed(int(Grid::Int8, Per::Channel), Index::Full),
        ),
    ]
}

/// Of rows of few and many words, one of none.
fn logits(artifact: Artifact) -> Vec<f32> {
    let session = Session::from_artifact(artifact).unwrap();
    [3, 12, 60]
        .iter()
        .flat_map(|words| session.logits(&rows(session.encoder().bag().unwrap(), 3, *words)).unwrap())
        .collect()
}

fn hexadecimal(logits: &[f32]) -> String {
    logits.iter().map(|x| format!("{:08x}", x.to_bits())).collect()
}

#[test]
fn what_was_written_before_answers_as_before() {
    let text = std::fs::read_to_string(folder().join("logits.txt")).unwrap();
    let expected: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    assert!(expected.len() >= models().len());
    // Sums of floats are grouped by the width of vectors, so their last bits are those of the sets that have 256 bits.
    let same_sums = instruction_sets().contains(&"avx2");
    for (name, bits) in expected {
        let artifact = Artifact::open(&folder().join(name)).unwrap();
        let found = logits(artifact);
        if same_sums {
            assert_eq!(hexadecimal(&found), bits, "{name}");
        }
        let bits: Vec<&str> = (0..bits.len() / 8).map(|i| &bits[8 * i..][..8]).collect();
        assert_eq!(found.len(), bits.len(), "{name}");
        for (found, bits) in found.iter().zip(bits) {
            let expected = f32::from_bits(u32::from_str_radix(bits, 16).unwrap());
            assert!((found - expected).abs() <= 1e-4 * expected.abs().max(1.0), "{name}: {found} {expected}");
        }
    }
}

#[test]
#[ignore = "writes the files that the other test reads"]
fn write() {
    let list = folder().join("logits.txt");
    let mut lines = std::fs::read_to_string(&list).unwrap_or_default();
    for (name, graph, form) in models() {
        let file = format!("{name}.v{}.nlp", nlpress_artifact::manifest::SCHEMA);
        if !folder().join(&file).exists() {
            let artifact = network(&graph, form, 60);
            artifact.write(&folder().join(&file)).unwrap();
            lines += &format!("{file} {}\n", hexadecimal(&logits(artifact)));
        }
    }
    std::fs::write(list, lines).unwrap();
}
