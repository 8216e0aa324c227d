//! The training loop on every backend that opens.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

mod common;

use common::backends;
use nlpress_core::event::{Event, Flow, Quiet, Sink};
use nlpress_core::{Backend, BackendKind, Seed};
use nlpress_model::dataset::accuracy;
use nlpress_model::{Dataset, Gradients, Graph, Layer, MlpSpec, Model, Network, Weight};
use nlpress_packed::{Matrix, Scheme};
use nlpress_text::Rows;
use nlpress_train::adam::Adam;
use nlpress_train::record::{Reader, Writer};
use nlpress_train::{
    Batch, Effective, Fit, FitConfig, GradientSource, Labels, OneNetwork, Penalty, Progress,
    Reparameterization, RoundedInputs, Stateful, Step, TrainError, Wire, With, WordDropout, fit, mean_loss,
    places,
};
use std::io;
use std::sync::Mutex;

const INPUTS: usize = 20;

fn ndarray() -> Backend {
    BackendKind::Ndarray.open().unwrap()
}

/// Rows whose class is told by two of their features; `flipped` of a hundred labels are wrong.
fn data(n: usize, classes: usize, flipped: usize, seed: u64) -> Dataset {
    let mut rng = Seed(seed).stream(0);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let class = rng.below(classes);
        for feature in 0..INPUTS {
            let noise = if rng.uniform() < 0.3 { rng.uniform() } else { 0.0 };
            values.push(if feature / 2 == class { noise + 1.0 } else { noise });
        }
        let wrong = rng.below(100) < flipped;
        labels.push(if wrong { rng.below(classes) } else { class } as u32);
    }
    Dataset::new(Rows::from_dense(n, INPUTS, &values).unwrap(), labels, classes).unwrap()
}

fn model(outputs: usize) -> Model {
    let graph = Graph::from(MlpSpec::new(INPUTS, &[16, 8], outputs, 0.2));
    Model::init(&graph, Seed(1)).unwrap()
}

fn config(text: &str) -> FitConfig {
    toml::from_str(text).unwrap()
}

fn plain<'a>(config: &'a FitConfig, backend: &'a Backend, train: &'a Dataset) -> Fit<'a> {
    Fit::new(config, backend, train, Seed(6), &Quiet)
}

fn norm(flat: &[f32]) -> f64 {
    flat.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

/// Stops after an epoch, and keeps what it heard.
struct StopAfter(u32, Mutex<Vec<Event>>);

impl StopAfter {
    fn epoch(epoch: u32) -> Self {
        Self(epoch, Mutex::default())
    }
}

impl Sink for StopAfter {
    fn push(&self, event: &Event) -> Flow {
        self.1.lock().unwrap().push(event.clone());
        match event {
            Event::EpochFinished { epoch, .. } if *epoch == self.0 => Flow::Stop,
            _ => Flow::Continue,
        }
    }
}

#[test]
fn learns_what_can_be_told_apart_and_repeats_itself() {
    for backend in backends() {
        for classes in [2, 5] {
            let (train, test) = (data(400, classes, 0, 1), data(200, classes, 0, 2));
            let config = config("epochs = 15\nlearning_rate = 0.01");
            let run = || fit(model(train.outputs().unwrap()), plain(&config, &backend, &train)).unwrap();
            let (trained, history) = run();
            let logits = Network::bind(&trained, &backend).logits_of(&test).unwrap();
            let right = accuracy(&logits, test.outputs().unwrap(), test.labels());
            assert!(right > 0.97, "{classes} classes: {right}");
            let losses: Vec<f64> = history.epochs.iter().map(|e| e.loss).collect();
            assert!(losses[14] < 0.3 * losses[0], "{losses:?}");
            assert_eq!((history.kept, history.steps), (15, 15 * 13));
            assert_eq!(run(), (trained, history));
        }
    }
}

#[test]
fn the_thread_that_calls_does_not_matter() {
    let (train, backend, config) = (data(100, 2, 0, 1), ndarray(), config("epochs = 2"));
    let run = || fit(model(1), plain(&config, &backend, &train)).unwrap().0;
    let outside = run();
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(run), outside, "{threads} threads");
    }
}

