//! Training that composes: the joint technique against the contract, against the techniques of its parts, and against
//! doing nothing.

use nlpress_core::Seed;
use nlpress_core::event::{Event, Flow, Quiet, Sink};
use nlpress_model::{Dataset, Graph, MlpSpec, Model, SiteId, Weight};
use nlpress_parallel::DataParallel;
use nlpress_pipeline::{joint, kinds};
use nlpress_prune::moving::MasksConfig;
use nlpress_quant::QuantizerConfig;
use nlpress_technique::{Cx, StepError, Teacher};
use nlpress_testkit::contract::check_all;
use nlpress_testkit::{Bench, cpu};
use nlpress_text::Rows;
use nlpress_train::{Fit, FitConfig, TrainError, With, fit};
use std::path::Path;
use std::sync::Mutex;

fn all(model: &Model) -> Vec<SiteId> {
    model.layers().iter().map(|layer| layer.id.clone()).collect()
}

/// What a technique makes of a model, and what it measures.
fn apply(name: &str, with: &str, model: &Model, cx: Cx<'_>) -> (Model, Vec<(String, f64)>) {
    let technique = (kinds::find(name).unwrap().parse)(&with.parse().unwrap()).unwrap();
    let (on, mut cx, mut problems) = (all(model), cx, Vec::new());
    let planned = technique.plan(&model.outline(), &on, &mut problems);
    assert!(problems.is_empty(), "{name}: {problems:?}");
    let made = technique.apply(model.clone(), &on, &mut cx).unwrap().model;
    assert_eq!(made.outline(), planned, "{name}: {with}");
    (made, cx.measured.into_iter().map(|m| (m.name, m.value)).collect())
}

#[test]
fn the_joint_technique_keeps_the_contract() {
    check_all(&[joint::KIND], &[], &cpu()).unwrap_or_else(|broken| panic!("{broken}"));
    let kind = |example| nlpress_technique::Kind { example, ..joint::KIND };
    for bench in Bench::families(&cpu()).unwrap() {
        for example in [
            "masks = { sparsity = 0.5, start = \"magnitude\" }\nworkers = 3\ntrain = { epochs = 2, accumulate = 2 }",
            "adapters = { rank = 3 }\nmasks = { sparsity = 0.5, start = \"magnitude\" }\nquantize = { grid = \"int8\" }\n\
             train = { epochs = 2 }",
            "adapters = { rank = 2, alpha = 1.0 }\nworkers = 2\ntrain = { epochs = 2 }",
            "quantize = { grid = \"int8\", activations = { calibrator = \"minmax\" } }\ndistill = { teacher = \"self\" }\n\
             train = { epochs = 2 }",
        ] {
            bench.check(&kind(example)).unwrap();
        }
    }
}

#[test]
fn a_part_alone_is_its_own_technique() {
    let train = "train = { epochs = 3, learning_rate = 0.01, schedule = 'linear', clip_norm = 1.0 }";
    let fit = train.replace("train", "fit");
    for bench in Bench::families(&cpu()).unwrap() {
        let same = |part: &str, name: &str, own: &str, fit: &str| {
            let joint = apply("train.joint", &format!("{part}\n{train}"), bench.model(), bench.cx(&Quiet)).0;
            let alone = apply(name, &format!("{own}\n{fit}"), bench.model(), bench.cx(&Quiet)).0;
            assert_eq!(joint, alone, "{name} on {}", bench.name());
        };
        let masks = "sparsity = 0.6\nstart = 'magnitude'\nsettle = 0.3";
        let table = masks.replace('\n', ", ");
        same(&format!("masks = {{ {table} }}"), "prune.movement", masks, train);
        let quantize = "grid = 'int2'\nstep = 'range'";
        let (table, words) = (quantize.replace('\n', ", "), "word_dropout = 0.1");
        let (part, own) = (format!("quantize = {{ {table} }}\n{words}"), format!("{quantize}\n{words}"));
        same(&part, "quant.qat", &own, train);
        let kd = "share = 0.7, temperature = 3.0";
        let (part, own) = (format!("quantize = {{}}\ndistill = {{ {kd} }}"), format!("distill = {{ {kd} }}"));
        same(&part, "quant.qat", &own, train);
        let student = "from = 'model'\nalpha = 0.7\ntemperature = 3.0";
        same(&format!("distill = {{ {kd} }}"), "distill.student", student, &fit);
    }
}

