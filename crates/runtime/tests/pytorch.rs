//! A session answers what PyTorch does: see `crates/model/tests/pytorch/dump.py`, which wrote the numbers.

#![cfg(test)]

mod common;
#[path = "../../model/tests/pytorch/dump.rs"]
mod dump;

use common::encoder;
use dump::{Dump, dumps};
use nlpress_artifact::{Artifact, EncoderParts, Layer, Provenance};
use nlpress_graph::Outline;
use nlpress_packed::Matrix;
use nlpress_runtime::{Scratch, Session};

fn artifact(dump: &Dump) -> Artifact {
    let layers = dump.graph.sites().into_iter().map(|(id, shape)| {
        let [weight, bias] = dump.both("parameters", id.as_str());
        Layer { id, matrix: Matrix::dense(shape.inputs, shape.outputs, weight).unwrap(), bias }
    });
    let labels = (0..dump.graph.outputs().max(2)).map(|n| format!("class {n}")).collect();
    let (config, blob) = encoder(dump.graph.inputs()).to_parts();
    let encoder = EncoderParts { config, blob };
    Artifact::new(
        Outline::dense(&dump.graph),
        layers.collect(),
        vec![],
        labels,
        encoder,
        Provenance::default(),
    )
    .unwrap()
}

#[test]
fn logits_are_those_of_pytorch() {
    for dump in dumps() {
        let bytes = artifact(&dump).to_bytes().unwrap();
        let session = Session::from_artifact(Artifact::from_bytes(&bytes, "memory").unwrap()).unwrap();
        dump.assert_near(&session.logits(&dump.rows).unwrap(), dump.at("logits"), "logits");
        let (mut scratch, width) = (Scratch::default(), dump.graph.outputs());
        let mut alone = vec![0.0; dump.rows.len() * width];
        for (row, out) in dump.rows.iter().zip(alone.chunks_exact_mut(width)) {
            session.logits_row(row, out, &mut scratch).unwrap();
        }
        dump.assert_near(&alone, dump.at("logits"), "logits of rows alone");
    }
}
