//! Networks on tokens compute what PyTorch does: see `pytorch/encoders.py`, which wrote the numbers; and what plain loops
//! do.

#[path = "../pytorch/encoders.rs"]
mod dump;

use dump::{Dump, dumps, numbers};
use nlpress_core::{Backend, Seed};
use nlpress_graph::{
    Activation, EncoderSpec, Graph, Head, ModernLayers, Op, Output, Pooling, RelativeSizes, SiteId,
    StaticSpec,
};
use nlpress_model::{Dropout, Layer, Layers, Model, ModelError, Network, Vector, Weight};
use nlpress_packed::{Matrix, Scheme};
use nlpress_testkit::{backends, reference};
use nlpress_text::TokenRows;

use super::{assert_gradient, largest};

fn model(dump: &Dump) -> Model {
    let sites = dump.graph.sites().into_iter().map(|(id, shape)| {
        let [weight, bias] = dump.both("parameters", &id);
        Layer { id, shape, weight: Weight::Dense(weight), bias }
    });
    let vectors = dump.graph.vectors().into_iter().map(|(id, _)| {
        let values = dump.vector("vectors", &id);
        Vector { id, values }
    });
    let layers = Layers { sites: sites.collect(), vectors: vectors.collect() };
    Model::new(dump.graph.clone(), layers).unwrap()
}

/// On every processor; what a device computes is held against that, because its `exp`, `tanh` and `erf` are its own.
fn for_each(check: impl Fn(&Dump, &Network, &[usize])) {
    for dump in dumps() {
        for backend in backends().iter().filter(|backend| backend.kind().is_cpu()) {
            let network = Network::bind(&model(&dump), backend);
            check(&dump, &network, &(0..dump.texts.len()).collect::<Vec<_>>());
        }
    }
}

#[test]
fn results_are_those_of_pytorch() {
    for_each(|dump, network, _| {
        dump.assert_near(&network.logits(&dump.texts).unwrap(), dump.at("results"), "results");
    });
}

#[test]
fn results_on_a_device_are_near_those_on_a_processor() {
    for dump in dumps() {
        let on = |backend: &Backend| Network::bind(&model(&dump), backend).logits(&dump.texts).unwrap();
        let expected = on(&nlpress_testkit::cpu());
        for backend in backends() {
            for (a, b) in on(&backend).iter().zip(&expected) {
                assert!((a - b).abs() < 1e-3 * b.abs().max(1.0), "{}, {backend:?}: {a} {b}", dump.name);
            }
        }
    }
}

#[test]
fn inputs_of_sites_and_tokens_between_layers_are_those_of_pytorch() {
    for_each(|dump, network, all| {
        for (site, (id, _)) in dump.graph.sites().iter().enumerate() {
            let node = &dump.graph.nodes[dump.graph.node_of(id).unwrap()];
            let seen = network.site_inputs(site, &dump.texts, all).unwrap();
            if let Op::Embed { .. } = node.op {
                let tokens: usize = all.iter().map(|n| dump.texts.row(*n).ids.len()).sum();
                assert_eq!((seen.len(), seen.nonzeros()), (tokens, tokens));
                continue;
            }
            let mut dense = Vec::new();
            seen.densify(0..seen.len(), &mut dense);
            dump.assert_near(&dense, &dump.at("inputs")[id.as_str()], &format!("inputs of {id}"));
        }
        for (layer, expected) in dump.at("words").as_array().unwrap().iter().enumerate() {
            let seen = network.words(layer, &dump.texts, all).unwrap();
            dump.assert_near(&seen, expected, &format!("tokens behind layer {layer}"));
        }
    });
}

