//! An encoder of the shape of MiniLM-L6 (6 layers of 384, a vocabulary of 30,522), of made-up numbers: one text, and several
//! that go through it together.
#![allow(missing_docs)] // made by criterion's macros

#[path = "../tests/common/mod.rs"]
mod common;

use common::network;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nlpress_graph::{EncoderSpec, Form, Graph, Head, Pooling};
use nlpress_packed::{Grid, Index, Per, Scheme, Values};
use nlpress_runtime::{Scratch, Session};
use nlpress_text::TokenRows;
use std::hint::black_box;

const FITS: &str = "what is made up here fits together";

fn minilm() -> Graph {
    Graph::from(EncoderSpec {
        vocabulary: 30_522,
        tokens: 512,
        positions: 512,
        types: 2,
        head: Head::Embedding { pooling: Pooling::Mean, unit: true },
        ..EncoderSpec::new(384, 6, 12)
    })
}

fn texts(count: u32, length: u32) -> TokenRows {
    let ids = (0..count * length).map(|n| n.wrapping_mul(2_654_435_761) % 30_522).collect();
    let offsets = (0..=count).map(|n| (n * length) as usize).collect();
    TokenRows::new(30_522, offsets, ids, vec![]).expect(FITS)
}

fn serve(c: &mut Criterion) {
    let int8 = Form::Packed(Scheme { values: Values::int(Grid::Int8, Per::Channel), index: Index::Full });
    for (name, form) in [("f32", Form::Dense), ("int8", int8)] {
        let session = Session::from_artifact(network(&minilm(), form, 100)).expect(FITS);
        let mut scratch = Scratch::default();
        let mut group = c.benchmark_group(name);
        group.sample_size(10);
        for (count, length) in [(1, 16), (1, 80), (8, 80), (1, 256)] {
            let texts = texts(count, length);
            let mut out = vec![0.0; count as usize * session.outline().graph.outputs()];
            group.throughput(Throughput::Elements(count.into()));
            group.bench_function(format!("{count} x {length} tokens"), |b| {
                b.iter(|| {
                    session.logits_rows(&texts, 0..count as usize, &mut out, &mut scratch).expect(FITS);
                    black_box(&out);
                });
            });
        }
    }
}

criterion_group!(benches, serve);
criterion_main!(benches);
