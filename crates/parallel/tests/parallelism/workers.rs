//! Shares, workers and processes: what is trained depends on the shares alone.

use nlpress_core::event::{Event, Flow, Quiet, Sink};
use nlpress_core::{Backend, Peers, PeersError, Seed};
use nlpress_model::{EncoderSpec, Graph, MlpSpec, Model};
use nlpress_parallel::{DataParallel, ModelParallel, TensorParallel};
use nlpress_testkit::{rows, texts};
use nlpress_train::{Fit, FitConfig, GradientSource, History, OneNetwork, TrainError, With, fit};
use std::path::Path;
use std::sync::{Arc, Barrier, Mutex};

use super::{apart, benches, train};

/// Everything that a step does to all parameters: accumulation, decay, clipping that bites, a bound on the gradient.
const CONFIG: &str =
    "epochs = 2\nbatch = 12\naccumulate = 2\nclip_norm = 0.05\nweight_decay = 0.01\nl2 = 1e-4";
/// Nothing but the optimizer's step, which is then done where the parameters are.
const PLAIN: &str = "epochs = 2\nbatch = 12\nweight_decay = 0.01";
/// Trainings with codings: none, with and without memory, and one with random numbers.
const WAYS: [(&str, Option<&str>); 5] = [
    (PLAIN, None),
    (CONFIG, None),
    (CONFIG, Some("codec = 'int8'\nerror_feedback = true")),
    (CONFIG, Some("codec = 'qsgd'\nbits = 4")),
    (CONFIG, Some("codec = 'sign'\nerror_feedback = true\nblock = 64")),
];

/// A network with so many parameters that threads share them out, and an encoder on tokens.
fn networks() -> [(Graph, nlpress_model::Dataset); 2] {
    let bags = rows(40, 3).unwrap();
    let mlp = MlpSpec::new(bags.examples().width(), &[300, 300], 1, 0.3);
    let documents = texts(40, 5).unwrap();
    let width = documents.examples().width();
    let encoder = EncoderSpec {
        vocabulary: width,
        tokens: 32,
        positions: 32,
        types: 2,
        intermediate: 256,
        dropout: 0.1,
        ..EncoderSpec::new(64, 2, 4)
    };
    [(mlp.into(), bags), (Graph::from(encoder).with_classifier(documents.outputs().unwrap()), documents)]
}

struct Run<'a> {
    backend: &'a Backend,
    network: &'a (Graph, nlpress_model::Dataset),
    config: &'a str,
    wire: Option<&'a str>,
    checkpoint: Option<&'a Path>,
    sink: &'a dyn Sink,
}

impl Run<'_> {
    fn train(
        &self,
        threads: usize,
        peers: Option<&dyn Peers>,
    ) -> Result<(Model, History, [u64; 2]), TrainError> {
        let source = DataParallel::new(4, threads)?.with_peers(peers);
        let mut source = match self.wire {
            None => source,
            Some(text) => source.with_wire(toml::from_str(text).unwrap(), Seed(7)),
        };
        let config: FitConfig = toml::from_str(self.config).unwrap();
        let (graph, data) = self.network;
        let with = With { source: Some(&mut source), ..With::default() };
        let plan = Fit::new(&config, self.backend, data, Seed(6), self.sink);
        let plan = Fit { with, valid: Some(data), checkpoint: self.checkpoint, resume: true, ..plan };
        let (model, history) = fit(Model::init(graph, Seed(5)).unwrap(), plan)?;
        Ok((model, history, [source.bytes(), source.bytes_as_f32()]))
    }
}

#[test]
fn one_two_and_four_workers_give_the_same_bits() {
    for (backend, _) in benches().iter().filter(|(backend, _)| backend.kind().is_cpu()) {
        for network in &networks() {
            for (config, wire) in WAYS {
                let run = Run { backend, network, config, wire, checkpoint: None, sink: &Quiet };
                let one = run.train(1, None).unwrap();
                assert_ne!(one.0, Model::init(&network.0, Seed(5)).unwrap(), "nothing moves");
                for workers in [2, 4] {
                    assert_eq!(run.train(workers, None).unwrap(), one, "{workers} workers, {wire:?}");
                }
            }
        }
    }
}

