//! One row times a matrix: every layout, at several sparsities, sparse and dense rows.
#![allow(missing_docs)] // made by criterion's macros

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use nlpress_packed::{Held, Index, Input, Matrix, Scales, Scratch};
use std::hint::black_box;
use std::time::Duration;

/// Numbers in `0..1`, always the same.
fn random(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// A matrix for each layout; sparse ones in both forms that memory can have.
fn matrices(inputs: usize, outputs: usize) -> Vec<(String, Matrix)> {
    let mut next = random(1);
    let floats: Vec<f32> = (0..inputs * outputs).map(|_| next() - 0.5).collect();
    let bytes: Vec<i8> = floats.iter().map(|v| (v * 254.0) as i8).collect();
    let words: Vec<i32> = floats.iter().map(|v| (v * 4e9) as i32).collect();
    let scales = || Scales::Channel(vec![0.004; outputs]);
    let made = "made-up numbers are finite and in range";
    let mut all = vec![
        ("f32".to_owned(), Matrix::dense(inputs, outputs, floats.clone()).expect(made)),
        ("int8".into(), Matrix::int8(inputs, outputs, &bytes, scales(), None, Index::Full).expect(made)),
        ("int32".into(), Matrix::int32(inputs, outputs, &words, scales(), None, Index::Full).expect(made)),
    ];
    for percent in [50, 80, 90, 95, 98] {
        let keep: Vec<bool> = floats.iter().map(|_| next() * 100.0 >= percent as f32).collect();
        let f32 = Matrix::sparse(inputs, outputs, &floats, &keep, Index::Sparse).expect(made);
        let int8 = Matrix::int8(inputs, outputs, &bytes, scales(), Some(&keep), Index::Sparse).expect(made);
        for (held, name) in [(Held::Lists, "lists"), (Held::Rows, "rows")] {
            all.push((format!("f32, {percent} % sparse, {name}"), f32.clone().held_as(held)));
            all.push((format!("int8, {percent} % sparse, {name}"), int8.clone().held_as(held)));
        }
    }
    all
}

/// Rows of `nonzeros` features each.
fn sparse_rows(count: usize, inputs: usize, nonzeros: usize) -> Vec<(Vec<u32>, Vec<f32>)> {
    let mut next = random(2);
    let row = |_| {
        let mut columns: Vec<u32> = (0..nonzeros).map(|_| (next() * inputs as f32) as u32).collect();
        columns.sort_unstable();
        columns.dedup();
        let values = columns.iter().map(|_| next()).collect();
        (columns, values)
    };
    (0..count).map(row).collect()
}

fn multiply(c: &mut Criterion) {
    let mut scratch = Scratch::default();
    for nonzeros in [20, 100] {
        let mut group = c.benchmark_group(format!("1000x128, {nonzeros} non-zeros"));
        let rows = sparse_rows(256, 1000, nonzeros);
        let (bias, mut out) = (vec![0.1; 128], vec![0.0; 128]);
        for (name, matrix) in matrices(1000, 128) {
            let mut rows = rows.iter().cycle();
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter(|| {
                    let (columns, values) = rows.next().expect("a cycle has no end");
                    matrix.multiply(Input::Sparse { columns, values }, &bias, &mut out, &mut scratch);
                    black_box(&mut out);
                });
            });
        }
    }
    let mut group = c.benchmark_group("128x64, half of the row zero");
    let mut next = random(3);
    let rows: Vec<Vec<f32>> =
        (0..256).map(|_| (0..128).map(|_| (next() - 0.5f32).max(0.0)).collect()).collect();
    let (bias, mut out) = (vec![0.1; 64], vec![0.0; 64]);
    for (name, matrix) in matrices(128, 64) {
        let mut rows = rows.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let row = rows.next().expect("a cycle has no end");
                matrix.multiply(Input::Dense(row), &bias, &mut out, &mut scratch);
                black_box(&mut out);
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20);
    targets = multiply
}
criterion_main!(benches);
