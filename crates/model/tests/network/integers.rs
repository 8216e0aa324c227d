//! Packed integers on every backend that opens: which stay integers on the device, and that it shows in no number.

use super::{distance, frozen, frozen_integers, graph, loss, packed, rows, with_layers};
use nlpress_core::{Backend, Seed};
use nlpress_model::network::Input;
use nlpress_model::{AttentionSpec, BlockSpec, Graph, Layer, MlpSpec, Model, Network};
use nlpress_packed::{Grid, Index, Int, Matrix, Per, Scales, Values};
use nlpress_testkit::{backends, reference};
use nlpress_text::Rows;

/// Random integers of a grid up to `most`, with zero points of `point` where there is one.
fn integers(layer: &Layer, grid: Grid, per: Per, most: i32, point: Option<i8>) -> Layer {
    let (inputs, outputs) = (layer.shape.inputs, layer.shape.outputs);
    let mut rng = Seed(8).stream(inputs as u64);
    let mut random = || f64::from(2.0 * rng.uniform() - 1.0);
    let mut q: Vec<i32> =
        (0..inputs * outputs).map(|_| grid.nearest(f64::from(most) * random()).clamp(-most, most)).collect();
    // The ends of the range are there whatever was drawn.
    (q[0], q[1]) = (most, -most);
    let scale = 0.5 / (f64::from(most) * (inputs as f64).sqrt());
    let count = per.scales(inputs, outputs);
    let scales = Scales::of(per, (0..count).map(|_| (scale * (1.5 + random())) as f32).collect());
    let matrix = match point {
        Some(point) => Matrix::affine((inputs, outputs), grid, &q, scales, vec![point; count]),
        None => Matrix::quantized((inputs, outputs), grid, &q, scales, None, Index::Full),
    };
    let int = Int { zero_points: point.is_some(), ..Int::new(grid, per) };
    packed(layer, matrix.unwrap(), Values::Int(int))
}

/// Holds a device that has integers, and one that has floats in their place, against plain loops.
fn check(model: &Model, rows: &Rows, backend: &Backend, held: usize) {
    let network = Network::bind(model, backend);
    let all = network.sites();
    let held = if backend.kind().is_cpu() { 0 } else { held };
    assert_eq!(
        (network.held_as_integers(), network.dequantized()),
        (held, all - held),
        "{:?}",
        backend.kind()
    );

    let logits = network.logits(rows).unwrap();
    let expected = reference::logits(model, rows);
    assert!(expected.iter().any(|x| x.abs() > 0.01), "logits as small say nothing");
    assert!(distance(&logits, &expected) < 1e-4, "{}", distance(&logits, &expected));

    // A pass with gradients takes floats for all but the first site.
    let indices: Vec<usize> = (0..rows.len()).collect();
    let trace = network.forward(0..all, Input::Examples(rows.into(), &indices), None, 0).unwrap();
    assert!(distance(&trace.output().unwrap(), &expected) < 1e-4);
}

#[test]
fn integers_stay_integers_where_the_device_can_multiply_them() {
    let model = Model::init(&graph(&[24, 16], 3, 0.0), Seed(6)).unwrap();
    // How many of the three sites, of 11, 24 and 16 inputs.
    let cases = [
        (Grid::Int8, Per::Tensor, 127, None, 3),
        (Grid::Int8, Per::Channel, 127, None, 3),
        (Grid::Int8, Per::Row, 127, None, 3),
        (Grid::Int8, Per::Group(4), 127, None, 3),
        (Grid::Int8, Per::Group(16), 127, None, 3),
        (Grid::Int8, Per::Group(6), 127, None, 0),
        (Grid::Int8, Per::Channel, 100, Some(-27), 3),
        (Grid::Int8, Per::Channel, 100, Some(28), 0),
        (Grid::Int4, Per::Tensor, 7, None, 3),
        (Grid::Int4, Per::Channel, 7, None, 3),
        (Grid::Int4, Per::Row, 7, None, 3),
        (Grid::Int4, Per::Group(8), 7, None, 3),
        (Grid::Int4, Per::Group(4), 7, None, 0),
        (Grid::Int4, Per::Group(4), 7, Some(-8), 3),
        (Grid::Int3, Per::Channel, 3, Some(1), 3),
        (Grid::Ternary, Per::Channel, 1, None, 3),
        (Grid::Binary, Per::Tensor, 1, None, 3),
        (Grid::Int16, Per::Channel, 32767, None, 0),
    ];
    for backend in backends() {
        for (grid, per, most, point, held) in cases {
            let model = with_layers(&model, |_, layer| integers(&layer, grid, per, most, point));
            println!("{grid:?} {per:?} ±{most}, zero point {point:?}, on {}", backend.kind().name());
            check(&model, &rows(9, 0.6), &backend, held);
        }
    }
}

#[test]
fn wide_sites_stay_integers() {
    let model = Model::init(&Graph::from(MlpSpec::new(1000, &[128, 64], 1, 0.0)), Seed(7)).unwrap();
    let mut rng = Seed(5).stream(1);
    let dense: Vec<f32> = (0..9 * 1000).map(|_| (rng.normal() - 1.0).max(0.0)).collect();
    let rows = Rows::from_dense(9, 1000, &dense).unwrap();
    for backend in backends() {
        for (grid, most) in [(Grid::Int8, 127), (Grid::Int4, 7)] {
            for per in [Per::Tensor, Per::Channel, Per::Group(32)] {
                let model = with_layers(&model, |_, layer| integers(&layer, grid, per, most, None));
                check(&model, &rows, &backend, 3);
            }
        }
    }
}