#[test]
fn early_stopping_keeps_the_best() {
    // Random labels: what is learnt by heart only hurts on other rows.
    let (train, valid, backend) = (data(60, 2, 100, 1), data(60, 2, 100, 2), ndarray());
    let config = config("epochs = 60\npatience = 3\nlearning_rate = 0.01\nbatch = 8");
    let (kept, history) =
        fit(model(1), Fit { valid: Some(&valid), ..plain(&config, &backend, &train) }).unwrap();
    let losses: Vec<f64> = history.epochs.iter().map(|e| e.valid_loss.unwrap()).collect();
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(losses.len() < 60, "it never stopped: {losses:?}");
    assert_eq!(losses.len(), history.kept as usize + 3);
    assert_eq!(losses[history.kept as usize - 1], best);
    let logits = Network::bind(&kept, &backend).logits_of(&valid).unwrap();
    assert_eq!(mean_loss(&Labels::of(&valid), &logits, valid.len()), best);
}

#[test]
fn penalties_shrink_weights() {
    let (train, backend) = (data(200, 2, 0, 1), ndarray());
    let weights = |text: &str| {
        let (model, _) = fit(model(1), plain(&config(text), &backend, &train)).unwrap();
        model.layers().iter().flat_map(|l| l.weight.values().into_owned()).collect::<Vec<f32>>()
    };
    let size = |w: &[f32]| w.iter().map(|x| f64::from(x.abs())).sum::<f64>();
    let small = |w: &[f32]| w.iter().filter(|x| x.abs() < 5e-3).count();
    let free = weights("epochs = 20\nlearning_rate = 0.005");
    let l1 = weights("epochs = 20\nlearning_rate = 0.005\nl1 = 0.003");
    let l2 = weights("epochs = 20\nlearning_rate = 0.005\nl2 = 0.01");
    assert!(size(&l1) < 0.6 * size(&free), "{} {}", size(&l1), size(&free));
    assert!(norm(&l2) < 0.8 * norm(&free), "{} {}", norm(&l2), norm(&free));
    assert!(small(&l1) > 3 * small(&free), "{} {}", small(&l1), small(&free));
}

/// One network with its gradients made longer.
struct Louder(OneNetwork, f32);

impl Stateful for Louder {
    fn identity(&self) -> String {
        format!("louder by {}", self.1)
    }
}

impl GradientSource for Louder {
    fn begin(&mut self, model: &Model, backend: &Backend, rounded: &RoundedInputs) -> Result<(), TrainError> {
        self.0.begin(model, backend, rounded)
    }

