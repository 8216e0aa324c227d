//! One epoch of the article's network (1000 → 128 → 64 → 1, dropout 0.5, Adam, batches of 32) on 8000 rows.
//!
//! The dense rows are what general matrix libraries are made for; the sparse ones, with 2 % of the entries, are
//! what text gives.

#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use nlpress_core::event::Quiet;
use nlpress_core::{BackendKind, Seed};
use nlpress_model::{Dataset, Graph, MlpSpec, Model};
use nlpress_text::Rows;
use nlpress_train::{Fit, FitConfig, fit};

const ROWS: usize = 8000;
const INPUTS: usize = 1000;

fn data(density: f32) -> Dataset {
    let mut rng = Seed(1).stream(0);
    let values: Vec<f32> = (0..ROWS * INPUTS)
        .map(|_| if rng.uniform() < density { rng.uniform() + 1e-3 } else { 0.0 })
        .collect();
    let labels = (0..ROWS).map(|_| rng.below(2) as u32).collect();
    Dataset::new(Rows::from_dense(ROWS, INPUTS, &values).unwrap(), labels, 2).unwrap()
}

fn epochs(c: &mut Criterion) {
    let backend = BackendKind::compiled()[0].open().unwrap();
    let graph = Graph::from(MlpSpec::new(INPUTS, &[128, 64], 1, 0.5));
    let model = Model::init(&graph, Seed(2)).unwrap();
    let config = FitConfig::default().with_epochs(1).unwrap();
    let mut group = c.benchmark_group("fit/epoch");
    group.sample_size(10);
    for (name, density) in [("dense", 1.0), ("sparse", 0.02)] {
        let data = data(density);
        group.bench_function(name, |b| {
            b.iter_batched(
                || model.clone(),
                |model| fit(model, Fit::new(&config, &backend, &data, Seed(3), &Quiet)).unwrap(),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, epochs);
criterion_main!(benches);
