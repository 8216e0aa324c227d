//! Damaged files behind a session: refused; and where the checksums were made to fit, refused or answers that are
//! numbers.

#![cfg(test)]

mod common;
#[path = "../../artifact/tests/common/file.rs"]
#[allow(dead_code)] // shared with the tests of the artifacts
mod file;

use common::{artifact, forms, network, random, texts};
use file::{sealed, tensors};
use nlpress_artifact::Artifact;
use nlpress_graph::{AttentionSpec, BlockSpec, Form, Graph, Ranks};
use nlpress_runtime::{OpenOptions, RuntimeError, Session};

/// What a file comes to: whether it opened, and whether it answered.
#[derive(Debug, Default)]
struct Outcomes {
    refused: usize,
    silent: usize,
    answered: usize,
}

impl Outcomes {
    fn see(&mut self, bytes: &[u8], texts: &[String], what: &str) {
        let opened = Artifact::from_bytes(bytes, "memory").map_err(RuntimeError::from);
        let Ok(session) = opened.and_then(Session::from_artifact) else {
            self.refused += 1;
            return;
        };
        match session.predict_many(texts, 1) {
            Err(RuntimeError::NotFinite { .. }) => self.silent += 1,
            Err(other) => panic!("{what}: {other}"),
            Ok(answers) => {
                self.answered += 1;
                for answer in answers {
                    let sum: f32 = answer.scores.iter().sum();
                    assert!((sum - 1.0).abs() < 1e-3, "{what}: {:?}", answer.scores);
                }
            }
        }
    }
}

fn attention() -> Graph {
    Graph::from(AttentionSpec {
        inputs: 60,
        width: 12,
        head_width: 4,
        layers: vec![BlockSpec { heads: 2, neurons: 10 }],
        outputs: 3,
        dropout: 0.0,
        tokens: 16,
        ranks: Ranks::new(),
    })
}

/// Files of every layout, of both kinds of networks.
fn files() -> Vec<(Form, Vec<u8>)> {
    let perceptrons = forms().into_iter().map(|form| (form, artifact(form, 60, &[16, 9], 3, 40)));
    let attentions = forms().into_iter().step_by(7).map(|form| (form, network(&attention(), form, 40)));
    perceptrons.chain(attentions).map(|(form, artifact)| (form, artifact.to_bytes().unwrap())).collect()
}

#[test]
fn damaged_numbers_never_become_answers_that_are_none() {
    let mut next = random(17);
    let mut below = |n: usize| ((next() * n as f32) as usize).min(n - 1);
    let texts = texts(5, 60, 20);
    let (mut sealed_ones, mut others) = (Outcomes::default(), Outcomes::default());
    for (form, bytes) in files() {
        let places = tensors(&bytes);
        for n in 0..16 {
            let (name, range) = &places[below(places.len())];
            if range.is_empty() {
                continue;
            }
            let at = range.start + below(range.len());
            let mut copy = bytes.clone();
            match n % 4 {
                0 => copy[at] ^= 1 << below(8),
                1 => copy[at] = below(256) as u8,
                // The sign and exponent of a float of 32 bits: numbers of any size.
                2 => copy[((at - range.start) / 4 * 4 + range.start + 3).min(range.end - 1)] = 0x7e,
                _ => copy[range.clone()].rotate_left(1 + below(range.len())),
            }
            let what = format!("{form}: {name}, {n}");
            if copy != bytes {
                others.see(&copy, &texts, &what);
                sealed_ones.see(&sealed(&copy), &texts, &what);
            }
        }
    }
    // Without checksums that fit, nothing opens.
    assert!(others.refused > 1000 && others.silent + others.answered == 0, "{others:?}");
    assert!(sealed_ones.refused > 100 && sealed_ones.answered > 500, "{sealed_ones:?}");
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "makes a file")]
fn a_file_beyond_the_limits_of_the_caller_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let bytes = artifact(Form::Dense, 300, &[64], 2, 100).to_bytes().unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let weights = 4 * (300 * 64 + 64 * 8);
    let open = |expanded, file| {
        let options = OpenOptions { largest_expanded_bytes: Some(expanded), largest_file_bytes: file };
        Session::open_with(&path, &options).map_err(|e| e.to_string())
    };
    let size = bytes.len() as u64;
    assert!(open(weights, size).is_ok());
    let small = open(weights - 1, size).unwrap_err();
    assert!(small.contains("model.safetensors: the weights would take"), "{small}");
    let short = open(weights, size - 1).unwrap_err();
    assert!(short.contains(&format!("has {size} bytes, but at most {}", size - 1)), "{short}");
}