/// Processes that are threads: each hands its bytes in and takes all of them.
#[derive(Clone, Debug)]
struct Threads {
    rank: usize,
    size: usize,
    shared: Arc<(Barrier, Mutex<Vec<Vec<u8>>>)>,
    sent: Arc<Mutex<u64>>,
}

impl Threads {
    fn all(size: usize) -> Vec<Self> {
        let shared = Arc::new((Barrier::new(size), Mutex::new(vec![Vec::new(); size])));
        let of = |rank| Self { rank, size, shared: Arc::clone(&shared), sent: Arc::default() };
        (0..size).map(of).collect()
    }

    /// What all hand in; it is sent to so many.
    fn gathered(&self, own: Vec<u8>, receivers: usize) -> Vec<Vec<u8>> {
        let (barrier, table) = &*self.shared;
        *self.sent.lock().unwrap() += (own.len() * receivers) as u64;
        table.lock().unwrap()[self.rank] = own;
        barrier.wait();
        let all = table.lock().unwrap().clone();
        barrier.wait();
        all
    }
}

impl Peers for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, PeersError> {
        Ok(self.gathered(own, self.size - 1))
    }

    fn gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, PeersError> {
        let all = self.gathered(own, usize::from(self.rank > 0));
        Ok(if self.rank == 0 { all } else { Vec::new() })
    }
    fn sent(&self) -> u64 {
        *self.sent.lock().unwrap()
    }
}

