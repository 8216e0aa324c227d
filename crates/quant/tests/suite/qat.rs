//! Training with rounded weights, end to end: what it recovers, what it leaves alone, whom it listens to.

use nlpress_artifact::{Artifact, EncoderParts, Provenance};
use nlpress_core::event::Quiet;
use nlpress_core::{Backend, BackendKind, Seed};
use nlpress_model::dataset::accuracy;
use nlpress_model::{Dataset, Form, Graph, MlpSpec, Model, Network, SiteId, Weight};
use nlpress_packed::{Grid, Per, Values};
use nlpress_quant::{binary, qat, ternary};
use nlpress_runtime::Session;
use nlpress_technique::{Cx, Kind, StepError, Teacher};
use nlpress_testkit::Bench;
use nlpress_text::{BagEncoder, EncoderConfig, Rows};
use nlpress_train::{Fit, FitConfig, fit, gradients};

const KINDS: [Kind; 3] = [qat::KIND, ternary::KIND, binary::KIND];
const ALL: [&str; 3] = ["hidden.0", "hidden.1", "output"];

struct World {
    backend: Backend,
    train: Dataset,
    valid: Dataset,
    test: Dataset,
    model: Model,
}

/// Rows of 40 features in six classes that no straight line parts: class by the sums of products of features.
fn rows(n: usize, seed: u64) -> Dataset {
    let mut rng = Seed(seed).stream(0);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    let directions: Vec<f32> = {
        let mut rng = Seed(99).stream(0);
        (0..6 * 40).map(|_| rng.uniform() - 0.5).collect()
    };
    for _ in 0..n {
        let row: Vec<f32> = (0..40).map(|_| if rng.uniform() < 0.5 { rng.uniform() } else { 0.0 }).collect();
        let class = |c: &usize| -> f32 {
            let along: f32 = row.iter().zip(&directions[c * 40..]).map(|(x, d)| x * d).sum();
            along + 0.5 * along.abs()
        };
        let best = (0..6).max_by(|a, b| class(a).total_cmp(&class(b))).unwrap();
        labels.push(best as u32);
        values.extend(row);
    }
    Dataset::new(Rows::from_dense(n, 40, &values).unwrap(), labels, 6).unwrap()
}

impl World {
    fn new() -> Self {
        let backend = BackendKind::Ndarray.open().unwrap();
        let (train, valid, test) = (rows(1500, 1), rows(300, 2), rows(1500, 3));
        let graph = Graph::from(MlpSpec::new(40, &[32, 24], 6, 0.0));
        let config: FitConfig = toml::from_str("epochs = 20\nlearning_rate = 3e-3").unwrap();
        let model = Model::init(&graph, Seed(5)).unwrap();
        let model = fit(model, Fit::new(&config, &backend, &train, Seed(5), &Quiet)).unwrap().0;
        Self { backend, train, valid, test, model }
    }

    fn score(&self, model: &Model) -> f64 {
        let logits = Network::bind(model, &self.backend).logits_of(&self.test).unwrap();
        accuracy(&logits, 6, self.test.labels())
    }

