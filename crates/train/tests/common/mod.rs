//! What tests of trainings share.

use nlpress_core::{Backend, BackendKind, Seed};
use nlpress_model::Dataset;
use nlpress_text::Rows;

/// Every backend that opens.
pub(crate) fn backends() -> Vec<Backend> {
    BackendKind::compiled().into_iter().filter_map(|kind| kind.open().ok()).collect()
}

/// Bags of 0 to `most` of `width` words, in two classes.
#[allow(clippy::unwrap_used, dead_code)] // clippy.toml allows it in test functions, but not in the functions they share
pub(crate) fn bags(count: usize, width: usize, most: usize, seed: u64) -> Dataset {
    let mut rng = Seed(seed).stream(0);
    let mut values = vec![0.0; count * width];
    for row in 0..count {
        for _ in 0..row % (most + 1) {
            values[row * width + rng.below(width)] = 0.25 + rng.uniform();
        }
    }
    let labels = (0..count).map(|row| (row % 2) as u32).collect();
    Dataset::new(Rows::from_dense(count, width, &values).unwrap(), labels, 2).unwrap()
}
