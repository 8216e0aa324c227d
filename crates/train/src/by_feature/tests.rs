use super::*;
use crate::fit::fit_by;
use crate::history::History;
use crate::plan::Fit;
use crate::steps::Way;
use nlpress_core::event::Quiet;
use nlpress_core::{Backend, BackendKind, Seed};
use nlpress_model::{Dataset, Graph, MlpSpec};

const FEATURES: usize = 300;

fn backend() -> Backend {
    BackendKind::Ndarray.open().unwrap()
}

/// Rows of a few features, most of them rare, two of which tell the class.
fn data(rows: usize, classes: usize, seed: u64) -> Dataset {
    let mut rng = Seed(seed).stream(0);
    let (mut offsets, mut columns, mut values, mut labels) = (vec![0], Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let class = rng.below(classes);
        let mut row: Vec<u32> =
            (0..8).map(|_| (f64::from(rng.uniform()).powi(3) * FEATURES as f64) as u32).collect();
        row.push((2 * class + rng.below(2)) as u32);
        row.sort_unstable();
        row.dedup();
        values.extend(row.iter().map(|_| 0.2 + 0.5 * rng.uniform()));
        columns.extend(row);
        offsets.push(columns.len());
        labels.push(class as u32);
    }
    Dataset::new(Rows::new(FEATURES, offsets, columns, values).unwrap(), labels, classes).unwrap()
}

fn model(hidden: &[usize], outputs: usize) -> Model {
    Model::init(&Graph::from(MlpSpec::new(FEATURES, hidden, outputs, 0.3)), Seed(1)).unwrap()
}

fn masked(model: Model) -> Model {
    let (graph, mut layers) = model.into_parts();
    for layer in layers.iter_mut() {
        let keep: Vec<bool> = (0..layer.shape.weights()).map(|i| i % 3 != 1).collect();
        let kept = layer.weight.values().iter().zip(&keep).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
        layer.weight = Weight::Masked { values: kept, keep };
    }
    Model::new(graph, layers).unwrap()
}

fn train(model: Model, text: &str, data: [&Dataset; 2], way: Way) -> (Model, History) {
    let config: FitConfig = toml::from_str(text).unwrap();
    let backend = backend();
    let how = Fit { valid: Some(data[1]), ..Fit::new(&config, &backend, data[0], Seed(6), &Quiet) };
    assert!(way != Way::ByFeature || possible(&model, &how));
    fit_by(model, how, way).unwrap()
}