    fn apply(&self, kind: &Kind, with: &str, model: Model, on: &[&str]) -> Result<Model, StepError> {
        let technique = (kind.parse)(&with.parse().unwrap()).unwrap();
        let on: Vec<SiteId> = on.iter().map(|s| SiteId::new(*s)).collect();
        let mut problems = Vec::new();
        let planned = technique.plan(&model.outline(), &on, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let data = (&self.train, &self.valid);
        let mut cx = Cx::new(Seed(4), &self.backend, data, &Quiet);
        if technique.needs().teacher {
            cx.teacher = Some(Teacher { model: &self.model, train: &self.train, valid: &self.valid });
        }
        let model = technique.apply(model, &on, &mut cx)?.model;
        assert_eq!(model.outline(), planned);
        Ok(model)
    }

    /// The model with a part of its first two weights gone.
    fn masked(&self) -> Model {
        let mut model = self.model.clone();
        for at in 0..2 {
            let layer = &self.model.layers()[at];
            let keep: Vec<bool> = (0..layer.shape.weights()).map(|i| i % 3 != at).collect();
            let values = layer.weight.values();
            let values = values.iter().zip(&keep).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
            model = model.with_weight(&SiteId::hidden(at), Weight::Masked { values, keep }).unwrap();
        }
        model
    }
}

#[test]
fn training_recovers_more_than_half_of_what_rounding_costs() {
    let world = World::new();
    let floats = world.score(&world.model);
    assert!(floats > 0.85, "{floats}");
    let train = "train = { epochs = 10 }";
    for (kind, with, rounding) in [
        (&qat::KIND, "grid = 'int2'", None),
        (&qat::KIND, "grid = 'ternary'", None),
        (&qat::KIND, "grid = 'binary'", None),
        (&qat::KIND, "grid = 'ternary'\nstep = 'range'", None),
        (&ternary::KIND, "", Some("train = false")),
        (&binary::KIND, "", Some("train = false")),
    ] {
        let trained = format!("{with}\n{train}");
        let trained = world.score(&world.apply(kind, &trained, world.model.clone(), &ALL).unwrap());
        // A rate of next to nothing moves nothing: that is rounding alone.
        let still = format!("{with}\ntrain = {{ epochs = 1, learning_rate = 1e-12 }}");
        let rounded = rounding.unwrap_or(&still);
        let rounded = world.score(&world.apply(kind, rounded, world.model.clone(), &ALL).unwrap());
        eprintln!("{} {with:?}: {floats} as floats, {rounded} rounded, {trained} trained", kind.name);
        assert!(rounded < floats - 0.02, "{} {with:?}: nothing to recover", kind.name);
        assert!(floats - trained < 0.5 * (floats - rounded), "{} {with:?}", kind.name);
    }
}

#[test]
fn masks_stay_and_what_is_packed_is_on_the_grid() {
    let world = World::new();
    for (kind, with, grid) in [
        (&qat::KIND, "grid = 'int2'", Grid::Int2),
        (&qat::KIND, "grid = 'int8'\nper = 'tensor'", Grid::Int8),
        (&ternary::KIND, "", Grid::Ternary),
        (&binary::KIND, "", Grid::Binary),
    ] {
        let model = world.masked();
        let with = format!("{with}\ntrain = {{ epochs = 1 }}");
        let after = world.apply(kind, &with, model.clone(), &["hidden.0", "hidden.1"]).unwrap();
        for (before, after) in model.layers().iter().zip(after.layers()).take(2) {
            assert_eq!(after.weight.keep(), before.weight.keep(), "{}", kind.name);
            let Weight::Packed { matrix, .. } = &after.weight else { panic!("{} is not packed", after.id) };
            assert_eq!(matrix.scheme().values.grid(), Some(grid));
            let integers = matrix.integers().unwrap();
            let kept = integers.iter().zip(before.weight.keep()).filter(|(_, k)| *k);
            assert!(kept.into_iter().all(|(q, _)| grid.contains(*q)), "{}", kind.name);
        }
        // The site that was not selected is trained on, as the floats it is.
        assert_eq!(after.layers()[2].weight.form(), Form::Dense);
        assert_ne!(after.layers()[2], model.layers()[2]);
    }
}

#[test]
fn what_validation_saw_is_what_ships() {
    let world = World::new();
    let technique =
        (qat::KIND.parse)(&"grid = 'ternary'\ntrain = { epochs = 6, patience = 1 }".parse().unwrap());
    let on: Vec<SiteId> = ALL.iter().map(|s| SiteId::new(*s)).collect();
    let seen = std::sync::Mutex::new(Vec::new());
    struct Listen<'a>(&'a std::sync::Mutex<Vec<f64>>);
    impl nlpress_core::event::Sink for Listen<'_> {
        fn push(&self, event: &nlpress_core::event::Event) -> nlpress_core::event::Flow {
            if let nlpress_core::event::Event::EpochFinished { valid_accuracy, .. } = event {
                self.0.lock().unwrap().extend(*valid_accuracy);
            }
            nlpress_core::event::Flow::Continue
        }
    }
    let sink = Listen(&seen);
    let mut cx = Cx::new(Seed(4), &world.backend, (&world.train, &world.valid), &sink);
    let model = technique.unwrap().apply(world.model.clone(), &on, &mut cx).unwrap().model;
    let logits = Network::bind(&model, &world.backend).logits_of(&world.valid).unwrap();
    let shipped = accuracy(&logits, 6, world.valid.labels());
    let seen = seen.lock().unwrap();
    // The last epoch but one is kept when patience ends the training, otherwise the last.
    let near = |seen: f64| (seen - shipped).abs() < 2.0 / 300.0;
    assert!(seen.iter().rev().take(2).any(|s| near(*s)), "{shipped} of {seen:?}");
    let measured = cx.measured.iter().find(|m| m.name == "valid_accuracy").unwrap().value;
    assert!((measured - shipped).abs() < 1e-9);
    assert!(
        matches!(model.layers()[0].weight.form(), Form::Packed(s) if s.values == Values::int(Grid::Ternary, Per::Channel))
    );
}

#[test]
fn teachers_are_listened_to() {
    let world = World::new();
    let made = |distill: &str| {
        let with = format!("train = {{ epochs = 2 }}\n{distill}");
        world.apply(&ternary::KIND, &with, world.model.clone(), &ALL).unwrap()
    };
    let (alone, taught) = (made(""), made("distill = { share = 1.0 }"));
    // The teacher is the model itself, so both ways of asking say the same.
    assert_eq!(taught, made("distill = { share = 1.0, teacher = 'self' }"));
    assert_ne!(alone, taught);
    let technique = (ternary::KIND.parse)(&"distill = {}".parse().unwrap()).unwrap();
    let mut cx = Cx::new(Seed(4), &world.backend, (&world.train, &world.valid), &Quiet);
    let on: Vec<SiteId> = ALL.iter().map(|s| SiteId::new(*s)).collect();
    let error = technique.apply(world.model.clone(), &on, &mut cx).unwrap_err();
    assert_eq!(error.to_string(), "it needs a teacher, and there is none");
}

