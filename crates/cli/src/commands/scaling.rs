//! `nlpress scaling`: one way to compute, timed, for `cargo xtask bench parallel`, which starts it in turns.
//!
//! Networks, rows and texts are made up: what is timed is work, not what comes of it.

use anyhow::{Context, bail};
use nlpress::core::event::Quiet;
use nlpress::core::{Backend, Seed};
use nlpress::model::{Dataset, EncoderSpec, Graph, MlpSpec, Model};
use nlpress::parallel::{DataParallel, ModelParallel, TensorParallel, tasks};
use nlpress::pipeline::recipe::DataRecipe;
use nlpress::pipeline::{Prepared, ship};
use nlpress::quant::gradient::{Coding, Name as Codec};
use nlpress::runtime::Session;
use nlpress::text::{Corpus, CorpusOptions, Encode, EncoderConfig, Rows, TokenRows, corpus};
use nlpress::train::{Fit, FitConfig, GradientSource, OneNetwork, With, fit};
use std::path::Path;
use std::time::Instant;

use crate::arguments::{Scaling, Way};
use crate::data;
use crate::outcome::{refuse, say};

/// Features of a row, and those that are not zero: those of the article's bag of words.
const FEATURES: usize = 1000;
const WORDS: usize = 34;
/// Tokens of a document of the encoder, at most, and words that it knows.
const TOKENS: usize = 64;
const VOCABULARY: usize = 4000;
/// Trainings side by side.
const TASKS: usize = 4;
/// Times that texts are answered.
const TIMES: usize = 3;

pub(crate) fn scaling(arguments: &Scaling) -> anyhow::Result<()> {
    if arguments.artifact.is_some() && !matches!(arguments.way, Way::Serve) {
        return Err(refuse("--artifact: only `serve` serves one"));
    }
    data::start(arguments.threads)?;
    let backend = arguments.backend.open().map_err(refuse)?;
    let seconds = match arguments.way {
        Way::Plain => train(arguments, &backend, None::<OneNetwork>)?,
        Way::Data => {
            let source = DataParallel::new(arguments.shares, arguments.threads)?;
            train(arguments, &backend, Some(source))?
        }
        Way::DataInt8 => {
            let source = DataParallel::new(arguments.shares, arguments.threads)?;
            let coded = source.with_wire(Coding::new(Codec::Int8), Seed(4));
            train(arguments, &backend, Some(coded))?
        }
        Way::Model => {
            let source = ModelParallel::new(arguments.shares, 2 * arguments.shares);
            train(arguments, &backend, Some(source))?
        }
        Way::Tensor => {
            let source = TensorParallel::new(arguments.shares, arguments.threads);
            train(arguments, &backend, Some(source))?
        }
        Way::Tasks => several(arguments, &backend)?,
        Way::Serve => serve(arguments)?,
    };
    say!("{seconds:.6}");
    Ok(())
}

fn network(arguments: &Scaling) -> Graph {
    let width = arguments.hidden;
    if !arguments.encoder {
        return Graph::from(MlpSpec::new(FEATURES, &[width, width], 1, 0.5));
    }
    Graph::from(EncoderSpec {
        vocabulary: VOCABULARY,
        tokens: TOKENS,
        positions: TOKENS,
        types: 1,
        intermediate: 4 * width,
        dropout: 0.1,
        ..EncoderSpec::new(width, 2, (width / 32).max(1))
    })
    .with_classifier(1)
}

fn rows(arguments: &Scaling) -> anyhow::Result<Dataset> {
    let (count, mut rng) = (arguments.rows, Seed(1).stream(0));
    let labels = (0..count).map(|row| (row % 2) as u32).collect();
    if arguments.encoder {
        let (mut offsets, mut ids) = (vec![0], Vec::new());
        for row in 0..count {
            ids.extend((0..TOKENS / 4 + row * 7 % (TOKENS / 2)).map(|_| rng.below(VOCABULARY) as u32));
            offsets.push(ids.len());
        }
        return Ok(Dataset::new(TokenRows::new(VOCABULARY, offsets, ids, Vec::new())?, labels, 2)?);
    }
    let mut values = vec![0.0; count * FEATURES];
    for row in values.chunks_exact_mut(FEATURES) {
        (0..WORDS).for_each(|_| row[rng.below(FEATURES)] = 0.1 + rng.uniform());
    }
    Ok(Dataset::new(Rows::from_dense(count, FEATURES, &values)?, labels, 2)?)
}

fn config(arguments: &Scaling) -> anyhow::Result<FitConfig> {
    let config = serde_json::json!({ "epochs": 1, "batch": arguments.batch });
    serde_json::from_value(config).map_err(refuse)
}

fn train(
    arguments: &Scaling,
    backend: &Backend,
    mut source: Option<impl GradientSource>,
) -> anyhow::Result<f64> {
    let (config, rows) = (config(arguments)?, rows(arguments)?);
    let model = Model::init(&network(arguments), Seed(2))?;
    let begin = Instant::now();
    let source = source.as_mut().map(|source| source as &mut dyn GradientSource);
    let with = With { source, ..With::default() };
    fit(model, Fit { with, ..Fit::new(&config, backend, &rows, Seed(3), &Quiet) })?;
    Ok(begin.elapsed().as_secs_f64())
}

fn several(arguments: &Scaling, backend: &Backend) -> anyhow::Result<f64> {
    let (config, rows, graph) = (config(arguments)?, rows(arguments)?, network(arguments));
    let seeds: Vec<Seed> = (0..TASKS as u64).map(Seed).collect();
    let begin = Instant::now();
    tasks::run(&seeds, arguments.threads, |seed| {
        let model = Model::init(&graph, *seed)?;
        Ok(fit(model, Fit::new(&config, backend, &rows, *seed, &Quiet))?.0)
    })?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Seconds for the texts of an artifact, or of a network with random numbers on the embedded corpus.
fn serve(arguments: &Scaling) -> anyhow::Result<f64> {
    let recipe = DataRecipe {
        corpus: Some("embedded".into()),
        source: None,
        unlabelled: None,
        options: CorpusOptions::default(),
        encoder: EncoderConfig::default().into(),
        class_weights: None,
    };
    let prepared = Prepared::of(&recipe, Path::new(""))?;
    let session = match &arguments.artifact {
        Some(path) => Session::open(path)?,
        None => {
            let (inputs, width) = (prepared.encoder.width(), arguments.hidden);
            let graph = Graph::from(MlpSpec::new(inputs, &[width, width], 1, 0.0));
            let model = Model::init(&graph, Seed(2))?;
            let labels = &prepared.corpus.labels;
            Session::from_artifact(ship::pack(&model, &prepared.encoder, labels, Default::default())?)?
        }
    };
    let Corpus { train, .. } = &*prepared.corpus;
    let texts: Vec<&str> = corpus::texts(train).take(arguments.rows).collect();
    if texts.is_empty() {
        bail!("there are no texts");
    }
    // The threads are started, and the memory is touched.
    session.predict_many(&texts[..texts.len().min(64)], arguments.threads)?;
    let begin = Instant::now();
    for _ in 0..TIMES {
        session.predict_many(&texts, arguments.threads).context("a text has no answer")?;
    }
    Ok(begin.elapsed().as_secs_f64())
}
