//! Every technique of this crate against the contract, on every backend that opens; and what their sources of
//! gradients promise: the serial numbers, a quarter of the bytes, and an end even when a worker fails.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

mod workers;

use nlpress_core::event::{Event, Flow, Quiet, Sink};
use nlpress_core::{Backend, Seed};
use nlpress_model::{Dataset, Dropout, Gradients, Model, Network};
use nlpress_parallel::{DataParallel, KINDS, ModelParallel, pipeline, tasks, tensor};
use nlpress_technique::{Kind, StepError};
use nlpress_testkit::contract::check_all;
use nlpress_testkit::{Bench, backends, cpu};
use nlpress_train::{
    Batch, Fit, FitConfig, GradientSource, Labels, Objective, OneNetwork, TrainError, With, fit,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, mpsc};
use std::time::Duration;

fn benches() -> Vec<(Backend, Bench)> {
    backends().into_iter().map(|backend| (backend.clone(), Bench::new(&backend).unwrap())).collect()
}

fn train(bench: &Bench, backend: &Backend, source: &mut dyn GradientSource, patience: bool) -> Model {
    let text = if patience { "epochs = 8\npatience = 2\nbatch = 10" } else { "epochs = 4\nbatch = 10" };
    let config: FitConfig = toml::from_str(text).unwrap();
    let fresh = Model::init(bench.model().graph(), Seed(5)).unwrap();
    let how = Fit::new(&config, backend, bench.valid(), Seed(6), &Quiet);
    let valid = patience.then(|| bench.valid());
    let with = With { source: Some(source), ..With::default() };
    fit(fresh, Fit { with, valid, ..how }).unwrap().0
}