/// The gradient of the first site, in plain loops: what is rounded on the way forward passes it back as it is.
fn gradient_of_the_first_site(model: &Model, rows: &Rows) -> Vec<f64> {
    let [first, second, third] = model.layers() else { panic!("three sites") };
    let relu = |x: &[f64]| x.iter().map(|x| x.max(0.0)).collect::<Vec<f64>>();
    let mut passes = Vec::new();
    for row in rows.iter() {
        let mut x = vec![0.0; rows.width()];
        row.columns.iter().zip(row.values).for_each(|(c, v)| x[*c as usize] = f64::from(*v));
        let below = reference::site(first, &x);
        let above = reference::site(second, &relu(&below));
        passes.push((x, below, above.clone(), reference::site(third, &relu(&above))));
    }
    let logits: Vec<f32> = passes.iter().flat_map(|(.., logits)| logits).map(|z| *z as f32).collect();
    let mut upstream = vec![0.0; logits.len()];
    loss(&logits, &mut upstream);
    let through = |layer: &Layer, gradient: &[f64], pre: &[f64]| -> Vec<f64> {
        let weight = layer.weight.values();
        let sum = |i: usize| -> f64 {
            let row = &weight[i * layer.shape.outputs..][..layer.shape.outputs];
            row.iter().zip(gradient).map(|(w, g)| f64::from(*w) * g).sum()
        };
        pre.iter().enumerate().map(|(i, pre)| if *pre > 0.0 { sum(i) } else { 0.0 }).collect()
    };
    let outputs = first.shape.outputs;
    let mut flat = vec![0.0; first.shape.parameters()];
    for ((x, below, above, _), gradient) in passes.iter().zip(upstream.chunks_exact(third.shape.outputs)) {
        let gradient: Vec<f64> = gradient.iter().map(|g| f64::from(*g)).collect();
        let gradient = through(second, &through(third, &gradient, above), below);
        for (i, x) in x.iter().chain([&1.0]).enumerate() {
            flat[i * outputs..][..outputs].iter_mut().zip(&gradient).for_each(|(sum, g)| *sum += x * g);
        }
    }
    flat
}

#[test]
fn gradients_pass_integers() {
    let model = Model::init(&graph(&[24, 16], 3, 0.0), Seed(6)).unwrap();
    let indices: Vec<usize> = (0..9).collect();
    for per in [Per::Tensor, Per::Channel, Per::Row, Per::Group(8)] {
        let model = with_layers(&model, |i, layer| match i {
            0 => layer,
            1 => integers(&layer, Grid::Int8, per, 127, None),
            _ => integers(&layer, Grid::Int4, per, 7, None),
        });
        let expected = gradient_of_the_first_site(&model, &rows(9, 0.6));
        assert!(expected.iter().any(|x| x.abs() > 1e-2));
        for backend in backends() {
            let network = Network::bind(&model, &backend);
            assert_eq!(network.held_as_integers() + network.dequantized(), 2);
            assert_eq!(network.held_as_integers() == 2, !backend.kind().is_cpu());
            let found = network.gradients((&rows(9, 0.6), &indices), None, 0, &mut loss).unwrap().flat;
            assert!(distance(&found, &expected) < 1e-3, "{}", distance(&found, &expected));
        }
    }
}

#[test]
fn only_packed_integers_that_are_bound_count_and_only_where_they_save_bytes() {
    let model = Model::init(&graph(&[24, 3], 1, 0.0), Seed(6)).unwrap();
    let mixed = with_layers(&model, |i, layer| if i == 0 { frozen(&layer) } else { layer });
    let whole = with_layers(&model, |_, layer| frozen_integers(&layer, 127.0));
    for backend in backends() {
        let counts = |network: Network| (network.held_as_integers(), network.dequantized());
        assert_eq!(counts(Network::bind(&mixed, &backend)), (0, 0));
        let cpu = backend.kind().is_cpu();
        // Three integers and a scale for their output take as many bytes as three floats.
        assert_eq!(counts(Network::bind(&whole, &backend)), if cpu { (0, 3) } else { (2, 1) });
        let part = Network::bind_sites(&whole, &backend, 1..2);
        assert_eq!(counts(part), if cpu { (0, 1) } else { (1, 0) });
    }
}

#[test]
fn the_embedding_of_an_attention_network_stays_in_plain_memory() {
    let graph = Graph::from(AttentionSpec {
        inputs: super::INPUTS,
        width: 6,
        head_width: 3,
        layers: vec![BlockSpec { heads: 2, neurons: 5 }],
        outputs: 3,
        dropout: 0.0,
        tokens: 8,
        ranks: Default::default(),
    });
    let model = Model::init(&graph, Seed(2)).unwrap();
    for backend in backends() {
        for (grid, most) in [(Grid::Int8, 127), (Grid::Int4, 7)] {
            let model = with_layers(&model, |_, layer| integers(&layer, grid, Per::Channel, most, None));
            check(&model, &rows(6, 0.6), &backend, model.layers().len() - 1);
        }
    }
}
