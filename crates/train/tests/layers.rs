//! Losses of what a network makes between input and result.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

mod common;

use burn::tensor::Tensor;
use common::{backends, bags};
use nlpress_core::Seed;
use nlpress_core::event::Quiet;
use nlpress_model::network::{Loss, Seen, Taps};
use nlpress_model::{AttentionSpec, BlockSpec, Dataset, Graph, MlpSpec, Model, ModelError, Network, Ranks};
use nlpress_train::{Distance, Fit, FitConfig, Imitation, Labels, LayerDistillation, Objective, fit};

const INPUTS: usize = 20;

fn graph(layers: usize, heads: usize) -> Graph {
    Graph::from(AttentionSpec {
        inputs: INPUTS,
        width: 6,
        head_width: 3,
        layers: vec![BlockSpec { heads, neurons: 8 }; layers],
        outputs: 1,
        dropout: 0.0,
        tokens: 5,
        ranks: Ranks::new(),
    })
}

/// Rows of 0 to 6 words.
fn data(rows: usize) -> Dataset {
    bags(rows, INPUTS, 6, 9)
}

fn model(layers: usize, seed: u64) -> Model {
    Model::init(&graph(layers, 2), Seed(seed)).unwrap()
}

/// An objective as a network takes it, on these rows.
struct Of<'a>(&'a dyn Objective, &'a [usize]);

impl Loss for Of<'_> {
    fn taps(&self) -> Taps {
        self.0.taps()
    }

    fn of_logits(&mut self, logits: &[f32], derivative: &mut [f32]) -> f64 {
        self.0.loss(self.1, self.1.len(), logits, derivative)
    }

    fn of_seen(&mut self, seen: &Seen) -> Result<Option<Tensor<1>>, ModelError> {
        self.0.term(self.1, self.1.len(), seen)
    }
}

/// The derivative by a few parameters of every site against the slope of the loss.
#[test]
fn derivatives_agree_with_finite_differences() {
    for backend in backends() {
        let (student, data) = (model(1, 1), data(12));
        let teacher = Network::bind(&model(2, 2), &backend);
        let logits = teacher.logits_of(&data).unwrap();
        let rows: Vec<usize> = vec![3, 0, 6, 5, 11];
        for weights in [(1.0, 0.0), (0.0, 20.0), (0.5, 3.0)] {
            let outputs = Imitation::of(&logits, Distance::Mse);
            let taught = (&teacher, data.examples());
            let objective = LayerDistillation::new(outputs, student.graph(), taught, weights).unwrap();
            let at = |flat: &[f32]| {
                let network = Network::bind(&student.clone().with_flat(flat).unwrap(), &backend);
                network.gradients((data.examples(), &rows), None, 0, &mut Of(&objective, &rows)).unwrap()
            };
            let flat = student.flat();
            let found = at(&flat);
            for i in (0..flat.len()).step_by(23) {
                let moved = |d: f32| {
                    let mut moved = flat.clone();
                    moved[i] += d;
                    at(&moved).loss
                };
                let numeric = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                let off = (numeric - f64::from(found.flat[i])).abs();
                assert!(off < 2e-3 + 1e-2 * numeric.abs(), "{weights:?} at {i}: {numeric} {}", found.flat[i]);
            }
        }
    }
}

#[test]
fn a_copy_of_the_teacher_has_no_distance_and_shares_add_up() {
    for backend in backends() {
        let (teacher, data) = (model(2, 2), data(12));
        let network = Network::bind(&teacher, &backend);
        let logits = network.logits_of(&data).unwrap();
        let of = |student: &Model| {
            let outputs = Imitation::of(&logits, Distance::Mse);
            LayerDistillation::new(outputs, student.graph(), (&network, data.examples()), (1.0, 1.0)).unwrap()
        };
        let term = |student: &Model, rows: &[usize], batch: usize| {
            let objective = of(student);
            let bound = Network::bind(student, &backend);
            let seen = bound.seen(data.examples(), rows, objective.taps()).unwrap();
            objective.term(rows, batch, &seen).unwrap().unwrap().into_scalar::<f32>()
        };
        assert!(term(&teacher, &[0, 1, 5, 6], 4).abs() < 1e-6);
        let other = model(2, 3);
        let whole = term(&other, &[1, 5, 6, 9], 4);
        let parts = term(&other, &[1, 5], 4) + term(&other, &[6, 9], 4);
        assert!(whole > 0.1 && (whole - parts).abs() < 1e-5 * whole, "{whole} {parts}");
        // An example without a token has no layers to compare.
        assert_eq!(term(&other, &[0, 7], 2), 0.0);
    }
}

