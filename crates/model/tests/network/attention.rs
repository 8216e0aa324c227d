//! Attention networks and factored sites: gradients, what goes into sites, what units are worth.

use super::{INPUTS, assert_near, check_gradient, distance, graph, loss, rows, with_biases};
use nlpress_core::Seed;
use nlpress_model::{AttentionSpec, BlockSpec, Dataset, Graph, Layer, Model, Network, Ranks, SiteId, Weight};
use nlpress_testkit::{backends, cpu, reference};
use nlpress_text::Rows;

fn attention(blocks: usize, factored: &[&str]) -> Graph {
    let ranks: Ranks = factored.iter().map(|id| (SiteId::new(*id), 3)).collect();
    let graph = Graph::from(AttentionSpec {
        inputs: INPUTS,
        width: 6,
        head_width: 3,
        layers: vec![BlockSpec { heads: 2, neurons: 5 }; blocks],
        outputs: 3,
        dropout: 0.25,
        tokens: 8,
        ranks,
    });
    graph.check().unwrap();
    graph
}

/// A batch with a row of no word, and rows of more words than are looked at.
fn batch() -> Rows {
    let mut dense = Vec::new();
    rows(6, 0.6).densify(0..6, &mut dense);
    dense[INPUTS..2 * INPUTS].fill(0.0);
    dense[2 * INPUTS..3 * INPUTS].copy_from_slice(&[0.7; INPUTS]);
    Rows::from_dense(6, INPUTS, &dense).unwrap()
}

/// Networks of every kind of this file: no block, several, and factored sites.
fn specs() -> Vec<Graph> {
    vec![
        attention(0, &[]),
        attention(2, &[]),
        attention(1, &["embedding", "encoder.0.attention.value", "encoder.0.ffn.down", "output"]),
    ]
}

#[test]
fn gradients_are_the_slope_of_the_loss() {
    for backend in backends().iter().filter(|b| b.kind().is_cpu()) {
        for graph in specs() {
            check_gradient(&Model::init(&graph, Seed(2)).unwrap(), &batch(), backend);
        }
        let mut factored = graph(&[20, 6], 2, 0.3);
        factored = factored.factored(&SiteId::hidden(0), 4).factored(&SiteId::hidden(1), 3);
        for density in [1.0, 0.2] {
            check_gradient(&Model::init(&factored, Seed(2)).unwrap(), &rows(7, density), backend);
        }
    }
}

#[test]
fn logits_are_those_of_plain_loops() {
    for backend in backends() {
        for graph in specs() {
            for seed in [3, 4] {
                let model = with_biases(&Model::init(&graph, Seed(seed)).unwrap());
                let found = Network::bind(&model, &backend).logits(&batch()).unwrap();
                let expected = reference::logits(&model, &batch());
                assert_near(&found, &expected, 1e-5);
                // A network in which a block said nothing would agree with any other arithmetic of blocks.
                let without = reference::logits(&silenced(&model), &batch());
                assert!(graph.sites().len() < 5 || distance(&found, &without) > 1e-2, "{graph:?}");
            }
        }
    }
}

/// The model with attention and feed-forward layers that bring nothing.
fn silenced(model: &Model) -> Model {
    super::with_layers(model, |_, layer| {
        let brings = layer.id.as_str().ends_with(".output") || layer.id.as_str().ends_with(".down");
        let zeros = |values: &[f32]| vec![0.0; values.len()];
        match brings {
            true => Layer {
                weight: Weight::Dense(zeros(&layer.weight.values())),
                bias: zeros(&layer.bias),
                ..layer
            },
            false => layer,
        }
    })
}