/// Adapters alone: what is added to each weight has their rank.
#[test]
fn adapters_are_merged_as_matrices_of_their_rank() {
    for bench in Bench::families(&cpu()).unwrap() {
        let with = "adapters = { rank = 1 }\ntrain = { epochs = 3 }";
        let made = apply("train.joint", with, bench.model(), bench.cx(&Quiet)).0;
        let mut moved = 0;
        for (before, after) in bench.model().layers().iter().zip(made.layers()) {
            let (shape, id) = (before.shape, before.id.as_str());
            let (before, after) = (before.weight.values(), after.weight.values());
            let change: Vec<f64> = after.iter().zip(&*before).map(|(a, b)| f64::from(a - b)).collect();
            let largest = change.iter().fold(0.0_f64, |top, x| top.max(x.abs()));
            moved += usize::from(largest > 1e-3);
            let at = |row: usize, column: usize| change[row * shape.outputs + column];
            let (row, column) = (0..shape.weights())
                .map(|i| (i / shape.outputs, i % shape.outputs))
                .max_by(|a, b| at(a.0, a.1).abs().total_cmp(&at(b.0, b.1).abs()))
                .unwrap();
            // Every row of a matrix of rank 1 is a multiple of one of them.
            for (r, c) in (0..shape.weights()).map(|i| (i / shape.outputs, i % shape.outputs)) {
                let expected =
                    at(r, column) * at(row, c) / at(row, column).abs().max(1e-9).copysign(at(row, column));
                assert!((at(r, c) - expected).abs() < 1e-5 + 1e-3 * largest, "{id}: {} {expected}", at(r, c));
            }
        }
        assert!(moved > 0, "{}: nothing was trained", bench.name());
    }
}

/// A network that was taught another class for each topic answers wrong; adapters at its hidden sites set that right beside
/// a frozen output.
#[test]
fn adapters_teach_a_frozen_network() {
    let backend = cpu();
    let (train, valid) = (topics(1200, 1), topics(1000, 2));
    let other = train.labels().iter().map(|label| (label + 1) % 6).collect();
    let wrong = Dataset::new(train.features().unwrap().clone(), other, 6).unwrap();
    let config: FitConfig = toml::from_str("epochs = 8\nlearning_rate = 3e-3").unwrap();
    let fresh = Model::init(&Graph::from(MlpSpec::new(60, &[48, 24], 6, 0.1)), Seed(5)).unwrap();
    let base = fit(fresh, Fit::new(&config, &backend, &wrong, Seed(5), &Quiet)).unwrap().0;
    let cx = || Cx::new(Seed(9), &backend, (&train, &valid), &Quiet);
    let on = [SiteId::hidden(0), SiteId::hidden(1)];
    let tuned = |with: &str| {
        let technique = joint::KIND.read(&with.parse().unwrap()).unwrap();
        technique.apply(base.clone(), &on, &mut cx()).unwrap().model
    };
    let score = |model: &Model| cx().accuracy(model).unwrap();
    let frozen = "groups = [{ on = ['output'], frozen = true }]";
    let made = tuned(&format!("adapters = {{ rank = 4 }}\ntrain = {{ epochs = 10, {frozen} }}"));
    let still = "epochs = 1, learning_rate = 1e-12";
    let still = tuned(&format!("adapters = {{ rank = 4 }}\ntrain = {{ {still}, {frozen} }}"));
    let (before, still, after) = (score(&base), score(&still), score(&made));
    eprintln!("{before} frozen, {still} without a step, {after} with adapters");
    assert!(before < 0.2 && still < 0.2 && after > 0.6, "{before} {still} {after}");
    assert_eq!(made.outline(), base.outline(), "adapters are merged");
    assert_eq!(made.layers()[2], base.layers()[2], "the output is frozen");
    assert!((0..2).all(|n| made.layers()[n].weight != base.layers()[n].weight));
}

