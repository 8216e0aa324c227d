//! The whole network, 1000 → 128 → 64 → 1, and a text's way through it, in several layouts.
#![allow(missing_docs)] // made by criterion's macros

#[path = "../tests/common/mod.rs"]
mod common;

use common::{artifact, rows, texts};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nlpress_graph::Form;
use nlpress_packed::{Grid, Index, Per, Scheme, Values};
use nlpress_runtime::{Scratch, Session};
use std::hint::black_box;
use std::time::Duration;

const FITS: &str = "what is made up here fits together";

fn sessions() -> Vec<(&'static str, Session)> {
    let packed = |values, index| Form::Packed(Scheme { values, index });
    let int8 = Values::int(Grid::Int8, Per::Channel);
    let open = |form, hidden: &[usize], percent| {
        Session::from_artifact(artifact(form, 1000, hidden, 1, percent)).expect(FITS)
    };
    vec![
        ("f32", open(Form::Dense, &[128, 64], 100)),
        ("int8", open(packed(int8, Index::Full), &[128, 64], 100)),
        ("f32, 90 % sparse", open(packed(Values::F32, Index::Sparse), &[128, 64], 10)),
        ("int8, 90 % sparse", open(packed(int8, Index::Sparse), &[128, 64], 10)),
        ("f32, half width", open(Form::Dense, &[64, 32], 100)),
        ("int8, half width", open(packed(int8, Index::Full), &[64, 32], 100)),
    ]
}

fn serve(c: &mut Criterion) {
    let sessions = sessions();
    let mut scratch = Scratch::default();
    for words in [20, 100] {
        let mut group = c.benchmark_group(format!("one row of {words} words"));
        for (name, session) in &sessions {
            let rows = rows(session.encoder().bag().expect(FITS), 255, words);
            let mut next = (0..rows.len()).cycle();
            let mut out = [0.0];
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter(|| {
                    let row = rows.row(next.next().expect("a cycle has no end"));
                    session.logits_row(row, &mut out, &mut scratch).expect(FITS);
                    black_box(out);
                });
            });
        }
    }
    let mut group = c.benchmark_group("one text of 20 words");
    let one = texts(256, 1000, 20);
    for (name, session) in &sessions {
        let mut texts = one.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let text = texts.next().expect("a cycle has no end");
                black_box(session.score(text, &mut scratch).expect(FITS));
            });
        });
    }
    drop(group);
    for threads in [1, 2] {
        let mut group = c.benchmark_group(format!("32 texts of 20 words, {threads} threads"));
        group.throughput(Throughput::Elements(32));
        for (name, session) in &sessions {
            let mut batches = one.chunks(32).cycle();
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter(|| {
                    let batch = batches.next().expect("a cycle has no end");
                    black_box(session.predict_many(batch, threads).expect(FITS));
                });
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20);
    targets = serve
}
criterion_main!(benches);