fn apart(a: &Model, b: &Model, data: &Dataset, backend: &Backend) -> f32 {
    let logits = |model| Network::bind(model, backend).logits_of(data).unwrap();
    logits(a).iter().zip(logits(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_kind_keeps_the_contract() {
    for backend in backends() {
        let benches = Bench::families(&backend).unwrap();
        // Their sites can be split neither over stages nor by columns and rows; with one stage they run.
        let unsplit = || benches.iter().filter(|bench| !bench.model().graph().is_chain());
        let of = |kind: &Kind| unsplit().map(|bench| (kind.name, bench.name())).collect::<Vec<_>>();
        check_all(KINDS, &[of(&pipeline::KIND), of(&tensor::KIND)].concat(), &backend)
            .unwrap_or_else(|broken| panic!("{broken}"));
        let whole = Kind { example: "stages = 1\nmicro_batches = 2\nfit = { epochs = 2 }", ..pipeline::KIND };
        assert_eq!(unsplit().count(), 6);
        unsplit().for_each(|bench| bench.check(&whole).unwrap());
    }
}

#[test]
fn shares_of_a_batch_train_as_the_whole_does() {
    for (backend, bench) in benches() {
        let serial = train(&bench, &backend, &mut OneNetwork::default(), false);
        for workers in [1, 2, 3, 11] {
            let run = |threads| {
                let mut source = DataParallel::new(workers, threads).unwrap();
                (train(&bench, &backend, &mut source, false), source.bytes())
            };
            let (model, bytes) = run(1);
            let distance = apart(&model, &serial, bench.valid(), &backend);
            assert!(distance <= 1e-4, "{workers} workers: {distance}");
            assert_eq!(run(2), (model.clone(), bytes), "two threads give what one gives");
            assert_eq!(
                bytes,
                (workers * 4 * 5 * 4 * model.flat().len()) as u64,
                "workers × epochs × steps × floats"
            );
            if workers == 1 && backend.kind().is_cpu() {
                assert_eq!(model, serial);
            }
        }
    }
}

/// Codings of each kind, and how many times fewer bytes they take at least, on a network of 413 numbers.
const WIRES: [(&str, f64); 6] = [
    ("codec = 'int8'", 3.75),
    ("codec = 'qsgd'", 7.0),
    ("codec = 'ternary'", 16.0),
    ("codec = 'ternary'\nerror_feedback = true\nblock = 64", 12.0),
    ("codec = 'sign'", 20.0),
    ("codec = 'top_k'\nshare = 0.05", 15.0),
];

#[test]
fn coded_gradients_are_fewer_bytes_and_threads_change_nothing() {
    for (backend, bench) in benches() {
        let run = |threads, coding: Option<&str>| {
            let source = DataParallel::new(2, threads).unwrap();
            let mut source = match coding {
                None => source,
                Some(text) => source.with_wire(toml::from_str(text).unwrap(), Seed(7)),
            };
            let model = train(&bench, &backend, &mut source, false);
            (model, source.bytes(), source.bytes_as_f32())
        };
        let (floats, wide, as_f32) = run(2, None);
        assert_eq!(wide, as_f32);
        for (text, least) in WIRES {
            let (coded, narrow, as_f32) = run(2, Some(text));
            assert_eq!(as_f32, wide);
            let ratio = wide as f64 / narrow as f64;
            assert!(ratio > least, "{text}: {ratio}");
            assert_ne!(floats, coded, "{text}");
            assert_eq!(run(1, Some(text)), (coded, narrow, as_f32), "{text}");
        }
        let eight_bits = run(1, Some("codec = 'int8'")).0;
        let distance = apart(&floats, &eight_bits, bench.valid(), &backend);
        assert!(distance < 0.1, "{distance}");
    }
}

#[test]
fn stages_train_as_the_whole_network_does() {
    for (backend, bench) in benches() {
        let serial = train(&bench, &backend, &mut OneNetwork::default(), true);
        // How a batch is cut is the same everywhere; a device, which may be a slow driver in software, does a few.
        let (all_stages, all_batches): (&[usize], &[usize]) = match backend.kind().is_cpu() {
            true => (&[1, 2, 3, 64], &[1, 2, 3, 10, 64]),
            false => (&[2, 64], &[1, 3, 64]),
        };
        for &stages in all_stages {
            for &micro_batches in all_batches {
                let run = || train(&bench, &backend, &mut ModelParallel::new(stages, micro_batches), true);
                let model = run();
                let distance = apart(&model, &serial, bench.valid(), &backend);
                assert!(distance <= 1e-5, "{stages} stages, {micro_batches} micro-batches: {distance}");
                assert_eq!(run(), model, "scheduling changes nothing");
                if micro_batches == 1 && backend.kind().is_cpu() {
                    assert_eq!(model, serial);
                }
            }
        }
    }
}

/// Fails by panicking, as a bug would, in its second call.
struct Bomb<'a>(Labels<'a>, AtomicUsize);

impl Objective for Bomb<'_> {
    fn loss(&self, rows: &[usize], batch: usize, logits: &[f32], gradient: &mut [f32]) -> f64 {
        assert!(self.1.fetch_add(1, Ordering::Relaxed) < 1, "the bomb went off");
        self.0.loss(rows, batch, logits, gradient)
    }
}

/// Runs one batch, and gives up on it after a while.
fn one_batch(
    mut source: impl GradientSource + 'static,
    bad_rows: bool,
    bomb: bool,
) -> std::thread::Result<Result<Gradients, TrainError>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let backend = cpu();
        let bench = Bench::new(&backend).unwrap();
        let data = bench.valid();
        let model = bench.model();
        let dropout = Dropout::new(model.graph(), Seed(1), 0);
        let mut indices: Vec<usize> = (0..12).collect();
        if bad_rows {
            indices[7] = data.len();
        }
        let (labels, explosive) = (Labels::of(data), Bomb(Labels::of(data), AtomicUsize::new(0)));
        let objective: &dyn Objective = if bomb { &explosive } else { &labels };
        let batch = Batch::whole((data.examples(), &indices), &dropout, objective);
        source.begin(model, &backend, &[]).unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| source.gradients(&model.flat(), &batch)));
        sender.send(result).unwrap();
    });
    receiver.recv_timeout(Duration::from_secs(60)).expect("it hangs")
}

#[test]
fn a_failing_worker_ends_the_step_with_its_own_reason() {
    for stages in [1, 2, 3] {
        assert!(one_batch(ModelParallel::new(stages, 4), false, false).unwrap().is_ok());
        let error = one_batch(ModelParallel::new(stages, 4), true, false).unwrap().unwrap_err();
        assert!(error.to_string().contains("row 48 does not exist"), "{error}");
        let error = one_batch(ModelParallel::new(stages, 4), false, true).unwrap().unwrap_err();
        assert!(error.to_string().contains("panicked"), "{error}");
    }
    for threads in [1, 2] {
        let source = || DataParallel::new(3, threads).unwrap();
        assert!(one_batch(source(), false, false).unwrap().is_ok());
        let error = one_batch(source(), true, false).unwrap().unwrap_err();
        assert!(error.to_string().contains("row 48 does not exist"), "{error}");
        assert!(one_batch(source(), false, true).is_err(), "a worker's panic is the caller's");
    }
    assert!(one_batch(DataParallel::new(0, 1).unwrap(), false, false).unwrap().is_err());
}

/// Stops after the second epoch.
struct AfterTwo;

impl Sink for AfterTwo {
    fn push(&self, event: &Event) -> Flow {
        match event {
            Event::EpochFinished { epoch: 2, .. } => Flow::Stop,
            _ => Flow::Continue,
        }
    }
}

