//! Networks against PyTorch: hidden states, logits, loss, and the derivative by every parameter.
//!
//! `pytorch/dump.py` wrote the numbers, from the words of the specifications and with operations of PyTorch only.

#[path = "../pytorch/dump.rs"]
mod dump;

use dump::{Dump, dumps, numbers};
use nlpress_model::{Layer, Model, Network, Weight};
use nlpress_testkit::backends;
use serde_json::Value;

use super::{assert_gradient, largest};

fn model(dump: &Dump) -> Model {
    let layers = dump.graph.sites().into_iter().map(|(id, shape)| {
        let [weight, bias] = dump.both("parameters", id.as_str());
        Layer { id, shape, weight: Weight::Dense(weight), bias }
    });
    Model::new(dump.graph.clone(), layers.collect::<Vec<_>>()).unwrap()
}

/// Every network on every backend, with the numbers of all rows.
fn for_each(mut check: impl FnMut(&Dump, &Network, &[usize])) {
    for backend in backends() {
        for dump in dumps() {
            let all: Vec<usize> = (0..dump.rows.len()).collect();
            check(&dump, &Network::bind(&model(&dump), &backend), &all);
        }
    }
}

#[test]
fn logits_are_those_of_pytorch() {
    for_each(|dump, network, _| {
        dump.assert_near(&network.logits(&dump.rows).unwrap(), dump.at("logits"), "logits");
    });
}

#[test]
fn what_goes_into_each_site_is_what_pytorch_makes() {
    for_each(|dump, network, all| {
        // Into the first site go the rows.
        for (site, (id, _)) in dump.graph.sites().iter().enumerate().skip(1) {
            let seen = network.site_inputs(site, &dump.rows, all).unwrap();
            let mut dense = Vec::new();
            seen.densify(0..seen.len(), &mut dense);
            dump.assert_near(&dense, &dump.at("inputs")[id.as_str()], &format!("into {id}"));
        }
    });
}

#[test]
fn words_between_blocks_are_those_of_pytorch() {
    let mut looked_at = 0;
    for_each(|dump, network, all| {
        for (block, expected) in dump.at("words").as_array().unwrap().iter().enumerate() {
            let seen = network.words(block, &dump.rows, all).unwrap();
            dump.assert_near(&seen, expected, &format!("words after {block} blocks"));
            looked_at += 1;
        }
    });
    assert_eq!(looked_at, 2 * 3 * backends().len());
}

/// The mean cross-entropy, and its derivative.
fn mean_loss(labels: &[f32], logits: &[f32], gradient: &mut [f32]) -> f64 {
    let (rows, width) = (labels.len(), logits.len() / labels.len());
    let mut sum = 0.0;
    let each = logits.chunks_exact(width).zip(gradient.chunks_exact_mut(width)).zip(labels);
    for ((logits, gradient), label) in each {
        // A single logit is that of the second class, beside a first of zero.
        let first = (width == 1).then_some(0.0);
        let all: Vec<f64> = first.into_iter().chain(logits.iter().map(|x| f64::from(*x))).collect();
        let (total, label): (f64, usize) = (all.iter().map(|x| x.exp()).sum(), *label as usize);
        sum += total.ln() - all[label];
        for (class, gradient) in (all.len() - width..).zip(gradient) {
            let right = if class == label { 1.0 } else { 0.0 };
            *gradient = ((all[class].exp() / total - right) / rows as f64) as f32;
        }
    }
    sum / rows as f64
}

#[test]
fn loss_and_derivatives_are_those_of_pytorch() {
    for_each(|dump, network, all| {
        let labels = numbers(dump.at("labels"));
        let mut loss = |logits: &[f32], gradient: &mut [f32]| mean_loss(&labels, logits, gradient);
        let found = network.gradients((&dump.rows, all), None, 0, &mut loss).unwrap();
        dump.assert_near(&[found.loss as f32], &Value::from(vec![dump.at("loss").clone()]), "loss");
        let mut rest = &found.flat[..];
        for (id, shape) in dump.graph.sites() {
            let (site, tail) = rest.split_at(shape.parameters());
            let (weight, bias) = site.split_at(shape.weights());
            let expected = dump.both("gradients", id.as_str());
            let [by_weight, by_bias] = [&expected[0], &expected[1]].map(|all| largest(all));
            assert!(by_weight > 1e-6, "{}, {id}: the loss does not depend on it", dump.name);
            // The bias of the keys adds the same to all scores of a query, which softmax takes away: its derivative
            // is zero, and what is left of rounding is held against that by the weight.
            let of_bias = if id.as_str().ends_with("attention.key") { by_weight } else { by_bias };
            assert_gradient(weight, &expected[0], by_weight, &format!("{}, {id}, weight", dump.name));
            assert_gradient(bias, &expected[1], of_bias, &format!("{}, {id}, bias", dump.name));
            rest = tail;
        }
        assert!(rest.is_empty());
    });
}