#[test]
fn the_numbers_are_those_of_plain_steps_up_to_rounding() {
    for (hidden, classes, with_mask, text) in [
        (&[][..], 2, false, "epochs = 3"),
        (&[], 6, false, "epochs = 3\nloss = 'squared_hinge'\nlearning_rate = 0.01"),
        (&[], 6, true, "epochs = 2\nweight_decay = 5.0\nlearning_rate = 0.01\nschedule = 'linear'"),
        (&[12], 2, false, "epochs = 2\nclip_norm = 0.05\nwarmup_steps = 9"),
        (&[12, 5], 4, true, "epochs = 2\nbeta1 = 0.5\nweight_decay = 1.0\nclip_norm = 0.05"),
    ] {
        let (rows, valid) = (data(250, classes, 1), data(60, classes, 2));
        let model = model(hidden, rows.outputs().unwrap());
        let model = if with_mask { masked(model) } else { model };
        let run = |way| train(model.clone(), text, [&rows, &valid], way);
        let ((plain, said), (by_feature, also)) = (run(Way::Whole), run(Way::ByFeature));
        assert_eq!((said.steps, said.kept), (also.steps, also.kept));
        let losses = said.epochs.iter().zip(&also.epochs).map(|(a, b)| (a.loss - b.loss).abs());
        assert!(losses.fold(0.0, f64::max) < 1e-4, "{text}: {said:?} {also:?}");
        let moved = plain.flat().iter().zip(model.flat()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let off = plain.flat().iter().zip(by_feature.flat()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(moved > 0.01 && off < 2e-2 * moved, "{hidden:?} {text}: {off} of {moved}");
        if with_mask {
            let Weight::Masked { values, keep } = &by_feature.layers()[0].weight else { panic!("a mask") };
            assert!(values.iter().zip(keep).all(|(value, keep)| *keep || *value == 0.0));
        }
    }
}

#[test]
fn threads_change_nothing() {
    let (rows, valid) = (data(120, 100, 1), data(40, 100, 2));
    for (hidden, outputs) in [(&[][..], 100), (&[70], 100)] {
        let text = "epochs = 2\nclip_norm = 0.01\nlearning_rate = 0.01";
        let of = |threads: usize| {
            let config: FitConfig = toml::from_str(text).unwrap();
            let backend = backend();
            let model = model(hidden, outputs);
            let how = Fit { valid: Some(&valid), ..Fit::new(&config, &backend, &rows, Seed(6), &Quiet) };
            let shared = ByFeature::new(&model, &how, &mut start(&model), threads).unwrap().parts.len();
            (shared, crate::fit::run(model, how, threads, Way::ByFeature).unwrap())
        };
        let (one, trained) = of(1);
        assert_eq!(one, 1);
        for threads in [2, 3] {
            let (parts, same) = of(threads);
            assert!(parts > 1, "{threads} threads have one part");
            assert_eq!(same, trained, "{threads} threads");
        }
    }
}

fn start(model: &Model) -> Progress {
    let flat = model.flat();
    Progress {
        identity: String::new(),
        epoch: 0,
        step: 0,
        adam: crate::adam::Adam::new(flat.len()),
        flat,
        best: None,
        stale: 0,
        epochs: Vec::new(),
    }
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bits() {
    let (rows, backend) = (data(100, 3, 1), backend());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let config: FitConfig = toml::from_str("epochs = 3\nweight_decay = 0.1").unwrap();
    let stored = |resume| Fit {
        checkpoint: Some(&path),
        resume,
        ..Fit::new(&config, &backend, &rows, Seed(6), &Quiet)
    };
    let (whole, _) = fit_by(model(&[4], 3), stored(false), Way::ByFeature).unwrap();
    let mut progress = Progress::load(&path).unwrap();
    assert_eq!(progress.flat, whole.flat());
    // The state after the first epoch, which a run that is stopped there leaves.
    struct Stop;
    impl nlpress_core::event::Sink for Stop {
        fn push(&self, event: &nlpress_core::event::Event) -> nlpress_core::event::Flow {
            match event {
                nlpress_core::event::Event::EpochFinished { .. } => nlpress_core::event::Flow::Stop,
                _ => nlpress_core::event::Flow::Continue,
            }
        }
    }
    let stopped = Fit { sink: &Stop, ..stored(false) };
    assert!(matches!(fit_by(model(&[4], 3), stopped, Way::ByFeature), Err(TrainError::Stopped(_))));
    progress = Progress::load(&path).unwrap();
    assert_eq!(progress.epoch, 1);
    let (resumed, _) = fit_by(model(&[4], 3), stored(true), Way::ByFeature).unwrap();
    assert_eq!(resumed, whole);
}

#[test]
fn rare_features_pay_and_frequent_ones_do_not() {
    let pays = |rows: &Dataset, text: &str, hidden: &[usize]| {
        let (config, backend): (FitConfig, Backend) = (toml::from_str(text).unwrap(), backend());
        let model = model(hidden, rows.outputs().unwrap());
        pays(&model, &Fit::new(&config, &backend, rows, Seed(6), &Quiet))
    };
    let rows = data(200, 3, 1);
    assert!(pays(&rows, "batch = 2", &[64]));
    assert!(!pays(&rows, "batch = 200", &[64]), "a batch has most features");
    assert!(!pays(&rows, "batch = 2\nl2 = 0.1", &[64]), "a penalty has a gradient everywhere");
    assert!(!pays(&rows, "batch = 2\nepsilon = 0.1", &[64]));
    assert!(
        !pays(&rows, "batch = 2\nlearning_rate = 0.1\nweight_decay = 9.9", &[64]),
        "nothing would be left"
    );
}
