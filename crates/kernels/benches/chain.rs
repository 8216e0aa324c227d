//! A whole network of the kind that texts are classified by: 1000 inputs of which few are not zero, hidden layers
//! of 128 and 64, one output; one row at a time, and 32 rows at once.
//!
//! Criterion names a measurement `chain/values, non-zeros, rows`. The layers are measured by themselves too, so
//! that their sum tells what lies between them. What a row is made of (its features) is not in here.
#![allow(missing_docs)] // made by criterion's macros

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nlpress_kernels::{Aligned, Batch, Input, Linear, Scratch};
use nlpress_packed::{Grid, Index, Matrix, Scales};
use std::hint::black_box;
use std::time::Duration;

const WIDTHS: [usize; 4] = [1000, 128, 64, 1];
const NONZEROS: [usize; 6] = [16, 40, 100, 500, 750, 1000];
const FORMS: [(&str, Option<Grid>); 3] =
    [("f32", None), ("int8", Some(Grid::Int8)), ("int4", Some(Grid::Int4))];
const ROWS: usize = 32;

/// Numbers in `0..1`, always the same.
fn random(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    }
}

struct Layer {
    weight: Linear,
    bias: Vec<f32>,
}

/// The network, held in memory as an artifact's is: the first layer for sparse rows, the others for dense ones.
fn layers(grid: Option<Grid>) -> Vec<Layer> {
    let mut next = random(1);
    let layer = |(n, ends): (usize, &[usize])| {
        let (inputs, outputs) = (ends[0], ends[1]);
        let floats: Vec<f32> = (0..inputs * outputs).map(|_| next() - 0.5).collect();
        let matrix = if let Some(grid) = grid {
            let levels = grid.levels() as f32;
            let q: Vec<i32> = floats.iter().map(|v| (v * 2.0 * levels) as i32).collect();
            let scales = Scales::Channel(vec![0.5 / levels; outputs]);
            Matrix::quantized((inputs, outputs), grid, &q, scales, None, Index::Full)
        } else {
            Matrix::dense(inputs, outputs, floats)
        };
        let matrix = matrix.expect("made-up numbers are finite and in range");
        let weight = if n == 0 { Linear::for_sparse_rows(matrix) } else { Linear::for_dense_rows(matrix) };
        Layer { weight, bias: (0..outputs).map(|_| next() - 0.5).collect() }
    };
    WIDTHS.windows(2).enumerate().map(layer).collect()
}

/// Rows of so many non-zeros, none negative, as frequencies of words are.
struct Rows {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl Rows {
    fn new(nonzeros: usize) -> Self {
        let mut next = random(2);
        let mut rows = Self { offsets: vec![0], columns: vec![], values: vec![] };
        for _ in 0..256 {
            // Each column with the chance that fills up what is still missing.
            let mut missing = nonzeros;
            rows.columns.extend(
                (0..WIDTHS[0])
                    .filter(|i| {
                        let taken = next() * ((WIDTHS[0] - i) as f32) < missing as f32;
                        missing -= usize::from(taken);
                        taken
                    })
                    .map(|i| i as u32),
            );
            rows.values.resize_with(rows.columns.len(), || 0.05 + next());
            rows.offsets.push(rows.columns.len());
        }
        rows
    }

    fn batch(&self, first: usize, count: usize) -> Batch<'_> {
        Batch::Sparse {
            offsets: &self.offsets[first..=first + count],
            columns: &self.columns,
            values: &self.values,
        }
    }
}

/// What lies between layers, to be used again.
#[derive(Default)]
struct Memory {
    before: Aligned<f32>,
    after: Aligned<f32>,
    scratch: Scratch,
}

/// As the runtime does it.
fn logits(layers: &[Layer], (batch, count): (Batch<'_>, usize), memory: &mut Memory) -> f32 {
    let Memory { before, after, scratch } = memory;
    for (n, Layer { weight, bias }) in layers.iter().enumerate() {
        let batch = if n == 0 { batch } else { Batch::Dense(&before[..count * WIDTHS[n]]) };
        let out = after.room(count * bias.len());
        weight.multiply_rows(batch, bias, out, scratch);
        if n + 1 < layers.len() {
            out.iter_mut().for_each(|x| *x = x.max(0.0));
        }
        std::mem::swap(before, after);
    }
    before[0]
}

fn chain(c: &mut Criterion) {
    let mut group = c.benchmark_group("chain");
    let mut memory = Memory::default();
    for (name, grid) in FORMS {
        let layers = layers(grid);
        for nonzeros in NONZEROS {
            let rows = Rows::new(nonzeros);
            for batch in [1, ROWS] {
                group.throughput(Throughput::Elements(batch as u64));
                let mut first = (0..256).step_by(batch).cycle();
                let id = BenchmarkId::from_parameter(format!("{name}, {nonzeros} non-zeros, {batch} rows"));
                group.bench_function(id, |b| {
                    b.iter(|| {
                        let first = first.next().expect("a cycle has no end");
                        logits(&layers, black_box((rows.batch(first, batch), batch)), &mut memory)
                    });
                });
            }
        }
    }
}

/// Each layer by itself, on activations that the layers before it made.
fn layers_alone(c: &mut Criterion) {
    let mut group = c.benchmark_group("layer");
    let mut scratch = Scratch::default();
    for (name, grid) in FORMS {
        let layers = layers(grid);
        let first = Rows::new(40);
        let mut before: Vec<Vec<f32>> = Vec::new();
        for (n, Layer { weight, bias }) in layers.iter().enumerate() {
            let mut out = vec![0.0; bias.len()];
            let input = |before: &[Vec<f32>], i: usize, out: &mut [f32], scratch: &mut Scratch| match n {
                0 => weight.multiply_rows(first.batch(i, 1), bias, out, scratch),
                _ => weight.multiply(Input::Dense(&before[i]), bias, out, scratch),
            };
            let id = BenchmarkId::from_parameter(format!("{name}, {}x{}", WIDTHS[n], WIDTHS[n + 1]));
            let mut at = (0..256).cycle();
            group.bench_function(id, |b| {
                b.iter(|| {
                    let i = at.next().expect("a cycle has no end");
                    input(&before, i, &mut out, &mut scratch);
                    black_box(&mut out);
                });
            });
            let after = (0..256).map(|i| {
                input(&before, i, &mut out, &mut scratch);
                out.iter().map(|x| x.max(0.0)).collect()
            });
            before = after.collect();
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20);
    targets = chain, layers_alone
}
criterion_main!(benches);
