//! `nlpress train`.

use nlpress::artifact::Provenance;
use nlpress::core::shown::{counted, escaped};
use nlpress::core::{Backend, Seed, files};
use nlpress::eval::{Confusion, Scores};
use nlpress::graph::{Op, Output};
use nlpress::model::{Form, Graph, Model, Network, Outline};
use nlpress::pipeline::recipe::NetworkRecipe;
use nlpress::pipeline::{Asking, Origin, Prepared, RunError, Threshold, probed, ship};
use nlpress::runtime::Session;
use nlpress::text::{Coverage, Encode};
use nlpress::train::{ClassWeights, History, LabelTraining, TrainConfig};

use super::numbers;
use crate::arguments::{Shape, Solver, Train, TrainLoss};
use crate::data::{self, Encoder};
use crate::encoding;
use crate::outcome::{of_run, of_training, printable, refuse, say, sort, tell, training_stopped, unwritten};
use crate::progress::Progress;

/// From this share of the most frequent class on, weights of classes are worth a hint.
const IMBALANCED: f64 = 0.7;

pub(crate) fn train(arguments: Train) -> anyhow::Result<()> {
    check_outputs(&arguments)?;
    let class_weights: Option<ClassWeights> =
        arguments.class_weights.as_deref().map(str::parse).transpose().map_err(refuse)?;
    class_weights.as_ref().map_or(Ok(()), ClassWeights::check).map_err(refuse)?;
    let threshold: Option<Threshold> =
        arguments.threshold.as_deref().map(str::parse).transpose().map_err(refuse)?;
    let (encoder, begin) = Begin::of(&arguments)?;
    let config = config(&arguments, begin.is_encoder())?;
    // Before the data are read: encoding them is done by all threads.
    let (backend, threads) = data::compute(&arguments.compute)?;
    if let (true, Begin::Origin(origin)) = (arguments.numbers, &begin) {
        return numbers::train(&arguments, origin, (&config, &backend));
    }
    let prepared = data::labelled(&arguments.labelled, &arguments.splits, encoder, class_weights.clone())?;
    if let Some(threshold) = threshold {
        threshold.check(&prepared.valid).map_err(refuse)?;
    }
    let seen = say_coverage(&prepared);
    let seed = Seed(arguments.seed);
    let model = begin.model(&prepared, seed)?;
    let graph = model.graph().clone();
    let probes = begin.is_probed_by(&config);
    if !probes {
        config.check(&Outline::dense(&graph)).map_err(refuse)?;
    } else if arguments.checkpoint.is_some() {
        return Err(refuse("--checkpoint: a linear probe is trained in one piece: leave it out"));
    }
    let progress = Progress::start(None)?;

    let (model, history) =
        trained((model, &begin, probes), &prepared, (&arguments, &config), (&backend, threads, &progress))?;
    progress.end().map_err(|_| training_stopped(arguments.checkpoint.as_deref()))?;

    let made_by = serde_json::json!([config, graph, class_weights, threshold]);
    let provenance = Provenance {
        recipe_sha256: files::sha256_hex(made_by.to_string().as_bytes()),
        start_sha256: begin.sha256(),
        data_sha256: prepared.corpus.sha256.clone(),
        seed: seed.0,
        technique: "train".into(),
        nlpress: env!("CARGO_PKG_VERSION").into(),
    };
    let mut artifact = ship::pack(&model, &prepared.encoder, &prepared.corpus.labels, provenance)?;
    if let Some(threshold) = threshold {
        let (decided, note) = threshold.set(artifact, &prepared.valid)?;
        artifact = decided;
        tell!("{note}");
    }
    artifact.write(&arguments.out).map_err(|e| unwritten(e, arguments.checkpoint.as_deref()))?;

    let session = Session::open(&arguments.out)?;
    let logits = session.logits(prepared.test.examples())?;
    let outputs = prepared.outputs();
    let predictions: Vec<u32> = logits.chunks_exact(outputs).map(|row| session.class(row) as u32).collect();
    let confusion = Confusion::of(&predictions, prepared.test.labels())?;
    let scores = Scores::decided(predictions, &logits, outputs, prepared.test.labels())?;
    let memory = Network::bind(&model, &backend).logits_of(&prepared.test)?;
    let same = Scores::of(&memory, prepared.outputs(), prepared.test.labels())?;
    tracing::info!("accuracy in memory {:.4}, from the artifact {:.4}", same.accuracy, scores.accuracy);
    let trained = Trained {
        bytes: artifact.sizes()?.file_bytes,
        config: &config,
        history: history.as_ref(),
        seen: &seen,
        threshold: session.threshold(),
        scores: &scores,
        confusion: &confusion,
    };
    trained.say(&arguments, &prepared)
}