/// Mean cross-entropy, or a weighted sum of all numbers.
fn loss_of(dump: &Dump, logits: &[f32], upstream: &mut [f32]) -> f64 {
    let against = numbers(dump.at("against"));
    if !against.is_empty() {
        upstream.copy_from_slice(&against);
        return logits.iter().zip(&against).map(|(x, w)| f64::from(x * w)).sum();
    }
    let (outputs, count) = (dump.graph.outputs(), dump.texts.len() as f64);
    let labels = numbers(dump.at("labels"));
    let mut sum = 0.0;
    for ((row, upstream), label) in
        logits.chunks(outputs).zip(upstream.chunks_mut(outputs)).zip(labels.iter().map(|l| *l as usize))
    {
        if let ([logit], [upstream]) = (row, &mut *upstream) {
            let p = 1.0 / (1.0 + (-f64::from(*logit)).exp());
            *upstream = ((p - label as f64) / count) as f32;
            sum -= if label == 1 { p.ln() } else { (1.0 - p).ln() };
            continue;
        }
        let total: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
        for (class, (x, upstream)) in row.iter().zip(upstream).enumerate() {
            let p = f64::from(*x).exp() / total;
            *upstream = ((p - f64::from(u8::from(class == label))) / count) as f32;
            sum -= if class == label { p.ln() } else { 0.0 };
        }
    }
    sum / count
}

#[test]
fn loss_and_gradients_are_those_of_pytorch() {
    for_each(|dump, network, all| {
        let mut loss = |logits: &[f32], upstream: &mut [f32]| loss_of(dump, logits, upstream);
        let found = network.gradients((&dump.texts, all), None, 0, &mut loss).unwrap();
        let expected = dump.at("loss").as_f64().unwrap();
        assert!((found.loss - expected).abs() < 1e-5 * expected.abs().max(1.0), "{} {expected}", found.loss);
        let mut rest = &found.flat[..];
        for (id, shape) in dump.graph.sites() {
            let (site, tail) = rest.split_at(shape.parameters());
            let (weight, bias) = site.split_at(shape.weights());
            let [by_weight, by_bias] = dump.both("gradients", &id);
            // The bias of keys adds the same to all scores of a query, which softmax takes away.
            let of_bias =
                if id.as_str().ends_with("self.key") { largest(&by_weight) } else { largest(&by_bias) };
            assert_gradient(weight, &by_weight, largest(&by_weight), &format!("{}, {id}", dump.name));
            assert_gradient(bias, &by_bias, of_bias, &format!("{}, {id}, bias", dump.name));
            rest = tail;
        }
        for (id, vector) in dump.graph.vectors() {
            let (found, tail) = rest.split_at(vector.length);
            let expected = dump.vector("vector_gradients", &id);
            assert_gradient(found, &expected, largest(&expected), &format!("{}, {id}", dump.name));
            rest = tail;
        }
        assert!(rest.is_empty());
    });
}

/// Encoders of other kinds: narrow tables, a bias by distance, ModernBERT's layers.
fn kinds() -> Vec<Graph> {
    let base = EncoderSpec {
        vocabulary: 30,
        tokens: 40,
        positions: 40,
        intermediate: 10,
        epsilon: 1e-5,
        dropout: 0.3,
        ..EncoderSpec::new(12, 2, 3)
    };
    let modern = ModernLayers { every: 2, window: 4, global_base: 160_000.0, local_base: 10_000.0 };
    let specs = [
        EncoderSpec { embedding: Some(7), types: 2, ..base.clone() },
        EncoderSpec { relative: Some(RelativeSizes { buckets: 8, distance: 16 }), ..base.clone() },
        EncoderSpec {
            modern: Some(modern),
            layers: 3,
            head: Head::Prediction { pooling: Pooling::First, outputs: 2 },
            scores: true,
            ..base
        },
    ];
    let checked = |spec: EncoderSpec| {
        spec.check().unwrap();
        Graph::from(spec)
    };
    specs.map(checked).into()
}

fn graphs() -> Vec<Graph> {
    let encoder = |layers, types, head| {
        let spec = EncoderSpec {
            vocabulary: 30,
            tokens: 40,
            positions: 40,
            types,
            intermediate: 10,
            epsilon: 1e-5,
            dropout: 0.3,
            head,
            ..EncoderSpec::new(12, layers, 3)
        };
        spec.check().unwrap();
        Graph::from(spec)
    };
    let table =
        |outputs| Graph::from(StaticSpec { vocabulary: 30, tokens: 40, width: 7, outputs, dropout: 0.5 });
    let mut all = vec![
        encoder(2, 2, Head::Pooler { activation: Activation::Tanh, outputs: 3 }),
        encoder(1, 0, Head::Classifier { pooling: Pooling::Mean, outputs: 1 }),
        encoder(0, 2, Head::Embedding { pooling: Pooling::First, unit: false }),
        encoder(1, 2, Head::Embedding { pooling: Pooling::Mean, unit: true }),
        table(Some(2)),
        table(None),
    ];
    // Factored tables, whose sum is no longer one of tables, and a factored product.
    let mut factored = all[0].clone();
    for (n, (id, _)) in all[0].sites().iter().enumerate().filter(|(n, _)| *n != 2) {
        factored = factored.factored(id, 1 + n % 3);
    }
    all.push(factored);
    all.push(all[0].without_residual(1).unwrap().without_residual(1).unwrap());
    all.extend(kinds());
    all
}