/// What each of several processes makes of the same.
fn together<R: Send>(size: usize, work: impl Fn(&Threads) -> R + Sync) -> Vec<R> {
    let all = Threads::all(size);
    std::thread::scope(|scope| {
        let threads: Vec<_> = all.iter().map(|peers| scope.spawn(|| work(peers))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn processes_give_the_same_bits_as_one() {
    let (backend, _) = &benches()[0];
    for network in &networks() {
        for (config, wire) in WAYS {
            let run = || Run { backend, network, config, wire, checkpoint: None, sink: &Quiet };
            let one = run().train(1, None).unwrap();
            for size in [2, 3, 4] {
                for found in together(size, |peers| run().train(1, Some(peers)).unwrap()) {
                    assert_eq!(found, one, "{size} processes, {wire:?}");
                }
            }
        }
    }
}

#[test]
fn four_processes_send_a_quarter_in_eight_bits() {
    let (backend, _) = &benches()[0];
    // As few steps an epoch as a quick run has, so that checkpoints weigh as much as they ever do.
    let (graph, data) = &networks()[0];
    let all: Vec<usize> = (0..120).map(|n| n % data.len()).collect();
    let network = &(graph.clone(), data.select(&all).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let sent = |wire: Option<&str>, checkpoints: bool| {
        let work = |peers: &Threads| {
            let path = folder.path().join(format!("{}-{}", peers.rank(), wire.is_some()));
            let checkpoint = checkpoints.then_some(path.as_path());
            let run = Run { backend, network, config: CONFIG, wire, checkpoint, sink: &Quiet };
            run.train(1, Some(peers)).map(|_| peers.sent()).unwrap()
        };
        together(4, work).into_iter().sum::<u64>()
    };
    for (checkpoints, least) in [(false, 3.9), (true, 3.5)] {
        let ratio = sent(None, checkpoints) as f64 / sent(Some("codec = 'int8'"), checkpoints) as f64;
        assert!(ratio > least, "checkpoints {checkpoints}: {ratio}");
    }
}

/// Stops after the first epoch.
struct AfterOne;

impl Sink for AfterOne {
    fn push(&self, event: &Event) -> Flow {
        if matches!(event, Event::EpochFinished { .. }) { Flow::Stop } else { Flow::Continue }
    }
}

#[test]
fn processes_go_on_from_a_checkpoint_that_others_left() {
    let (backend, _) = &benches()[0];
    let network = &networks()[0];
    for (config, wire) in WAYS {
        let folder = tempfile::tempdir().unwrap();
        let whole =
            Run { backend, network, config, wire, checkpoint: None, sink: &Quiet }.train(1, None).unwrap();
        let path = |rank: usize| folder.path().join(rank.to_string());
        let stopped = together(4, |peers| {
            let checkpoint = path(peers.rank());
            let run = Run { backend, network, config, wire, checkpoint: Some(&checkpoint), sink: &AfterOne };
            run.train(1, Some(peers)).unwrap_err()
        });
        assert!(stopped.iter().all(|error| matches!(error, TrainError::Stopped(_))));
        let left = std::fs::read(path(0)).unwrap();
        if wire.is_some() {
            // What the others wrote lacks what the rest owes.
            let other = path(1);
            let run = Run { backend, network, config, wire, checkpoint: Some(&other), sink: &Quiet };
            let error = run.train(1, None).unwrap_err().to_string();
            assert!(error.contains("0 of 4 shares"), "{wire:?}: {error}");
        }
        for size in [1, 2] {
            (0..size).for_each(|rank| std::fs::write(path(rank), &left).unwrap());
            let found = together(size, |peers| {
                let checkpoint = path(peers.rank());
                let run = Run { backend, network, config, wire, checkpoint: Some(&checkpoint), sink: &Quiet };
                run.train(1, Some(peers)).unwrap()
            });
            assert!(found.into_iter().all(|found| found == whole), "{size} processes, {wire:?}");
        }
    }
}

#[test]
fn a_process_that_fails_ends_all_with_its_reason() {
    let (backend, bench) = benches().remove(0);
    let errors = together(2, |peers| {
        let mut source = DataParallel::new(2, 1).unwrap().with_peers(Some(peers));
        source.begin(bench.model(), &backend, &[]).unwrap();
        let dropout = nlpress_model::Dropout::new(bench.model().graph(), Seed(1), 0);
        let labels = nlpress_train::Labels::of(bench.valid());
        // The second share has a row that is not there.
        let indices = [0, 1, 2, bench.valid().len()];
        let batch = nlpress_train::Batch::whole((bench.valid().examples(), &indices), &dropout, &labels);
        source.gradients(&bench.model().flat(), &batch).unwrap_err().to_string()
    });
    assert!(errors.iter().all(|error| error.contains("row 48 does not exist")), "{errors:?}");
    assert!(errors[0].contains("process 1"), "{errors:?}");
}

#[test]
fn columns_and_rows_train_as_the_whole_network_does() {
    for (backend, bench) in benches() {
        let serial = train(&bench, &backend, &mut OneNetwork::default(), true);
        for workers in [1, 2, 3, 5] {
            let run = |threads| train(&bench, &backend, &mut TensorParallel::new(workers, threads), true);
            let model = run(1);
            let distance = apart(&model, &serial, bench.valid(), &backend);
            assert!(distance <= 1e-5, "{workers} workers: {distance}");
            assert_eq!(run(2), model, "scheduling changes nothing");
        }
    }
}

#[test]
fn one_network_may_be_on_several_backends() {
    let all = benches();
    let backends: Vec<Backend> = all.iter().map(|(backend, _)| backend.clone()).collect();
    if backends.len() < 2 {
        return;
    }
    let (backend, bench) = &all[0];
    let serial = train(bench, backend, &mut OneNetwork::default(), false);
    let sources: [(&str, Box<dyn GradientSource>); 2] = [
        ("stages", Box::new(ModelParallel::new(3, 4).on(backends.clone()))),
        ("columns and rows", Box::new(TensorParallel::new(3, 2).on(backends.clone()))),
    ];
    for (name, mut source) in sources {
        let model = train(bench, backend, &mut *source, false);
        let distance = apart(&model, &serial, bench.valid(), backend);
        assert!(distance <= 1e-3, "{name}: {distance}");
    }
}