/// Trains a model: what it begins with is frozen where it `probes`.
fn trained(
    (model, begin, probes): (Model, &Begin, bool),
    prepared: &Prepared,
    (arguments, config): (&Train, &TrainConfig),
    (backend, threads, progress): (&Backend, usize, &Progress),
) -> anyhow::Result<(Model, Option<History>)> {
    let seed = Seed(arguments.seed);
    if let (true, Begin::Origin(origin), Some(path)) = (probes, begin, &arguments.from) {
        let by = Asking { backend, threads, sink: progress };
        let model = probed((path, origin), prepared, config, (seed, by)).map_err(|error| match error {
            RunError::Stopped(_) => training_stopped(None),
            error => of_run(error),
        })?;
        return Ok((model, None));
    }
    let (checkpoint, data) = (arguments.checkpoint.as_deref(), (&prepared.train, &prepared.valid));
    let training = LabelTraining {
        checkpoint,
        resume: arguments.resume,
        ..LabelTraining::new(config, backend, data, seed, progress)
    };
    let (model, history) = training.run(model).map_err(|e| of_training(e, checkpoint))?;
    Ok((model, Some(history)))
}

/// What there is to say of a training.
struct Trained<'a> {
    /// Of the artifact.
    bytes: u64,
    config: &'a TrainConfig,
    /// None of a linear probe, which is at its optimum.
    history: Option<&'a History>,
    seen: &'a Seen,
    threshold: Option<f64>,
    /// On the test documents.
    scores: &'a Scores,
    confusion: &'a Confusion,
}

impl Trained<'_> {
    fn say(&self, arguments: &Train, prepared: &Prepared) -> anyhow::Result<()> {
        let Self { bytes, config, history, seen, threshold, scores, confusion } = *self;
        let (majority, share) = confusion.majority();
        let labels = &prepared.corpus.labels;
        let only = confusion.only_prediction().map(|class| &labels[class as usize]);
        if arguments.json {
            let corpus = &prepared.corpus;
            let result = serde_json::json!({
                // A path that is not Unicode cannot stand in JSON as it is.
                "artifact": arguments.out.to_string_lossy(), "file_bytes": bytes,
                "epochs": history.map(|of| of.epochs.len().max(of.kept as usize)),
                "kept_epoch": history.map(|of| of.kept),
                "documents": {
                    "train": corpus.train.len(), "valid": corpus.valid.len(), "test": corpus.test.len(),
                },
                "coverage": seen.coverage, "advice": seen.advice, "threshold": threshold,
                "test": {
                    "accuracy": scores.accuracy, "macro_f1": scores.macro_f1, "nll": scores.nll,
                    "majority": { "label": labels[majority as usize], "accuracy": share }, "predicts_only": only,
                },
            });
            say!("{result}");
        } else {
            say!(
                "{}: {}, {}; on {}: accuracy {:.2} %, macro-F1 {:.4}",
                printable(&arguments.out.to_string_lossy()),
                counted(bytes, "byte"),
                passes(config, history),
                counted(prepared.test.len(), "test document"),
                100.0 * scores.accuracy,
                scores.macro_f1
            );
            let majority = escaped(&labels[majority as usize]);
            say!("always saying \"{majority}\" would have an accuracy of {:.2} %", 100.0 * share);
            if let Some(label) = only {
                let remedy = if share >= IMBALANCED && arguments.class_weights.is_none() {
                    "; --class-weights balanced may help"
                } else {
                    ""
                };
                say!("it predicts one class only: \"{}\"{remedy}", escaped(label));
            }
        }
        Ok(())
    }
}

