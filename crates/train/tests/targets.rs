//! Trainings on what rows have: labels, vectors, or nothing but what an objective knows of them.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

mod common;

use common::{backends, bags};
use nlpress_core::Seed;
use nlpress_core::event::Quiet;
use nlpress_model::{Dataset, Graph, MlpSpec, Model, Network};
use nlpress_train::{Distance, Fit, FitConfig, Imitation, fit};

const WIDTH: usize = 10;

fn model(outputs: usize, seed: u64) -> Model {
    Model::init(&Graph::from(MlpSpec::new(WIDTH, &[8], outputs, 0.0)), Seed(seed)).unwrap()
}

/// What another network of three outputs makes of some bags, as their vectors.
fn vectors(count: usize, seed: u64, backend: &nlpress_core::Backend) -> Dataset {
    let rows = bags(count, WIDTH, 4, seed);
    let values = Network::bind(&model(3, 9), backend).logits_of(&rows).unwrap();
    Dataset::with_vectors(rows.features().unwrap().clone(), values, 3).unwrap()
}

#[test]
fn vectors_are_regressed_on_and_judge_epochs() {
    let config: FitConfig = toml::from_str("epochs = 60\nlearning_rate = 1e-2\npatience = 60").unwrap();
    for backend in backends() {
        let (train, valid) = (vectors(120, 1, &backend), vectors(60, 2, &backend));
        let how = Fit { valid: Some(&valid), ..Fit::new(&config, &backend, &train, Seed(6), &Quiet) };
        let (_, history) = fit(model(3, 1), how).unwrap();
        let loss = |epoch: usize| history.epochs[epoch].valid_loss.unwrap();
        assert!(loss(history.kept as usize - 1) < 0.1 * loss(0), "{history:?}");
        assert_eq!(history.epochs[0].valid_accuracy, None);
        // The same vectors given as an objective, on rows that have nothing: the same numbers.
        let plain = Dataset::unlabelled(train.features().unwrap().clone()).unwrap();
        let values = Network::bind(&model(3, 9), &backend).logits_of(&train).unwrap();
        let objective = Imitation::of(&values, Distance::Mse);
        let short: FitConfig = toml::from_str("epochs = 2").unwrap();
        let by_targets = Fit::new(&short, &backend, &train, Seed(6), &Quiet);
        let given =
            Fit { objective: Some(&objective), ..Fit::new(&short, &backend, &plain, Seed(6), &Quiet) };
        assert_eq!(fit(model(3, 1), by_targets).unwrap().0, fit(model(3, 1), given).unwrap().0);
    }
}

#[test]
fn rows_that_cannot_be_learnt_from_are_refused() {
    let backend = &backends()[0];
    let config = FitConfig::default();
    let labelled = bags(20, WIDTH, 4, 1);
    let plain = Dataset::unlabelled(labelled.features().unwrap().clone()).unwrap();
    let vectors = vectors(20, 1, backend);
    let refused = |outputs: usize, train: &Dataset, valid: Option<&Dataset>, config: &FitConfig| {
        let how = Fit { valid, ..Fit::new(config, backend, train, Seed(6), &Quiet) };
        fit(model(outputs, 1), how).unwrap_err().to_string()
    };
    assert!(refused(1, &plain, None, &config).contains("the rows have no labels"));
    assert!(refused(1, &labelled, Some(&plain), &config).contains("the rows have no labels"));
    assert!(refused(2, &vectors, None, &config).contains("vectors of 3 need as many outputs"));
    let hinge: FitConfig = toml::from_str("loss = 'squared_hinge'").unwrap();
    assert!(refused(3, &vectors, None, &hinge).contains("leave `loss` out"));
}
