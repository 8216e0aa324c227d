use super::*;
use crate::TrainConfig;
use nlpress_core::event::{Flow, Quiet, Sink};
use nlpress_core::{Backend, BackendKind, Seed};
use nlpress_model::{Graph, MlpSpec, SiteId};
use std::path::Path;
use std::sync::Mutex;

const FEATURES: usize = 24;

/// Rows of so many classes, each with a feature of its own most of the time.
fn data(classes: usize, seed: u64) -> Dataset {
    let mut rng = Seed(seed).stream(0);
    let (mut dense, mut labels) = (Vec::new(), Vec::new());
    for i in 0..12 * classes {
        let mut row = [0.0_f32; FEATURES];
        (0..4).for_each(|_| row[rng.below(FEATURES)] += 0.5 + rng.uniform());
        if rng.below(4) > 0 {
            row[(i % classes) % FEATURES] += 1.0;
        }
        dense.extend(row);
        labels.push((i % classes) as u32);
    }
    Dataset::new(Rows::from_dense(labels.len(), FEATURES, &dense).unwrap(), labels, classes).unwrap()
}

fn linear(outputs: usize) -> Model {
    Model::init(&Graph::from(MlpSpec::new(FEATURES, &[], outputs, 0.0)), Seed(9)).unwrap()
}

fn config(rest: &str) -> TrainConfig {
    toml::from_str(&format!("solver = 'coordinate_descent'\n{rest}")).unwrap()
}

fn backend() -> Backend {
    BackendKind::Ndarray.open().unwrap()
}

fn trained(
    model: Model,
    data: &Dataset,
    config: &TrainConfig,
    change: impl Fn(&mut LabelTraining<'_>),
) -> Result<(Model, History), TrainError> {
    let backend = backend();
    let mut training = LabelTraining::new(config, &backend, (data, data), Seed(5), &Quiet);
    change(&mut training);
    training.run(model)
}

fn exact(data: &Dataset, rest: &str) -> Vec<f32> {
    trained(linear(data.outputs().unwrap()), data, &config(rest), |_| ()).unwrap().0.flat()
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-3)
}

#[test]
fn bits_depend_neither_on_threads_nor_on_what_the_model_was() {
    let data = data(5, 1);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| exact(&data, ""))
    };
    assert_eq!(on(1), on(2));
    let other = Model::init(linear(5).graph(), Seed(77)).unwrap();
    assert_eq!(trained(other, &data, &config(""), |_| ()).unwrap().0.flat(), on(1));
    let another = trained(linear(5), &data, &config(""), |t| t.seed = Seed(6)).unwrap().0.flat();
    assert!(another != on(1) && near(&another, &on(1)), "another order of rows leads to the same optimum");
}

#[test]
fn two_classes_share_an_output_and_every_class_of_more_has_its_own() {
    for classes in [2, 3] {
        let data = data(classes, 2);
        let (model, history) = trained(linear(data.outputs().unwrap()), &data, &config(""), |_| ()).unwrap();
        assert!(history.epochs[0].valid_accuracy.unwrap() > 0.8, "{history:?}");
        let logits = logits(data.features().unwrap(), &model.flat(), data.outputs().unwrap());
        assert_eq!(logits.len(), data.len() * data.outputs().unwrap());
        let network = nlpress_model::Network::bind(&model, &backend()).logits_of(&data).unwrap();
        assert!(near(&logits, &network));
    }
}

#[test]
fn a_mask_holds_and_the_rest_is_as_if_the_features_were_not_there() {
    let data = data(3, 3);
    let keep: Vec<bool> = (0..FEATURES * 3).map(|i| (i / 3) % 2 == 0).collect();
    let values = keep.iter().map(|keep| if *keep { 0.1 } else { 0.0 }).collect();
    let masked =
        linear(3).with_weight(&SiteId::output(), Weight::Masked { values, keep: keep.clone() }).unwrap();
    let found = trained(masked, &data, &config(""), |_| ()).unwrap().0;
    assert_eq!(found.layers()[0].weight.keep(), keep);
    let columns: Vec<u32> = (0..FEATURES as u32).step_by(2).collect();
    let rows = data.features().unwrap().keep_columns(&columns, false).unwrap();
    let narrow = Dataset::new(rows, data.labels().to_vec(), 3).unwrap();
    let model = Model::init(&Graph::from(MlpSpec::new(columns.len(), &[], 3, 0.0)), Seed(9)).unwrap();
    let other = trained(model, &narrow, &config(""), |_| ()).unwrap().0.flat();
    let flat = found.flat();
    let kept: Vec<f32> =
        flat.iter().enumerate().filter(|(i, _)| keep.get(*i) != Some(&false)).map(|(_, w)| *w).collect();
    assert_eq!(kept, other);
    assert!(flat.iter().zip(&keep).all(|(w, keep)| *keep || *w == 0.0));
}

