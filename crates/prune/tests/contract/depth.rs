//! Which blocks go.

use nlpress_core::event::Quiet;
use nlpress_core::{BackendKind, Seed};
use nlpress_model::{AttentionSpec, BlockSpec, Graph, Layer, Model, Network, Ranks, SiteId, Weight};
use nlpress_prune::depth::{distances, without};
use nlpress_prune::{KINDS, depth};
use nlpress_technique::{Cx, Technique};
use nlpress_testkit::Bench;

/// The bench's network with so many blocks.
fn attention(blocks: usize) -> Graph {
    Graph::from(AttentionSpec {
        inputs: 24,
        width: 12,
        head_width: 4,
        layers: vec![BlockSpec { heads: 3, neurons: 10 }; blocks],
        outputs: 1,
        dropout: 0.1,
        tokens: 16,
        ranks: Ranks::new(),
    })
}

/// The bench's network with a block that says nothing put in at `at`.
fn with_idle(model: &Model, at: usize) -> Model {
    let layers: Vec<Layer> = model.clone().into_parts().1.sites;
    let blocks = model.graph().blocks().len();
    let graph = attention(blocks + 1);
    assert_eq!(model.graph(), &attention(blocks));
    let block = |b: usize| layers[1 + 6 * b..][..6].iter().cloned();
    let idle = block(0).map(|layer| match layer.id.as_str() {
        "encoder.0.attention.output" | "encoder.0.ffn.down" => {
            let weight = Weight::Dense(vec![0.0; layer.shape.weights()]);
            Layer { weight, bias: vec![0.0; layer.bias.len()], ..layer }
        }
        _ => layer,
    });
    let mut all: Vec<Layer> = layers.clone();
    all.splice(1 + 6 * at..1 + 6 * at, idle);
    all.iter_mut().zip(graph.sites()).for_each(|(layer, (id, _))| layer.id = id);
    Model::new(graph, all).unwrap()
}

#[test]
fn the_block_that_says_nothing_goes_and_the_others_stay_as_they_are() {
    let backend = BackendKind::compiled()[0].open().unwrap();
    let bench = Bench::attention(&backend).unwrap();
    for at in 0..3 {
        let model = with_idle(bench.model(), at);
        let cx = Cx::new(Seed(5), &backend, (bench.train(), bench.valid()), &Quiet);
        let found = distances(&model, &cx).unwrap();
        assert_eq!(found.len(), 3);
        for (block, distance) in found.iter().enumerate() {
            assert_eq!(*distance < 1e-6, block == at, "{found:?}");
        }
        assert_eq!(&without(model.clone(), at).unwrap(), bench.model());
        let kind = KINDS.iter().find(|k| k.name == depth::KIND.name).unwrap();
        let technique: Box<dyn Technique> = (kind.parse)(&"remove = 1".parse().unwrap()).unwrap();
        assert_eq!(&bench.apply_to(&*technique, model).unwrap(), bench.model());
    }
}

#[test]
fn validation_removes_the_block_whose_absence_costs_least() {
    let backend = BackendKind::compiled()[0].open().unwrap();
    let bench = Bench::attention(&backend).unwrap();
    let model = bench.model();
    let kind = KINDS.iter().find(|k| k.name == depth::KIND.name).unwrap();
    let technique = (kind.parse)(&"remove = 1\ncriterion = 'validation'".parse().unwrap()).unwrap();
    let loss = |model: &Model| {
        let logits = Network::bind(model, &backend).logits_of(bench.valid()).unwrap();
        nlpress_train::mean_loss(&nlpress_train::Labels::of(bench.valid()), &logits, bench.valid().len())
    };
    let made = bench.apply_to(&*technique, model.clone()).unwrap();
    let alone: Vec<f64> = (0..2).map(|b| loss(&without(model.clone(), b).unwrap())).collect();
    assert_ne!(alone[0], alone[1]);
    assert_eq!(loss(&made), alone[0].min(alone[1]));
    assert!(without(made, 1).is_err());
}

#[test]
fn only_selected_blocks_go() {
    let backend = BackendKind::compiled()[0].open().unwrap();
    let bench = Bench::attention(&backend).unwrap();
    // The idle block is the first, but only the others are selected; they keep their plan, twice.
    let model = with_idle(bench.model(), 0);
    let kind = KINDS.iter().find(|k| k.name == depth::KIND.name).unwrap();
    let technique = (kind.parse)(&"remove = 2".parse().unwrap()).unwrap();
    let on: Vec<SiteId> = [1, 2].map(|b| AttentionSpec::site(b, "attention.query")).into();
    let mut problems = Vec::new();
    let planned = technique.plan(&model.outline(), &on, &mut problems);
    assert_eq!(problems, []);
    let mut cx = Cx::new(Seed(5), &backend, (bench.train(), bench.valid()), &Quiet);
    let made = technique.apply(model.clone(), &on, &mut cx).unwrap().model;
    assert_eq!(made.outline(), planned);
    assert_eq!(made.layers()[..7], model.layers()[..7]);
}