#[test]
fn attention_networks_are_trained_so_too() {
    let bench = Bench::attention(&BackendKind::Ndarray.open().unwrap()).unwrap();
    for kind in KINDS {
        bench.check(&kind).unwrap();
    }
}

/// A model as its training sees it: real weights that stand for `model`'s packed ones, and inputs rounded as they are
/// in training.
fn as_trained(model: &Model, backend: &Backend) -> Network {
    let mut floats = model.clone();
    for layer in model.layers() {
        let weight = Weight::Dense(layer.weight.values().into_owned());
        floats = floats.with_weight(&layer.id, weight).unwrap();
    }
    let selected: Vec<(usize, i32)> =
        (0..ALL.len()).map(|site| (site, Grid::Int4.activation_levels())).collect();
    gradients::bind(&floats, backend, &selected).unwrap()
}

#[test]
fn the_network_that_is_trained_gives_the_logits_of_the_session() {
    let world = World::new();
    let words: Vec<String> =
        (0..40).map(|i| format!("w{}", (0..=i).map(|_| 'a').collect::<String>())).collect();
    let encoder = BagEncoder::fit(
        &EncoderConfig { vocabulary: 40, min_documents: 1, ..EncoderConfig::default() },
        [words.join(" ").as_str()],
    )
    .unwrap();
    for (kind, with) in [
        (&qat::KIND, "grid = 'int2'"),
        (&qat::KIND, "grid = 'int4'\nword_dropout = 0.2"),
        (&ternary::KIND, ""),
        (&binary::KIND, ""),
    ] {
        let with = format!("{with}\ntrain = {{ epochs = 2 }}");
        let model = world.apply(kind, &with, world.model.clone(), &ALL).unwrap();
        let trained = as_trained(&model, &world.backend).logits_of(&world.test).unwrap();

        let layers = model.layers().iter().map(|layer| {
            let Weight::Packed { matrix, .. } = &layer.weight else { panic!("{} is not packed", layer.id) };
            nlpress_artifact::Layer { id: layer.id.clone(), matrix: matrix.clone(), bias: layer.bias.clone() }
        });
        let (config, blob) = encoder.to_parts();
        let labels = (0..6).map(|n| n.to_string()).collect();
        let parts = EncoderParts { config, blob };
        let made =
            Artifact::new(model.outline(), layers.collect(), vec![], labels, parts, Provenance::default());
        let served =
            Session::from_artifact(made.unwrap()).unwrap().logits(world.test.features().unwrap()).unwrap();
        let plain = Network::bind(&world.model, &world.backend).logits_of(&world.test).unwrap();
        let off = |a: &[f32]| a.iter().zip(&served).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off(&trained) < 1e-4, "{} {with:?}: {}", kind.name, off(&trained));
        assert!(off(&plain) > 1e-2, "{}: rounding changes nothing", kind.name);
    }
}

/// The gradient is that of what the rounded numbers were multiplied with: the first site's is a sum of products of its
/// rounded inputs and what comes back.
#[test]
fn a_rounded_input_is_in_the_gradient_too() {
    let world = World::new();
    let linear = Model::init(&Graph::from(MlpSpec::new(40, &[], 6, 0.0)), Seed(3)).unwrap();
    let (rows, indices) = (world.train.features().unwrap(), [3, 5, 8]);
    let mut network = Network::bind(&linear, &world.backend);
    let mut ones = |_: &[f32], gradient: &mut [f32]| {
        gradient.fill(1.0);
        0.0
    };
    let plain = network.gradients((rows, &indices), None, 0, &mut ones).unwrap().flat;
    network.round_input(0, 2).unwrap();
    let rounded = network.gradients((rows, &indices), None, 0, &mut ones).unwrap().flat;
    let mut expected = vec![0.0_f32; 40];
    for i in indices {
        let row = rows.row(i);
        let step = row.values.iter().fold(0.0_f32, |m, x| m.max(x.abs())) / 2.0;
        for (column, x) in row.columns.iter().zip(row.values) {
            expected[*column as usize] += (x / step).round_ties_even() * step;
        }
    }
    assert_ne!(plain, rounded);
    for (column, expected) in expected.into_iter().enumerate() {
        assert!((rounded[column * 6] - expected).abs() < 1e-5, "{column}");
    }
    let refused = network.round_input(1, 127).unwrap_err().to_string();
    assert!(refused.contains("no site number 1"), "{refused}");
    assert!(network.round_input(0, 0).unwrap_err().to_string().contains("0 levels"));
}