/// `parallel.data` trains a fresh network, so that this is what it does after that.
#[test]
fn workers_alone_are_data_parallel_training() {
    let bench = Bench::new(&cpu()).unwrap();
    let config: FitConfig = toml::from_str("epochs = 2\nlearning_rate = 0.01\nschedule = 'linear'").unwrap();
    for wire in ["", "codec = 'sign'"] {
        let cx = bench.cx(&Quiet);
        let mut source = DataParallel::new(3, 1).unwrap();
        let mut with = "workers = 3\ntrain = { epochs = 2 }".to_owned();
        if !wire.is_empty() {
            source = source.with_wire(toml::from_str(wire).unwrap(), cx.seed.derive("wire"));
            with += &format!("\nwire = {{ {wire} }}");
        }
        let how = Fit::new(&config, cx.backend, cx.train, cx.seed, &Quiet);
        let parts = With { source: Some(&mut source), ..With::default() };
        let (expected, _) = fit(bench.model().clone(), Fit { with: parts, ..how }).unwrap();
        let (made, measured) = apply("train.joint", &with, bench.model(), cx);
        assert_eq!(made, expected, "{wire}");
        assert!(measured.contains(&("exchanged_bytes".into(), source.bytes() as f64)), "{measured:?}");
    }
}

/// Hears how good each epoch was, and stops after one of them.
#[derive(Default)]
struct Heard {
    accuracies: Mutex<Vec<f64>>,
    stop_after: Option<u32>,
}

impl Sink for Heard {
    fn push(&self, event: &Event) -> Flow {
        let Event::EpochFinished { epoch, valid_accuracy, .. } = event else { return Flow::Continue };
        self.accuracies.lock().unwrap().extend(*valid_accuracy);
        if self.stop_after == Some(*epoch) { Flow::Stop } else { Flow::Continue }
    }
}

#[test]
fn validation_looks_at_what_ships() {
    for bench in Bench::families(&cpu()).unwrap() {
        for train in ["epochs = 4", "epochs = 30, patience = 2, learning_rate = 0.05"] {
            let heard = Heard::default();
            let masks = format!("masks = {{ sparsity = 0.8 }}\ntrain = {{ {train} }}");
            let (made, _) = apply("train.joint", &masks, bench.model(), bench.cx(&heard));
            let shipped = bench.cx(&Quiet).accuracy(&made).unwrap();
            let heard = heard.accuracies.into_inner().unwrap();
            // With patience, the best of the epochs in which no entry went any more; without, the last.
            assert!(
                heard.iter().skip(heard.len() * 4 / 5 - 1).any(|seen| *seen == shipped),
                "{shipped} {heard:?}"
            );
            assert!(train.contains("patience") || heard.last() == Some(&shipped), "{shipped} {heard:?}");
        }
    }
}

#[test]
fn a_stopped_joint_training_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let masks: MasksConfig = toml::from_str("sparsity = 0.7").unwrap();
    let config: FitConfig = toml::from_str("epochs = 5\nbatch = 10\naccumulate = 2").unwrap();
    for (number, bench) in Bench::families(&cpu()).unwrap().iter().enumerate() {
        for step in ["learned", "range"] {
            let quantize: QuantizerConfig =
                toml::from_str(&format!("grid = 'int2'\nstep = '{step}'")).unwrap();
            let path = folder.path().join(format!("{number} {step}"));
            let run = |sink: &dyn Sink, checkpoint: Option<&Path>| -> Result<Model, StepError> {
                let (model, mut cx) = (bench.model().clone(), bench.cx(sink));
                let on = all(&model);
                let mut moving = masks.moving(&model, &on)?;
                let mut quantizer = quantize.quantizer(&model, &on, true)?;
                let wire = toml::from_str("codec = 'qsgd'").unwrap();
                let mut workers = DataParallel::new(2, 1)?.with_wire(wire, Seed(2));
                let with = With {
                    reparameterizations: vec![&mut moving, &mut quantizer],
                    source: Some(&mut workers),
                    ..With::default()
                };
                let how = Fit::new(&config, cx.backend, cx.train, Seed(3), sink);
                let (model, _) =
                    fit(model, Fit { with, checkpoint, resume: true, valid: Some(cx.valid), ..how })?;
                quantize.pack(&quantizer, moving.cut(model)?, &on, &mut cx)
            };
            let whole = run(&Quiet, None).unwrap();
            for epoch in [1, 3] {
                let stop = Heard { stop_after: Some(epoch), ..Heard::default() };
                let stopped = run(&stop, Some(&path));
                assert!(
                    matches!(stopped, Err(StepError::Train(TrainError::Stopped(_)) | StepError::Stopped(_))),
                    "{stopped:?}"
                );
            }
            assert_eq!(run(&Quiet, Some(&path)).unwrap(), whole, "{} {step}", bench.name());
            assert_eq!(run(&Quiet, Some(&path)).unwrap(), whole, "a finished training is only read back");
        }
    }
}

