//! Codecs on the gradient of the article's network, and what training loses by them.

use nlpress_core::Seed;
use nlpress_core::event::{Event, Flow, Quiet, Sink};
use nlpress_model::dataset::accuracy;
use nlpress_model::{Dataset, Dropout, Graph, MlpSpec, Model, Network, SiteId, Weight};
use nlpress_quant::gradient::{Layout, Sender};
use nlpress_quant::{Coding, GradientWire};
use nlpress_testkit::bench::FEATURES;
use nlpress_testkit::{Bench, clear_rows, cpu};
use nlpress_text::Rows;
use nlpress_train::{Batch, Fit, FitConfig, GradientSource, Labels, OneNetwork, TrainError, Wire, With, fit};

fn coding(text: &str) -> Coding {
    toml::from_str(text).unwrap()
}

/// The article's network and the gradient of its first batch: 32 rows of 20 words out of 1000.
fn article() -> (Model, Vec<f32>) {
    let graph = Graph::from(MlpSpec::new(1000, &[128, 64], 1, 0.5));
    let model = Model::init(&graph, Seed(1)).unwrap();
    let mut rng = Seed(2).stream(0);
    let (mut dense, mut labels) = (vec![0.0; 32 * 1000], Vec::new());
    for row in dense.chunks_mut(1000) {
        labels.push(rng.below(2) as u32);
        (0..20).for_each(|_| row[rng.below(1000)] = rng.uniform());
    }
    let data = Dataset::new(Rows::from_dense(32, 1000, &dense).unwrap(), labels, 2).unwrap();
    let indices: Vec<usize> = (0..32).collect();
    let dropout = Dropout::new(&graph, Seed(3), 0);
    let labels = Labels::of(&data);
    let batch = Batch::whole((data.examples(), &indices), &dropout, &labels);
    let mut source = OneNetwork::default();
    source.begin(&model, &cpu(), &[]).unwrap();
    let gradient = source.gradients(&model.flat(), &batch).unwrap().flat;
    (model, gradient)
}

#[test]
fn every_codec_takes_the_bytes_that_it_promises_on_the_articles_gradient() {
    let (model, gradient) = article();
    for (text, least) in [
        ("codec = 'int8'", 3.9),
        ("codec = 'qsgd'\nbits = 8", 3.9),
        ("codec = 'qsgd'", 7.5),
        ("codec = 'qsgd'\nbits = 2", 15.0),
        ("codec = 'ternary'", 19.9),
        ("codec = 'sign'", 30.0),
        ("codec = 'top_k'", 70.0),
    ] {
        let layout = Layout::of(&coding(text), &model, |_| true).unwrap();
        let mut sender = Sender::new(layout.clone(), Seed(4));
        for step in 0..3 {
            let (mut arrives, mut bytes) = (gradient.clone(), Vec::new());
            sender.send(&mut arrives, &mut bytes).unwrap();
            let ratio = 4.0 * gradient.len() as f64 / bytes.len() as f64;
            assert!(ratio >= least, "{text}: {ratio}");
            let mut back = vec![0.0; gradient.len()];
            layout.decode(step, &bytes, &mut back).unwrap();
            assert_eq!(back, arrives, "{text}");
        }
    }
}

#[test]
fn with_error_feedback_everything_arrives_in_the_end() {
    let (model, gradient) = article();
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let whole: Vec<f64> = gradient.iter().map(|x| f64::from(*x)).collect();
    for text in [
        "",
        "codec = 'qsgd'\nerror_feedback = true",
        "codec = 'ternary'\nerror_feedback = true",
        "codec = 'sign'",
    ] {
        let mut sender = Sender::new(Layout::of(&coding(text), &model, |_| true).unwrap(), Seed(4));
        let mut missing = vec![0.0; gradient.len()];
        let mut after = Vec::new();
        for step in 1..=200 {
            let mut arrives = gradient.clone();
            sender.send(&mut arrives, &mut Vec::new()).unwrap();
            for ((missing, whole), arrives) in missing.iter_mut().zip(&whole).zip(&arrives) {
                *missing += whole - f64::from(*arrives);
            }
            after.push(norm(&missing) / (f64::from(step) * norm(&whole)));
        }
        // What is missing stays bounded, so that its share of all that was sent falls towards nothing.
        assert!(
            after[199] < 0.25 && after[199] < 0.6 * after[19] + 1e-3,
            "{text}: {} {}",
            after[19],
            after[199]
        );
    }
}