#[test]
fn gradients_are_the_same_on_every_device() {
    let model = Model::init(&attention(2, &["embedding"]), Seed(3)).unwrap();
    let all: Vec<usize> = (0..6).collect();
    let on = |backend: &_| {
        let network = Network::bind(&model, backend);
        network.gradients((&batch(), &all), None, 0, &mut loss).unwrap().flat
    };
    let expected = on(&cpu());
    for backend in backends().iter().filter(|b| !b.kind().is_cpu()) {
        let found = on(backend);
        let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-3, "{apart}");
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours_and_an_empty_one_gives_the_bias() {
    let model = Model::init(&attention(2, &[]), Seed(4)).unwrap();
    let network = Network::bind(&model, &cpu());
    let together = network.logits(&batch()).unwrap();
    for i in 0..6 {
        let alone = network.logits(&batch().select(&[i])).unwrap();
        for (a, b) in alone.iter().zip(&together[3 * i..]) {
            assert!((a - b).abs() < 1e-5, "row {i}: {a} {b}");
        }
    }
    assert_eq!(together[3..6], model.layers().last().unwrap().bias);
}

#[test]
fn what_goes_into_a_site_explains_what_comes_out() {
    let backend = cpu();
    for model in [
        Model::init(&attention(1, &[]), Seed(5)).unwrap(),
        Model::init(&graph(&[7, 5], 3, 0.0), Seed(5)).unwrap(),
    ] {
        let network = Network::bind(&model, &backend);
        let all: Vec<usize> = (0..6).collect();
        let last = model.layers().last().unwrap();
        let inputs = network.site_inputs(network.sites() - 1, &batch(), &all).unwrap();
        let logits = network.logits(&batch()).unwrap();
        let weight = last.weight.values();
        for (row, logits) in inputs.iter().zip(logits.chunks_exact(3)) {
            for (o, logit) in logits.iter().enumerate() {
                let column: Vec<f32> = weight.iter().skip(o).step_by(3).copied().collect();
                assert!((row.dot(&column) + last.bias[o] - logit).abs() < 1e-5);
            }
        }
        assert_eq!(network.site_inputs(0, &batch(), &[0]).unwrap().width(), INPUTS);
        assert!(network.site_inputs(9, &batch(), &[0]).is_err());
    }
    let network = Network::bind(&Model::init(&attention(1, &[]), Seed(5)).unwrap(), &backend);
    // Eight of eleven words are looked at, each a row of its own with a single one.
    let words = network.site_inputs(0, &batch(), &[1, 2]).unwrap();
    assert_eq!((words.len(), words.nonzeros()), (8, 8));
    assert_eq!(network.site_inputs(1, &batch(), &[1, 2]).unwrap().len(), 8);
}

#[test]
fn words_between_blocks_start_as_the_embedding_and_change_by_what_a_block_says() {
    let backend = cpu();
    let all: Vec<usize> = (0..6).collect();
    for factored in [&[][..], &["embedding"]] {
        let (graph, mut layers) = Model::init(&attention(2, factored), Seed(8)).unwrap().into_parts();
        // Block 0 says one number only, and that by its bias: half of it after attention, half after the other.
        for layer in layers
            .iter_mut()
            .filter(|l| ["encoder.0.attention.output", "encoder.0.ffn.down"].contains(&l.id.as_str()))
        {
            layer.weight = Weight::Dense(vec![0.0; layer.shape.weights()]);
            layer.bias = vec![0.25, 0.0, 0.0, 0.0, 0.0, 0.0];
        }
        let model = Model::new(graph, layers).unwrap();
        let network = Network::bind(&model, &backend);
        let at = |block| network.words(block, &batch(), &all).unwrap();
        let looked_up = network.site_inputs(0, &batch(), &all).unwrap();
        let (start, after, end) = (at(0), at(1), at(2));
        assert_eq!(start.len(), looked_up.len() * 6);
        if factored.is_empty() {
            let table = &model.layers()[0];
            let weight = table.weight.values();
            for (row, found) in looked_up.iter().zip(start.chunks_exact(6)) {
                let word = row.columns[0] as usize;
                for (i, x) in found.iter().enumerate() {
                    assert!((x - weight[word * 6 + i] - table.bias[i]).abs() < 1e-6);
                }
            }
        }
        for (i, (a, b)) in start.iter().zip(&after).enumerate() {
            let said = if i % 6 == 0 { 0.5 } else { 0.0 };
            assert!((b - a - said).abs() < 1e-6, "{i}: {a} {b}");
        }
        // The output's input is the sum of the last words, each times its value.
        let summed = network.site_inputs(network.sites() - 1, &batch(), &[0]).unwrap();
        let first = batch().select(&[0]);
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        first.row(0).strongest(8, &mut columns, &mut values);
        for i in 0..6 {
            let sum: f32 = values.iter().zip(end.chunks_exact(6)).map(|(v, word)| v * word[i]).sum();
            let mut found = [0.0; 6];
            let row = summed.row(0);
            row.columns.iter().zip(row.values).for_each(|(c, v)| found[*c as usize] = *v);
            assert!((sum - found[i]).abs() < 1e-4, "{i}: {sum} {}", found[i]);
        }
        // A row of no word has none; what is not there is refused.
        assert!(network.words(2, &batch(), &[1]).unwrap().is_empty());
        assert!(network.words(3, &batch(), &all).unwrap_err().to_string().contains("2 blocks"));
        assert!(network.words(0, &batch(), &[6]).is_err());
        assert!(network.words(0, &batch(), &[]).is_err());
    }
    let plain = Model::init(&graph(&[7], 3, 0.0), Seed(5)).unwrap();
    assert!(Network::bind(&plain, &backend).words(0, &batch(), &all).is_err());
}

#[test]
fn the_worth_of_a_unit_is_the_slope_of_the_loss_by_its_factor() {
    let backend = cpu();
    let model = Model::init(&attention(1, &[]), Seed(6)).unwrap();
    let site = model.layers().iter().position(|l| l.id.as_str() == "encoder.0.ffn.down").unwrap();
    let all: Vec<usize> = (0..6).collect();
    let worth = |model: &Model| {
        Network::bind(model, &backend).input_worth(&[site], (&batch(), &all), &mut loss).unwrap().remove(0)
    };
    let found = worth(&model);
    assert_eq!(found.len(), 6 * 5);
    let scaled = |unit: usize, by: f32| {
        let (graph, mut layers) = model.clone().into_parts();
        let Layer { weight: Weight::Dense(values), shape, .. } = &mut layers[site] else { unreachable!() };
        values[unit * shape.outputs..(unit + 1) * shape.outputs].iter_mut().for_each(|w| *w *= by);
        let network = Network::bind(&Model::new(graph, layers).unwrap(), &backend);
        network.gradients((&batch(), &all), None, 0, &mut loss).unwrap().loss
    };
    for unit in 0..5 {
        let slope = (scaled(unit, 1.01) - scaled(unit, 0.99)) / 0.02;
        let sum: f32 = found.iter().skip(unit).step_by(5).sum();
        assert!((slope - f64::from(sum)).abs() < 1e-2 * (1.0 + slope.abs()), "{unit}: {slope} {sum}");
    }
    let network = Network::bind(&model, &backend);
    assert!(network.input_worth(&[0], (&batch(), &all), &mut loss).is_err());
}

#[test]
fn it_learns() {
    let dense: Vec<f32> = (0..40 * INPUTS)
        .map(|i| if (i % INPUTS + i / INPUTS).is_multiple_of(2) && i % 3 != 1 { 0.5 } else { 0.0 })
        .collect();
    let rows = Rows::from_dense(40, INPUTS, &dense).unwrap();
    let labels: Vec<u32> = (0..40).map(|i| i % 2).collect();
    let data = Dataset::new(rows, labels, 2).unwrap();
    let graph = attention(1, &[]).with_outputs(1);
    let model = Model::init(&graph, Seed(7)).unwrap();
    let backend = cpu();
    let mut network = Network::bind(&model, &backend);
    let mut flat = model.flat();
    let all: Vec<usize> = (0..data.len()).collect();
    let mut error = |logits: &[f32], gradient: &mut [f32]| {
        let mut sum = 0.0;
        for ((z, g), y) in logits.iter().zip(gradient).zip(data.labels()) {
            *g = (z - *y as f32) / 40.0;
            sum += f64::from(z - *y as f32).powi(2) / 80.0;
        }
        sum
    };
    let mut losses = Vec::new();
    for _ in 0..400 {
        network.update(0..network.sites(), &flat);
        let found = network.gradients((data.examples(), &all), None, 0, &mut error).unwrap();
        losses.push(found.loss);
        flat.iter_mut().zip(&found.flat).for_each(|(x, g)| *x -= 0.03 * g);
    }
    assert!(losses[399] < 0.3 * losses[0], "{} {}", losses[0], losses[399]);
}