    fn gradients(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Gradients, TrainError> {
        let mut gradients = self.0.gradients(flat, batch)?;
        gradients.flat.iter_mut().for_each(|g| *g *= self.1);
        Ok(gradients)
    }
}

/// Trains with louder gradients; with betas of 0 and an epsilon far above them, Adam moves by
/// `rate / epsilon` times the gradient, so that lengths can be read off the way.
fn way(louder: f32, clip: &str) -> f64 {
    let (train, backend) = (data(32, 2, 0, 1), ndarray());
    let text = format!("epochs = 1\nbeta1 = 0.0\nbeta2 = 0.0\nepsilon = 1e6\nlearning_rate = 1e6\n{clip}");
    let mut source = Louder(OneNetwork::default(), louder);
    let with = With { source: Some(&mut source), ..With::default() };
    let config = config(&text);
    let (after, _) = fit(model(1), Fit { with, ..plain(&config, &backend, &train) }).unwrap();
    let moved: Vec<f32> = after.flat().iter().zip(model(1).flat()).map(|(a, b)| a - b).collect();
    norm(&moved)
}

#[test]
fn clipping_bounds_the_length_of_a_step() {
    let free = way(1.0, "");
    assert!(free > 0.02, "{free}");
    assert!((way(10.0, "") / free - 10.0).abs() < 0.1);
    assert!((way(1.0, "clip_norm = 0.01") - 0.01).abs() < 1e-4);
    assert!((way(10.0, "clip_norm = 0.01") - 0.01).abs() < 1e-4);
    assert!((way(1.0, "clip_norm = 100.0") - free).abs() < 1e-6, "a short gradient stays as it is");
}

#[test]
fn schedules_and_warm_up_reach_the_optimiser() {
    let free = way(1.0, "");
    assert!((way(1.0, "warmup_steps = 4") / free - 0.25).abs() < 1e-3, "the only step is the first of four");
    let (train, backend) = (data(96, 2, 0, 1), ndarray());
    let last = |schedule: &str| {
        let config = config(&format!("epochs = 1\n{schedule}"));
        fit(model(1), plain(&config, &backend, &train)).unwrap().0
    };
    assert_ne!(last("schedule = 'constant'"), last("schedule = 'linear'"));
    assert_ne!(last("schedule = 'cosine'"), last("schedule = 'linear'"));
}

#[test]
fn masked_entries_stay_zero() {
    let (train, backend, config) = (data(100, 2, 0, 1), ndarray(), config("epochs = 3\nl2 = 0.01"));
    let (graph, mut layers) = model(1).into_parts();
    let keep: Vec<bool> = (0..layers[0].shape.weights()).map(|i| i % 4 != 1).collect();
    let values: Vec<f32> =
        layers[0].weight.values().iter().zip(&keep).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
    layers[0].weight = Weight::Masked { values: values.clone(), keep: keep.clone() };
    let (after, _) = fit(Model::new(graph, layers).unwrap(), plain(&config, &backend, &train)).unwrap();
    let Weight::Masked { values: trained, keep: kept } = &after.layers()[0].weight else {
        panic!("still masked")
    };
    assert_eq!(kept, &keep);
    assert!(trained.iter().zip(&keep).all(|(v, k)| *k || *v == 0.0));
    assert_ne!(trained, &values);
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bits() {
    let (train, valid, backend) = (data(150, 2, 10, 1), data(60, 2, 10, 2), ndarray());
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("plain", "epochs = 6"),
        ("early", "epochs = 40\npatience = 2\nlearning_rate = 0.02\nschedule = 'cosine'\nwarmup_steps = 7"),
    ] {
        let (config, path) = (config(text), folder.path().join(name));
        let whole = fit(model(1), Fit { valid: Some(&valid), ..plain(&config, &backend, &train) }).unwrap();
        let stored = |resume| Fit {
            valid: Some(&valid),
            checkpoint: Some(&path),
            resume,
            ..plain(&config, &backend, &train)
        };
        for epoch in 1..4 {
            let sink = StopAfter::epoch(epoch);
            let stopped = Fit {
                valid: Some(&valid),
                checkpoint: Some(&path),
                resume: epoch > 1,
                ..Fit::new(&config, &backend, &train, Seed(6), &sink)
            };
            assert!(matches!(fit(model(1), stopped), Err(TrainError::Stopped(_))));
            let heard = sink.1.lock().unwrap();
            let finished = heard.iter().filter(|e| matches!(e, Event::EpochFinished { .. })).count();
            assert_eq!(finished, 1, "{name}: each run does one epoch and goes on where the last one stood");
            assert_eq!(Progress::load(&path).unwrap().epoch, epoch);
        }
        let resumed = || fit(model(1), stored(true)).unwrap();
        assert_eq!(resumed(), whole, "{name}");
        assert_eq!(resumed(), whole, "{name}: a finished training is only read back");
        let again = fit(model(1), stored(false)).unwrap();
        assert_eq!(again, whole, "{name}: without resume it begins anew");
    }
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let (train, valid, backend) = (data(50, 2, 0, 1), data(50, 2, 0, 2), ndarray());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let (two, three) = (config("epochs = 2"), config("epochs = 3"));
    let train_on = |model, config: &FitConfig, train: &Dataset, valid: Option<&Dataset>, seed| {
        let how = Fit::new(config, &backend, train, Seed(seed), &Quiet);
        fit(model, Fit { checkpoint: Some(&path), resume: true, valid, ..how })
    };
    train_on(model(1), &two, &train, None, 1).unwrap();
    assert!(train_on(model(1), &two, &train, None, 1).is_ok());
    let relabelled = train.labels().iter().map(|l| 1 - l).collect();
    let relabelled = train.relabelled(relabelled, train.classes()).unwrap();
    let changed = train.features().unwrap().clone().map_rows(|_, values| values[0] += 0.5);
    let changed = Dataset::new(changed, train.labels().to_vec(), 2).unwrap();
    let mut flat = model(1).flat();
    flat[0] += 1.0;
    let other = model(1).with_flat(&flat).unwrap();
    for (what, result) in [
        ("configuration", train_on(model(1), &three, &train, None, 1)),
        ("seed", train_on(model(1), &two, &train, None, 2)),
        ("validation rows", train_on(model(1), &two, &train, Some(&valid), 1)),
        ("labels", train_on(model(1), &two, &relabelled, None, 1)),
        ("rows", train_on(model(1), &two, &changed, None, 1)),
        ("first numbers", train_on(other, &two, &train, None, 1)),
    ] {
        let Err(TrainError::Checkpoint(_, why)) = result else { panic!("other {what}: {result:?}") };
        assert!(why.contains("another training"), "{why}");
    }
    std::fs::write(&path, b"nlpCKPT1 but not really").unwrap();
    assert!(matches!(train_on(model(1), &two, &train, None, 1), Err(TrainError::Checkpoint(..))));
}

/// A wire that loses every gradient.
#[derive(Default)]
struct Cut(u64);

impl Stateful for Cut {
    fn identity(&self) -> String {
        "cut".into()
    }
}

impl Wire for Cut {
    fn send(&mut self, gradient: &mut [f32]) {
        self.0 += 4 * gradient.len() as u64;
        gradient.fill(0.0);
    }