/// Texts of many lengths, also of none.
fn texts(lengths: &[usize]) -> TokenRows {
    let (mut offsets, mut ids) = (vec![0], Vec::new());
    for (n, length) in lengths.iter().enumerate() {
        ids.extend((0..*length).map(|at| ((n * 31 + at * 17) % 30) as u32));
        offsets.push(ids.len());
    }
    let types = ids.iter().map(|id| (id % 2) as u8).collect();
    TokenRows::new(30, offsets, ids, types).unwrap()
}

/// A model whose vectors are not as fresh.
fn seasoned(graph: &Graph) -> Model {
    let (graph, mut layers) = Model::init(graph, Seed(5)).unwrap().into_parts();
    for (n, x) in layers.vectors.iter_mut().flat_map(|vector| &mut vector.values).enumerate() {
        *x += (n * 7 % 11) as f32 * 0.1 - 0.5;
    }
    for x in layers.sites.iter_mut().filter(|l| !l.shape.bias).flat_map(|l| match &mut l.weight {
        Weight::Dense(values) => values,
        _ => unreachable!(),
    }) {
        *x *= 4.0;
    }
    Model::new(graph, layers).unwrap()
}

const LENGTHS: [usize; 9] = [3, 40, 1, 17, 0, 40, 16, 2, 33];

#[test]
fn results_are_those_of_plain_loops_whatever_the_batch() {
    for graph in graphs() {
        let (model, all) = (seasoned(&graph), texts(&LENGTHS));
        let expected = reference::logits(&model, &all);
        for backend in backends().iter().filter(|backend| backend.kind().is_cpu()) {
            let network = Network::bind(&model, backend);
            let found = network.logits(&all).unwrap();
            let near = |found: &[f32], expected: &[f64]| {
                assert_eq!(found.len(), expected.len());
                for (a, b) in found.iter().zip(expected) {
                    assert!((f64::from(*a) - b).abs() < 2e-5 * b.abs().max(1.0), "{graph:?}: {a} {b}");
                }
            };
            near(&found, &expected);
            for (n, expected) in expected.chunks(graph.outputs()).enumerate() {
                near(&network.logits(&all.select(&[n])).unwrap(), expected);
            }
        }
    }
}

#[test]
fn gradients_are_slopes_with_dropout_too_and_shares_of_a_batch_add_up() {
    for graph in graphs() {
        let (model, all) = (seasoned(&graph), texts(&LENGTHS));
        let dropout = Dropout::new(&graph, Seed(9), 3);
        let backend = backends().remove(0);
        let indices: Vec<usize> = (0..all.len()).collect();
        let gradients = |flat: &[f32], indices: &[usize], first| {
            let mut network = Network::bind(&model, &backend);
            network.update(0..network.sites(), flat);
            let mut loss = |logits: &[f32], upstream: &mut [f32]| {
                upstream.copy_from_slice(logits);
                logits.iter().map(|x| f64::from(x * x)).sum::<f64>() / 2.0
            };
            network.gradients((&all, indices), Some(&dropout), first, &mut loss).unwrap()
        };
        let flat = model.flat();
        let whole = gradients(&flat, &indices, 0);
        assert_eq!(whole.flat.len(), flat.len());
        let (first, second) = (gradients(&flat, &indices[..4], 0), gradients(&flat, &indices[4..], 4));
        let most = largest(&whole.flat);
        for ((a, b), whole) in first.flat.iter().zip(&second.flat).zip(&whole.flat) {
            assert!((a + b - whole).abs() < 1e-5 * most, "{graph:?}: {a} {b} {whole}");
        }
        // Along the gradient the loss rises by its square.
        if most == 0.0 {
            continue;
        }
        let square: f64 = whole.flat.iter().map(|x| f64::from(*x).powi(2)).sum();
        let step = 1e-3 / square.sqrt() as f32;
        let moved = |by: f32| -> Vec<f32> { flat.iter().zip(&whole.flat).map(|(x, g)| x + by * g).collect() };
        let rise = gradients(&moved(step), &indices, 0).loss - gradients(&moved(-step), &indices, 0).loss;
        let slope = rise / (2.0 * f64::from(step));
        let is_unit = matches!(graph.nodes.last().map(|node| &node.op), Some(Op::Normalize));
        // The sum of squares of what has length 1 has no slope, so that all of the gradient is rounding.
        assert!(is_unit || (slope - square).abs() < 0.02 * square, "{graph:?}: {slope} {square}");
    }
}