#[test]
fn what_workers_owe_and_sent_goes_through_a_checkpoint() {
    let (backend, bench) = benches().remove(0);
    let folder = tempfile::tempdir().unwrap();
    let config: FitConfig = toml::from_str("epochs = 4\nbatch = 10").unwrap();
    for (number, (text, _)) in WIRES.iter().enumerate() {
        let path = folder.path().join(number.to_string());
        let run = |sink: &dyn Sink, checkpoint: bool| {
            let mut source =
                DataParallel::new(2, 1).unwrap().with_wire(toml::from_str(text).unwrap(), Seed(7));
            let how = Fit::new(&config, &backend, bench.valid(), Seed(6), sink);
            let with = With { source: Some(&mut source), ..With::default() };
            let checkpoint = checkpoint.then_some(path.as_path());
            let made = fit(bench.model().clone(), Fit { with, checkpoint, resume: true, ..how });
            made.map(|made| (made, source.bytes(), source.bytes_as_f32()))
        };
        let whole = run(&Quiet, false).unwrap();
        assert!(matches!(run(&AfterTwo, true), Err(TrainError::Stopped(_))), "{text}");
        assert_eq!(run(&Quiet, true).unwrap(), whole, "{text}");
    }
}

#[test]
fn every_worker_rounds_its_inputs() {
    let (backend, bench) = benches().remove(0);
    let data = bench.valid();
    let dropout = Dropout::new(bench.model().graph(), Seed(1), 0);
    let (labels, indices) = (Labels::of(data), (0..12).collect::<Vec<_>>());
    let batch = Batch::whole((data.examples(), &indices), &dropout, &labels);
    let of = |source: &mut dyn GradientSource, rounded: &[(usize, i32)]| {
        source.begin(bench.model(), &backend, rounded).unwrap();
        source.gradients(&bench.model().flat(), &batch).unwrap().flat
    };
    let rounded = [(0, 3), (1, 2), (2, 2)];
    let plain = of(&mut OneNetwork::default(), &[]);
    let one = of(&mut OneNetwork::default(), &rounded);
    let off = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off(&plain, &one) > 1e-3);
    for workers in [1, 2, 5] {
        let found = of(&mut DataParallel::new(workers, 2).unwrap(), &rounded);
        assert!(off(&found, &one) < 1e-6, "{workers} workers: {}", off(&found, &one));
    }
    for stages in [1, 3] {
        let found = of(&mut ModelParallel::new(stages, 2), &rounded);
        assert!(off(&found, &one) < 1e-6, "{stages} stages: {}", off(&found, &one));
    }
}

/// Lets work through when as many tasks as there are threads were at it at the same time.
#[derive(Default)]
struct Meeting {
    running: usize,
    most: usize,
    done: usize,
}

#[test]
fn tasks_come_in_their_order_on_so_many_threads_and_the_first_failure_counts() {
    let numbers: Vec<u64> = (0..20).collect();
    for threads in [1, 2, 4] {
        let (meeting, changed) = (Mutex::new(Meeting::default()), Condvar::new());
        let wait = |until: &dyn Fn(&Meeting) -> bool| {
            let held = meeting.lock().unwrap();
            // Long enough for any machine; it is reached only where tasks do not run side by side.
            let limit = Duration::from_secs(60);
            let (held, waited) = changed.wait_timeout_while(held, limit, |m| !until(m)).unwrap();
            assert!(!waited.timed_out(), "waited in vain, {} threads", threads);
            held
        };
        let work = |n: &u64| {
            let mut held = meeting.lock().unwrap();
            held.running += 1;
            held.most = held.most.max(held.running);
            changed.notify_all();
            drop(held);
            // As many as there are threads must be at work at once, and the first task is not the first to end.
            let mut held = wait(&|m| m.most >= threads && (*n > 0 || threads == 1 || m.done > 0));
            held.running -= 1;
            held.done += 1;
            changed.notify_all();
            Ok(n * n)
        };
        let squares = tasks::run(&numbers, threads, work).unwrap();
        assert_eq!(squares, numbers.iter().map(|n| n * n).collect::<Vec<_>>());
        assert_eq!(meeting.into_inner().unwrap().most, threads);
    }
    let failing = |n: &u64| if *n % 7 == 5 { Err(StepError::Failed(n.to_string())) } else { Ok(*n) };
    assert_eq!(tasks::run(&numbers, 3, failing).unwrap_err().to_string(), "5");
    assert!(tasks::run(&[], 2, failing).unwrap().is_empty());
    let begun = AtomicUsize::new(0);
    let counted = |n: &u64| {
        begun.fetch_add(1, Ordering::SeqCst);
        failing(n)
    };
    assert!(tasks::run(&numbers, 1, counted).is_err());
    assert_eq!(begun.into_inner(), 6, "nothing is begun after the failure of number 5");
}
