//! `nlpress train --numbers`: networks that say a number of a text or of a pair of texts.

use nlpress::artifact::Provenance;
use nlpress::core::shown::counted;
use nlpress::core::{Backend, Seed, files};
use nlpress::eval::Regression;
use nlpress::graph::Output;
use nlpress::model::{Dataset, Model};
use nlpress::pipeline::{Origin, ship};
use nlpress::runtime::Session;
use nlpress::text::Encode;
use nlpress::text::corpus::Numbered;
use nlpress::train::{LabelTraining, TrainConfig};

use super::eval::show_regression;
use crate::arguments::Train;
use crate::data;
use crate::outcome::{of_training, printable, refuse, say, training_stopped, unwritten};
use crate::progress::Progress;

/// Fine-tunes what an artifact or a folder begins with, by the mean squared error.
pub(super) fn train(
    arguments: &Train,
    origin: &Origin,
    (config, backend): (&TrainConfig, &Backend),
) -> anyhow::Result<()> {
    if origin.is_classifier() {
        return Err(refuse(format!(
            "--numbers: the network of --from tells {} classes apart: begin with an encoder, or with what makes scores",
            origin.labels.len()
        )));
    }
    let corpus = data::numbered(&arguments.labelled, &arguments.splits)?;
    let encode = |split: &Numbered| -> anyhow::Result<Dataset> {
        let (examples, _) = origin.encoder.encode_all(&split.documents).map_err(refuse)?;
        Ok(Dataset::with_vectors(examples, split.numbers.clone(), 1)?)
    };
    let (train, valid, test) = (encode(&corpus.train)?, encode(&corpus.valid)?, encode(&corpus.test)?);
    let seed = Seed(arguments.seed);
    let model = begin(origin, &corpus.train.numbers, seed)?;
    let progress = Progress::start(None)?;
    let checkpoint = arguments.checkpoint.as_deref();
    let training = LabelTraining {
        checkpoint,
        resume: arguments.resume,
        ..LabelTraining::new(config, backend, (&train, &valid), seed, &progress)
    };
    let (model, history) = training.run(model).map_err(|e| of_training(e, checkpoint))?;
    progress.end().map_err(|_| training_stopped(checkpoint))?;

    let made_by = serde_json::json!([config, model.graph(), "numbers"]);
    let provenance = Provenance {
        recipe_sha256: files::sha256_hex(made_by.to_string().as_bytes()),
        start_sha256: Some(origin.sha256.clone()),
        data_sha256: corpus.sha256.clone(),
        seed: seed.0,
        technique: "train".into(),
        nlpress: env!("CARGO_PKG_VERSION").into(),
    };
    let artifact = ship::pack(&model, &origin.encoder, &[], provenance)?;
    artifact.write(&arguments.out).map_err(|e| unwritten(e, checkpoint))?;
    let session = Session::open(&arguments.out)?;
    let found = Regression::of(&session.logits(test.examples())?, &corpus.test.numbers)?;
    let bytes = artifact.sizes()?.file_bytes;
    let name = arguments.out.to_string_lossy();
    if arguments.json {
        say!(
            "{}",
            serde_json::json!({
                "artifact": name, "file_bytes": bytes, "epochs": history.epochs.len(), "kept_epoch": history.kept,
                "documents": {
                    "train": train.len(), "valid": valid.len(), "test": test.len(),
                },
                "test": found,
            })
        );
        return Ok(());
    }
    let epochs = counted(history.epochs.len(), "epoch");
    let (bytes, tested) = (counted(bytes, "byte"), counted(test.len(), "test document"));
    say!("{}: {bytes}, {epochs} (epoch {} kept); on {tested}:", printable(&name), history.kept);
    show_regression(&found)
}

/// What training begins with: what makes embeddings gets one number behind them, around the mean of those to learn.
fn begin(origin: &Origin, numbers: &[f32], seed: Seed) -> anyhow::Result<Model> {
    let made_embeddings = origin.model.graph().output == Output::Embedding;
    let model = origin.model.moved_to(&origin.model.graph().clone().with_scores(1), seed)?;
    if !made_embeddings {
        return Ok(model);
    }
    let mean = numbers.iter().map(|number| f64::from(*number)).sum::<f64>() / numbers.len() as f64;
    let (graph, mut layers) = model.into_parts();
    if let Some(last) = layers.last_mut() {
        last.bias.fill(mean as f32);
    }
    Ok(Model::new(graph, layers)?)
}