/// What training begins with.
enum Begin {
    /// Fresh numbers.
    Fresh(NetworkRecipe),
    /// Those of an artifact.
    Origin(Box<Origin>),
}

impl Begin {
    fn of(arguments: &Train) -> anyhow::Result<(Encoder, Self)> {
        let Some(path) = &arguments.from else {
            let (encoder, template) = encoding::read(&arguments.encoding)?;
            let network = NetworkRecipe { path: None, inputs: None, outputs: None, template };
            return Ok((Encoder::Fitted(encoder), Self::Fresh(network)));
        };
        if let Some(option) = arguments.encoding.tokens.given() {
            return Err(refuse(format!(
                "{option} cuts texts, and --from has the encoder of its artifact: leave one out"
            )));
        }
        let origin = Origin::open(path).map_err(refuse)?;
        Ok((Encoder::Given(origin.encoder.clone()), Self::Origin(Box::new(origin))))
    }

    /// The model for some data.
    fn model(&self, prepared: &Prepared, seed: Seed) -> anyhow::Result<Model> {
        match self {
            Self::Fresh(network) => Ok(Model::init(&prepared.graph(network).map_err(refuse)?, seed)?),
            Self::Origin(origin) => {
                let labels = &prepared.corpus.labels;
                if let Err(why) = origin.check_labels(labels) {
                    return Err(refuse(format!("--from: {why}")));
                }
                let packed = origin
                    .model
                    .outline()
                    .sites
                    .iter()
                    .filter(|site| matches!(site.form, Form::Packed(_)))
                    .count();
                if packed > 0 {
                    let sites = counted(origin.model.layers().len(), "site");
                    tell!("note: {packed} of {sites} of the artifact are packed, and stay as they are");
                }
                let graph = origin.model.graph().clone().with_classifier(prepared.outputs());
                Ok(origin.model.moved_to(&graph, seed)?)
            }
        }
    }

    /// Whether it stays as it is, and only a linear classifier behind it is trained.
    fn is_probed_by(&self, config: &TrainConfig) -> bool {
        let embeds = |origin: &Origin| origin.model.graph().output == Output::Embedding;
        matches!((self, config), (Self::Origin(origin), TrainConfig::CoordinateDescent(_)) if embeds(origin))
    }

    /// Whether it is a network of tokens that attend to each other, which is trained further in small steps.
    fn is_encoder(&self) -> bool {
        let attends = |graph: &Graph| graph.nodes.iter().any(|node| matches!(node.op, Op::Attend { .. }));
        matches!(self, Self::Origin(origin) if attends(origin.model.graph()))
    }

    fn sha256(&self) -> Option<String> {
        if let Self::Origin(origin) = self { Some(origin.sha256.clone()) } else { None }
    }
}

/// How long a training was.
fn passes(config: &TrainConfig, history: Option<&History>) -> String {
    let Some(history) = history else { return "a linear probe of what it makes, frozen".into() };
    match config {
        TrainConfig::Gradient(_) => {
            format!("{} (epoch {} kept)", counted(history.epochs.len(), "epoch"), history.kept)
        }
        TrainConfig::CoordinateDescent(_) => {
            format!("{} over the documents", counted(history.kept, "pass"))
        }
    }
}

/// What is known of the words of the documents that were not trained on.
struct Seen {
    coverage: Coverage,
    advice: Option<String>,
}