#[test]
fn a_document_of_a_class_of_weight_two_counts_twice() {
    let once = data(2, 4);
    let weighted = once.clone().with_class_weights(vec![1.0, 2.0]).unwrap();
    let of = |label: u32| (0..once.len()).filter(|&i| once.labels()[i] == label).collect::<Vec<_>>();
    let twice = [of(0), of(1), of(1)].concat();
    let twice = weighted.select(&twice).unwrap().with_class_weights(Vec::new()).unwrap();
    assert!(near(&exact(&weighted, "tolerance = 1e-7"), &exact(&twice, "tolerance = 1e-7")));
    assert!(!near(&exact(&weighted, ""), &exact(&twice, "cost = 0.1")));
}

#[test]
fn what_is_not_linear_is_refused() {
    let data = data(3, 5);
    let deep = Model::init(&Graph::from(MlpSpec::new(FEATURES, &[4], 3, 0.0)), Seed(1)).unwrap();
    let error = trained(deep, &data, &config(""), |_| ()).unwrap_err().to_string();
    assert!(error.contains("the network has the sites hidden.0, output"), "{error}");
    let narrow = Model::init(&Graph::from(MlpSpec::new(3, &[], 3, 0.0)), Seed(1)).unwrap();
    let error = trained(narrow, &data, &config(""), |_| ()).unwrap_err().to_string();
    assert!(error.contains("rows have 24 features, the network takes 3"), "{error}");
    let error = trained(linear(2), &data, &config(""), |_| ()).unwrap_err().to_string();
    assert!(error.contains("3 classes need 3 outputs"), "{error}");
}

/// Hears what is said, and stops after so many classes.
struct StopAfter(u64, Mutex<Vec<String>>);

impl Sink for StopAfter {
    fn push(&self, event: &Event) -> Flow {
        match event {
            Event::Progress { done, .. } if *done >= self.0 => Flow::Stop,
            Event::Note { text } => {
                self.1.lock().unwrap().push(text.clone());
                Flow::Continue
            }
            _ => Flow::Continue,
        }
    }
}

#[test]
fn too_few_passes_are_said() {
    let (data, ear) = (data(3, 6), StopAfter(u64::MAX, Mutex::default()));
    let few = config("epochs = 1");
    let backend = backend();
    LabelTraining::new(&few, &backend, (&data, &data), Seed(5), &ear).run(linear(3)).unwrap();
    let notes = ear.1.into_inner().unwrap();
    assert!(notes[0].contains("3 of 3 outputs did not reach the tolerance 0.0001 in 1 passes"), "{notes:?}");
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bits() {
    let data = data(20, 7);
    let (folder, backend, exactly) = (tempfile::tempdir().unwrap(), backend(), config(""));
    let path = folder.path().join("state");
    let run = |sink: &dyn Sink, config: &TrainConfig, resume| {
        let training = LabelTraining {
            checkpoint: Some(Path::new(&path)),
            resume,
            ..LabelTraining::new(config, &backend, (&data, &data), Seed(5), sink)
        };
        training.run(linear(20))
    };
    let whole = exact(&data, "");
    let stopped = run(&StopAfter(17, Mutex::default()), &exactly, false);
    assert!(matches!(stopped, Err(TrainError::Stopped(_))));
    // Sixteen are done, so that a stop after one more is at once where they count.
    assert!(matches!(run(&StopAfter(16, Mutex::default()), &exactly, true), Err(TrainError::Stopped(_))));
    assert_eq!(run(&Quiet, &exactly, true).unwrap().0.flat(), whole);
    // All are done, so that nothing is left to stop.
    assert_eq!(run(&StopAfter(0, Mutex::default()), &exactly, true).unwrap().0.flat(), whole);
    let other = run(&Quiet, &config("cost = 2.0"), true).unwrap_err().to_string();
    assert!(other.ends_with("another training; what differs: configuration"), "{other}");
    let bytes = std::fs::read(&path).unwrap();
    for at in (0..bytes.len()).step_by(97) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        std::fs::write(&path, changed).unwrap();
        assert!(matches!(run(&Quiet, &exactly, true), Err(TrainError::Checkpoint(..))), "byte {at}");
    }
    std::fs::write(&path, "no checkpoint").unwrap();
    assert!(run(&Quiet, &exactly, false).unwrap_err().to_string().contains("not an nlpress checkpoint"));
}