    fn bytes(&self) -> u64 {
        self.0
    }
}

#[test]
fn gradients_go_through_the_wire() {
    let (train, backend, config) = (data(64, 2, 0, 1), ndarray(), config("epochs = 1"));
    let mut wire = Cut::default();
    let with = With { wire: Some(&mut wire), ..With::default() };
    let (after, _) = fit(model(1), Fit { with, ..plain(&config, &backend, &train) }).unwrap();
    assert_eq!((after, wire.bytes()), (model(1), 2 * 4 * model(1).flat().len() as u64));
}

/// Halves every number, counts its steps, and learns the mean of the gradients it sees.
#[derive(Clone, Debug, Default, PartialEq)]
struct Halves {
    steps: u64,
    seen: Vec<f32>,
    kept: u64,
}

impl Stateful for Halves {
    fn identity(&self) -> String {
        "halves".into()
    }

    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.count(self.steps)?;
        to.row(&self.seen)?;
        to.count(self.kept)
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        self.steps = from.count()?;
        self.seen = from.row()?;
        self.kept = from.count()?;
        Ok(())
    }
}

impl Reparameterization for Halves {
    fn forward(&mut self, _: &[f32], into: &mut Effective, _: Step) -> Result<(), TrainError> {
        // What was learnt comes back, so that a step depends on the state.
        let seen = self.seen.first().copied().unwrap_or(0.0);
        into.values.iter_mut().for_each(|x| *x = 0.5 * *x + 1e-3 * seen);
        Ok(())
    }

    fn learn(&mut self, _: &[f32], _: &Effective, gradient: &[f32], at: Step) -> Result<(), TrainError> {
        assert_eq!(at.number, self.steps);
        self.steps += 1;
        self.seen = vec![gradient.iter().sum()];
        Ok(())
    }

    fn backward(&self, _: &[f32], _: &Effective, gradient: &mut [f32]) {
        gradient.iter_mut().for_each(|g| *g *= 0.5);
    }

    fn keep(&mut self) {
        self.kept = self.steps;
    }
}

/// Holds every third number at zero.
struct Thirds;

impl Stateful for Thirds {
    fn identity(&self) -> String {
        "thirds".into()
    }
}

impl Reparameterization for Thirds {
    fn forward(&mut self, _: &[f32], into: &mut Effective, _: Step) -> Result<(), TrainError> {
        for (x, keep) in into.values.iter_mut().zip(&mut into.keep).step_by(3) {
            (*x, *keep) = (0.0, false);
        }
        Ok(())
    }
}

/// Pulls every number towards one.
struct ToOne;

impl Penalty for ToOne {
    fn add(&self, latent: &[f32], gradient: &mut [f32]) -> Result<(), TrainError> {
        gradient.iter_mut().zip(latent).for_each(|(g, x)| *g += x - 1.0);
        Ok(())
    }
}