/// Says how much of the documents held back the vocabulary knows.
fn say_coverage(prepared: &Prepared) -> Seen {
    let coverage = prepared.held_back;
    let thing = if prepared.encoder.tokens().is_some() { "token" } else { "feature" };
    tell!(
        "{}: {:.1} % of the tokens of the documents held back are known; {} of those {} have no known {thing}",
        counted(prepared.encoder.width(), thing),
        100.0 * (1.0 - coverage.share_unknown()),
        coverage.documents_without,
        coverage.documents
    );
    let advice = prepared.encoder.advice(&coverage);
    if let Some(advice) = &advice {
        tell!("note: {advice}");
    }
    Seen { coverage, advice }
}

/// What is written must not be what is read, and it must be possible to write it: training takes long.
fn check_outputs(arguments: &Train) -> anyhow::Result<()> {
    let mut outputs = files::Outputs::new().output("--out", &arguments.out);
    for (name, file) in arguments.labelled.files() {
        outputs = outputs.input(name, file);
    }
    if let Some(file) = &arguments.encoding.tokens.stop_words {
        outputs = outputs.input("--stop-words", file);
    }
    if let Some(file) = &arguments.encoding.tokenizer {
        outputs = outputs.input("--tokenizer", file);
    }
    outputs = arguments.splits.files().fold(outputs, |outputs, (name, file)| outputs.input(name, file));
    if let Some(file) = &arguments.from {
        outputs = outputs.input("--from", file);
    }
    if let Some(checkpoint) = &arguments.checkpoint {
        outputs = outputs.output("--checkpoint", checkpoint);
    }
    outputs.check().map_err(sort)
}

/// What is set where nothing is said.
struct Defaults {
    epochs: Option<u32>,
    learning_rate: f64,
    schedule: Shape,
    warmup: f64,
    clip_norm: Option<f64>,
    weight_decay: f64,
}

impl Defaults {
    /// Of networks that begin with fresh numbers.
    const FRESH: Self = Self {
        epochs: None,
        learning_rate: 1e-3,
        schedule: Shape::Constant,
        warmup: 0.0,
        clip_norm: None,
        weight_decay: 0.0,
    };

    /// The usual ones of fine-tuning an encoder: those of Devlin et al. (2019), with clipping as in their code.
    const ENCODER: Self = Self {
        epochs: Some(3),
        learning_rate: 5e-5,
        schedule: Shape::Linear,
        warmup: 0.1,
        clip_norm: Some(1.0),
        weight_decay: 0.01,
    };
}

/// The training settings, checked by the library.
fn config(arguments: &Train, is_encoder: bool) -> anyhow::Result<TrainConfig> {
    let by_steps = matches!(arguments.solver, Solver::Adam);
    let usual = if is_encoder && by_steps { Defaults::ENCODER } else { Defaults::FRESH };
    let schedule = match arguments.schedule.unwrap_or(usual.schedule) {
        Shape::Constant => "constant",
        Shape::Linear => "linear",
        Shape::Cosine => "cosine",
    };
    let loss = arguments.loss.map(|loss| match loss {
        TrainLoss::CrossEntropy => "cross_entropy",
        TrainLoss::SquaredHinge => "squared_hinge",
    });
    let solver = match arguments.solver {
        Solver::Adam => "adam",
        Solver::CoordinateDescent => "coordinate_descent",
    };
    let settings = serde_json::json!({
        "solver": solver, "cost": arguments.cost, "tolerance": arguments.tolerance, "loss": loss,
        "weight_decay": arguments.weight_decay.unwrap_or(usual.weight_decay),
        "epochs": arguments.epochs.or(usual.epochs), "batch": arguments.batch,
        "learning_rate": arguments.learning_rate.unwrap_or(usual.learning_rate), "schedule": schedule,
        "warmup": arguments.warmup.unwrap_or(usual.warmup), "patience": arguments.patience,
        "clip_norm": arguments.clip_norm.or(usual.clip_norm),
    });
    serde_json::from_value(settings).map_err(refuse)
}
