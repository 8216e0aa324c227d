//! Dependency groups against numbers: a unit whose outgoing weights are zero can be taken away and nothing changes, in
//! any network; and taking one away touches the sites of its group and no other.

use nlpress_core::Seed;
use nlpress_model::{AttentionSpec, BlockSpec, Graph, Group, MlpSpec, Model, Network, Ranks, Units, Weight};
use nlpress_prune::units;
use nlpress_testkit::{Bench, cpu, reference};
use nlpress_text::{ExamplesRef, Rows};
use proptest::prelude::*;

fn mlp() -> impl Strategy<Value = Graph> {
    (2..9_usize, proptest::collection::vec(2..7_usize, 1..4), 1..4_usize)
        .prop_map(|(inputs, hidden, outputs)| Graph::from(MlpSpec::new(inputs, &hidden, outputs, 0.0)))
}

fn attention() -> impl Strategy<Value = Graph> {
    let block = (2..4_usize, 2..6_usize).prop_map(|(heads, neurons)| BlockSpec { heads, neurons });
    let blocks = proptest::collection::vec(block, 0..3);
    (2..9_usize, 2..7_usize, 1..4_usize, blocks, 1..4_usize, 2..9_usize).prop_map(
        |(inputs, width, head_width, layers, outputs, tokens)| {
            Graph::from(AttentionSpec {
                inputs,
                width,
                head_width,
                layers,
                outputs,
                dropout: 0.0,
                tokens,
                ranks: Ranks::new(),
            })
        },
    )
}

/// Networks of every kind, with some of their sites factored.
fn graph() -> impl Strategy<Value = Graph> {
    (prop_oneof![mlp(), attention()], any::<u16>()).prop_map(|(mut graph, factored)| {
        for (n, (id, shape)) in graph.sites().into_iter().enumerate() {
            let most = shape.inputs.min(shape.outputs);
            if factored >> (n % 16) & 3 == 3 {
                graph = graph.factored(&id, 1 + most / 2);
            }
        }
        graph.check().unwrap();
        graph
    })
}

/// Random weights, and biases as large.
fn model(graph: &Graph, seed: u64) -> Model {
    let mut rng = Seed(seed).stream(1);
    let (graph, mut layers) = Model::init(graph, Seed(seed)).unwrap().into_parts();
    layers.iter_mut().for_each(|layer| layer.bias.iter_mut().for_each(|b| *b = rng.uniform() - 0.5));
    Model::new(graph, layers).unwrap()
}

/// A few rows, one of them without any word.
fn rows(width: usize, seed: u64) -> Rows {
    let mut rng = Seed(seed).stream(2);
    let mut dense: Vec<f32> =
        (0..5 * width).map(|_| if rng.uniform() < 0.6 { 0.2 + rng.uniform() } else { 0.0 }).collect();
    dense[width..2 * width].fill(0.0);
    Rows::from_dense(5, width, &dense).unwrap()
}

/// The model with nothing going out of a unit.
fn silenced(model: &Model, group: &Group, unit: usize) -> Model {
    let (graph, mut layers) = model.clone().into_parts();
    for layer in layers.iter_mut().filter(|layer| group.rows.contains(&layer.id)) {
        let outputs = layer.shape.outputs;
        let mut values = layer.weight.values().into_owned();
        values[unit * group.block * outputs..(unit + 1) * group.block * outputs].fill(0.0);
        layer.weight = Weight::Dense(values);
    }
    Model::new(graph, layers).unwrap()
}

fn logits<'a>(model: &Model, rows: impl Into<ExamplesRef<'a>>) -> Vec<f64> {
    let found = Network::bind(model, &cpu()).logits(rows).unwrap();
    found.into_iter().map(f64::from).collect()
}

fn near(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + b.abs()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_unit_that_nothing_goes_out_of_can_go(graph in graph(), seed in 0..1000_u64) {
        let (model, rows) = (model(&graph, seed), rows(graph.inputs(), seed));
        for group in graph.groups() {
            for unit in 0..group.units {
                let silent = silenced(&model, &group, unit);
                let made = match units::remove(silent.clone(), &group, &[unit], None) {
                    Ok(made) => made,
                    Err(why) => {
                        prop_assert!(why.to_string().contains("narrower than its rank"), "{}", why);
                        let smaller = graph.clone().with_units(&group, group.units - 1);
                        prop_assert_ne!(smaller.ranks(), graph.ranks());
                        continue;
                    }
                };
                // A token's mean and variance count every number it has, so a number that nobody reads still moves the
                // others: taken away, it is in neither.
                let expected = match group.what {
                    Units::Width => reference::logits_without(&silent, &rows, Some(unit)),
                    _ => logits(&silent, &rows),
                };
                let found = logits(&made, &rows);
                prop_assert!(near(&found, &expected), "{:?} unit {}: {:?} {:?}", group, unit, found, expected);
                for (before, after) in model.layers().iter().zip(made.layers()) {
                    let touched = group.columns.contains(&before.id) || group.rows.contains(&before.id);
                    prop_assert_eq!(before.shape != after.shape, touched, "{}", &before.id);
                }
            }
        }
    }
}

/// The test above could not fail if a unit's weights moved nothing.
#[test]
fn a_unit_that_something_goes_out_of_is_missed() {
    for bench in Bench::families(&cpu()).unwrap() {
        let (model, rows) = (bench.model(), bench.valid().examples());
        let whole = logits(model, rows);
        for group in model.graph().groups() {
            let missed =
                (0..group.units).filter(|unit| !near(&logits(&silenced(model, &group, *unit), rows), &whole));
            let missed = missed.count();
            // A mean of fresh embeddings is small beside the biases behind it, so that most units there are off.
            let least = if bench.name() == "averaging" { 1 } else { group.units.div_ceil(2) };
            assert!(missed >= least, "{group:?}: only {missed} are missed");
        }
    }
}