#[test]
fn reparameterizations_are_applied_in_turn_and_what_is_held_does_not_move() {
    let (train, valid, backend) = (data(96, 2, 0, 1), data(60, 2, 0, 2), ndarray());
    let config = config("epochs = 2");
    let start = model(1).flat();
    let how = || Fit { valid: Some(&valid), ..plain(&config, &backend, &train) };
    let (plain, _) = fit(model(1), how()).unwrap();
    let mut halves = Halves::default();
    let mut thirds = Thirds;
    let with = With { reparameterizations: vec![&mut halves], ..With::default() };
    let (halved, history) = fit(model(1), Fit { with, ..how() }).unwrap();
    assert_eq!((halves.steps, halves.kept), (6, 6));
    assert_ne!(halved, plain);
    // Validation looks at what the network computes with.
    let mut effective = Effective { values: halved.flat(), keep: vec![] };
    halves.forward(&[], &mut effective, Step { number: 6, of: 6, rate: 0.0 }).unwrap();
    let logits =
        Network::bind(&halved.with_flat(&effective.values).unwrap(), &backend).logits_of(&valid).unwrap();
    let loss = mean_loss(&Labels::of(&valid), &logits, valid.len());
    assert_eq!(history.epochs[1].valid_loss, Some(loss));

    let mut others = Halves::default();
    let reparameterizations: Vec<&mut dyn Reparameterization> = vec![&mut thirds, &mut others];
    let with = With { reparameterizations, penalties: vec![&ToOne], ..With::default() };
    let (held, _) = fit(model(1), Fit { with, ..how() }).unwrap();
    let moved: Vec<bool> = held.flat().iter().zip(&start).map(|(a, b)| a != b).collect();
    assert!(moved.iter().step_by(3).all(|moved| !moved), "a penalty does not move them either");
    assert!(moved.iter().filter(|moved| **moved).count() > start.len() / 2);
    let with = With { penalties: vec![&ToOne], ..With::default() };
    let (pulled, _) = fit(model(1), Fit { with, ..how() }).unwrap();
    let far = |model: &Model| model.flat().iter().map(|x| f64::from(x - 1.0).powi(2)).sum::<f64>();
    assert!(far(&pulled) < far(&plain), "{} {}", far(&pulled), far(&plain));
}

#[test]
fn what_has_a_state_goes_on_with_it() {
    let (train, valid, backend) = (data(96, 2, 30, 1), data(60, 2, 30, 2), ndarray());
    let folder = tempfile::tempdir().unwrap();
    for text in ["epochs = 5", "epochs = 9\npatience = 2\nlearning_rate = 0.02"] {
        let (config, path) = (config(text), folder.path().join(text.len().to_string()));
        let run = |halves: &mut Halves, sink: &dyn Sink, checkpoint: bool| {
            let with = With {
                reparameterizations: vec![halves],
                words: Some((WordDropout::try_from(0.2).unwrap(), Seed(3))),
                ..With::default()
            };
            let how = Fit::new(&config, &backend, &train, Seed(6), sink);
            let checkpoint = checkpoint.then_some(path.as_path());
            fit(model(1), Fit { with, valid: Some(&valid), checkpoint, resume: true, ..how })
        };
        let mut whole = Halves::default();
        let expected = run(&mut whole, &Quiet, false).unwrap();
        for epoch in [1, 2] {
            let stopped = run(&mut Halves::default(), &StopAfter::epoch(epoch), true);
            assert!(matches!(stopped, Err(TrainError::Stopped(_))), "{stopped:?}");
        }
        for _ in 0..2 {
            let mut resumed = Halves::default();
            assert_eq!(run(&mut resumed, &Quiet, true).unwrap(), expected);
            assert_eq!(resumed, whole);
        }
        // Without it, it is another training.
        let how = Fit { valid: Some(&valid), ..plain(&config, &backend, &train) };
        let other = fit(model(1), Fit { checkpoint: Some(&path), resume: true, ..how }).unwrap_err();
        assert!(other.to_string().contains("another training"), "{other}");
    }
}

