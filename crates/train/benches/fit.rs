//! One epoch of the article's network (1000 → 128 → 64 → 1, dropout 0.5, Adam, batches of 32) on 8000 rows, and of an
//! attention network (width 128, two blocks of 4 heads and 512 neurons) on 256 rows of 64 words.
//!
//! The dense rows are what general matrix libraries are made for; the sparse ones, with 2 % of the entries, are
//! what text gives.

#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use nlpress_core::event::Quiet;
use nlpress_core::{BackendKind, Seed};
use nlpress_model::{AttentionSpec, BlockSpec, Dataset, Graph, MlpSpec, Model, Ranks};
use nlpress_text::Rows;
use nlpress_train::{Fit, FitConfig, fit};

const ROWS: usize = 8000;
const INPUTS: usize = 1000;

fn data(rows: usize, density: f32) -> Dataset {
    let mut rng = Seed(1).stream(0);
    let values: Vec<f32> = (0..rows * INPUTS)
        .map(|_| if rng.uniform() < density { rng.uniform() + 1e-3 } else { 0.0 })
        .collect();
    let labels = (0..rows).map(|_| rng.below(2) as u32).collect();
    Dataset::new(Rows::from_dense(rows, INPUTS, &values).unwrap(), labels, 2).unwrap()
}

fn attention() -> Graph {
    let layers = vec![BlockSpec { heads: 4, neurons: 512 }; 2];
    let (width, head_width, tokens) = (128, 32, 64);
    let spec = AttentionSpec {
        inputs: INPUTS,
        width,
        head_width,
        layers,
        outputs: 1,
        dropout: 0.1,
        tokens,
        ranks: Ranks::new(),
    };
    Graph::from(spec)
}

fn epochs(c: &mut Criterion) {
    let backend = BackendKind::compiled()[0].open().unwrap();
    let mlp = Graph::from(MlpSpec::new(INPUTS, &[128, 64], 1, 0.5));
    let config = FitConfig::default().with_epochs(1).unwrap();
    let mut group = c.benchmark_group("fit/epoch");
    group.sample_size(10);
    for (name, graph, rows, density) in [
        ("dense", &mlp, ROWS, 1.0),
        ("sparse", &mlp, ROWS, 0.02),
        // Nearly all rows have more than 64 words, of which 64 are looked at.
        ("attention", &attention(), 256, 0.1),
    ] {
        let model = Model::init(graph, Seed(2)).unwrap();
        group.bench_function(name, |b| {
            let data = data(rows, density);
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
