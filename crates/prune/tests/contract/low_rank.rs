//! Factored sites of whole networks.

use nlpress_core::event::Quiet;
use nlpress_core::{Backend, BackendKind, Seed};
use nlpress_model::{Model, Network, SiteId};
use nlpress_prune::low_rank::KIND;
use nlpress_technique::Cx;
use nlpress_technique::contract::Bench;

fn factored(bench: &Bench, backend: &Backend, model: &Model, site: &str, text: &str) -> Model {
    let technique = (KIND.parse)(&text.parse().unwrap()).unwrap();
    let (on, mut problems) = ([SiteId::new(site)], Vec::new());
    let planned = technique.plan(&model.outline(), &on, &mut problems);
    assert!(problems.is_empty(), "{site}: {problems:?}");
    let mut cx = Cx::new(Seed(5), backend, (bench.valid(), bench.valid()), &Quiet);
    let made = technique.apply(model.clone(), &on, &mut cx).unwrap();
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
fn sites_of_both_networks_are_factored_and_the_logits_stay_close_at_a_high_rank() {
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
        println!("{site}: rank 1 {low}, high {high}, plain {plain}");
    }
}