#[test]
fn accumulated_batches_are_one_large_batch() {
    let (train, backend) = (data(100, 3, 0, 1), ndarray());
    let run = |text: &str| fit(model(3), plain(&config(text), &backend, &train)).unwrap();
    let (whole, by_whole) = run("epochs = 3\nbatch = 32");
    for (text, same) in [("batch = 8\naccumulate = 4", true), ("batch = 5\naccumulate = 7", false)] {
        let (parts, by_parts) = run(&format!("epochs = 3\n{text}"));
        let off = whole.flat().iter().zip(parts.flat()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert_eq!(off < 1e-5, same, "{text}: {off}");
        assert_eq!(by_parts.steps, if same { by_whole.steps } else { 9 });
    }
    assert_eq!(by_whole.steps, 12);
}

#[test]
fn a_configuration_without_the_later_settings_is_written_as_it_was() {
    let written = |text: &str| toml::to_string(&config(text)).unwrap();
    let plain = written("epochs = 3\nwarmup_steps = 2");
    for later in ["warmup = 0.1", "accumulate = 2", "groups = [{ on = ['output'], frozen = true }]"] {
        let key = later.split(' ').next().unwrap();
        assert!(!plain.contains(&format!("{key} =")), "{plain}");
        let with = written(later);
        assert!(with.contains(key), "{with}");
        assert_eq!(config(&with), config(later));
    }
}

#[test]
fn frozen_sites_keep_their_bits_and_groups_have_rates_of_their_own() {
    let (train, backend) = (data(64, 2, 0, 1), ndarray());
    let run = |text: &str| {
        let (after, _) = fit(model(1), plain(&config(text), &backend, &train)).unwrap();
        let (before, after) = (model(1), after);
        let sites = before.layers().iter().zip(after.layers());
        let moved = sites.map(|(a, b)| {
            let (a_w, b_w) = (a.weight.values(), b.weight.values());
            let pairs = a_w.iter().zip(b_w.iter()).chain(a.bias.iter().zip(&b.bias));
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        });
        moved.collect::<Vec<f32>>()
    };
    // Each step of Adam is at most about as long as the rate, in the first steps just that.
    let one = "epochs = 1\nbatch = 64\n";
    let all = run(one);
    assert!(all.iter().all(|x| (x - 1e-3).abs() < 1e-5), "{all:?}");
    let frozen =
        "groups = [{ on = ['hidden.*', '!hidden.1'], frozen = true }, { on = ['output'], rate = 0.1 }]";
    let moved = run(&format!("{one}{frozen}"));
    assert_eq!(moved[0], 0.0);
    assert!((moved[1] - 1e-3).abs() < 1e-5 && (moved[2] - 1e-4).abs() < 1e-6, "{moved:?}");
    let long = run(&format!("epochs = 20\nl1 = 0.1\nweight_decay = 0.5\n{frozen}"));
    assert!(long[0] == 0.0 && long[1] > 0.0, "{long:?}");
    // The first group that selects a site has it.
    let first = "groups = [{ on = ['**'], rate = 2.0 }, { on = ['output'], frozen = true }]";
    assert!(run(&format!("{one}{first}")).iter().all(|x| (x - 2e-3).abs() < 1e-5));
    let none = config("groups = [{ on = ['attention.*'], rate = 0.1 }]");
    let refused = fit(model(1), plain(&none, &backend, &train)).unwrap_err();
    let TrainError::NoGroup(..) = &refused else { panic!("{refused:?}") };
    assert!(refused.to_string().contains("there are hidden.0, hidden.1, output"), "{refused}");
}

#[test]
fn a_step_is_the_one_of_adam_with_decoupled_weight_decay() {
    let (train, backend) = (data(48, 2, 0, 1), ndarray());
    let dry = Graph::from(MlpSpec::new(INPUTS, &[16, 8], 1, 0.0));
    let before = Model::init(&dry, Seed(1)).unwrap();
    let text = "epochs = 1\nbatch = 48\nlearning_rate = 0.01\nweight_decay = 3.0\n\
                groups = [{ on = ['output'], weight_decay = 0.0 }]";
    let config = config(text);
    let (after, _) = fit(before.clone(), plain(&config, &backend, &train)).unwrap();
    // The only step sees all rows; their order does not matter but for rounding.
    let dropout = nlpress_model::Dropout::new(&dry, Seed(0), 0);
    let (labels, indices) = (Labels::of(&train), (0..train.len()).collect::<Vec<_>>());
    let batch = Batch::whole((train.examples(), &indices), &dropout, &labels);
    let mut source = OneNetwork::default();
    source.begin(&before, &backend, &[]).unwrap();
    let gradient = source.gradients(&before.flat(), &batch).unwrap().flat;
    let (mut by_hand, decayed) = (before.flat(), places(&before));
    for place in &decayed[..2] {
        by_hand[place.weights.clone()].iter_mut().for_each(|w| *w *= 1.0 - 0.01 * 3.0);
    }
    for (w, g) in by_hand.iter_mut().zip(&gradient) {
        // From zero, both corrected moments of the first step are the gradient and its square.
        *w -= 0.01 * g / (g.abs() + 1e-8);
    }
    for (i, (found, expected)) in after.flat().iter().zip(&by_hand).enumerate() {
        // Where the gradient is next to nothing, its sign is chance.
        let known = gradient[i].abs() > 1e-6;
        assert!(!known || (found - expected).abs() < 1e-5, "{i}: {found} {expected} {}", gradient[i]);
    }
    let mut adam = Adam::new(2);
    let mut x = [1.0_f32, 2.0];
    adam.step(&mut x, &[0.5, 0.0], 0.1, (0.9, 0.99, 0.0));
    adam.step(&mut x, &[-0.25, 0.0], 0.1, (0.9, 0.99, 1e-8));
    // m = 0.9 · 0.05 − 0.025 = 0.02, v = 0.99 · 0.0025 + 0.000625 = 0.0031; over 1 − 0.81 and 1 − 0.9801.
    let second = 0.1 * (0.02 / 0.19) / (0.0031_f32 / 0.0199).sqrt();
    assert!((x[0] - (0.9 - second)).abs() < 1e-6, "{x:?}");
}

#[test]
fn diverging_is_an_error() {
    let (train, valid, backend) = (data(64, 2, 0, 1), data(32, 2, 0, 2), ndarray());
    for text in ["epochs = 3\nlearning_rate = 1e30", "epochs = 1\nbatch = 64\nlearning_rate = 1e38"] {
        let config = config(text);
        for valid in [None, Some(&valid)] {
            let result = fit(model(1), Fit { valid, ..plain(&config, &backend, &train) });
            assert!(matches!(result, Err(TrainError::Diverged { epoch: 1, .. })), "{text}: {result:?}");
        }
    }
    let mut source = Louder(OneNetwork::default(), f32::NAN);
    let with = With { source: Some(&mut source), ..With::default() };
    let config = config("epochs = 2\nbatch = 64");
    let result = fit(model(1), Fit { with, ..plain(&config, &backend, &train) });
    assert!(matches!(result, Err(TrainError::Diverged { epoch: 1, .. })), "{result:?}");
}

#[test]
fn what_cannot_be_trained_is_refused_at_once() {
    let (train, backend) = (data(20, 2, 0, 1), ndarray());
    let sink = StopAfter::epoch(1);
    let refused = |model: Model, config: &FitConfig, train: &Dataset, valid: Option<&Dataset>| {
        fit(model, Fit { valid, ..Fit::new(config, &backend, train, Seed(6), &sink) }).unwrap_err()
    };
    let (short, patient) = (config("epochs = 1"), config("patience = 2"));
    let five = data(20, 5, 0, 1);
    let narrow = Rows::from_dense(2, 1, &[1.0, 2.0]).unwrap();
    let narrow = Dataset::new(narrow, vec![0, 1], 2).unwrap();
    assert!(matches!(refused(model(3), &short, &train, None), TrainError::Model(_)));
    assert!(matches!(refused(model(1), &patient, &train, None), TrainError::NoValidation(2)));
    assert!(matches!(refused(model(1), &short, &train, Some(&five)), TrainError::Model(_)));
    assert!(matches!(refused(model(1), &short, &narrow, None), TrainError::Model(_)));
    let (graph, layers) = model(1).into_parts();
    let packed = layers.sites.into_iter().map(|layer| {
        let values = layer.weight.values().into_owned();
        let matrix = Matrix::dense(layer.shape.inputs, layer.shape.outputs, values).unwrap();
        Layer { weight: Weight::Packed { scheme: Scheme::F32, matrix }, ..layer }
    });
    let packed = Model::new(graph, packed.collect::<Vec<_>>()).unwrap();
    assert!(matches!(refused(packed, &short, &train, None), TrainError::Failed(_)));
    assert!(sink.1.lock().unwrap().is_empty());
}