/// Rows of sixty words in six classes, each of which has ten words of its own.
fn topics(n: usize, seed: u64) -> Dataset {
    let mut rng = Seed(seed).stream(0);
    let (mut values, mut labels) = (vec![0.0_f32; n * 60], Vec::new());
    for row in values.chunks_mut(60) {
        let class = rng.below(6);
        (0..6).for_each(|_| row[rng.below(60)] += rng.uniform());
        (0..3).for_each(|_| row[class * 10 + rng.below(10)] += rng.uniform());
        labels.push(class as u32);
    }
    Dataset::new(Rows::from_dense(n, 60, &values).unwrap(), labels, 6).unwrap()
}

/// All parts in one step, on words of six topics: the sparse integers that it makes are better than those of the same
/// network cut and rounded, and than a training whose rate is next to nothing.
#[test]
fn all_parts_together_train() {
    let backend = cpu();
    let (train, valid) = (topics(1200, 1), topics(1000, 2));
    let config: FitConfig = toml::from_str("epochs = 8\nlearning_rate = 3e-3").unwrap();
    let fresh = Model::init(&Graph::from(MlpSpec::new(60, &[48, 24], 6, 0.1)), Seed(5)).unwrap();
    let model = fit(fresh, Fit::new(&config, &backend, &train, Seed(5), &Quiet)).unwrap().0;
    let cx = || Cx {
        teacher: Some(Teacher { model: &model, train: &train, valid: &valid }),
        ..Cx::new(Seed(9), &backend, (&train, &valid), &Quiet)
    };
    let parts = "masks = { sparsity = 0.95 }\nquantize = { grid = 'int2' }\ndistill = { temperature = 2.0 }\nworkers = 2\n\
                 wire = { codec = 'int8' }";
    let joint = |train: &str| apply("train.joint", &format!("{parts}\ntrain = {{ {train} }}"), &model, cx());
    let (made, measured) = joint("epochs = 20");
    let still = joint("epochs = 1, learning_rate = 1e-12").0;
    let one = |name: &str, with: &str, model: &Model| apply(name, with, model, cx()).0;
    let cut = one("prune.magnitude", "sparsity = 0.95", &model);
    let rounded = one("quant.int2", "", &cut);
    let score = |model: &Model| cx().accuracy(model).unwrap();
    let (whole, after) = (score(&model), score(&made));
    let (rounded, still) = (score(&rounded), score(&still));
    eprintln!("{whole} whole, {rounded} cut and rounded, {still} without a step, {after} in one training");
    assert!(after > rounded + 0.1 && after > still + 0.05 && after > whole - 0.1, "{after}");
    let of = |name: &str| measured.iter().find(|(n, _)| n == name).unwrap().1;
    assert_eq!((of("valid_accuracy"), of("valid_accuracy_before")), (after, whole));
    assert!(of("exchanged_bytes_as_f32") > 3.5 * of("exchanged_bytes"));

    let mut kept = 0;
    for layer in made.layers() {
        let Weight::Packed { matrix, .. } = &layer.weight else { panic!("{} is not packed", layer.id) };
        let pairs = matrix.unpack().into_iter().zip(matrix.keep());
        assert!(pairs.into_iter().all(|(w, keep)| keep || w == 0.0), "{}", layer.id);
        kept += matrix.kept();
    }
    let weights: usize = made.layers().iter().map(|l| l.shape.weights()).sum();
    assert_eq!(kept, cut.outline().kept);
    assert!(kept < weights / 19, "{kept} of {weights}");
}
