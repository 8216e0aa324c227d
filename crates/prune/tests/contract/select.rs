//! Choosing features: which ones stay, what it costs, and what is refused.

use nlpress_core::Selectors;
use nlpress_model::{Dataset, Form, Model, Network, SiteId};
use nlpress_prune::KINDS;
use nlpress_technique::{Cx, Made};
use nlpress_testkit::check_features;
use nlpress_train::{Labels, mean_loss};

use crate::chains::World;

/// Plans and makes a step on a model that reads all features; an error is the plan's first problem.
fn select(world: &World, model: Model, name: &str, with: &str) -> Result<Made, String> {
    let kind = KINDS.iter().find(|k| k.name == name).unwrap();
    let technique = (kind.parse)(&with.parse().unwrap()).unwrap();
    let selectors = Selectors::parse(kind.on).unwrap();
    let on: Vec<SiteId> =
        model.layers().iter().map(|l| l.id.clone()).filter(|id| selectors.matches(id.as_str())).collect();
    let mut problems = Vec::new();
    let planned = technique.plan(&model.outline(), &on, &mut problems);
    if let Some(problem) = problems.first() {
        return Err(problem.to_string());
    }
    let mut cx = Cx { encoder: Some(world.bench.text_encoder()), ..world.cx() };
    let before = model.graph().inputs();
    let made = technique.apply(model, &on, &mut cx).map_err(|e| e.to_string())?;
    assert!(made.model.outline().fits_within(&planned), "{name}");
    check_features(&made, before)?;
    Ok(made)
}

fn logits(world: &World, model: &Model, data: &Dataset) -> Vec<f32> {
    Network::bind(model, &world.backend).logits_of(data).unwrap()
}

fn loss(world: &World, made: &Made) -> f64 {
    let data = world.bench.valid_for(made).unwrap();
    mean_loss(&Labels::of(&data), &logits(world, &made.model, &data), data.len())
}

#[test]
fn the_features_that_tell_the_class_stay() {
    // The class shifts the values of the first six features.
    let world = World::new();
    let model = || world.bench.model().clone();
    let told = |name, with| {
        let made = select(&world, model(), name, with).unwrap();
        assert_eq!(made.model.graph().inputs(), 6, "{name}");
        made.features.unwrap().iter().filter(|i| **i < 6).count()
    };
    assert!(told("select.chi2", "keep = 6\nof = 'values'") >= 5);
    assert!(told("select.l1", "keep = 6") >= 5);
}

#[test]
fn words_without_a_connection_go_for_free() {
    let world = World::new();
    let (graph, mut layers) = world.bench.model().clone().into_parts();
    let width = layers[0].shape.outputs;
    let values = layers[0].weight.values().into_owned();
    let keep: Vec<bool> = (0..values.len()).map(|i| i / width % 4 != 1 && i % 3 != 0).collect();
    let values = values.into_iter().zip(&keep).map(|(v, k)| if *k { v } else { 0.0 }).collect();
    layers[0].weight = nlpress_model::Weight::Masked { values, keep };
    let masked = Model::new(graph, layers).unwrap();
    let made = select(&world, masked.clone(), "select.norm", "").unwrap();
    let expected: Vec<u32> = (0..24).filter(|i| i % 4 != 1).collect();
    assert_eq!(made.features.as_deref(), Some(&expected[..]));
    let valid = world.bench.valid_for(&made).unwrap();
    assert_eq!(logits(&world, &made.model, &valid), logits(&world, &masked, world.bench.valid()));
    assert_eq!(made.model.outline().sites[0].form, Form::Masked);
    assert_eq!(made.model.outline().kept, masked.outline().kept);
    // Nothing to take away: the model is as it was, and no features are named.
    let all = select(&world, world.bench.model().clone(), "select.norm", "").unwrap();
    assert_eq!((all.features, &all.model), (None, world.bench.model()));
}

#[test]
fn the_shortest_rows_cost_least_and_training_mends_the_rest() {
    let world = World::new();
    let run =
        |with: &str| loss(&world, &select(&world, world.bench.model().clone(), "select.norm", with).unwrap());
    let without = run("keep = 12");
    assert!(run("keep = 12\nfinetune = { epochs = 5 }") < without);
    assert!(run("keep = 20") < run("keep = 3"));
}

#[test]
fn words_stay_by_list_or_script() {
    let world = World::new();
    let model = || world.bench.model().clone();
    let kept = |with: &str| select(&world, model(), "select.words", with).map(|made| made.features);
    assert_eq!(kept("scripts = ['latin']").unwrap().unwrap(), (0..20).collect::<Vec<u32>>());
    assert_eq!(kept("scripts = ['han']").unwrap().unwrap(), [20, 21, 22, 23]);
    assert_eq!(kept("scripts = ['latin', 'han']").unwrap(), None);
    assert!(kept("scripts = ['greek']").unwrap_err().contains("none of the 24 words"));
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.txt");
    std::fs::write(&list, "W03\nnone\nw07\n").unwrap();
    let file = format!("file = '{}'", list.display());
    assert_eq!(kept(&file).unwrap().unwrap(), [3, 7]);
    assert_eq!(kept(&format!("{file}\nscripts = ['han']")).unwrap().unwrap(), [3, 7, 20, 21, 22, 23]);
}

#[test]
fn what_cannot_be_chosen_is_refused() {
    let world = World::new();
    let dense = || world.bench.model().clone();
    let problem = select(&world, dense(), "select.chi2", "keep = 24").unwrap_err();
    assert_eq!(problem, "keep is 24, but it must be less than the 24 features there are");
    let packed = packed_first(&world);
    for kind in KINDS.iter().filter(|k| k.name.starts_with("select.")) {
        let problem = select(&world, packed.clone(), kind.name, kind.example).unwrap_err();
        assert!(problem.contains("select features before packing"), "{}: {problem}", kind.name);
    }
}

/// The bench's network with its first site packed.
fn packed_first(world: &World) -> Model {
    let model = world.bench.model().clone();
    let layer = &model.layers()[0];
    let (inputs, outputs) = (layer.shape.inputs, layer.shape.outputs);
    let matrix = nlpress_packed::Matrix::dense(inputs, outputs, layer.weight.values().into_owned()).unwrap();
    let scheme = nlpress_packed::Scheme::F32;
    model.with_weight(&SiteId::hidden(0), nlpress_model::Weight::Packed { scheme, matrix }).unwrap()
}