#[test]
fn a_packed_table_has_no_gradient_and_all_others_do() {
    let graph = graphs().remove(0);
    let (_, mut layers) = seasoned(&graph).into_parts();
    let whole = Model::new(graph.clone(), layers.clone()).unwrap();
    let table = &mut layers[0];
    let values = table.weight.values().into_owned();
    let matrix = Matrix::dense(table.shape.inputs, table.shape.outputs, values).unwrap();
    table.weight = Weight::Packed { scheme: Scheme::F32, matrix };
    let weights = table.shape.weights();
    let frozen = Model::new(graph, layers).unwrap();
    assert_eq!(frozen.flat(), whole.flat()[weights..]);
    let backend = backends().remove(0);
    let gradients = |model: &Model| {
        let mut loss = |logits: &[f32], upstream: &mut [f32]| {
            upstream.copy_from_slice(logits);
            0.0
        };
        let (network, all) = (Network::bind(model, &backend), texts(&LENGTHS));
        network.gradients((&all, &[0, 1, 2, 3]), None, 0, &mut loss).unwrap().flat
    };
    let (of_frozen, of_whole) = (gradients(&frozen), gradients(&whole));
    let most = largest(&of_whole);
    assert_eq!(of_frozen.len() + weights, of_whole.len());
    for (a, b) in of_frozen.iter().zip(&of_whole[weights..]) {
        assert!((a - b).abs() <= 1e-6 * most, "{a} {b}");
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let graph = graphs().remove(0);
    let backend = backends().remove(0);
    let network = Network::bind(&seasoned(&graph), &backend);
    let refused = |vocabulary, ids: Vec<u32>, types: Vec<u8>| {
        let rows = TokenRows::new(vocabulary, vec![0, 0, ids.len()], ids, types).unwrap();
        match network.logits(&rows) {
            Err(ModelError::Data(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    assert!(refused(30, vec![1; 41], vec![]).contains("example 1 has 41 tokens, the network takes 40"));
    assert!(refused(31, vec![1, 30], vec![]).contains("a vocabulary of 31, the network's has 30"));
    assert!(refused(30, vec![1, 2], vec![1, 2]).contains("type 2"));
    let rows = nlpress_text::Rows::from_dense(1, 30, &[1.0; 30]).unwrap();
    assert!(network.logits(&rows).unwrap_err().to_string().contains("takes tokens"));
    assert!(network.site_inputs(0, &rows, &[0]).is_err());
    let (graph, mut layers) = seasoned(&graph).into_parts();
    assert_eq!(graph.output, Output::Logits);
    let with = |layers: Layers| Model::new(graph.clone(), layers).unwrap_err().to_string();
    assert!(with(layers.sites.clone().into()).contains("the vector is missing"));
    layers.vectors[1].values[0] = f32::NAN;
    assert!(with(layers.clone()).contains("embeddings.LayerNorm.bias: a number is not finite"));
    layers.vectors[1].values = vec![0.0; 3];
    assert!(with(layers.clone()).contains("expected embeddings.LayerNorm.bias of 12"));
    layers.vectors[1].values = vec![0.0; 12];
    layers.vectors.push(Vector { id: SiteId::new("more"), values: vec![] });
    assert!(with(layers).contains("no such vector"));
}