#[test]
fn training_brings_hidden_states_and_attention_nearer() {
    for backend in backends().into_iter().filter(|backend| backend.kind().is_cpu()) {
        let (student, data) = (model(2, 1), data(42));
        let network = Network::bind(&model(2, 2), &backend);
        let logits = network.logits_of(&data).unwrap();
        let all: Vec<usize> = (0..data.len()).collect();
        let taught = (&network, data.examples());
        let distance = |student: &Model, weights| {
            let outputs = Imitation::of(&logits, Distance::Mse);
            let objective = LayerDistillation::new(outputs, student.graph(), taught, weights).unwrap();
            let seen =
                Network::bind(student, &backend).seen(data.examples(), &all, objective.taps()).unwrap();
            objective.term(&all, all.len(), &seen).unwrap().unwrap().into_scalar::<f32>()
        };
        let config: FitConfig = toml::from_str("epochs = 40\nbatch = 8\nlearning_rate = 0.01").unwrap();
        let outputs = Imitation::of(&logits, Distance::Mse).with_labels(Labels::of(&data), 0.5);
        let objective = LayerDistillation::new(outputs, student.graph(), taught, (1.0, 1.0)).unwrap();
        let how = Fit { objective: Some(&objective), ..Fit::new(&config, &backend, &data, Seed(4), &Quiet) };
        let (trained, _) = fit(student.clone(), how).unwrap();
        for weights in [(1.0, 0.0), (0.0, 1.0)] {
            let (before, after) = (distance(&student, weights), distance(&trained, weights));
            assert!(after < 0.5 * before, "{weights:?}: {before} {after}");
        }
    }
}

#[test]
fn networks_that_cannot_be_compared_are_refused_by_what_differs() {
    let backend = &backends()[0];
    let teacher = Network::bind(&model(2, 2), backend);
    let data = data(3);
    let says = |student: &Graph| {
        let outputs = Imitation::of(&[0.0; 3], Distance::Mse);
        let taught = (&teacher, data.examples());
        LayerDistillation::new(outputs, student, taught, (1.0, 1.0)).unwrap_err().to_string()
    };
    assert!(says(&Graph::from(MlpSpec::new(INPUTS, &[4], 1, 0.0))).contains("0 layers with attention"));
    assert!(says(&graph(3, 2)).contains("the student has 3 layers"));
    assert!(says(&graph(2, 1)).contains("layer 0 of the student has 1 heads"));
}

/// A loss of the result as a tensor: what burn differentiates is what a function on the host would.
#[test]
fn a_loss_may_be_a_tensor_of_the_result() {
    struct Square;
    impl Loss for Square {
        fn taps(&self) -> Taps {
            Taps { output: true, ..Taps::default() }
        }

        fn of_logits(&mut self, _: &[f32], _: &mut [f32]) -> f64 {
            0.0
        }

        fn of_seen(&mut self, seen: &Seen) -> Result<Option<Tensor<1>>, ModelError> {
            Ok(Some((seen.output.clone() * seen.output.clone()).sum()))
        }
    }
    for backend in backends() {
        let (data, rows) = (data(12), [1, 2, 5]);
        for graph in [graph(1, 2), Graph::from(MlpSpec::new(INPUTS, &[4], 1, 0.0))] {
            let network = Network::bind(&Model::init(&graph, Seed(5)).unwrap(), &backend);
            let mut by_hand = |logits: &[f32], derivative: &mut [f32]| {
                derivative.iter_mut().zip(logits).for_each(|(d, z)| *d = 2.0 * z);
                logits.iter().map(|z| f64::from(z * z)).sum()
            };
            let expected = network.gradients((data.examples(), &rows), None, 0, &mut by_hand).unwrap();
            let found = network.gradients((data.examples(), &rows), None, 0, &mut Square).unwrap();
            assert!((found.loss - expected.loss).abs() < 1e-5 * expected.loss);
            for (a, b) in found.flat.iter().zip(&expected.flat) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }
}