#[test]
fn sites_that_are_not_selected_travel_as_they_are() {
    let model = Model::init(&Graph::from(MlpSpec::new(3, &[2], 1, 0.0)), Seed(1)).unwrap();
    let mut wire = GradientWire::new(&coding(""), &model, |id| *id == SiteId::output(), Seed(1)).unwrap();
    let mut gradient: Vec<f32> = (0..11).map(|i| (i as f32 * 0.7).cos()).collect();
    let sent = gradient.clone();
    wire.send(&mut gradient);
    assert_eq!(gradient[..8], sent[..8]);
    assert_ne!(gradient[8..], sent[8..]);
    assert_eq!((wire.bytes(), wire.bytes_as_f32()), (8 * 4 + 3 + 4, 11 * 4));
}

#[test]
fn nothing_is_sent_of_masked_numbers() {
    let model = Model::init(&Graph::from(MlpSpec::new(10, &[10], 1, 0.0)), Seed(1)).unwrap();
    let keep: Vec<bool> = (0..100).map(|i| i == 42).collect();
    let values = keep.iter().map(|k| if *k { 1.0 } else { 0.0 }).collect();
    let model = model.with_weight(&SiteId::hidden(0), Weight::Masked { values, keep }).unwrap();
    let few = coding("codec = 'top_k'\nshare = 0.1");
    let mut wire = GradientWire::new(&few, &model, |id| *id == SiteId::hidden(0), Seed(1)).unwrap();
    let mut gradient = vec![1.0; 121];
    gradient[100..110].fill(0.0); // the biases of the site
    wire.send(&mut gradient);
    assert_eq!(gradient[..110].iter().filter(|x| **x != 0.0).count(), 1);
    assert_eq!((gradient[42], wire.bytes()), (1.0, 1 + 1 + 4 + 11 * 4));
}

#[test]
fn every_codec_learns_and_the_same_seed_gives_the_same_numbers() {
    let (train, unseen) = (clear_rows(400, 15).unwrap(), clear_rows(400, 16).unwrap());
    let config: FitConfig = toml::from_str("epochs = 20\nlearning_rate = 0.01").unwrap();
    let graph = Graph::from(MlpSpec::new(FEATURES, &[12, 8], 1, 0.2));
    let run = |text: Option<&str>| {
        let model = Model::init(&graph, Seed(5)).unwrap();
        let mut wire = text.map(|text| GradientWire::new(&coding(text), &model, |_| true, Seed(6)).unwrap());
        let backend = cpu();
        let mut how = Fit::new(&config, &backend, &train, Seed(7), &Quiet);
        how.with.wire = wire.as_mut().map(|wire| wire as &mut dyn Wire);
        let model = fit(model, how).unwrap().0;
        (model, wire.map_or(0, |wire| wire.bytes()))
    };
    let score = |model: &Model| {
        let logits = Network::bind(model, &cpu()).logits_of(&unseen).unwrap();
        accuracy(&logits, 1, unseen.labels())
    };
    let floats = score(&run(None).0);
    assert!(floats > 0.85, "{floats}");
    for text in [
        "codec = 'int8'",
        "codec = 'qsgd'",
        "codec = 'ternary'",
        "codec = 'ternary'\nerror_feedback = true",
        "codec = 'sign'",
        "codec = 'top_k'\nshare = 0.05",
    ] {
        let (model, bytes) = run(Some(text));
        assert!(score(&model) > floats - 0.06, "{text}: {} {floats}", score(&model));
        assert_eq!(run(Some(text)), (model, bytes), "{text}");
    }
}

/// Stops after the first epoch.
struct AfterOne;

impl Sink for AfterOne {
    fn push(&self, event: &Event) -> Flow {
        match event {
            Event::EpochFinished { .. } => Flow::Stop,
            _ => Flow::Continue,
        }
    }
}

#[test]
fn a_stopped_exchange_goes_on_with_what_it_owes() {
    let (backend, bench) = (cpu(), Bench::new(&cpu()).unwrap());
    let config: FitConfig = toml::from_str("epochs = 2").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (number, text) in ["", "codec = 'qsgd'", "error_feedback = false\nplain_steps = 1"].iter().enumerate()
    {
        let path = folder.path().join(number.to_string());
        let train = |sink: &dyn Sink, checkpoint: bool| {
            let model = bench.model().clone();
            let mut wire = GradientWire::new(&coding(text), &model, |_| true, Seed(6)).unwrap();
            let how = Fit::new(&config, &backend, bench.valid(), Seed(7), sink);
            let with = With { wire: Some(&mut wire), ..With::default() };
            let checkpoint = checkpoint.then_some(path.as_path());
            let made = fit(model, Fit { with, checkpoint, resume: true, ..how });
            made.map(|made| (made, wire.bytes(), wire.bytes_as_f32(), wire.noise()))
        };
        let whole = train(&Quiet, false).unwrap();
        assert!(matches!(train(&AfterOne, true), Err(TrainError::Stopped(_))), "{text}");
        assert_eq!(train(&Quiet, true).unwrap(), whole, "{text}");
    }
}
