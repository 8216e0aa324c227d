//! Networks on tokens learn from scratch: static embeddings on texts of the embedded corpus, and an encoder with
//! attention on texts whose class only the order of their tokens tells.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

use nlpress_core::event::Quiet;
use nlpress_core::{Backend, BackendKind, Seed};
use nlpress_model::{Dataset, EncoderSpec, Graph, MlpSpec, Model, Network, StaticSpec};
use nlpress_text::{AnyEncoder, Corpus, Document, Encode, EncoderPlan, EncoderTable, TokenRows};
use nlpress_train::{Fit, FitConfig, Loss, Scores, TrainError, With, WordDropout, fit};

/// Token ids of [`ordered`].
const VOCABULARY: usize = 12;
/// Most tokens of a text of [`ordered`].
const MOST: usize = 9;

fn ndarray() -> Backend {
    BackendKind::Ndarray.open().unwrap()
}

fn config(text: &str) -> FitConfig {
    toml::from_str(text).unwrap()
}

/// Texts of 2 to 9 tokens whose class is told by the first token alone, which others have anywhere else.
fn ordered(count: usize, seed: u64) -> Dataset {
    let mut rng = Seed(seed).stream(0);
    let (mut offsets, mut ids, mut labels) = (vec![0], Vec::new(), Vec::new());
    for _ in 0..count {
        let length = 2 + rng.below(MOST - 1);
        let start = ids.len();
        ids.extend((0..length).map(|_| rng.below(VOCABULARY) as u32));
        labels.push(u32::from(ids[start] as usize >= VOCABULARY / 2));
        offsets.push(ids.len());
    }
    let rows = TokenRows::new(VOCABULARY, offsets, ids, Vec::new()).unwrap();
    Dataset::new(rows, labels, 2).unwrap()
}

/// One layer as BERT has them.
fn encoder() -> Graph {
    Graph::from(EncoderSpec {
        vocabulary: VOCABULARY,
        tokens: MOST,
        positions: MOST,
        intermediate: 32,
        dropout: 0.1,
        ..EncoderSpec::new(16, 1, 2)
    })
}

fn trained(
    graph: &Graph,
    config: &FitConfig,
    (train, valid): (&Dataset, &Dataset),
    words: Option<(WordDropout, Seed)>,
) -> (Model, Scores) {
    let backend = ndarray();
    let model = Model::init(graph, Seed(2)).unwrap();
    let with = With { words, ..With::default() };
    let how = Fit { with, valid: Some(valid), ..Fit::new(config, &backend, train, Seed(2), &Quiet) };
    let (model, _) = fit(model, how).unwrap();
    let logits = Network::bind(&model, &backend).logits_of(valid).unwrap();
    let scores = Scores::of(&logits, valid, Loss::CrossEntropy).unwrap();
    (model, scores)
}

#[test]
fn an_encoder_of_one_layer_learns_what_only_the_order_tells() {
    let (train, valid) = (ordered(800, 1), ordered(300, 2));
    let (_, scores) =
        trained(&encoder(), &config("epochs = 12\nlearning_rate = 5e-3"), (&train, &valid), None);
    assert!(scores.accuracy > 0.95, "{scores:?}");
    // What does not see the order does little better than the share of the first token in the text allows.
    let spec = StaticSpec { vocabulary: VOCABULARY, tokens: MOST, width: 16, outputs: Some(1), dropout: 0.0 };
    let (_, blind) =
        trained(&Graph::from(spec), &config("epochs = 12\nlearning_rate = 5e-3"), (&train, &valid), None);
    assert!(blind.accuracy < 0.85, "{blind:?}");
}

#[test]
fn static_embeddings_learn_the_embedded_corpus_with_every_tokenizer() {
    let corpus = Corpus::embedded().unwrap().limited(4000).unwrap();
    for algorithm in ["wordpiece", "words"] {
        let table = format!("{{\"kind\": \"tokens\", \"algorithm\": \"{algorithm}\", \"vocabulary\": 3000}}");
        let table: EncoderTable = serde_json::from_str(&table).unwrap();
        let texts = |documents: &[Document]| documents.iter().map(|d| d.text.clone()).collect::<Vec<_>>();
        let train = texts(&corpus.train);
        let plan = EncoderPlan::try_from(&table).unwrap();
        let encoder = AnyEncoder::fit(&plan, train.iter().map(String::as_str)).unwrap();
        let data = |documents: &[Document]| {
            let (examples, _) = encoder.encode_all(&texts(documents)).unwrap();
            let labels = documents.iter().map(|d| d.label).collect();
            Dataset::new(examples, labels, corpus.labels.len()).unwrap()
        };
        let (train, test) = (data(&corpus.train), data(&corpus.test));
        let spec = StaticSpec {
            vocabulary: encoder.width(),
            tokens: 128,
            width: 16,
            outputs: train.outputs(),
            dropout: 0.2,
        };
        let config = config("epochs = 10\nlearning_rate = 1e-2\npatience = 3");
        let (_, scores) = trained(&Graph::from(spec), &config, (&train, &test), None);
        assert!(scores.accuracy > 0.66, "{algorithm}: {scores:?}");
    }
}

#[test]
fn numbers_do_not_depend_on_threads_and_words_may_be_left_out() {
    let (train, valid) = (ordered(120, 3), ordered(40, 4));
    let config = config("epochs = 2\naccumulate = 2\nl2 = 1e-4");
    let run = |threads: usize, words: Option<f64>| {
        let words = words.map(|share| (WordDropout::try_from(share).unwrap(), Seed(5)));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| trained(&encoder(), &config, (&train, &valid), words).0.flat())
    };
    let one = run(1, None);
    assert_eq!(one, run(3, None));
    assert_eq!(run(1, Some(0.3)), run(2, Some(0.3)));
    assert!(one != run(1, Some(0.3)));
}

#[test]
fn a_checkpoint_knows_texts_and_networks_refuse_what_they_do_not_take() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let (backend, config) = (ndarray(), config("epochs = 2"));
    let (train, other) = (ordered(60, 6), ordered(60, 7));
    let run = |data: &Dataset, resume: bool| {
        let how =
            Fit { checkpoint: Some(&path), resume, ..Fit::new(&config, &backend, data, Seed(1), &Quiet) };
        fit(Model::init(&encoder(), Seed(1)).unwrap(), how)
    };
    let (whole, _) = run(&train, false).unwrap();
    assert_eq!(run(&train, true).unwrap().0, whole);
    let refused = run(&other, true).unwrap_err();
    assert!(refused.to_string().contains("training data"), "{refused}");

    let on = |graph: Graph, data: &Dataset| {
        let how = Fit::new(&config, &backend, data, Seed(1), &Quiet);
        fit(Model::init(&graph, Seed(1)).unwrap(), how).unwrap_err()
    };
    let bag = Graph::from(MlpSpec::new(VOCABULARY, &[64], 1, 0.0));
    for (graph, data, says) in [
        (bag, train.clone(), "takes feature rows, not tokens"),
        (
            encoder(),
            Dataset::new(train.bags().into_owned(), train.labels().to_vec(), 2).unwrap(),
            "takes tokens",
        ),
    ] {
        let error = on(graph, &data);
        assert!(matches!(&error, TrainError::Model(_)) && error.to_string().contains(says), "{error}");
    }
}
