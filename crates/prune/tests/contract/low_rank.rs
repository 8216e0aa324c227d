//! Factored sites of whole networks.

use nlpress_core::event::Quiet;
use nlpress_core::{Backend, BackendKind, Seed};
use nlpress_model::{Layer, Model, Network, Shape, SiteId, Weight};
use nlpress_prune::low_rank::{KIND, factor};
use nlpress_technique::Cx;
use nlpress_testkit::Bench;

fn factored(bench: &Bench, backend: &Backend, model: &Model, site: &str, text: &str) -> Model {
    let technique = (KIND.parse)(&text.parse().unwrap()).unwrap();
    let (on, mut problems) = ([SiteId::new(site)], Vec::new());
    let planned = technique.plan(&model.outline(), &on, &mut problems);
    assert!(problems.is_empty(), "{site}: {problems:?}");
    let mut cx = Cx::new(Seed(5), backend, (bench.train(), bench.valid()), &Quiet);
    let made = technique.apply(model.clone(), &on, &mut cx).unwrap().model;
    assert_eq!(made.outline(), planned);
    made
}

/// The root of the mean squared difference of the logits.
fn apart(bench: &Bench, backend: &Backend, a: &Model, b: &Model) -> f32 {
    let logits = |m: &Model| Network::bind(m, backend).logits_of(bench.valid()).unwrap();
    let (a, b) = (logits(a), logits(b));
    (a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / a.len() as f32).sqrt()
}

#[test]
fn sites_of_both_networks_are_factored_and_logits_are_closest_at_a_high_rank_and_weighted() {
    let backend = BackendKind::compiled()[0].open().unwrap();
    let (mlp, attention) = (Bench::new(&backend).unwrap(), Bench::attention(&backend).unwrap());
    for (bench, site, high) in [
        (&mlp, "hidden.0", 7),
        (&mlp, "hidden.1", 4),
        (&attention, "embedding", 7),
        (&attention, "encoder.0.attention.value", 5),
        (&attention, "encoder.0.ffn.up", 5),
        (&attention, "encoder.1.ffn.down", 5),
    ] {
        let model = bench.model();
        let off = |rank: usize, weighted: bool| {
            let text = format!("rank = {rank}\nweighted = {weighted}");
            apart(bench, &backend, model, &factored(bench, &backend, model, site, &text))
        };
        let (low, high, plain) = (off(1, true), off(high, true), off(high, false));
        assert!(high < 0.6 * low && high < plain, "{site}: {high} {low} {plain}");
    }
}

/// A site as two factors of the full rank, which a plan would refuse: they are larger.
fn at_full_rank(model: &Model, site: &SiteId) -> Model {
    let (mut graph, mut layers) = model.clone().into_parts();
    let number = layers.iter().position(|l| &l.id == site).unwrap();
    let Layer { shape: Shape { inputs, outputs, .. }, weight, bias, .. } = layers[number].clone();
    let rank = inputs.min(outputs);
    let found = factor(&weight.values(), Shape::new(inputs, outputs), rank).unwrap();
    let layer = |id, inputs, outputs, values, bias| Layer {
        id,
        shape: Shape::new(inputs, outputs),
        weight: Weight::Dense(values),
        bias,
    };
    graph = graph.factored(site, rank);
    layers[number] = layer(site.clone(), rank, outputs, found.expand, bias);
    layers.insert(number, layer(site.reduce(), inputs, rank, found.reduce, vec![0.0; rank]));
    Model::new(graph, layers).unwrap()
}

#[test]
fn at_the_full_rank_every_site_says_what_it_said() {
    let backend = BackendKind::compiled()[0].open().unwrap();
    for bench in [Bench::new(&backend).unwrap(), Bench::attention(&backend).unwrap()] {
        let sites = bench.model().layers().iter().map(|l| &l.id);
        let all = sites.clone().fold(bench.model().clone(), |model, site| at_full_rank(&model, site));
        assert_eq!(all.layers().len(), 2 * bench.model().layers().len());
        let off = apart(&bench, &backend, bench.model(), &all);
        assert!(off < 1e-5, "{off}");
    }
}
